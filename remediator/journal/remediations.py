"""Remediations: started in one transaction with locks and charges, moved by the state table."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.call import evidence_to_json
from ..model.decision import (
    Applied,
    Decided,
    End,
    Retry,
    TakeBack,
)
from ..model.entry import EntryKind
from ..model.remediation import (
    ACTING,
    LIVE,
    STATES,
    WAITING,
    Attempt,
    Event,
    Outcome,
    Remediation,
    State,
    next_state,
)
from ..model.target import Target
from ..model.usage import Usage
from ..model.verdict import Decision, Reason, Verdict, strongest
from ..ports.records import Intent, Message, Written
from . import attempts, births, counting, entries, fates, letters, timers, trust, turns, undos
from .alone import alone
from .claims import attempts_of, fence, update, woken_at
from .columns import (
    cancelled,
    columns_of,
    had_a_place,
    moves,
    passes_on,
    started,
    still,
    superseded,
)
from .letters import dumps
from .tables import attachment, attempt, charge, target_lock, timer
from .tables import episode as episode_table
from .tables import remediation as table

RESTORE_AGAIN = timedelta(hours=1)  # after a timed undo that had to wait too long
BEGIN_LOCK = 7_305_801  # PostgreSQL's advisory lock that makes begins one at a time


def retarget(
    c: Connection, remediation: Remediation, target: Target, root_key: str, *, now: datetime
) -> bool:
    """Sets target and root after climbing; merges with a live remediation of the same rule and
    target.
    """
    # the advisory lock before the row, as triage does: in another order two replicas could deadlock
    alone(c, f"{remediation.rule} {target.key}")
    fence(c, remediation)
    other = births.live(c, remediation.rule, target.key)
    if other is not None and other.id != remediation.id:
        mine_is_older = (remediation.created_at, remediation.id) < (other.created_at, other.id)
        if not mine_is_older or State(other.state) not in WAITING:
            _supersede(c, remediation.id, other.id, now)
            return False
        _supersede(c, other.id, remediation.id, now)
    values = {
        "kind": target.kind,
        "namespace": target.namespace,
        "name": target.name,
        "uid": target.uid,
    }
    update(c, remediation.id, target_key=target.key, root_key=root_key, **values)
    return True


def _supersede(c: Connection, younger: str, older: str, now: datetime) -> None:
    """Ends one whose episodes are now the other's too, in this transaction. It keeps them: who was
    told of it is told that it is over once they have resolved.
    """
    mine = sa.select(attachment.c.episode).where(attachment.c.remediation == younger)
    births.attach_to(c, list(c.execute(mine).scalars()), older)
    why = f"merged into {older}"
    _end_superseded(
        c, younger, Reason.ATTACHED, why, told=f"{why}: the same rule and target", now=now
    )
    entries.write(
        c,
        now,
        older,
        EntryKind.ATTACHED,
        reason=Reason.ATTACHED,
        text=f"took over the alerts of {younger}",
    )


def _end_superseded(
    c: Connection, ident: str, reason: Reason, why: str, *, told: str, now: datetime
) -> None:
    """Ends one in favour of another, even if a worker has it; `told` is its line in the history."""
    columns = table.c.state, table.c.rule, table.c.reason, table.c.undo_of
    row = c.execute(sa.select(*columns).where(table.c.id == ident)).one()
    values = superseded(State(row.state), reason, why, now)
    c.execute(
        sa.update(table)
        .where(table.c.id == ident)
        # the token fences off a worker that has it now
        .values(**values, lease_until=None, token=table.c.token + 1)
    )
    c.execute(sa.delete(timer).where(timer.c.ref == ident))
    entries.write(c, now, ident, State.SUPERSEDED, reason=reason, text=told)
    if had_a_place(row):
        turns.pass_on(c, row.rule, now)
    undos.owe(c, ident, now)


def _outrank(c: Connection, remediation: Remediation, holders: set[str], now: datetime) -> None:
    """Ends those of lower priority that were only verifying; their locks are freed, their changes
    stay.
    """
    for held in sorted(holders):
        c.execute(sa.select(table.c.id).where(table.c.id == held).with_for_update()).one()
        attempts.update(c, attempts_of(c, held)[-1].id, outcome=Outcome.UNKNOWN)
        c.execute(sa.delete(target_lock).where(target_lock.c.remediation == held))
        why = f"{remediation.id} of higher priority took over"
        _end_superseded(c, held, Reason.OUTRANKED, why, told=why, now=now)
        fates.release(c, held, State.SUPERSEDED, now)


def begin(
    c: Connection,
    remediation: Remediation,
    intent: Intent,
    decide: Callable[[Usage], list[Verdict]],
) -> list[Verdict]:
    """Usage, decision, locks, charge and intent: everything or nothing."""
    if c.dialect.name == "postgresql":
        c.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": BEGIN_LOCK})
    row = fence(c, remediation)
    now = intent.attempt.begun_at
    if row.cancel_by:
        return [cancelled(row.cancel_by)]
    # counted and decided in the transaction that charges: nobody can begin in between
    used = counting.read(c, remediation, intent.reading, now)
    verdicts = decide(used)
    if strongest(verdicts).decision is not Decision.ALLOW:
        return verdicts
    # only now that it is certain to act
    _outrank(c, remediation, {h.remediation for h in used.locks.values()} - {remediation.id}, now)
    _lock(c, remediation.id, intent.reading.locks)
    if intent.charged:
        _charge(c, remediation.id, intent)
    attempts.insert(c, intent.attempt)
    values = started(State(row.state), intent)
    update(c, remediation.id, **values)
    summary = intent.attempt.plan.summary
    entries.write(c, now, remediation.id, EntryKind.STARTED, reason=None, text=summary)
    return verdicts


def _lock(c: Connection, remediation_id: str, keys: Iterable[str]) -> None:
    """Takes the locks that it does not have; an undo has its parent's already."""
    mine = sa.select(target_lock.c.key).where(target_lock.c.remediation == remediation_id)
    held = set(c.execute(mine).scalars())
    for key in sorted(set(keys) - held):
        c.execute(sa.insert(target_lock).values(key=key, remediation=remediation_id))


