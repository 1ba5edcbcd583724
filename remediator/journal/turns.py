"""Turns: where a rule acts on few targets at a time, one that ends wakes the next that waits for
it. So those that wait need not ask again and again.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.remediation import State
from ..model.verdict import Reason
from . import timers
from .tables import remediation as table

NEXT = (
    sa.select(table.c.id)
    .where(
        table.c.rule == sa.bindparam("rule"),
        table.c.live,
        table.c.undo_of == "",
        table.c.state == State.HELD,
        table.c.reason == Reason.TOO_MANY_IN_FLIGHT,
    )
    .order_by(table.c.created_at, table.c.id)
    .limit(1)
)


def pass_on(c: Connection, rule: str, now: datetime) -> None:
    """Wakes the remediation of a rule whose turn it is."""
    following = c.execute(NEXT, {"rule": rule}).scalar()
    if following is not None:
        timers.pull(c, timers.work_of([following]), now)


FREED = (
    sa.select(table.c.id)
    .where(
        table.c.rule == sa.bindparam("rule"),
        table.c.ended_at >= sa.bindparam("since"),
        table.c.acted,
        table.c.undo_of == "",
    )
    .limit(1)
)


def freed(c: Connection, rule: str, since: datetime) -> bool:
    """Whether one of the rule that acted has ended since then."""
    return c.execute(FREED, {"rule": rule, "since": since}).first() is not None
