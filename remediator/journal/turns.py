"""Turns: where a rule acts on few targets at a time, one that ends wakes the next that waits for
it. One that begins, or cannot, wakes the next too, since several may have ended.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.remediation import State
from ..model.verdict import Reason
from . import timers
from .tables import remediation as table
from .tables import timer

# one whose timer another transaction is about to set looks again anyway; nobody waits for it
NEXT = (
    sa.select(table.c.id)
    .join(timer, sa.and_(timer.c.ref == table.c.id, timer.c.kind == "work"))
    .where(
        table.c.rule == sa.bindparam("rule"),
        table.c.live,
        table.c.undo_of == "",
        table.c.state == State.HELD,
        table.c.reason == Reason.TOO_MANY_IN_FLIGHT,
        timer.c.due_at > sa.bindparam("now"),
    )
    .order_by(table.c.created_at, table.c.id)
    .limit(1)
    .with_for_update(of=timer, skip_locked=True)
)


def pass_on(c: Connection, rule: str, now: datetime) -> None:
    """Wakes the remediation of a rule whose turn it is, of those that are not awake already."""
    following = c.execute(NEXT, {"rule": rule, "now": now}).scalar()
    if following is not None:
        timers.pull(c, timers.work_of([following]), now)
