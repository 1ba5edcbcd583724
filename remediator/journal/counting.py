"""What limits are decided from, read in the transaction in which an attempt would begin.

Nothing here grows with the history: limits are counts (the time of the k-th newest charge), and
what is counted of remediations and alerts is what is live, or fires, now.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.alert import Fate
from ..model.remediation import Remediation, State
from ..model.target import workload_name
from ..model.usage import Charge, Counted, Ended, Holder, Reading, Troubled, Usage
from ..model.verdict import REASONS, Reason
from .tables import (
    EPOCH,
    IS_ACTING,
    IS_JUDGED,
    attachment,
    breaker,
    charge,
    episode,
    storm,
    target_lock,
)
from .tables import remediation as table

IN_ROW = 10
JUDGED = (State.FAILED, State.INEFFECTIVE, State.SUCCEEDED)  # as in `IS_JUDGED`

IN_FLIGHT = sa.select(sa.func.count()).where(
    table.c.rule == sa.bindparam("rule"),
    sa.text(IS_ACTING),
    table.c.undo_of == "",
    table.c.id != sa.bindparam("id"),
)
LAST_ENDS = (
    sa.select(table.c.state, table.c.ended_at)
    .where(
        table.c.rule == sa.bindparam("rule"),
        table.c.target_key == sa.bindparam("target"),
        table.c.acted,
        ~table.c.live,
        table.c.undo_of == "",
        table.c.id != sa.bindparam("id"),
    )
    .order_by(table.c.ended_at.desc())
    .limit(IN_ROW)
)
ENDS = (
    sa.select(table.c.state, table.c.reason, table.c.ended_at)
    .where(
        table.c.rule == sa.bindparam("rule"),
        table.c.acted,
        sa.text(IS_JUDGED),
        table.c.undo_of == "",
        table.c.ended_at > sa.bindparam("since"),
    )
    .order_by(table.c.ended_at.desc())
    .limit(sa.bindparam("most"))
)
FIRING = sa.select(episode.c.id).where(episode.c.open)
MATCHED = episode.c.fate.in_([fate for fate in Fate if fate is not Fate.UNMATCHED])
FIRES = sa.exists().where(episode.c.id == attachment.c.episode, episode.c.open, MATCHED)
ROOTS = sa.select(table.c.kind, table.c.namespace, table.c.name, table.c.root_key).where(
    table.c.cluster == sa.bindparam("cluster"),
    table.c.undo_of == "",
    table.c.state != State.SUPERSEDED,
)
ATTACHED = ROOTS.join_from(attachment, table, table.c.id == attachment.c.remediation)
# An alert that fires for weeks was on hundreds of remediations. All but the last of each rule say
# nothing new: what has ended and
# was not revived, what is live, and what is triaged again and on none that lives yet.
TROUBLED = sa.union(
    ATTACHED.where(attachment.c.ended, attachment.c.episode.in_(FIRING.where(MATCHED))),
    ROOTS.where(table.c.live, sa.exists().where(attachment.c.remediation == table.c.id, FIRES)),
    ATTACHED.where(attachment.c.episode.in_(FIRING.where(episode.c.fate == "pending"))),
)
LOCKS = (
    sa.select(
        target_lock.c.key,
        target_lock.c.remediation,
        table.c.state,
        table.c.priority,
        table.c.undo_of,
    )
    .join(table, table.c.id == target_lock.c.remediation)
    .where(target_lock.c.key.in_(sa.bindparam("keys", expanding=True)))
)


def read(c: Connection, remediation: Remediation, reading: Reading, now: datetime) -> Usage:
    """Everything that the guards of begin decide from."""
    mine = {"rule": remediation.rule, "target": remediation.target.key, "id": remediation.id}
    before = c.execute(LAST_ENDS, mine).all()
    in_row = next(
        (n for n, row in enumerate(before) if row.state != State.INEFFECTIVE), len(before)
    )
    until = c.execute(sa.select(storm.c.until).where(storm.c.group == reading.group)).scalar()
    begun = c.execute(
        sa.select(charge.c.id).where(charge.c.remediation == remediation.id).limit(1)
    ).first()
    return Usage(
        locks=_locks(c, reading.locks),
        used_up=used_up(c, reading.counted, now),
        begun=begun is not None,
        in_flight=int(
            c.execute(IN_FLIGHT, {"rule": remediation.rule, "id": remediation.id}).scalar() or 0
        ),
        ended=before[0].ended_at if before else None,
        ineffective_in_row=in_row,
        ends=ends(c, remediation.rule, reading.ends),
        troubled=reading.in_trouble(lambda: troubled(c, remediation.target.cluster)),
        storm_until=until,
    )


def used_up(c: Connection, counted: Sequence[Counted], now: datetime) -> dict[Counted, datetime]:
    """The limits that have no room: their k-th newest charge is within the window.

    With when that was.
    """
    out: dict[Counted, datetime] = {}
    for limit in counted:
        if limit.rate.count == 0:
            out[limit] = now
            continue
        mine = [charge.c[column] == value for column, value in limit.where]
        kth = (
            sa.select(charge.c.at)
            .where(*mine, charge.c.at > now - limit.rate.window)
            .order_by(charge.c.at.desc())
            .limit(1)
            .offset(limit.rate.count - 1)
        )
        at = c.execute(kth).scalar()
        if at is not None:
            out[limit] = at
    return out


def charges(c: Connection, since: datetime) -> list[Charge]:
    """What began since then."""
    query = sa.select(charge).where(charge.c.at > since)
    return list(map(charge_from_row, c.execute(query)))


def charge_from_row(r: Any) -> Charge:
    """A stored charge."""
    return Charge(r.remediation, r.rule, r.action, r.namespace, r.root_key, r.target_key, r.at)


def ends(c: Connection, rule: str, limit: int) -> tuple[Ended, ...]:
    """How the rule's last acting remediations ended, since its breaker was reset.

    The newest first.
    """
    reset_at = c.execute(sa.select(breaker.c.reset_at).where(breaker.c.rule == rule)).scalar()
    out = []
    for row in c.execute(ENDS, {"rule": rule, "since": reset_at or EPOCH, "most": 3 * limit}):
        out.append(judged(row))
    return tuple(out)


def judged(row: Any) -> Ended:
    """How a remediation ended that acted."""
    theirs = row.state == State.FAILED and row.reason and REASONS[Reason(row.reason)].stepped_in
    return Ended(None if theirs else row.state == State.SUCCEEDED, row.ended_at)


def _locks(c: Connection, keys: tuple[str, ...]) -> dict[str, Holder]:
    return {
        row.key: Holder(
            row.remediation, row.state == State.VERIFYING and not row.undo_of, row.priority
        )
        for row in c.execute(LOCKS, {"keys": keys})
    }


def troubled(c: Connection, cluster: str) -> tuple[Troubled, ...]:
    """The roots of which an alert fires now.

    One that was not looked at yet by the name that its pods go by.
    """
    found = {trouble_of(row) for row in c.execute(TROUBLED, {"cluster": cluster})}
    return tuple(sorted(found, key=lambda item: item.key))


def trouble_of(row: Any) -> Troubled:
    """The root of a remediation, or what its target's name says of it."""
    root = row.root_key.rsplit("/", 1)[-1]
    return Troubled(f"{row.namespace}/{root or workload_name(row.kind, row.name)}", row.namespace)
