"""What the HTTP API is sent and answers, as types: its description follows from them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..model.alert import Fate
from ..model.remediation import Outcome, State
from ..model.verdict import Decision, Reason
from ..rules.scalars import Mode

MOST_ROWS = 1000
LONGEST_REASON = 500
Time = Annotated[datetime, Field(description="RFC 3339, in UTC.")]


class Shape(BaseModel):
    """An object with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Error(Shape):
    """Why a request was refused."""

    error: str = Field(description="What is wrong, and what to do.")


class Stored(Shape):
    """A webhook's alerts are in the journal."""

    stored: int = Field(description="Number of alerts.")


class VerdictView(Shape):
    """What one guard decided."""

    guard: str
    verdict: Decision
    reason: Reason | None
    why: str = Field(description="The reason in words.")


class CauseView(Shape):
    """A cause that was found."""

    name: str
    why: str
    evidence: Mapping[str, Any]


class RemediationView(Shape):
    """One remediation, without its details."""

    id: str
    rule: str = Field(description="Name of the rule.")
    rule_digest: str = Field(description="Digest of the rule as it was.")
    undo_of: str = Field(description="Remediation that this one undoes; empty if it is no undo.")
    undoes: str = Field(description="Attempt that this one undoes; empty if it is not an undo.")
    undo_why: str = Field(description="Why it was undone.")
    mode: Mode
    cluster: str
    target: str = Field(description="Kind/namespace/name.")
    kind: str
    namespace: str
    name: str
    uid: str
    target_key: str = Field(description="The target as it is locked.")
    root_key: str = Field(description="The workload that owns the target, as it is locked.")
    state: State
    acted: bool = Field(description="Whether a call was sent, or may have been sent.")
    escalated: bool = Field(description="Whether receivers were notified of it.")
    reason: Reason | None
    why: str = Field(description="The reason in words.")
    rung: int = Field(description="Step of the ladder, counted from 0.")
    created_at: Time
    changed_at: Time = Field(description="When it entered its state, or asked about a new plan.")
    held_since: Time | None
    ended_at: Time | None
    approved_digest: str = Field(description="Digest of the plan that was approved.")
    approved_by: str
    approved_first: str = Field(description="Digest and first of two operators who approve.")
    cancel_by: str
    retried_at: Time | None
    ended_template: str = Field(description="Digest of the pod template when it ended.")
    priority: int
    created_for: int | None = Field(description="ID of the episode that it was created for.")


class Judged(Shape):
    """What was seen of a target, and what follows from it."""

    at: Time | None = None
    target: str = ""
    root: str = ""
    causes: list[CauseView] = []
    verdicts: list[VerdictView] = []
    plan: Mapping[str, Any] | None = None
    calls: list[str] = []
    digest: str = ""


class LookView(Judged):
    """The last evaluation of a remediation."""

    asked: str = Field(default="", description="Digest of the plan that approval was asked for.")


class AttemptView(Shape):
    """One attempt of a remediation."""

    id: str
    remediation: str
    number: int
    step: int = Field(description="Step of the ladder, counted from 0.")
    action: str
    plan: Mapping[str, Any]
    digest: str = Field(description="Digest of the plan.")
    causes: list[Any]
    started_at: Time
    sent_by: Time = Field(description="No call is sent later than this.")
    applied_at: Time | None
    evidence: Any = Field(description="What the API server answered.")
    converged_at: Time | None
    relapsed_at: Time | None = Field(description="Since when it is not complete any more.")
    proved_since: Time | None
    outcome: Outcome | None
    after: Any = Field(description="State of the object after the change.")


class EpisodeView(Shape):
    """One firing of an alert, from its start to its end."""

    id: int
    source: str
    fingerprint: str
    open: bool
    fate: Fate
    reason: Reason | None
    starts_at: Time
    ends_at: Time | None
    last_seen: Time
    confirmed_at: Time | None
    deliveries: int
    rules_digest: str
    reopened: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class ListedEpisode(EpisodeView):
    """One firing of an alert, with the remediations it led to."""

    remediations: list[str]


class EntryView(Shape):
    """A line of the history."""

    id: int
    at: Time
    remediation: str | None
    kind: str
    reason: Reason | None
    text: str
    number: int | None
    digest: str | None


class DeliveryView(Shape):
    """A notification of one receiver."""

    id: int
    remediation: str
    receiver: str
    due_at: Time | None
    tries: int
    delivered_at: Time | None
    error: str | None
    ref: str = Field(description="The receiver's own reference, such as a thread.")
    at: Time | None


class UndoView(Shape):
    """An undo of the remediation."""

    id: str
    undoes: str
    state: State
    reason: Reason | None
    why: str
    created_at: Time
    ended_at: Time | None


