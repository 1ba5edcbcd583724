"""The journal's port: what the engine asks of the durable store, and the values that go in and out.

Every method is one transaction. Raises: JournalUnavailable where it cannot be written, LeaseLost where a token is old.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from .model.alert import Alert, Episode, Fate
from .model.call import Evidence
from .model.notice import Notice
from .model.past import Past
from .model.plan import Plan, Times
from .model.remediation import Attempt, Event, Outcome, Remediation, RemediationId, State
from .model.target import Target
from .model.usage import Charge, End, Reading, Troubled, Usage
from .model.verdict import Reason, Verdict

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """One webhook as it came from a source. `id` is 0 until it is stored."""

    source: str
    received_at: datetime
    body: bytes
    id: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One payload's alerts from one source. `body` is the stored webhook that they come from, 0 for none."""

    source: str
    alerts: tuple[Alert, ...]
    received_at: datetime
    body: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A remediation that an episode asks for: created, or joined where one is live for this rule and target.

    `settled_at` is its first look: the settle time since the alert was received.
    """

    rule: str
    rule_digest: str
    rule_text: Mapping[str, Any]
    mode: str
    target: Target
    escalate_after: timedelta
    settled_at: datetime
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Triaged:
    """What triage decided for one episode."""

    episode: Episode
    fate: Fate
    reason: Reason | None
    rules_digest: str
    wanted: tuple[Wanted, ...] = ()
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A remediation that is ours until the lease ends, with what is needed to work on it.

    `undone` is the attempt that an undo takes back; `undo` the undo that a remediation waits for.
    """

    remediation: Remediation
    rule_text: Mapping[str, Any]
    episodes: tuple[Episode, ...]
    attempts: tuple[Attempt, ...]
    undone: Attempt | None = None
    undo: Remediation | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """An attempt whose effect is to be taken back once all is quiet."""

    remediation: Remediation
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell one receiver, delivered at least once; `trouble` is closed once all is quiet."""

    receiver: str
    notice: Notice
    trouble: bool = True


@dataclass(frozen=True, slots=True)
class AttemptChange:
    """What changed of the attempt in progress."""

    applied_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    converged_at: datetime | None = None
    proved_since: datetime | None = None
    clear_proof: bool = False
    plan: tuple[Plan, Times] | None = None
    outcome: Outcome | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One transition of a claimed remediation, or a note without one; always gives the lease back.

    `template` is the hash of the target's template as it was seen at an end. Where it says `quiet`, it does not end if an
    alert of it fires when this is written: one may have joined since the last look. `unsent` says that no call of the
    attempt was sent, so that its charge goes; `unlock` are locks that are not needed any longer.
    """

    event: Event | None
    now: datetime
    due: datetime | None = None
    reason: Reason | None = None
    why: str = ""
    rung: int | None = None
    look: Mapping[str, Any] | None = None
    attempt: str | None = None
    change: AttemptChange | None = None
    messages: tuple[Message, ...] = ()
    clear_approval: bool = False
    template: str = ""
    quiet: bool = False
    unsent: bool = False
    unlock: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """What the journal wrote: the state that follows, and the move as it was written, which may be another than was asked."""

    state: State
    move: Move


@dataclass(frozen=True, slots=True)
class Intent:
    """The attempt to begin: durable, with locks and a charge (an undo has none), before anything is called."""

    attempt: Attempt
    reading: Reading
    rule: str
    root_key: str
    target: Target
    look: Mapping[str, Any] = field(default_factory=dict)
    charged: bool = True


def head_number(digest: str) -> int:
    """The head of the sealed history as a number that a metric holds exactly: its first 48 bits."""
    return int(digest[:12], 16)