def _charge(c: Connection, remediation_id: str, intent: Intent) -> None:
    """Counts the attempt against every limit that includes it."""
    c.execute(
        sa.insert(charge).values(
            remediation=remediation_id,
            rule=intent.rule,
            action=intent.attempt.action,
            namespace=intent.target.namespace,
            root_key=intent.root_key,
            target_key=intent.target.key,
            at=intent.attempt.begun_at,
        )
    )


def send(c: Connection, remediation: Remediation, made: Attempt) -> str:
    """Stores until when the attempt's next call may be sent, and the answers of earlier ones, if
    the lease is ours. Returns who cancelled it; then nothing more is sent.
    """
    row = fence(c, remediation)
    values = {
        "sent_by": made.sent_by,
        "evidence": dumps(evidence_to_json(made.evidence)) if made.evidence else None,
    }
    attempts.update(c, made.id, **values)
    return str(row.cancel_by)


def extend(c: Connection, remediation: Remediation, made: Attempt, now: datetime) -> None:
    """Further calls of an attempt: durable before the first is sent."""
    row = fence(c, remediation)
    state = next_state(State(row.state), Event.EXTEND)
    plan = dumps(attempts.stored(made.plan, made.times))
    attempts.update(c, made.id, plan=plan, sent_by=made.sent_by)
    update(c, remediation.id, state=state, changed_at=now)
    entries.write(c, now, remediation.id, state, reason=None, text="further calls")


