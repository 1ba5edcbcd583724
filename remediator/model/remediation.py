"""A remediation and its states. `TRANSITIONS` is the only place where a state changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

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


class Stage(StrEnum):
    """Whether a remediation has begun to act, and whether it has ended."""

    WAITING = "waiting"
    ACTING = "acting"
    ENDED = "ended"


class Severity(StrEnum):
    """How bad it is that people read a message."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class StateSpec:
    """What a state means: what the remediation does in it, who is told, and what follows.

    `told`: the receivers of the rule's `escalate` hear of it at once; `followed`: those that follow
    every step do. `event` is the Kubernetes Event on the target. `by_reload`: the alerts of such an
    end are triaged again when the rules change, as nothing else would make it come to something
    else.
    """

    stage: Stage
    does: str
    severity: Severity = Severity.WARNING
    told: bool = False
    followed: bool = False
    event: str = ""
    by_reload: bool = False


STATES: Mapping[State, StateSpec] = {
    State.QUEUED: StateSpec(Stage.WAITING, "waits for a free worker"),
    State.HELD: StateSpec(Stage.WAITING, "is re-evaluated until it may act, or expires"),
    State.AWAITING_APPROVAL: StateSpec(
        Stage.WAITING,
        "waits for an operator's decision; its plan is kept up to date",
        followed=True,
    ),
    State.EXECUTING: StateSpec(Stage.ACTING, "sends its API calls, one after the other"),
    State.VERIFYING: StateSpec(
        Stage.ACTING,
        "checks whether it helped; may send further calls of its plan",
        followed=True,
        event="RemediationApplied",
    ),
    State.UNDOING: StateSpec(
        Stage.ACTING, "waits for its undo, because the change made things worse", followed=True
    ),
    State.OBSERVED: StateSpec(
        Stage.ENDED,
        "nothing: its rule is in observe mode",
        Severity.INFO,
        followed=True,
        by_reload=True,
    ),
    State.SUCCEEDED: StateSpec(
        Stage.ENDED,
        "nothing, except undoing its change later if `restore` says so",
        Severity.INFO,
        followed=True,
        event="Remediated",
    ),
    State.INEFFECTIVE: StateSpec(
        Stage.ENDED,
        "nothing: it acted, but the alert still fires",
        Severity.CRITICAL,
        told=True,
        followed=True,
        event="RemediationIneffective",
    ),
    State.FAILED: StateSpec(
        Stage.ENDED,
        "nothing: it acted, or started to, and that went wrong",
        Severity.CRITICAL,
        told=True,
        followed=True,
        event="RemediationFailed",
    ),
    State.BLOCKED: StateSpec(
        Stage.ENDED,
        "nothing: the action is not allowed, or makes no sense",
        told=True,
        followed=True,
        by_reload=True,
    ),
    State.SUPERSEDED: StateSpec(Stage.ENDED, "nothing: its alerts are matched again"),
    State.CANCELLED: StateSpec(
        Stage.ENDED, "nothing: an operator stopped it, or the alert resolved before it acted"
    ),
    State.EXPIRED: StateSpec(
        Stage.ENDED,
        "nothing for now: its alerts are matched again once what held it has cleared",
        told=True,
        followed=True,
    ),
    State.UNKNOWN: StateSpec(
        Stage.ENDED,
        "nothing: it cannot be confirmed whether it acted, or whether it helped",
        Severity.CRITICAL,
        told=True,
        followed=True,
    ),
}


def _in(*stages: Stage) -> frozenset[State]:
    return frozenset(state for state, spec in STATES.items() if spec.stage in stages)


WAITING, ACTING = _in(Stage.WAITING), _in(Stage.ACTING)
LIVE = WAITING | ACTING


class Event(StrEnum):
    """What can happen to a remediation."""

    HOLD = "hold"
    ASK = "ask"
    OBSERVE = "observe"
    BLOCK = "block"
    START = "start"
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
        Event.START: State.EXECUTING,
        Event.UNPROVED: State.INEFFECTIVE,
        Event.FAIL: State.FAILED,
        Event.EXPIRE: State.EXPIRED,
        Event.CANCEL: State.CANCELLED,
        Event.SUPERSEDE: State.SUPERSEDED,
    }
    table: dict[tuple[State, Event], State] = {}
    for state in sorted(WAITING):
        table |= {(state, event): end for event, end in ends.items()}
    return table


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
    """rule × target, as the journal keeps it.

    `rung` is the first step not tried yet; `token` fences the lease.

    `undo_of` names the remediation whose attempt `undoes` this one takes back, because it made
    things worse, or its time is over, or somebody asked (`undo_why`); `ended_template` is the
    target's template at the end, which somebody else's change is told by. `asked_digest` is of the
    plan that people are asked about now. `created_for` is the ID of the episode that it was created
    for; 0 if nobody knows.
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
    created_at: datetime
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
    created_for: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rung tried; `evidence` of every call that was answered.

    `sent_by` is promised: no call of the attempt is sent later, so that recovery knows when none
    can land any more. `relapsed_at`: since when it has not been complete any more, though it had
    converged.
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
    relapsed_at: datetime | None = None
    proved_since: datetime | None = None
    outcome: Outcome | None = None

    @property
    def done_at(self) -> datetime:
        """When it was done; when it began, where nobody knows."""
        return self.applied_at or self.begun_at


def only_waits(one: Any) -> bool:
    """Whether a remediation, or its stored row, comes after what is new, acts, is to be proved or
    undone, or was decided by people.
    """
    if one.cancel_by:
        return False
    asked = one.state == State.AWAITING_APPROVAL and not one.approved_digest
    return bool(one.state == State.HELD or asked)
