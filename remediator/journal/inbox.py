"""The inbox: webhooks as they came, one row each, so that accepting costs one short commit."""

from collections.abc import Sequence
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy import Connection, Dialect

from ..ports.records import Body
from .tables import EPOCH, MICROSECOND
from .tables import inbox as table


def store(c: Connection, bodies: Sequence[Body]) -> None:
    """Adds webhooks. The statement is compiled once, since webhooks wait for it."""
    rows = [
        {"source": b.source, "received_at": (b.received_at - EPOCH) // MICROSECOND, "body": b.body}
        for b in bodies
    ]
    statement, names = _insert(c.dialect)
    c.exec_driver_sql(
        statement, rows if names is None else [tuple(row[name] for name in names) for row in rows]
    )


@lru_cache
def _insert(dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """The INSERT in the database's own SQL, and the order of its values if positional."""
    compiled = (
        sa.insert(table)
        .inline()
        .compile(dialect=dialect, column_keys=["source", "received_at", "body"])
    )
    return str(compiled), tuple(compiled.positiontup) if compiled.positiontup else None


OLDEST = (
    sa.select(table).where(table.c.error.is_(None)).order_by(table.c.id).limit(sa.bindparam("most"))
)


def oldest(c: Connection, limit: int) -> list[Body]:
    """The oldest readable ones."""
    return [
        Body(row.source, row.received_at, row.body, row.id)
        for row in c.execute(OLDEST, {"most": limit})
    ]


def unreadable(c: Connection, body: int, error: str) -> None:
    """Keeps an unreadable one out of the way."""
    c.execute(sa.update(table).where(table.c.id == body).values(error=error[:1000]))


def forget(c: Connection, ids: Sequence[int]) -> bool:
    """Deletes what was unpacked. False if another replica did so before."""
    return c.execute(sa.delete(table).where(table.c.id.in_(ids))).rowcount == len(ids)
