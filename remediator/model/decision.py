"""What one slice of work decided for a remediation.

A value, which the journal writes if it still holds.

Metrics, messages, logs and Kubernetes Events follow from what was written, never from what was
decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from .call import Evidence
from .look import Look
from .notice import Notice
from .plan import Plan, Times
from .remediation import Event, Outcome
from .verdict import Reason


@dataclass(frozen=True, slots=True)
class AttemptChange:
    """What changed of the attempt with this id; what is None stays as it is."""

    attempt: str
    applied_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    converged_at: datetime | None = None
    proved_since: datetime | None = None
    clear_proof: bool = False
    plan: tuple[Plan, Times] | None = None
    outcome: Outcome | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """When it was decided, and why, for a person."""

    event: ClassVar[Event | None] = None
    at: datetime
    reason: Reason | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(_Decided):
    """The state stays; it is looked at again at `until`."""

    until: datetime
    change: AttemptChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(_Decided):
    """It may not act now; it is looked at again at `until`."""

    event = Event.HOLD
    until: datetime
    look: Look | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(_Decided):
    """A person must approve the plan.

    `question` is what people are sent, None where they know of this plan.
    """

    event = Event.ASK
    until: datetime
    look: Look
    question: Notice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(_Decided):
    """The attempt is given back, and its step is looked at again from the start at `until`.

    An approval stays. `unsent` says that no call of the attempt was sent, so its charge is
    released.
    """

    event = Event.CLIMB
    until: datetime
    change: AttemptChange
    unsent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb(_Decided):
    """The attempt ended; the step at index `rung` is next."""

    event = Event.CLIMB
    until: datetime
    rung: int
    change: AttemptChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied(_Decided):
    """All calls were answered; verification begins.

    `unlock` are locks that are not needed any longer.
    """

    event = Event.APPLIED
    until: datetime
    change: AttemptChange
    unlock: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack(_Decided):
    """The act made things worse: an undo begins, with the locks, and this one waits for it."""

    event = Event.UNDO
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class End(_Decided):
    """It is over. `template` is the hash of the target's template at the end, where it was seen.

    `unless_firing`: it does not end if an alert of it fires when this is written; one may have
    joined since.
    """

    event: Event  # type: ignore[misc]
    change: AttemptChange | None = None
    look: Look | None = None
    template: str = ""
    unless_firing: bool = False


Decided = Wait | Hold | Ask | Retry | Climb | Applied | TakeBack | End
