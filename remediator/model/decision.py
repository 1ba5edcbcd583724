"""What one slice of work decided for a remediation: a value that the journal writes if it still
holds.

Metrics, notifications, logs and Kubernetes Events follow from what was written, never from what was
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
from .remediation import Attempt, Event, Outcome
from .verdict import Reason


@dataclass(frozen=True, slots=True)
class AttemptChange:
    """Changes to the attempt with this ID; None means unchanged.

    `converged_at` is given by every check that sees it complete: it has not relapsed then.
    """

    attempt: str
    applied_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    converged_at: datetime | None = None
    relapsed_at: datetime | None = None
    proved_since: datetime | None = None
    clear_proof: bool = False
    plan: tuple[Plan, Times] | None = None
    outcome: Outcome | None = None
    after: Mapping[str, Any] | None = None

    def alters(self, attempt: Attempt) -> bool:
        """Whether a check stores what was not known before."""
        given = (self.converged_at, self.relapsed_at, self.proved_since)
        known = (attempt.converged_at, attempt.relapsed_at, attempt.proved_since)
        if any(new not in (None, old) for new, old in zip(given, known, strict=True)):
            return True
        recovered = self.converged_at is not None and attempt.relapsed_at is not None
        return recovered or (self.clear_proof and attempt.proved_since is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """When it was decided, and why, for people."""

    event: ClassVar[Event | None] = None
    at: datetime
    reason: Reason | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(_Decided):
    """The state stays; the next evaluation is at `until`."""

    until: datetime
    change: AttemptChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(_Decided):
    """It may not act now; the next evaluation is at `until`."""

    event = Event.HOLD
    until: datetime
    look: Look | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(_Decided):
    """An operator must approve the plan. `question` is the notification; None if it was sent for
    this plan.
    """

    event = Event.ASK
    until: datetime
    look: Look
    question: Notice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(_Decided):
    """The attempt is given back, and its step is evaluated again at `until`.

    An approval stays valid. `unsent`: no call of the attempt was sent, so its charge is refunded.
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
    """All calls were answered; verification starts. `unlock`: locks that are no longer needed."""

    event = Event.APPLIED
    until: datetime
    change: AttemptChange
    unlock: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack(_Decided):
    """The change made things worse: an undo starts with the locks, and this remediation waits for
    it.
    """

    event = Event.UNDO
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class End(_Decided):
    """It ends. `template`: hash of the target's pod template at the end, if known.

    `unless_firing`: it does not end if one of its alerts is firing when this is written, since one
    may have joined.
    """

    event: Event  # type: ignore[misc]
    change: AttemptChange | None = None
    look: Look | None = None
    template: str = ""
    unless_firing: bool = False


Decided = Wait | Hold | Ask | Retry | Climb | Applied | TakeBack | End
