"""Undos: remediations of their own that restore what an attempt changed, now or later."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.entry import EntryKind
from ..model.remediation import Attempt, Outcome, State
from ..model.verdict import Reason
from . import entries, timers
from .claims import attempts_of
from .tables import remediation as table
from .tables import target_lock, timer

SAME = (
    "rule",
    "rule_digest",
    "rule_text",
    "mode",
    "cluster",
    "kind",
    "namespace",
    "name",
    "uid",
    "target_key",
    "root_key",
    "priority",
    "created_for",
)


def reason_of(why: str) -> Reason:
    """The reason of an undo that is made because of this."""
    return {"worse": Reason.WORSE, "asked": Reason.OPERATOR}.get(why, Reason.RESOLVED)


def row_of(parent: Any, attempt_id: str, why: str, now: datetime) -> dict[str, Any]:
    """The columns of a remediation that undoes an attempt of its parent."""
    row = {key: getattr(parent, key) for key in SAME}
    row |= {"id": entries.new_id("u"), "undo_of": parent.id, "undoes": attempt_id, "undo_why": why}
    return row | {"state": State.QUEUED, "live": True, "created_at": now, "changed_at": now}


def start_undo(
    c: Connection, parent: Any, attempt_id: str, why: str, *, now: datetime, asked: str = ""
) -> str:
    """Creates a remediation that undoes an attempt, because it was `asked` for or automatically.
    Returns its ID.
    """
    row = row_of(parent, attempt_id, why, now)
    created = str(row["id"])
    c.execute(sa.insert(table).values(**row))
    timers.put(c, "work", created, now)
    # this undo takes the place of the timed one
    c.execute(sa.delete(timer).where(timer.c.kind == "restore", timer.c.ref == attempt_id))
    entries.write(
        c,
        now,
        created,
        EntryKind.CREATED,
        reason=reason_of(why),
        text=f"undoes {parent.id}{asked and f'; {asked}'}",
    )
    return created


def take_over(c: Connection, parent: Any, now: datetime) -> None:
    """An undo of the last attempt, with its parent's locks."""
    last = attempts_of(c, parent.id)[-1]
    created = start_undo(c, parent, last.id, "worse", now=now)
    c.execute(
        sa.update(target_lock)
        .where(target_lock.c.remediation == parent.id)
        .values(remediation=created)
    )


def give_locks_back(c: Connection, undo: Any, now: datetime) -> None:
    """To the waiting parent, which is due immediately; otherwise they are freed."""
    waiting = c.execute(
        sa.select(table.c.id).where(table.c.id == undo.undo_of, table.c.state == State.UNDOING)
    ).first()
    mine = target_lock.c.remediation == undo.id
    if waiting:
        c.execute(sa.update(target_lock).where(mine).values(remediation=undo.undo_of))
        timers.put(c, "work", undo.undo_of, now)
    else:
        c.execute(sa.delete(target_lock).where(mine))


def owe(c: Connection, remediation_id: str, now: datetime) -> None:
    """Sets the timers of pending undos. What failed halfway is undone too."""
    for made in attempts_of(c, remediation_id):
        if owes(made):
            timers.put(c, "restore", made.id, now + (made.times.restore_after or timedelta()))


def owes(made: Attempt) -> bool:
    """Whether its change stands and is to be undone later."""
    # the undo looks whether it was done
    done = made.applied_at is not None or made.outcome is Outcome.UNKNOWN
    stands = done and made.outcome not in (Outcome.WORSE, Outcome.OVERTAKEN)
    return stands and made.times.restore_after is not None
