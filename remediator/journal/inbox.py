"""The inbox: webhooks as they came, one row each, so that accepting costs one short commit whatever they hold."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from ..journal_port import Body
from .tables import inbox as table


def store(c: Connection, bodies: Sequence[Body]) -> None:
    """Adds webhooks."""
    rows = [{"source": b.source, "received_at": b.received_at, "body": b.body} for b in bodies]
    c.execute(sa.insert(table), rows)


def oldest(c: Connection, limit: int) -> list[Body]:
    """The oldest that can be unpacked."""
    query = sa.select(table).where(table.c.error.is_(None)).order_by(table.c.id).limit(limit)
    return [Body(row.source, row.received_at, row.body, row.id) for row in c.execute(query)]


def unreadable(c: Connection, body: int, error: str) -> None:
    """Keeps one that cannot be unpacked, out of the others' way."""
    c.execute(sa.update(table).where(table.c.id == body).values(error=error[:1000]))


def forget(c: Connection, ids: Sequence[int]) -> bool:
    """Removes what was unpacked; False where another daemon did so before."""
    return c.execute(sa.delete(table).where(table.c.id.in_(ids))).rowcount == len(ids)
