"""Claims: a remediation that is due is somebody's for as long as its lease.

And what is stored becomes values again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..errors import LeaseLost
from ..model.call import evidence_from_json
from ..model.cause import Cause
from ..model.entry import EntryKind
from ..model.plan import from_json, times_from_json
from ..model.remediation import Attempt, Outcome, Remediation, RemediationId, State
from ..model.target import Target
from ..model.verdict import Reason
from ..ports.records import Claim
from ..rules.stored import from_text
from ..telemetry import log
from . import batch, entries, timers
from .tables import MICROSECOND, attachment, attempt, outbox, timer
from .tables import episode as episode_table
from .tables import remediation as table

T = TypeVar("T")


def from_row(row: Any) -> Remediation:
    """A stored remediation."""
    target = Target(row.cluster, row.kind, row.namespace, row.name, row.uid)
    return Remediation(
        id=RemediationId(row.id),
        rule=row.rule,
        rule_digest=row.rule_digest,
        target=target,
        root_key=row.root_key,
        state=State(row.state),
        reason=Reason(row.reason) if row.reason else None,
        why=row.why,
        mode=row.mode,
        rung=row.rung,
        created_at=row.created_at,
        changed_at=row.changed_at,
        held_since=row.held_since,
        ended_at=row.ended_at,
        approved_digest=row.approved_digest,
        approved_by=row.approved_by,
        cancel_by=row.cancel_by,
        token=row.token,
        undo_of=row.undo_of,
        undoes=row.undoes,
        undo_why=row.undo_why,
        ended_template=row.ended_template,
        priority=row.priority,
        created_for=row.created_for or 0,
    )


def attempt_from_row(row: Any) -> Attempt:
    """A stored attempt."""
    plan = orjson.loads(row.plan)
    return Attempt(
        id=row.id,
        remediation=RemediationId(row.remediation),
        number=row.number,
        step=row.step,
        action=row.action,
        plan=from_json(plan),
        times=times_from_json(plan),
        digest=row.digest,
        causes=tuple(Cause(**cause) for cause in orjson.loads(row.causes)),
        begun_at=row.begun_at,
        sent_by=row.sent_by,
        applied_at=row.applied_at,
        evidence=evidence_from_json(orjson.loads(row.evidence or "[]")),
        converged_at=row.converged_at,
        relapsed_at=row.relapsed_at,
        proved_since=row.proved_since,
        outcome=Outcome(row.outcome) if row.outcome else None,
    )


DATABASE_CLOCK = sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger)


# what only waits comes after what is new, acts, or is to be proved or undone
ONLY_WAITS = sa.and_(
    table.c.cancel_by == "",
    sa.or_(
        table.c.state == State.HELD,
        sa.and_(table.c.state == State.AWAITING_APPROVAL, table.c.approved_digest == ""),
    ),
)


@cache
def _claimable(postgresql: bool, waits: bool) -> sa.Select[Any]:
    """Leases go by the database's own clock where several
    daemons share it, else by the daemon's.
    """
    over = DATABASE_CLOCK if postgresql else sa.bindparam("now")
    return (
        timers.due(table, table.c.id, "work")
        .where(table.c.live, sa.or_(table.c.lease_until.is_(None), table.c.lease_until < over))
        .where(ONLY_WAITS if waits else ~ONLY_WAITS)
        .limit(1)
        .with_for_update(of=table, skip_locked=True)
    )


NEXT_WORK = (
    sa.select(timer.c.due_at)
    .join(table, table.c.id == timer.c.ref)
    .where(timer.c.kind == "work", table.c.lease_until.is_(None))
    .order_by(timer.c.due_at)
    .limit(1)
)
PUT_ASIDE = timedelta(hours=1)  # another version, which can read it, may run by then
# what decoding a stored row may raise
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, LookupError)


FENCE = (
    sa.select(table)
    .where(table.c.id == sa.bindparam("id"), table.c.token == sa.bindparam("token"))
    .with_for_update()
)
ATTACHED = (
    sa.select(episode_table)
    .join(attachment, attachment.c.episode == episode_table.c.id)
    .where(attachment.c.remediation == sa.bindparam("remediation"))
    .order_by(episode_table.c.id)
)
ATTEMPTS = (
    sa.select(attempt)
    .where(attempt.c.remediation == sa.bindparam("remediation"))
    .order_by(attempt.c.number)
)
UPDATE = sa.update(table).where(table.c.id == sa.bindparam("of_id"))
LEASE_BY_DATABASE = UPDATE.values(
    lease_until=DATABASE_CLOCK + sa.bindparam("lasts", type_=sa.BigInteger)
)


def update(c: Connection, remediation: str, **columns: Any) -> None:
    """Changes columns of a remediation."""
    c.execute(UPDATE, {"of_id": remediation, **columns})


def claim(c: Connection, now: datetime, lease: timedelta, *, waits: bool) -> Claim | None:
    """The most overdue remediation that nobody works on, those last that only wait; ours until the
    lease ends.

    What cannot be read is put aside.
    """
    while True:
        row = _most_overdue(c, now, waits=waits)
        if row is None:
            return None
        token = row.token + 1
        _lease(c, row.id, now, lease, token=token)
        # still due, for the worker that takes over after a crash; a wake-up gives it another time
        timers.put(c, "work", row.id, timers.CLAIMED)
        claimed = readable(c, "work", row.id, now, read=partial(claim_of, c, row, token))
        if claimed is not None:
            return claimed


def _most_overdue(c: Connection, now: datetime, *, waits: bool) -> Any:
    postgresql = c.dialect.name == "postgresql"
    row = c.execute(_claimable(postgresql, False), {"now": now}).first()
    if row is None and waits:
        row = c.execute(_claimable(postgresql, True), {"now": now}).first()
    return row


WOKEN_BY_NEWS = (State.HELD, State.VERIFYING, State.UNDOING)


def hasten(c: Connection, remediations: Sequence[RemediationId], now: datetime) -> None:
    """Makes those of them due that wait for what happens to objects."""
    waiting = sa.select(table.c.id).where(
        table.c.id.in_(remediations), table.c.state.in_(WOKEN_BY_NEWS)
    )
    timers.pull(c, timers.work_of(waiting), now)


def _lease(
    c: Connection, remediation: str, now: datetime, lease: timedelta, **columns: Any
) -> None:
    """Begins or extends a lease, by the clock that tells when it is over."""
    if c.dialect.name == "postgresql":
        given = {"of_id": remediation, "lasts": lease // MICROSECOND, **columns}
        c.execute(LEASE_BY_DATABASE, given)
    else:
        update(c, remediation, lease_until=now + lease, **columns)


def renew(c: Connection, remediation: Remediation, now: datetime, lease: timedelta) -> None:
    """Ours for longer. Raises: LeaseLost."""
    fence(c, remediation)
    _lease(c, remediation.id, now, lease)


def woken_at(c: Connection, row: Any) -> datetime | None:
    """When something made a claimed remediation due during the work, None if nothing did."""
    if row.lease_until is None:
        return None
    due: datetime | None = c.execute(
        sa.select(timer.c.due_at).where(timers.work_of([row.id]))
    ).scalar()
    return None if due == timers.CLAIMED else due


def readable(
    c: Connection, kind: str, ref: str, now: datetime, *, read: Callable[[], T]
) -> T | None:
    """What was read.

    Where that fails the row is put aside for a while with all that it holds, and others go on.
    """
    try:
        return read()
    except UNREADABLE as error:
        why = f"cannot read {ref} for {kind}: {type(error).__name__}: {error}"[:500]
        timers.put(c, kind, ref, now + PUT_ASIDE)
        entries.write(
            c,
            now,
            ref,
            EntryKind.UNREADABLE,
            reason=None,
            text=f"{why}; set aside, retrying in an hour",
        )
        log().error("row_unreadable", ref=ref, kind=kind, why=why)
        return None


def free(c: Connection, now: datetime) -> None:
    """What a dead predecessor had claimed.

    Remediations that it worked on, messages that it was about to deliver.
    """
    c.execute(sa.update(timer).where(timer.c.due_at == timers.CLAIMED).values(due_at=now))
    c.execute(sa.update(table).where(table.c.lease_until.is_not(None)).values(lease_until=None))
    taken = sa.and_(outbox.c.due_at > now, outbox.c.tries == 0, outbox.c.delivered_at.is_(None))
    c.execute(sa.update(outbox).where(taken).values(due_at=now))


def next_work(c: Connection) -> datetime | None:
    """When a remediation is due next that nobody works on."""
    found: datetime | None = c.execute(NEXT_WORK).scalar()
    return found


def claim_of(c: Connection, row: Any, token: int) -> Claim:
    """The row with all that is needed to work on it."""
    undone = (
        next((made for made in attempts_of(c, row.undo_of) if made.id == row.undoes), None)
        if row.undo_of
        else None
    )
    undo: Remediation | None = None
    if row.state == State.UNDOING:
        mine = sa.and_(table.c.undo_of == row.id, sa.text("undo_of != ''"))
        newest = sa.select(table).where(mine).order_by(table.c.created_at.desc()).limit(1)
        undo = from_row(c.execute(newest).one())
    found = tuple(map(batch.from_row, c.execute(ATTACHED, {"remediation": row.id})))
    return Claim(
        claimed_from(row, token),
        from_text(row.rule_text),
        found,
        attempts_of(c, row.id),
        undone,
        undo,
    )


def claimed_from(row: Any, token: int) -> Remediation:
    """A stored remediation, for the one who has claimed it."""
    look = orjson.loads(row.look)
    asked = str(
        look.get("asked")
        or (look.get("digest") if row.state == State.AWAITING_APPROVAL else "")
        or ""
    )
    return replace(from_row(row), token=token, asked_digest=asked)


def attempts_of(c: Connection, remediation_id: str) -> tuple[Attempt, ...]:
    return tuple(map(attempt_from_row, c.execute(ATTEMPTS, {"remediation": remediation_id})))


def fence(c: Connection, remediation: Remediation) -> Any:
    """The row, locked, if the lease is still ours. Raises: LeaseLost."""
    row = c.execute(FENCE, {"id": remediation.id, "token": remediation.token}).first()
    if row is None:
        raise LeaseLost(f"cannot go on with {remediation.id}: another worker took it over")
    return row
