"""One remediation per rule and target, even if several daemons share the journal."""

import sqlalchemy as sa
from sqlalchemy import Connection


def alone(c: Connection, *keys: str) -> None:
    """Until this transaction ends, no other replica on PostgreSQL creates or moves a remediation of
    these rules and targets.
    """
    if c.dialect.name == "postgresql":
        for key in sorted(set(keys)):
            c.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(key, 0))))