class Journal(Protocol):
    """The durable store and what is in it."""

    async def open(self, now: datetime) -> None: ...

    async def close(self) -> None: ...

    async def store(self, bodies: Sequence[Body]) -> None:
        """Makes webhooks durable, as they came: what 200 is answered for."""

    async def inbox(self, limit: int) -> list[Body]:
        """The oldest stored webhooks, in the order in which they came."""

    async def unreadable(self, body: int, error: str) -> None:
        """Puts a stored webhook aside that cannot be unpacked; it is kept."""

    async def receive(self, deliveries: Sequence[Delivery]) -> list[Episode]:
        """Makes episodes of every alert of every delivery, and forgets their bodies; those that are new and open."""

    async def pending(self, now: datetime, limit: int = 500) -> list[Episode]: ...

    async def triaged(self, decided: Sequence[Triaged], now: datetime) -> None: ...

    async def claim(self, now: datetime, lease: timedelta) -> Claim | None:
        """The most overdue remediation; one that cannot be read is put aside, and told in the history."""

    async def renew(self, remediation: Remediation, now: datetime, lease: timedelta) -> None:
        """Keeps the lease for longer, while the work goes on."""

    async def retarget(
        self, remediation: Remediation, target: Target, root_key: str, now: datetime
    ) -> bool:
        """Fixes the climbed target; False where this one was superseded by a live one of the same rule and target."""

    async def begin(
        self, remediation: Remediation, intent: Intent, decide: Callable[[Usage], list[Verdict]]
    ) -> list[Verdict]:
        """Usage, `decide`, locks, charge and intent in one transaction; the verdicts, all allowing where it began."""

    async def usage(self, remediation: Remediation, reading: Reading, now: datetime) -> Usage: ...

    async def send(self, remediation: Remediation, attempt: Attempt) -> str:
        """Makes durable what the attempt's calls were answered, and until when the next may be sent. Who has cancelled it."""

    async def extend(self, remediation: Remediation, attempt: Attempt, now: datetime) -> None:
        """Makes further calls of an attempt durable, before the first of them is sent."""

    async def move(self, remediation: Remediation, move: Move) -> Moved: ...

    async def close_episode(self, episode: Episode, now: datetime) -> None:
        """Resolved, though nobody delivered it; its remediations look at once."""

    async def still_open(self, after: Episode | None, limit: int) -> list[Episode]:
        """Open episodes by when they began, those after one of them."""

    async def ping(self) -> None:
        """Whether it answers; asks for nothing that grows."""

    def stuck_for(self) -> float:
        """Seconds since the oldest transaction that has not ended began."""

    async def next_due(self) -> datetime | None:
        """When anything is due next."""

    async def next_work(self) -> datetime | None:
        """When a remediation is due next that nobody works on."""

    async def escalations(self, now: datetime) -> list[Remediation]: ...

    async def escalated(
        self,
        remediation: RemediationId,
        messages: tuple[Message, ...],
        again_at: datetime | None,
        now: datetime,
    ) -> None: ...

    async def outbox(
        self,
        now: datetime,
        limit: int = 50,
        receiver: str | None = None,
        but_not: tuple[str, ...] = (),
    ) -> list[Row]:
        """Takes messages that are due, for a while: of one receiver, or of all others; of one remediation only the oldest."""

    async def oldest_message(self) -> datetime | None:
        """Since when the oldest message waits that is not delivered."""

    async def delivered(
        self,
        message: int,
        now: datetime,
        error: str | None,
        again_at: datetime | None,
        ref: str = "",
    ) -> None: ...

    async def quieted(self, limit: int) -> list[tuple[Remediation, tuple[str, ...]]]:
        """Ended remediations of which trouble was told (to whom), and whose alerts have all resolved."""

    async def told_quiet(
        self, remediation: RemediationId, messages: tuple[Message, ...], now: datetime
    ) -> None:
        """Sends the last messages about a remediation."""

    async def reloaded(self, rules_digest: str, now: datetime) -> None:
        """Sends back to triage what a reload may match differently."""

    async def past(self, rule: str, target_key: str) -> Past:
        """Every act on the target, and the history of the rule's alerts of it."""

    async def revivals(self, now: datetime, limit: int) -> list[Claim]:
        """Ended remediations whose alerts fire on and that are to be looked at; nothing is leased."""

    async def revive(self, remediation: RemediationId, now: datetime) -> None:
        """Sends the still open episodes back to triage."""

    async def revive_later(
        self, remediation: RemediationId, template: str, again_at: datetime | None
    ) -> None:
        """Remembers the target's template at the end, and looks again at a time, or never."""

    async def restorations(self, now: datetime, limit: int) -> list[Owed]:
        """What is to be taken back, and is due."""

    async def restore_later(self, attempt: str, again_at: datetime | None) -> None:
        """Looks again at a time, or never."""

    async def looked_at(self, remediation: str, undone: str) -> Claim | None:
        """An undo of one of its attempts as it would be, with nothing written and nothing leased."""

    async def undo(
        self, remediation: str, attempt: str, why: str, now: datetime, asked: str = ""
    ) -> str | None:
        """Gives birth to an undo of an attempt of a remediation that has ended; None where it did, else why not.

        `asked` says who wanted it, and why.
        """

    async def pauses(self) -> list[Row]: ...

    async def pause(
        self, scope: str, reason: str, author: str, until: datetime | None, now: datetime
    ) -> None: ...

    async def resume(self, scope: str, author: str, now: datetime) -> bool: ...

    async def decide(
        self,
        remediation: str,
        digest: str,
        operator: str,
        approve: bool,
        now: datetime,
        why: str = "",
    ) -> str | None:
        """None where it took effect, else why not."""

    async def cancel(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None: ...

    async def retry(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None: ...

    async def remediations(
        self,
        limit: int,
        state: str | None,
        namespace: str = "",
        rule: str = "",
        since: datetime | None = None,
    ) -> list[Row]:
        """The newest first."""

    async def show(self, remediation: str) -> Row | None: ...

    async def episodes(self, limit: int, fingerprint: str | None) -> list[Row]: ...

    async def counts(self) -> Mapping[str, Mapping[str, int]]: ...

    async def charges(self, since: datetime) -> list[Charge]: ...

    async def resolutions(self, since: datetime, until: datetime) -> list[tuple[str, bool, float]]:
        """(rule, whether it acted, seconds from start to end) of matched alerts whose end was learnt in that time."""

    def size(self) -> int:
        """Bytes on disk, where that can be known."""

    async def storm(
        self, scope: str, why: str, until: datetime, messages: tuple[Message, ...], now: datetime
    ) -> bool:
        """A storm is on: its row is written or prolonged; True, and the messages are sent, where it is a new one."""

    async def ends(self, rule: str, limit: int) -> tuple[End, ...]:
        """How the rule's last acting remediations ended, since its breaker was reset; the newest first."""

    async def suspects(self, since: datetime, limit: int) -> list[str]:
        """The rules of which a remediation did not help, or failed, since then."""

    async def breakers(self) -> list[Row]:
        """What is remembered of breakers: rule, opened_at, reset_at, reset_by."""

    async def storms(self) -> list[Row]:
        """The storms that are on, or in their calm: scope, since, until, why, and the receivers that were told."""

    async def troubled(self, cluster: str) -> tuple[Troubled, ...]:
        """The roots of which alerts fire now."""

    async def calm(self, scope: str, said: Notice, now: datetime) -> None:
        """A storm is over: its row goes, and whoever was told of it is told this."""

    async def breaker(
        self,
        rule: str,
        opened_at: datetime | None,
        why: str,
        to: Sequence[str],
        said: Notice,
        now: datetime,
    ) -> None:
        """A breaker opened (or closed, without a time); writes and tells only where that is news."""

    async def reset(self, rule: str, operator: str, now: datetime) -> None:
        """Forgets how the rule's remediations ended until now: its breaker closes."""

    async def record(self, rules: Sequence[str]) -> Mapping[str, Row]:
        """What became of each rule's remediations: see `journal.trust.record`."""

    async def began(self, since: datetime, namespace: str, limit: int) -> list[Episode]:
        """Open critical episodes that name the namespace and began since then, the newest first."""

    async def seal(self, now: datetime) -> tuple[int, str] | None:
        """Seals the history that is not sealed yet: (number of its last entry, digest); None where nothing is new."""

    async def prune(self, before: datetime, now: datetime, longest: timedelta = timedelta()) -> int:
        """Forgets a part of what is older, and how much that was; of the sealed history whole ranges. Ask until it is 0."""
