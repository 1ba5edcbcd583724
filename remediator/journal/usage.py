"""What limits are decided from, read in the transaction in which an attempt would begin."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.remediation import ACTING, Remediation, State
from ..model.target import workload_name
from ..model.usage import Charge, End, Holder, Newcomer, Reading, Usage
from ..model.verdict import Reason
from .tables import breaker, charge, storm, target_lock
from .tables import remediation as table

JUDGED = (State.SUCCEEDED, State.INEFFECTIVE, State.FAILED)
STEPPED_IN = {Reason.ASSUMPTION_CHANGED, Reason.TARGET_GONE, Reason.OPERATOR}  # failures that are not the rule's
IN_ROW = 10


def read(c: Connection, remediation: Remediation, reading: Reading, now: datetime) -> Usage:
    """Everything that the guards of begin decide from."""
    acting = sa.select(sa.func.count()).where(
        table.c.rule == remediation.rule,
        table.c.state.in_(sorted(ACTING)),
        table.c.undo_of == "",
        table.c.id != remediation.id,
    )
    mine = sa.and_(
        table.c.rule == remediation.rule,
        table.c.target_key == remediation.target.key,
        table.c.acted,
        table.c.undo_of == "",
        table.c.id != remediation.id,
        ~table.c.live,
    )
    before = c.execute(
        sa.select(table.c.state, table.c.ended_at).where(mine).order_by(table.c.ended_at.desc()).limit(IN_ROW)
    ).all()
    good = next((n for n, row in enumerate(before) if row.state != State.INEFFECTIVE), len(before))
    until = c.execute(sa.select(storm.c.until).where(storm.c.scope == reading.scope)).scalar()
    return Usage(
        locks=_locks(c, reading.locks),
        charges=tuple(charges(c, now - reading.longest)),
        in_flight=int(c.execute(acting).scalar() or 0),
        ended=before[0].ended_at if before else None,
        ineffective_in_row=good,
        ends=ends(c, remediation.rule, reading.ends),
        newcomers=_newcomers(c, remediation.target.cluster, now, reading),
        storm_until=until,
    )


def charges(c: Connection, since: datetime) -> list[Charge]:
    """What began since then."""
    query = sa.select(charge).where(charge.c.at > since)
    return [Charge(r.remediation, r.rule, r.action, r.namespace, r.root_key, r.target_key, r.at) for r in c.execute(query)]


def ends(c: Connection, rule: str, limit: int) -> tuple[End, ...]:
    """How the rule's last acting remediations ended, since its breaker was reset; the newest first."""
    query = sa.select(table.c.state, table.c.reason, table.c.ended_at).where(
        table.c.rule == rule, table.c.acted, table.c.undo_of == "", table.c.state.in_(JUDGED)
    )
    reset_at = c.execute(sa.select(breaker.c.reset_at).where(breaker.c.rule == rule)).scalar()
    if reset_at is not None:
        query = query.where(table.c.ended_at > reset_at)
    out = []
    for row in c.execute(query.order_by(table.c.ended_at.desc()).limit(3 * limit)):
        theirs = row.state == State.FAILED and row.reason in STEPPED_IN
        out.append(End(None if theirs else row.state == State.SUCCEEDED, row.ended_at))
    return tuple(out)


def _locks(c: Connection, keys: tuple[str, ...]) -> dict[str, Holder]:
    query = (
        sa.select(target_lock.c.key, target_lock.c.remediation, table.c.state, table.c.priority, table.c.undo_of)
        .join(table, table.c.id == target_lock.c.remediation)
        .where(target_lock.c.key.in_(keys))
    )
    return {
        row.key: Holder(row.remediation, row.state == State.VERIFYING and not row.undo_of, row.priority)
        for row in c.execute(query)
    }


def _newcomers(c: Connection, cluster: str, now: datetime, reading: Reading) -> tuple[Newcomer, ...]:
    """The workloads of what was born lately; those that were not looked at yet by the name that their pods go by."""
    query = (
        sa.select(table.c.kind, table.c.namespace, table.c.name, table.c.root_key)
        .where(table.c.born_at > now - reading.newcomers, table.c.undo_of == "", table.c.cluster == cluster)
        .where(table.c.state != State.SUPERSEDED)
    )
    found = set()
    for row in c.execute(query):
        root = row.root_key.rsplit("/", 1)[-1]
        found.add(Newcomer(f"{row.namespace}/{root or workload_name(row.kind, row.name)}", row.namespace))
    return tuple(sorted(found, key=lambda item: item.key))
