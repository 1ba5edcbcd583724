"""What goes into and comes out of the journal, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..model.alert import Alert, Episode, Fate
from ..model.decision import Decided
from ..model.look import Look
from ..model.notice import Notice
from ..model.remediation import Attempt, Remediation, State
from ..model.target import Target
from ..model.usage import Reading
from ..model.verdict import Reason
from ..rules.schema import Rule
from ..rules.stored import StoredRule

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
    """The alerts of one webhook. `body` is the stored webhook they come from; 0 for none."""

    source: str
    alerts: tuple[Alert, ...]
    received_at: datetime
    body: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A remediation that an episode asks for: created, or joined if one is live for this rule and
    target.

    `settled_at` is its first evaluation: the settle time after the alert was received.
    """

    rule: Rule
    rule_digest: str
    target: Target
    settled_at: datetime


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

    `rule` is as it was when the remediation was created. `undone` is the attempt that an undo
    undoes; `undo` the undo that a remediation waits for.
    """

    remediation: Remediation
    rule: StoredRule
    episodes: tuple[Episode, ...]
    attempts: tuple[Attempt, ...]
    undone: Attempt | None = None
    undo: Remediation | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """An attempt whose change is to be undone once the alert is quiet."""

    remediation: Remediation
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Message:
    """A notification for one receiver, delivered at least once. `trouble` is closed once all is
    quiet.
    """

    receiver: str
    notice: Notice
    trouble: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a remediation's history."""

    at: datetime
    kind: str
    reason: str | None
    text: str


@dataclass(frozen=True, slots=True)
class RemediationRecord:
    """Everything about one remediation, read without a lease. `undos` are those of its own
    attempts.
    """

    claim: Claim
    undos: tuple[Remediation, ...]
    history: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """A remediation that takes too long, and `to` whom to report it.

    Neither its plans nor its rule are decoded, so that it is reported whatever cannot be read.
    `proof_until`: until when its converged attempt may still be proved.
    """

    remediation: Remediation
    to: tuple[str, ...]
    attempted: bool
    proof_until: datetime | None
    history: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Storm:
    """A storm that is on, or calming down; `told` are the receivers that were notified of it."""

    group: str
    since: datetime
    until: datetime
    why: str
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is stored of a rule's breaker; `opened_at` is None while it is closed."""

    rule: str
    opened_at: datetime | None
    reset_at: datetime | None
    reset_by: str


@dataclass(frozen=True, slots=True)
class Written:
    """What the journal wrote for a claim: the states before and after, and the decision, which may
    differ from the one asked for.

    `history` and `storms` are read for an end that is notified; `storms` only if a storm is its
    reason.
    """

    before: State
    state: State
    decided: Decided
    history: tuple[Line, ...]
    storms: tuple[Storm, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """A notification that is to be delivered now. `ref` is what the receiver returned for an
    earlier one of its thread.
    """

    id: int
    remediation: str
    receiver: str
    notice: Notice
    ref: str
    tries: int


@dataclass(frozen=True, slots=True)
class Intent:
    """The attempt to start: durable, with locks and a charge (none for an undo), before anything is
    called.
    """

    attempt: Attempt
    reading: Reading
    rule: str
    root_key: str
    target: Target
    look: Look
    charged: bool = True
