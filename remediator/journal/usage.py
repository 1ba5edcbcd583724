"""What limits are decided from, read in the transaction in which an attempt would begin; and locks that are yielded."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.remediation import ACTING, Event, Outcome, Remediation, State, next_state
from ..model.target import workload_name
from ..model.usage import Charge, End, Holder, Newcomer, Reading, Usage
from ..model.verdict import Reason
from . import entries, episodes
from .tables import attempt, breaker, charge, storm, target_lock, timer
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


def take_over(c: Connection, remediation: Remediation, holders: set[str], now: datetime) -> None:
    """Ends those that only verified and are outranked; their locks are free then, what they did stays."""
    for held in sorted(holders):
        row = c.execute(sa.select(table).where(table.c.id == held).with_for_update()).one()
        state, why = next_state(State(row.state), Event.SUPERSEDE), f"{remediation.id} of higher priority took over"
        last = sa.select(sa.func.max(attempt.c.number)).where(attempt.c.remediation == held).scalar_subquery()
        c.execute(
            sa.update(attempt).where(attempt.c.remediation == held, attempt.c.number == last).values(outcome=Outcome.UNKNOWN)
        )
        values = {"state": state, "live": False, "ended_at": now, "changed_at": now, "reason": Reason.OUTRANKED, "why": why}
        c.execute(sa.update(table).where(table.c.id == held).values(**values, lease_until=None, token=table.c.token + 1))
        c.execute(sa.delete(target_lock).where(target_lock.c.remediation == held))
        c.execute(sa.delete(timer).where(timer.c.ref == held))
        entries.write(c, now, held, state, Reason.OUTRANKED, why)
        episodes.release(c, held, state, now)