class RemediationDetails(RemediationView):
    """One remediation with everything that the journal has about it."""

    look: LookView
    rule_text: Mapping[str, Any] = Field(description="The rule as it was.")
    attempts: list[AttemptView]
    episodes: list[EpisodeView]
    history: list[EntryView]
    messages: list[DeliveryView]
    next_look: Time | None
    undo_due_at: Time | None = Field(description="Its change is undone no earlier than this.")
    undos: list[UndoView]


class Counts(Shape):
    """What is open and what waits."""

    episodes: Mapping[Fate, int] = Field(description="Open episodes, by fate.")
    remediations: Mapping[State, int] = Field(description="Remediations in progress, by state.")
    webhooks: Mapping[Literal["waiting"], int]
    messages: Mapping[Literal["waiting"], int]


class PauseView(Shape):
    """A scope that is paused."""

    scope: str
    reason: str
    author: str
    until: Time | None
    at: Time


class RecordView(Shape):
    """How a rule has done so far."""

    would: int = Field(description="Times it would have acted in observe mode.")
    idle: int = Field(description="Times there was nothing to do, or a guard was against it.")
    approved: int
    denied: int
    undecided: int = Field(description="Approvals that expired.")
    succeeded: int
    ineffective: int
    failed: int
    other: int
    against: Mapping[str, int] = Field(description="Reasons of the idle ones, with their number.")
    lately: list[str] = Field(description="Its latest plans in observe mode.")


class RuleView(Shape):
    """A rule that is loaded."""

    name: str
    group: str
    mode: Mode
    file: str
    line: int
    breaker_open_since: Time | None
    record: RecordView


class Rules(Shape):
    """Every rule that is loaded."""

    digest: str
    rules: list[RuleView]


class UndoPlan(Shape):
    """What an undo would do now."""

    plan: str
    digest: str = ""
    refused: str = Field(default="", description="Why it would be refused; empty if it would not.")
    verdicts: list[VerdictView]
    calls: list[str]


class Answered(Judged):
    """How one rule answers to an alert."""

    rule: str
    matched: bool
    reason: Reason | None = None
    why: str = ""


class Explanation(Shape):
    """Why each rule matches an alert or not, and what it would do now."""

    alert: Mapping[str, str]
    fingerprint: str
    source: str
    fate: Fate | None = None
    reason: Reason | None = None
    deliveries: int | None = None
    remediations: list[str] = []
    rules: list[Answered]


class Decided(Shape):
    """An operator's request took effect."""

    done: Literal["approve", "deny", "cancel", "retry", "undo"]
    remediation: str
    by: str


class Paused(Shape):
    """A scope was paused."""

    paused: str
    until: Time | None
    by: str


class Resumed(Shape):
    """A scope was resumed."""

    resumed: str
    by: str


class Reset(Shape):
    """A rule's circuit breaker was reset."""

    done: Literal["reset"]
    rule: str
    by: str


class Because(Shape):
    """Why an operator does something."""

    model_config = ConfigDict(extra="allow", frozen=True)

    reason: str | None = Field(
        default=None, description="Kept in the journal; cut after 500 characters."
    )


class Approve(Because):
    """An approval of one plan."""

    digest: str = Field(min_length=1, description="Digest of the plan that was reviewed.")


class PauseAsked(Shape):
    """A pause that is asked for."""

    scope: str | None = Field(
        default=None,
        description="all (the default), cluster:NAME, namespace:NAME or rule:NAME.",
    )
    reason: str = Field(pattern=r"[^\s]", description="Shown to everyone.")
    for_: str | None = Field(
        default=None,
        alias="for",
        description="Duration such as 2h; without it until resumed.",
    )


class ExplainReceived(BaseModel):
    """An alert that was received."""

    model_config = ConfigDict(extra="allow", frozen=True)

    fingerprint: str = Field(min_length=1, description="Its fingerprint.")


class GivenAlert(BaseModel):
    """An alert as in a webhook."""

    model_config = ConfigDict(extra="allow", frozen=True)

    labels: Mapping[str, str]


class ExplainGiven(BaseModel):
    """An alert that is given."""

    model_config = ConfigDict(extra="allow", frozen=True)

    alert: GivenAlert


class RemediationsAsked(Shape):
    """Which remediations."""

    state: State | None = Field(default=None, description="Only in this state.")
    namespace: str = Field(default="", description="Only with a target in this namespace.")
    rule: str = Field(default="", description="Only of this rule.")
    since: str = Field(
        default="",
        description="Only created since then: a duration such as 2h, or a time.",
    )
    limit: int = Field(default=100, ge=1, le=MOST_ROWS, description="Maximum number.")


class EpisodesAsked(Shape):
    """Which episodes."""

    fingerprint: str = Field(default="", description="Only of this alert.")
