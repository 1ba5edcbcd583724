"""A remediation and its states. `TRANSITIONS` is the only place where a state changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from .call import Evidence
from .cause import Cause
from .plan import Plan, Times
from .target import Target
from .verdict import Reason

RemediationId = NewType("RemediationId", str)


class State(StrEnum):
    """Where a remediation stands; the first six are live, the rest are ends."""

    QUEUED = "queued"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    EXECUTING = "executing"
    VERIFYING = "verifying"
    UNDOING = "undoing"
    OBSERVED = "observed"
    SUCCEEDED = "succeeded"
    INEFFECTIVE = "ineffective"
    FAILED = "failed"
    BLOCKED = "blocked"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


WAITING = frozenset({State.QUEUED, State.HELD, State.AWAITING_APPROVAL})
ACTING = frozenset({State.EXECUTING, State.VERIFYING, State.UNDOING})
LIVE = WAITING | ACTING


class Event(StrEnum):
    """What can happen to a remediation."""

    HOLD = "hold"
    ASK = "ask"
    OBSERVE = "observe"
    BLOCK = "block"
    BEGIN = "begin"
    APPLIED = "applied"
    UNDO = "undo"
    CLIMB = "climb"
    PROVED = "proved"
    UNPROVED = "unproved"
    FAIL = "fail"
    LOSE_SIGHT = "lose_sight"
    EXTEND = "extend"
    EXPIRE = "expire"
    CANCEL = "cancel"
    SUPERSEDE = "supersede"


def _from_waiting() -> dict[tuple[State, Event], State]:
    ends = {
        Event.HOLD: State.HELD,
        Event.ASK: State.AWAITING_APPROVAL,
        Event.OBSERVE: State.OBSERVED,
        Event.BLOCK: State.BLOCKED,
        Event.BEGIN: State.EXECUTING,
        Event.UNPROVED: State.INEFFECTIVE,
        Event.FAIL: State.FAILED,
        Event.EXPIRE: State.EXPIRED,
        Event.CANCEL: State.CANCELLED,
        Event.SUPERSEDE: State.SUPERSEDED,
    }
    return {(state, event): end for state in sorted(WAITING) for event, end in ends.items()}


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    **_from_waiting(),
    (State.EXECUTING, Event.APPLIED): State.VERIFYING,
    (State.EXECUTING, Event.CLIMB): State.QUEUED,
    (State.EXECUTING, Event.FAIL): State.FAILED,
    (State.EXECUTING, Event.LOSE_SIGHT): State.UNKNOWN,
    (State.EXECUTING, Event.CANCEL): State.CANCELLED,
    (State.VERIFYING, Event.PROVED): State.SUCCEEDED,
    (State.VERIFYING, Event.EXTEND): State.EXECUTING,
    (State.VERIFYING, Event.UNDO): State.UNDOING,
    (State.VERIFYING, Event.CLIMB): State.QUEUED,
    (State.VERIFYING, Event.UNPROVED): State.INEFFECTIVE,
    (State.VERIFYING, Event.FAIL): State.FAILED,
    (State.VERIFYING, Event.LOSE_SIGHT): State.UNKNOWN,
    (State.VERIFYING, Event.CANCEL): State.CANCELLED,
    (State.VERIFYING, Event.SUPERSEDE): State.SUPERSEDED,
    (State.UNDOING, Event.CLIMB): State.QUEUED,
    (State.UNDOING, Event.FAIL): State.FAILED,
}


def next_state(state: State, event: Event) -> State:
    """The state that follows. Raises: ValueError where the table has none."""
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise ValueError(f"cannot {event} a remediation that is {state}")
    return following


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    CONVERGED = "converged"
    INEFFECTIVE = "ineffective"
    FAILED = "failed"
    WORSE = "worse"
    OVERTAKEN = "overtaken"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Remediation:
    """rule × target, as the journal keeps it. `rung` is the first step not tried yet; `token` fences the lease.

    `undo_of` names the remediation whose attempt `undoes` this one takes back, because it made things worse, or its time
    is over, or somebody asked (`undo_why`); `ended_template` is the target's template at the end, which somebody else's
    change is told by. `asked_digest` is of the plan that people are asked about now.
    """

    id: RemediationId
    rule: str
    rule_digest: str
    target: Target
    root_key: str
    state: State
    reason: Reason | None
    why: str
    mode: str
    rung: int
    born_at: datetime
    changed_at: datetime
    held_since: datetime | None
    ended_at: datetime | None
    approved_digest: str
    approved_by: str
    cancel_by: str
    token: int
    undo_of: str = ""
    undoes: str = ""
    undo_why: str = ""
    ended_template: str = ""
    priority: int = 0
    asked_digest: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rung tried; `evidence` of every call that was answered.

    `sent_by` is promised: no call of the attempt is sent later, so that recovery knows when none can land any more.
    """

    id: str
    remediation: RemediationId
    number: int
    step: int
    action: str
    plan: Plan
    times: Times
    digest: str
    causes: tuple[Cause, ...]
    begun_at: datetime
    sent_by: datetime
    applied_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    converged_at: datetime | None = None
    proved_since: datetime | None = None
    outcome: Outcome | None = None

    @property
    def done_at(self) -> datetime:
        """When it was done; when it began, where nobody knows."""
        return self.applied_at or self.begun_at
