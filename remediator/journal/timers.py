"""Timers: when something is due next. One row per kind and reference."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from .tables import EPOCH, timer

# the time of a timer whose remediation is worked on: due, as before, and no time of a wake-up
CLAIMED = EPOCH


MOVE = sa.update(timer).where(
    timer.c.kind == sa.bindparam("of_kind"), timer.c.ref == sa.bindparam("of_ref")
)
CREATE = sa.insert(timer)


def put(c: Connection, kind: str, ref: str, due_at: datetime) -> None:
    """Creates or moves a timer."""
    done = c.execute(MOVE, {"of_kind": kind, "of_ref": ref, "due_at": due_at})
    if done.rowcount == 0:
        c.execute(CREATE, {"kind": kind, "ref": ref, "due_at": due_at})


def due(selected: Any, ref: Any, kind: str) -> sa.Select[Any]:
    """References of timers of a kind that are due at `:now`, most overdue first. Built once, since
    it is run every second.
    """
    mine = sa.and_(timer.c.ref == ref, timer.c.kind == kind)
    return (
        sa.select(selected)
        .join(timer, mine)
        .where(timer.c.due_at <= sa.bindparam("now"))
        .order_by(timer.c.due_at)
    )


def work_of(remediations: Any) -> sa.ColumnElement[bool]:
    """The work timers of a query's remediations."""
    return sa.and_(timer.c.kind == "work", timer.c.ref.in_(remediations))


def pull(c: Connection, which: sa.ColumnElement[bool], now: datetime) -> None:
    """Makes timers due that are not yet, and marks those that somebody works on."""
    later = sa.or_(timer.c.due_at > now, timer.c.due_at == CLAIMED)
    c.execute(sa.update(timer).where(which, later).values(due_at=now))