def settle(
    c: Connection,
    remediation: Remediation,
    asked: Decided,
    tell: Callable[[Written], tuple[Message, ...]],
) -> Written:
    """Writes a decision, or what replaces it if it no longer holds; at an end also locks, timers
    and episodes.
    """
    row = fence(c, remediation)
    # the decision was made outside of this transaction; alerts and approvals may have come since
    decided = still(remediation, row, asked, lambda: _fires(c, remediation.id))
    state, after = moves(row, decided)
    written = _written(c, row, state, after, decided=decided)
    values = columns_of(row, state, after, decided)
    update(c, remediation.id, **values)
    attempts.change(c, decided)
    _free_locks(c, row, state, after, decided=decided)
    _set_timers(c, row, decided)
    _pass_on(c, row, after, decided)
    if after is not state or decided.reason != (Reason(row.reason) if row.reason else None):
        entries.write(c, decided.at, remediation.id, after, reason=decided.reason, text=decided.why)
    if after not in LIVE:
        fates.release(c, remediation.id, after, decided.at)
        if not row.undo_of:
            undos.owe(c, remediation.id, decided.at)
    # last: notifications say what was written, not what was asked for
    told = tell(written)
    if any(message.trouble for message in told) and not row.undo_of:
        update(c, remediation.id, told=True)
    for message in told:
        letters.put(
            c, row.undo_of or remediation.id, message.receiver, message.notice, now=decided.at
        )
    return written


def _written(c: Connection, row: Any, state: State, after: State, *, decided: Decided) -> Written:
    """With what the notification of an end needs: the history, and who knows of its storm."""
    told = STATES[after].told
    history = entries.of(c, row.id) if told else ()
    by_storm = told and decided.reason is Reason.STORM
    return Written(state, after, decided, history, trust.storms(c) if by_storm else ())


def _free_locks(c: Connection, row: Any, state: State, after: State, *, decided: Decided) -> None:
    """Locks go to an undo, back to its parent, or are freed: at the end, or once calls are done."""
    if isinstance(decided, Retry) and decided.unsent:
        _release(c, row.id, decided.change.attempt)
    mine = target_lock.c.remediation == row.id
    if isinstance(decided, Applied) and decided.unlock:
        c.execute(sa.delete(target_lock).where(mine, target_lock.c.key.in_(decided.unlock)))
    if isinstance(decided, TakeBack):
        undos.take_over(c, row, decided.at)
    elif row.undo_of:
        _end_undo(c, row, after, decided.at)
    elif state in ACTING and after not in ACTING:
        c.execute(sa.delete(target_lock).where(mine))


def _end_undo(c: Connection, row: Any, after: State, now: datetime) -> None:
    """An undo that ends returns its locks; a timed one that expired is tried again."""
    if after in LIVE:
        return
    undos.give_locks_back(c, row, now)
    if after is State.EXPIRED and row.undo_why == "timed":
        timers.put(c, "restore", row.undoes, now + RESTORE_AGAIN)


def _release(c: Connection, remediation_id: str, attempt_id: str) -> None:
    """Refunds the charge of an attempt that was given back before any call was sent."""
    made = c.execute(sa.select(attempt.c.begun_at).where(attempt.c.id == attempt_id)).scalar()
    c.execute(sa.delete(charge).where(charge.c.remediation == remediation_id, charge.c.at == made))
    others = c.execute(
        sa.select(charge.c.id).where(charge.c.remediation == remediation_id).limit(1)
    ).first()
    if others is None:
        update(c, remediation_id, acted=False)


def _fires(c: Connection, remediation_id: str) -> bool:
    """Whether one of its alerts is open."""
    joined = sa.select(episode_table.c.id).join(
        attachment, attachment.c.episode == episode_table.c.id
    )
    return (
        c.execute(
            joined.where(attachment.c.remediation == remediation_id, episode_table.c.open)
        ).first()
        is not None
    )


def _pass_on(c: Connection, row: Any, after: State, decided: Decided) -> None:
    """Gives the next one of its rule its turn."""
    if passes_on(row, after, decided):
        turns.pass_on(c, row.rule, decided.at)


def _set_timers(c: Connection, row: Any, decided: Decided) -> None:
    """When it is due again: at once if something happened during the work that nobody looked at."""
    if isinstance(decided, End):
        c.execute(sa.delete(timer).where(timer.c.ref == row.id))
        return
    woken = woken_at(c, row)
    timers.put(c, "work", row.id, decided.until if woken is None else min(decided.until, woken))
