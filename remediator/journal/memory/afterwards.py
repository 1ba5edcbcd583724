"""What remains to be done for remediations that have ended; and notifications."""

from datetime import datetime
from itertools import chain

import orjson

from ...model.entry import EntryKind
from ...model.notice import from_payload
from ...model.past import Past, PastAct
from ...model.remediation import LIVE, Attempt, Remediation, RemediationId, State
from ...ports.records import Claim, Letter, Message, Overdue, Owed, RemediationRecord
from ..aftermath import MOST_ACTS, MOST_FIRINGS, past_act
from ..claims import attempt_from_row, from_row
from ..letters import LEASE
from ..people import overdue_of
from ..undos import owes
from .rows import Row
from .working import Working


class Afterwards(Working):
    """The port's aftermath and its outbox."""

    async def revivals(self, now: datetime, limit: int) -> list[Claim]:
        due = self.timers.of["revive"].until(now, limit)
        return [self.claim_of(self.all[ref]) for ref in due]

    async def revive(self, remediation: RemediationId, now: datetime) -> None:
        self.bring_back(remediation, now)

    async def revive_later(
        self, remediation: RemediationId, template: str, again_at: datetime | None
    ) -> None:
        self.all.change(self.all[remediation], ended_template=template)
        self._again("revive", remediation, again_at)

    async def restorations(self, now: datetime, limit: int) -> list[Owed]:
        rows = [self.attempts[ref] for ref in self.timers.of["restore"].until(now, limit)]
        return [Owed(from_row(self.all[row.remediation]), attempt_from_row(row)) for row in rows]

    async def restore_later(self, attempt: str, again_at: datetime | None) -> None:
        self._again("restore", attempt, again_at)

    def _again(self, kind: str, ref: str, at: datetime | None) -> None:
        if at is None:
            self.timers.of[kind].drop(ref)
        else:
            self.timers.put(kind, ref, at)

    async def undo(
        self, remediation: str, attempt: str, why: str, now: datetime, *, asked: str = ""
    ) -> str | None:
        row = self.all.get(remediation)
        if row is None:
            return f"no remediation {remediation}"
        if State(row.state) in LIVE:
            return f"{remediation} is {row.state}; cancel it first"
        live = next((one.id for one in self.undos_of(remediation) if one.live), None)
        if live:
            return f"{live} is already undoing {remediation}"
        self.start_undo(row, attempt, why, now=now, asked=asked)
        return None

    async def past(self, rule: str, target_key: str) -> Past:
        rows = self.all.having("target_key", target_key)
        rows.sort(key=lambda row: row.created_at, reverse=True)
        mine = [row for row in rows if row.rule == rule]
        firing = chain.from_iterable(self.alerts_of(row.id) for row in mine[:MOST_FIRINGS])
        retried = [row.retried_at for row in mine if row.retried_at is not None]
        return Past(
            self._acts([row for row in rows if row.acted][:MOST_ACTS]),
            tuple((alert.starts_at, None if alert.open else alert.ends_at) for alert in firing),
            max(retried, default=None),
        )

    def _acts(self, acted: list[Row]) -> tuple[PastAct, ...]:
        """What these remediations wrote, in order."""
        of = {row.id: row for row in acted}
        made = chain.from_iterable(self.attempts.having("remediation", ident) for ident in of)
        answered = [attempt_from_row(row) for row in made if row.evidence is not None]
        return tuple(
            self._act(of[attempt.remediation], attempt)
            for attempt in sorted(answered, key=lambda attempt: attempt.begun_at)
        )

    def _act(self, row: Row, made: Attempt) -> PastAct:
        owed = self.owing(made.id) or (row.live and owes(made))
        return past_act(made, row.rule, owed)

    async def known(self, remediation: str) -> RemediationRecord | None:
        row = self.all.get(remediation)
        if row is None:
            return None
        undos = tuple(map(from_row, self.undos_of(remediation)))
        return RemediationRecord(self.claim_of(row), undos, self.history(remediation))

    async def escalations(self, now: datetime) -> list[Overdue]:
        return [self._overdue(self.all[ref]) for ref in self.timers.of["escalate"].until(now)]

    def _overdue(self, row: Row) -> Overdue:
        last = next(reversed(self.attempts.having("remediation", row.id)), None)
        return overdue_of(row, last, self.history(row.id))

    async def escalated(
        self,
        remediation: RemediationId,
        messages: tuple[Message, ...],
        again_at: datetime | None,
        now: datetime,
    ) -> None:
        timer = self.timers.of["escalate"]
        if timer.at(remediation) is None:  # it ended meanwhile
            return
        self._again("escalate", remediation, again_at)
        if again_at is None:
            self._told_people(remediation, messages, now)

    def _told_people(self, remediation: str, messages: tuple[Message, ...], now: datetime) -> None:
        if messages:
            self.all.change(self.all[remediation], told=True)
        self.tell_all(remediation, messages, now)
        text = f"notified {', '.join(message.receiver for message in messages)}"
        self.remember(now, remediation, EntryKind.ESCALATED, reason=None, text=text)

    async def quieted(self, limit: int) -> list[tuple[Remediation, tuple[str, ...]]]:
        told = self.all.having("told", True)
        quiet = [row for row in told if not row.live and not self.fires(row.id)]
        return [(from_row(row), tuple(self.told(row.id))) for row in quiet[:limit]]

    async def told_quiet(
        self, remediation: RemediationId, messages: tuple[Message, ...], now: datetime
    ) -> None:
        row = self.all[remediation]
        if row.told:
            self.all.change(row, told=False)
            self.tell_all(remediation, messages, now)

    async def outbox(
        self,
        now: datetime,
        limit: int = 50,
        receiver: str | None = None,
        but_not: tuple[str, ...] = (),
    ) -> list[Letter]:
        due = [self.letters[number] for number in self.unsent.until(now)]
        if receiver is not None:
            due = [row for row in due if row.receiver == receiver]
        mine = [row for row in due if row.receiver not in but_not and not self._follows(row)]
        return [self._taken(row, now) for row in mine[:limit]]

    def _follows(self, row: Row) -> bool:
        """Whether an earlier one of its thread is not delivered yet."""
        return any(
            one.id < row.id and one.delivered_at is None and one.due_at is not None
            for one in self._thread(row)
        )

    def _thread(self, row: Row) -> list[Row]:
        there = self.letters.having("remediation", row.remediation)
        return [one for one in there if one.receiver == row.receiver]

    def _taken(self, row: Row, now: datetime) -> Letter:
        """Due again when the lease is over, unless the end of the delivery is written before."""
        self._put_off(row, now + LEASE)
        ref = next((one.ref for one in reversed(self._thread(row)) if one.ref), "")
        said = from_payload(orjson.loads(row.body))
        return Letter(row.id, row.remediation, row.receiver, said, ref, row.tries)

    def _put_off(self, row: Row, at: datetime | None) -> None:
        self.letters.change(row, due_at=at)
        if at is None or row.delivered_at is not None:
            self.unsent.drop(row.id)
        else:
            self.unsent.put(row.id, at)

    async def delivered(
        self,
        message: int,
        now: datetime,
        error: str | None,
        again_at: datetime | None,
        *,
        ref: str = "",
    ) -> None:
        row = self.letters[message]
        done = now if error is None else row.delivered_at
        self.letters.change(row, tries=row.tries + 1, error=error, ref=ref, delivered_at=done)
        self._put_off(row, again_at)

    async def oldest_message(self) -> datetime | None:
        return min((self.letters[number].at for number in self.unsent), default=None)
