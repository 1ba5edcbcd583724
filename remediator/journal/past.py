"""What was done to a target before, and what became of alerts that fire on after an end."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..journal_port import Claim, Owed
from ..model.past import Past, PastAct
from ..model.remediation import LIVE, State
from . import remediations, timers
from .tables import attachment, attempt, timer
from .tables import episode as episode_table
from .tables import remediation as table


def past(c: Connection, rule: str, target_key: str) -> Past:
    """Every act on the target by any rule, and when the rule's alerts of it fired."""
    owed = sa.exists().where(timer.c.kind == "restore", timer.c.ref == attempt.c.id)
    acts = (
        sa.select(attempt, table.c.rule, table.c.live, owed.label("owed"))
        .join(table, table.c.id == attempt.c.remediation)
        .where(table.c.target_key == target_key, attempt.c.evidence.is_not(None))
        .order_by(attempt.c.begun_at)
    )
    mine = sa.and_(table.c.rule == rule, table.c.target_key == target_key)
    firing = (
        sa.select(episode_table.c.starts_at, episode_table.c.ends_at, episode_table.c.open)
        .join(attachment, attachment.c.episode == episode_table.c.id)
        .join(table, table.c.id == attachment.c.remediation)
        .where(mine)
    )
    retried = c.execute(sa.select(sa.func.max(table.c.retried_at)).where(mine)).scalar()
    return Past(
        tuple(_past_act(row) for row in c.execute(acts)),
        tuple((row.starts_at, None if row.open else row.ends_at) for row in c.execute(firing)),
        retried,
    )


def _past_act(row: Any) -> PastAct:
    made = remediations.attempt_from_row(row)
    causes = tuple(str(cause["name"]) for cause in made.causes)
    before = str((made.plan.get("assumptions") or {}).get("template", ""))
    view = {name: value for item in made.evidence for name, value in item.left.items()}
    left = str(view.get("template", before))
    previous = made.plan.get("previous") or {}
    owed = bool(row.owed) or (row.live and remediations.owes(made))
    return PastAct(row.rule, made.action, causes, made.outcome, made.begun_at, before, left, view, previous, owed)


REVIVABLE = timers.due(table, table.c.id, "revive").limit(sa.bindparam("most"))
RESTORABLE = timers.due(attempt, attempt.c.id, "restore").limit(sa.bindparam("most"))


def revivals(c: Connection, now: datetime, limit: int) -> list[Claim]:
    """Ended remediations whose revival timer is due."""
    return [remediations.claim_of(c, row, row.token) for row in c.execute(REVIVABLE, {"now": now, "most": limit}).all()]


def revive_later(c: Connection, remediation_id: str, template: str, again_at: datetime | None) -> None:
    """Moves or removes the revival timer."""
    c.execute(sa.update(table).where(table.c.id == remediation_id).values(ended_template=template))
    if again_at is None:
        c.execute(sa.delete(timer).where(timer.c.kind == "revive", timer.c.ref == remediation_id))
    else:
        timers.put(c, "revive", remediation_id, again_at)


def restorations(c: Connection, now: datetime, limit: int) -> list[Owed]:
    """Attempts whose restore timer is due."""
    out = []
    for row in c.execute(RESTORABLE, {"now": now, "most": limit}).all():
        parent = c.execute(sa.select(table).where(table.c.id == row.remediation)).one()
        out.append(Owed(remediations.from_row(parent), remediations.attempt_from_row(row)))
    return out


def restore_later(c: Connection, attempt_id: str, again_at: datetime | None) -> None:
    """Moves or removes the restore timer."""
    if again_at is None:
        c.execute(sa.delete(timer).where(timer.c.kind == "restore", timer.c.ref == attempt_id))
    else:
        timers.put(c, "restore", attempt_id, again_at)


def undo(c: Connection, remediation_id: str, attempt_id: str, why: str, now: datetime, asked: str = "") -> str | None:
    """Gives birth to an undo, unless one is under way or the remediation still is."""
    row = c.execute(sa.select(table).where(table.c.id == remediation_id).with_for_update()).one()
    if State(row.state) in LIVE:
        return f"{remediation_id} is {row.state}; cancel it first"
    live = c.execute(sa.select(table.c.id).where(table.c.undo_of == remediation_id, table.c.live)).scalar()
    if live:
        return f"{live} takes it back already"
    remediations.start_undo(c, row, attempt_id, why, now, asked)
    return None
