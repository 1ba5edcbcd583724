"""What the journal in memory consists of, and what its parts share."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ...model.alert import Episode, Fate
from ...model.entry import EntryKind, named
from ...model.notice import Notice
from ...model.remediation import Attempt, State
from ...model.verdict import Reason
from ...ports.records import Claim, Line, Message
from ...rules.stored import from_text
from .. import tables
from ..batch import from_row as episode_from_row
from ..claims import attempt_from_row, claimed_from
from ..claims import from_row as remediation_from_row
from ..entries import NEWEST
from ..letters import dumps
from ..undos import owes
from .rows import Due, Row, Rows, Timers

Key = tuple[str, str]


class Shared:
    """All tables. Nothing here waits, so each method of the port is one transaction."""

    def __init__(self) -> None:
        self.bodies = Rows(tables.inbox)
        self.alerts = Rows(tables.episode)
        self.firing: dict[int, Row] = {}
        self.open_by: dict[Key, Row] = {}
        self.last_end: dict[Key, datetime] = {}
        self.matched: dict[int, Row] = {}  # firing episodes that concern a rule, or may
        self.undecided = Due()
        self.all = Rows(tables.remediation, "target_key", "undo_of", "rule", "live", "told")
        # the episodes of each remediation, and whether they count as ended for it; and the reverse
        self.on: dict[str, dict[int, bool]] = {}
        self.of: dict[int, dict[str, None]] = {}
        self.attempts = Rows(tables.attempt, "remediation")
        self.locks: dict[str, str] = {}
        self.charged = Rows(tables.charge, "remediation")
        self.timers = Timers()
        self.letters = Rows(tables.outbox, "remediation")
        self.unsent = Due()
        self.lines = Rows(tables.entry, "remediation")
        self.storming = Rows(tables.storm, key="group")
        self.switches = Rows(tables.breaker, key="rule")
        self.paused = Rows(tables.pause, key="scope")

    def remember(
        self,
        now: datetime,
        remediation: str | None,
        kind: EntryKind | State,
        *,
        reason: str | None,
        text: str,
    ) -> None:
        """Adds a line to the history."""
        self.lines.add(at=now, remediation=remediation, kind=kind, reason=reason, text=text)

    def history(self, remediation: str) -> tuple[Line, ...]:
        """The latest lines of a remediation's history, oldest first."""
        rows = self.lines.having("remediation", remediation)[-NEWEST:]
        return tuple(Line(row.at, named(row.kind), row.reason, row.text) for row in rows)

    def tell(self, remediation: str, receiver: str, said: Notice, now: datetime) -> None:
        """Adds a notification."""
        body = dumps(said.payload())
        row = self.letters.add(
            remediation=remediation, receiver=receiver, body=body, due_at=now, at=now
        )
        self.unsent.put(row.id, now)

    def tell_all(self, remediation: str, told: Iterable[Message], now: datetime) -> None:
        """Adds notifications."""
        for message in told:
            self.tell(remediation, message.receiver, message.notice, now)

    def told(self, remediation: str, since: datetime = tables.EPOCH) -> list[str]:
        """The receivers that were notified of it."""
        rows = self.letters.having("remediation", remediation)
        return sorted({row.receiver for row in rows if row.at >= since})

    def attach(self, episode: int, remediation: str) -> None:
        """Puts an episode on a remediation, once."""
        self.on.setdefault(remediation, {}).setdefault(episode, False)
        self.of.setdefault(episode, {})[remediation] = None

    def alerts_of(self, remediation: str) -> list[Row]:
        """The episodes on a remediation."""
        return [self.alerts[number] for number in sorted(self.on.get(remediation, ()))]

    def fires(self, remediation: str) -> bool:
        """Whether one of its alerts is open."""
        return any(number in self.firing for number in self.on.get(remediation, ()))

    def due(self, alert: Row, at: datetime | None, **values: Any) -> None:
        """When an episode is decided, if it still fires."""
        self.alerts.change(alert, due_at=at, **values)
        if alert.open and alert.fate != Fate.UNMATCHED:
            self.matched[alert.id] = alert
        else:
            self.matched.pop(alert.id, None)
        if at is None or not alert.open:
            self.undecided.drop(alert.id)
        else:
            self.undecided.put(alert.id, at)

    def shut(self, alert: Row, ends_at: datetime, **values: Any) -> None:
        """An episode ends."""
        key = (alert.source, alert.fingerprint)
        self.alerts.change(alert, open=False, ends_at=ends_at, due_at=None, **values)
        self.firing.pop(alert.id, None)
        self.matched.pop(alert.id, None)
        self.undecided.drop(alert.id)
        if self.open_by.get(key) is alert:
            del self.open_by[key]
        self.last_end[key] = max(ends_at, self.last_end.get(key, ends_at))

    def settled(self, alert: Row, *fates: Fate) -> None:
        """What has resolved needs no decision any more."""
        if alert.fate in fates:
            self.alerts.change(alert, fate=Fate.RESOLVED, reason=Reason.RESOLVED)

    def wake(self, alert: Row, now: datetime) -> None:
        """Makes the live remediations of an episode due: something changed for it."""
        self.timers.pull("work", self.of.get(alert.id, ()), now)

    def attempts_of(self, remediation: str) -> tuple[Attempt, ...]:
        """Its attempts, in order."""
        rows = self.attempts.having("remediation", remediation)
        return tuple(map(attempt_from_row, rows))

    def undos_of(self, remediation: str) -> list[Row]:
        """What undoes it, oldest first."""
        return self.all.having("undo_of", remediation)

    def claim_of(self, row: Row) -> Claim:
        """A remediation with all that is needed to work on it."""
        undone = undo = None
        if row.undo_of:
            made = self.attempts_of(row.undo_of)
            undone = next((attempt for attempt in made if attempt.id == row.undoes), None)
        if row.state == State.UNDOING:
            undo = remediation_from_row(self.undos_of(row.id)[-1])
        found = tuple(map(episode_from_row, self.alerts_of(row.id)))
        claimed, rule = claimed_from(row, row.token), from_text(row.rule_text)
        return Claim(claimed, rule, found, self.attempts_of(row.id), undone, undo)

    def as_values(self, rows: Iterable[Row]) -> list[Episode]:
        """Episodes as values."""
        return list(map(episode_from_row, rows))

    def owe(self, remediation: str, now: datetime) -> None:
        """Sets the timers of pending undos. What failed halfway is undone too."""
        for made in self.attempts_of(remediation):
            if owes(made) and made.times.restore_after is not None:
                self.timers.put("restore", made.id, now + made.times.restore_after)

    def unlock(self, remediation: str, keys: Iterable[str] | None = None) -> None:
        """Frees its locks, or those of them that are named."""
        for key in self.held(remediation):
            if keys is None or key in keys:
                del self.locks[key]

    def held(self, remediation: str) -> list[str]:
        """The locks that it holds."""
        return [key for key, holder in self.locks.items() if holder == remediation]
