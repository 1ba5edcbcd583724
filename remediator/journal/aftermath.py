"""What was done to a target before, and what became of alerts that fire on after an end."""

from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.past import Past, PastAct
from ..model.pointer import TEMPLATE
from ..model.remediation import LIVE, Attempt, State
from ..ports.records import Claim, Owed, RemediationRecord
from . import claims, entries, timers, undos
from .tables import attachment, attempt, timer
from .tables import episode as episode_table
from .tables import remediation as table

MOST_ACTS, MOST_FIRINGS = 30, 100  # the newest; what is older tells nothing that these do not
OWED = sa.exists().where(timer.c.kind == "restore", timer.c.ref == attempt.c.id)
LATEST_ACTED = (
    sa.select(table.c.id, table.c.rule, table.c.live)
    .where(table.c.target_key == sa.bindparam("target"), table.c.acted)
    .order_by(table.c.created_at.desc())
    .limit(MOST_ACTS)
    .subquery()
)
ACTS = (
    sa.select(attempt, LATEST_ACTED.c.rule, LATEST_ACTED.c.live, OWED.label("owed"))
    .join(LATEST_ACTED, LATEST_ACTED.c.id == attempt.c.remediation)
    .where(attempt.c.evidence.is_not(None))
)
LATEST_OF_RULE = (
    sa.select(table.c.id)
    .where(table.c.rule == sa.bindparam("rule"), table.c.target_key == sa.bindparam("target"))
    .order_by(table.c.created_at.desc())
    .limit(MOST_FIRINGS)
    .subquery()
)
FIRING = (
    sa.select(episode_table.c.starts_at, episode_table.c.ends_at, episode_table.c.open)
    .join(attachment, attachment.c.episode == episode_table.c.id)
    .join(LATEST_OF_RULE, LATEST_OF_RULE.c.id == attachment.c.remediation)
)
RETRIED = (
    sa.select(table.c.retried_at)
    .where(
        table.c.rule == sa.bindparam("rule"),
        table.c.target_key == sa.bindparam("target"),
        table.c.retried_at.is_not(None),
    )
    .order_by(table.c.retried_at.desc())
    .limit(1)
)


def past(c: Connection, rule: str, target_key: str) -> Past:
    """The newest acts on the target by any rule, and when the rule's alerts of it fired."""
    mine = {"rule": rule, "target": target_key}
    acts = sorted(c.execute(ACTS, {"target": target_key}).all(), key=lambda row: row.begun_at)
    return Past(
        tuple(map(_past_act, acts)),
        tuple(
            (row.starts_at, None if row.open else row.ends_at) for row in c.execute(FIRING, mine)
        ),
        c.execute(RETRIED, mine).scalar(),
    )


def past_act(made: Attempt, rule: str, owed: bool) -> PastAct:
    """What is remembered of an attempt by a rule; `owed`: it is to be undone later."""
    causes = tuple(cause.name for cause in made.causes)
    before = str(made.plan.assumptions.get(TEMPLATE, ""))
    view: dict[str, Any] = {}
    for item in made.evidence:
        view |= item.left
    left = str(view.get(TEMPLATE, before))
    previous = made.plan.previous
    return PastAct(
        rule,
        made.action,
        causes,
        made.outcome,
        made.begun_at,
        before,
        left,
        view,
        previous,
        owed,
    )


def _past_act(row: Any) -> PastAct:
    made = claims.attempt_from_row(row)
    return past_act(made, row.rule, bool(row.owed) or (row.live and undos.owes(made)))


REVIVABLE = timers.due(table, table.c.id, "revive").limit(sa.bindparam("most"))
RESTORABLE = timers.due(attempt, attempt.c.id, "restore").limit(sa.bindparam("most"))


def revivals(c: Connection, now: datetime, limit: int) -> list[Claim]:
    """Ended remediations whose revival timer is due."""
    rows = c.execute(REVIVABLE, {"now": now, "most": limit}).all()
    read = (
        claims.readable(c, "revive", row.id, now, read=partial(claims.claim_of, c, row, row.token))
        for row in rows
    )
    return [item for item in read if item is not None]


def revive_later(
    c: Connection, remediation_id: str, template: str, again_at: datetime | None
) -> None:
    """Moves or removes the revival timer."""
    claims.update(c, remediation_id, ended_template=template)
    if again_at is None:
        c.execute(sa.delete(timer).where(timer.c.kind == "revive", timer.c.ref == remediation_id))
    else:
        timers.put(c, "revive", remediation_id, again_at)


def restorations(c: Connection, now: datetime, limit: int) -> list[Owed]:
    """Attempts whose restore timer is due."""
    rows = c.execute(RESTORABLE, {"now": now, "most": limit}).all()
    read = (claims.readable(c, "restore", row.id, now, read=partial(_owed, c, row)) for row in rows)
    return [item for item in read if item is not None]


def _owed(c: Connection, row: Any) -> Owed:
    parent = c.execute(sa.select(table).where(table.c.id == row.remediation)).one()
    return Owed(claims.from_row(parent), claims.attempt_from_row(row))


def restore_later(c: Connection, attempt_id: str, again_at: datetime | None) -> None:
    """Moves or removes the restore timer."""
    if again_at is None:
        c.execute(sa.delete(timer).where(timer.c.kind == "restore", timer.c.ref == attempt_id))
    else:
        timers.put(c, "restore", attempt_id, again_at)


def known(c: Connection, remediation_id: str) -> RemediationRecord | None:
    """All that is known of it, with nothing leased."""
    row = c.execute(sa.select(table).where(table.c.id == remediation_id)).first()
    if row is None:
        return None
    mine = sa.select(table).where(table.c.undo_of == remediation_id, sa.text("undo_of != ''"))
    undos = tuple(map(claims.from_row, c.execute(mine.order_by(table.c.created_at))))
    return RemediationRecord(
        claims.claim_of(c, row, row.token), undos, entries.of(c, remediation_id)
    )


def undo(
    c: Connection, remediation_id: str, attempt_id: str, why: str, *, now: datetime, asked: str = ""
) -> str | None:
    """Creates an undo. Returns None, or why not."""
    row = c.execute(sa.select(table).where(table.c.id == remediation_id).with_for_update()).first()
    if row is None:
        return f"no remediation {remediation_id}"
    if State(row.state) in LIVE:
        return f"{remediation_id} is {row.state}; cancel it first"
    live = c.execute(
        sa.select(table.c.id).where(table.c.undo_of == remediation_id, table.c.live)
    ).scalar()
    if live:
        return f"{live} is already undoing {remediation_id}"
    undos.start_undo(c, row, attempt_id, why, now=now, asked=asked)
    return None
