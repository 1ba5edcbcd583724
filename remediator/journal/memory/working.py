"""Remediations, from a claim to a decision."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from ...errors import LeaseLost
from ...model.call import evidence_to_json
from ...model.decision import Applied, Decided, End, Retry, TakeBack
from ...model.entry import EntryKind
from ...model.remediation import (
    ACTING,
    LIVE,
    STATES,
    WAITING,
    Attempt,
    Event,
    Outcome,
    Remediation,
    RemediationId,
    State,
    next_state,
    only_waits,
)
from ...model.target import Target
from ...model.usage import Reading, Usage
from ...model.verdict import Decision, Reason, Verdict, strongest
from ...ports.records import Claim, Intent, Message, Written
from .. import attempts
from ..claims import WOKEN_BY_NEWS
from ..columns import (
    cancelled,
    columns_of,
    had_a_place,
    moves,
    passes_on,
    started,
    still,
    superseded,
    waits_for_turn,
)
from ..letters import dumps
from ..remediations import RESTORE_AGAIN
from ..timers import CLAIMED
from .reckoning import Reckoning
from .rows import Row


class Working(Reckoning):
    """The port's work."""

    async def claim(self, now: datetime, lease: timedelta, *, waits: bool = True) -> Claim | None:
        due = [self.all[ref] for ref in self.timers.of["work"].until(now)]
        free = (row for row in due if row.lease_until is None or row.lease_until < now)
        row = next(iter(sorted(free, key=only_waits)), None)
        if row is None or (only_waits(row) and not waits):
            return None
        self.all.change(row, token=row.token + 1, lease_until=now + lease)
        self.timers.put("work", row.id, CLAIMED)
        return self.claim_of(row)

    def _fence(self, remediation: Remediation) -> Row:
        row = self.all.get(remediation.id)
        if row is None or row.token != remediation.token:
            raise LeaseLost(f"cannot go on with {remediation.id}: another worker took it over")
        return row

    async def renew(self, remediation: Remediation, now: datetime, lease: timedelta) -> None:
        self.all.change(self._fence(remediation), lease_until=now + lease)

    async def hasten(self, remediations: Sequence[RemediationId], now: datetime) -> None:
        rows = filter(None, map(self.all.get, remediations))
        self.timers.pull("work", (row.id for row in rows if row.state in WOKEN_BY_NEWS), now)

    async def next_work(self) -> datetime | None:
        work = self.timers.of["work"]
        due = [work.at(ref) for ref in work if self.all[ref].lease_until is None]
        return min(filter(None, due), default=None)

    async def retarget(
        self, remediation: Remediation, target: Target, root_key: str, now: datetime
    ) -> bool:
        row = self._fence(remediation)
        other = self.live_of(remediation.rule, target.key)
        if other is not None and other is not row:
            older = (remediation.created_at, remediation.id) < (other.created_at, other.id)
            if not older or State(other.state) not in WAITING:
                self._merge(row, other, now)
                return False
            self._merge(other, row, now)
        self.all.change(
            row,
            kind=target.kind,
            namespace=target.namespace,
            name=target.name,
            uid=target.uid,
            target_key=target.key,
            root_key=root_key,
        )
        return True

    def _merge(self, younger: Row, older: Row, now: datetime) -> None:
        """Ends one whose episodes are now the other's too."""
        for alert in self.alerts_of(younger.id):
            self.attach(alert.id, older.id)
        why = f"merged into {older.id}"
        told = f"{why}: the same rule and target"
        self._supersede(younger, Reason.ATTACHED, why, told=told, now=now)
        text = f"took over the alerts of {younger.id}"
        self.remember(now, older.id, EntryKind.ATTACHED, reason=Reason.ATTACHED, text=text)

    def _supersede(self, row: Row, reason: Reason, why: str, *, told: str, now: datetime) -> None:
        values, passes = superseded(State(row.state), reason, why, now), had_a_place(row)
        self.all.change(row, **values, lease_until=None, token=row.token + 1)
        self.timers.drop(row.id)
        self.remember(now, row.id, State.SUPERSEDED, reason=reason, text=told)
        if passes:
            self._pass_on(row.rule, now)
        self.owe(row.id, now)

    async def usage(self, remediation: Remediation, reading: Reading, now: datetime) -> Usage:
        return self.used(remediation, reading, now)

    async def begin(
        self, remediation: Remediation, intent: Intent, decide: Callable[[Usage], list[Verdict]]
    ) -> list[Verdict]:
        row = self._fence(remediation)
        now = intent.attempt.begun_at
        if row.cancel_by:
            return [cancelled(row.cancel_by)]
        used = self.used(remediation, intent.reading, now)
        verdicts = decide(used)
        if strongest(verdicts).decision is not Decision.ALLOW:
            return verdicts
        for held in sorted({h.remediation for h in used.locks.values()} - {remediation.id}):
            self._outrank(remediation, held, now)
        self.locks |= dict.fromkeys(intent.reading.locks, str(remediation.id))
        if intent.charged:
            self.charge(remediation.id, intent)
        self.attempts.add(**attempts.row_of(intent.attempt))
        self.all.change(row, **started(State(row.state), intent))
        text = intent.attempt.plan.summary
        self.remember(now, row.id, EntryKind.STARTED, reason=None, text=text)
        return verdicts

    def _outrank(self, remediation: Remediation, held: str, now: datetime) -> None:
        """Ends one of lower priority that was only verifying; its change stays."""
        last = self.attempts.having("remediation", held)[-1]
        self.attempts.change(last, outcome=Outcome.UNKNOWN)
        self.unlock(held)
        why = f"{remediation.id} of higher priority took over"
        self._supersede(self.all[held], Reason.OUTRANKED, why, told=why, now=now)
        self.release(held, State.SUPERSEDED, now)

    async def send(self, remediation: Remediation, attempt: Attempt) -> str:
        row = self._fence(remediation)
        evidence = dumps(evidence_to_json(attempt.evidence)) if attempt.evidence else None
        made = self.attempts[attempt.id]
        self.attempts.change(made, sent_by=attempt.sent_by, evidence=evidence)
        return str(row.cancel_by)

    async def extend(self, remediation: Remediation, attempt: Attempt, now: datetime) -> None:
        row = self._fence(remediation)
        state = next_state(State(row.state), Event.EXTEND)
        plan = dumps(attempts.stored(attempt.plan, attempt.times))
        self.attempts.change(self.attempts[attempt.id], plan=plan, sent_by=attempt.sent_by)
        self.all.change(row, state=state, changed_at=now)
        self.remember(now, row.id, state, reason=None, text="further calls")

    async def write(
        self,
        remediation: Remediation,
        decided: Decided,
        tell: Callable[[Written], tuple[Message, ...]],
    ) -> Written:
        row = self._fence(remediation)
        decided = still(remediation, row, decided, lambda: self.fires(row.id))
        state, after = moves(row, decided)
        written = self._written(row, state, after, decided)
        told = tell(written)
        told_of_it = any(message.trouble for message in told) and not row.undo_of
        self._change(row, state, after, decided=decided)
        if told_of_it:
            self.all.change(row, told=True)
        self.tell_all(row.undo_of or row.id, told, decided.at)
        return written

    def _written(self, row: Row, state: State, after: State, decided: Decided) -> Written:
        if not STATES[after].told:
            return Written(state, after, decided, (), ())
        storms = self.all_storms() if decided.reason is Reason.STORM else ()
        return Written(state, after, decided, self.history(row.id), storms)

    def _change(self, row: Row, state: State, after: State, *, decided: Decided) -> None:
        before, following = row.reason, passes_on(row, after, decided)
        self.all.change(row, **columns_of(row, state, after, decided))
        attempt, values = attempts.changes(decided)
        if values:
            self.attempts.change(self.attempts[attempt], **values)
        self._free_locks(row, state, after, decided=decided)
        self._set_timers(row, decided)
        if following:
            self._pass_on(row.rule, decided.at)
        if after is not state or decided.reason != before:
            self.remember(decided.at, row.id, after, reason=decided.reason, text=decided.why)
        self._ended(row, after, decided.at)

    def _pass_on(self, rule: str, now: datetime) -> None:
        """Wakes the remediation of a rule whose turn it is, of those that are not awake already."""
        held = (row for row in self.all.having("rule", rule) if row.state == State.HELD)
        work = self.timers.of["work"]
        asleep = [row for row in held if waits_for_turn(row) and (work.at(row.id) or now) > now]
        asleep.sort(key=lambda row: (row.created_at, row.id))
        self.timers.pull("work", (row.id for row in asleep[:1]), now)

    def _ended(self, row: Row, after: State, now: datetime) -> None:
        if after in LIVE:
            return
        self.release(row.id, after, now)
        if not row.undo_of:
            self.owe(row.id, now)

    def _set_timers(self, row: Row, decided: Decided) -> None:
        if isinstance(decided, End):
            self.timers.drop(row.id)
            return
        woken = self.timers.of["work"].at(row.id)
        until = decided.until
        self.timers.put("work", row.id, until if woken in (None, CLAIMED) else min(until, woken))

    def _free_locks(self, row: Row, state: State, after: State, *, decided: Decided) -> None:
        if isinstance(decided, Retry) and decided.unsent:
            self.refund(row, decided.change.attempt)
        if isinstance(decided, Applied) and decided.unlock:
            self.unlock(row.id, decided.unlock)
        if isinstance(decided, TakeBack):
            last = self.attempts.having("remediation", row.id)[-1]
            undo = self.start_undo(row, last.id, "worse", now=decided.at)
            self.locks |= dict.fromkeys(self.held(row.id), undo)
        elif row.undo_of:
            self._end_undo(row, after, decided.at)
        elif state in ACTING and after not in ACTING:
            self.unlock(row.id)

    def _end_undo(self, row: Row, after: State, now: datetime) -> None:
        """An undo that ends returns its locks; a timed one that expired is tried again."""
        if after in LIVE:
            return
        parent = self.all.get(row.undo_of)
        if parent is not None and parent.state == State.UNDOING:
            self.locks |= dict.fromkeys(self.held(row.id), str(parent.id))
            self.timers.put("work", parent.id, now)
        else:
            self.unlock(row.id)
        if after is State.EXPIRED and row.undo_why == "timed":
            self.timers.put("restore", row.undoes, now + RESTORE_AGAIN)
