"""One remediation per rule and target, even if several daemons share the journal."""

import sqlalchemy as sa
from sqlalchemy import Connection

# counted from the first on, as they are given
TAKE = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(given.key, 0))"
    " FROM unnest(CAST(:keys AS text[])) WITH ORDINALITY AS given(key, place) ORDER BY given.place"
)


def alone(c: Connection, *keys: str) -> None:
    """Until this transaction ends, no other replica on PostgreSQL creates or moves a remediation of
    these rules and targets.
    """
    if c.dialect.name == "postgresql":
        # one after the other in the same order everywhere, since two could wait for each other
        c.execute(TAKE, {"keys": sorted(set(keys))})
