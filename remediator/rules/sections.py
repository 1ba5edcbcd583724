"""Parts of a rule: where, when, how often, who is notified, whose fields may be changed.

Every field's description is its documentation, with an example; unknown keys are refused.
"""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from ..model.interval import Interval, Named
from ..model.limit import Radius
from ..model.usage import Rate
from .scalars import (
    DaysOfMonth,
    Duration,
    MatcherText,
    Months,
    Policy,
    RadiusText,
    Rates,
    Regex,
    Times,
    Weekdays,
    Years,
    Zone,
)


class RuleSection(BaseModel):
    """A part of a rule file."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Scope(RuleSection):
    """Where a group may act."""

    namespaces: tuple[Regex, ...] = Field(
        default=(),
        description="Anchored regular expressions for the namespaces the group may act in.",
        examples=[["shop", "team-.*"]],
    )
    alerts: tuple[Regex, ...] | None = Field(
        default=None,
        description=(
            'Namespaces its alerts may come from; "" admits alerts without one. Default: as'
            " `namespaces`."
        ),
        examples=[["shop", ""]],
    )
    nodes: tuple[Regex, ...] = Field(
        default=(),
        description="Anchored regular expressions for the nodes the group may act on.",
        examples=[["worker-.*"]],
    )
    protected: tuple[str, ...] = Field(
        default=(),
        description=(
            "Protected objects (`Kind/namespace/name`) that the group may act on all the same."
        ),
        examples=[["Deployment/kube-system/coredns"]],
    )
    opt_in: bool = Field(
        default=False,
        strict=True,
        description=(
            "Act only on objects annotated `remediator.io/enabled`, directly or on their namespace."
        ),
        examples=[True],
    )


class Unless(RuleSection):
    """An alert whose firing holds the remediation."""

    match: tuple[MatcherText, ...] = Field(
        min_length=1,
        description="Matchers in Alertmanager's syntax; all must match.",
        examples=[['alertname="KubeNodeNotReady"']],
    )
    equal: tuple[str, ...] = Field(
        default=(),
        description="Labels that must have equal values in both alerts.",
        examples=[["node"]],
    )


class Limits(RuleSection):
    """How often a rule may act."""

    attempts: Rates = Field(
        default=(Rate(3, timedelta(hours=6)),),
        description=(
            "Attempts of the rule on one workload, including successful ones; when used"
            " up, it ends as `gave_up`."
        ),
        examples=[["2/1h", "4/24h"]],
    )
    cooldown: Duration = Field(
        default=timedelta(minutes=15),
        description=(
            "Time between remediations of the rule on one target; doubles with each in a row that"
            " did not help."
        ),
        examples=["30m"],
    )
    per_rule: Rates = Field(
        default=(Rate(10, timedelta(hours=1)),),
        description="Attempts of the rule on all targets together.",
        examples=[["10/1h"]],
    )
    in_flight: int = Field(
        default=2,
        ge=1,
        strict=True,
        description="Remediations of the rule that may act at the same time.",
        examples=[3],
    )
    blast_radius: RadiusText = Field(
        default=Radius(),
        description=(
            "Ready pods of a workload that may be taken down at once: a percentage (rounded down,"
            " at least one), a number, or both."
        ),
        examples=[[2, "30%"]],
    )


class StepLimits(RuleSection):
    """How often one step may be tried on one root."""

    attempts: Rates = Field(
        default=(), description="Attempts of this step on one workload.", examples=[["1/6h"]]
    )


class Escalate(RuleSection):
    """Who is told, and when."""

    to: tuple[str, ...] = Field(
        min_length=1, description="Names of receivers from the settings.", examples=[["oncall"]]
    )
    after: Duration = Field(
        default=timedelta(minutes=10),
        description=(
            "Notify the receivers this long after creation; they are notified immediately if it"
            " ends without success."
        ),
        examples=["15m"],
    )


class Owners(RuleSection):
    """What to do where others own what the plan would write."""

    gitops: Policy = Field(default="refuse", description="Argo CD and Flux.", examples=["refuse"])
    operator: Policy = Field(
        default="refuse",
        description="An operator: the controlling owner is a custom resource.",
        examples=["refuse"],
    )
    helm: Policy = Field(default="warn", description="Helm.", examples=["warn"])
    hpa: Policy = Field(
        default="refuse",
        description="A HorizontalPodAutoscaler; actions through it are not refused.",
        examples=["allow"],
    )
    keda: Policy = Field(
        default="refuse",
        description="KEDA's ScaledObject, which writes the HPA.",
        examples=["refuse"],
    )


class IntervalEntry(RuleSection):
    """One entry of a time interval; a time is in it where every field that is given says so."""

    times: Times = Field(
        default=(),
        description='`{start_time: "09:00", end_time: "17:00"}`; the end is excluded.',
        examples=[[{"start_time": "09:00", "end_time": "17:00"}]],
    )
    weekdays: Weekdays = Field(
        default=(),
        description="Such as `monday:friday`, or `sunday`.",
        examples=[["monday:friday"]],
    )
    days_of_month: DaysOfMonth = Field(
        default=(), description="Such as `1:5`; `-1` is the last day.", examples=[["1:5", "-1"]]
    )
    months: Months = Field(
        default=(), description="Such as `december`, or `1:3`.", examples=[["december", "1:3"]]
    )
    years: Years = Field(default=(), description="Such as `2026:2027`.", examples=[["2026:2027"]])
    location: Zone = Field(
        default="UTC", description="A time zone such as Europe/Berlin.", examples=["Europe/Berlin"]
    )


class TimeInterval(RuleSection):
    """A named time interval, in Alertmanager's own grammar."""

    name: str = Field(
        min_length=1, description="Name by which `windows` refers to it.", examples=["office-hours"]
    )
    time_intervals: tuple[IntervalEntry, ...] = Field(
        min_length=1,
        description="Alternatives; the interval is active if one matches.",
        examples=[[{"weekdays": ["monday:friday"]}]],
    )

    @property
    def named(self) -> Named:
        """As it is asked."""
        return Named(
            self.name, tuple(Interval(**entry.model_dump()) for entry in self.time_intervals)
        )


class Windows(RuleSection):
    """When a rule may act."""

    active: tuple[str, ...] = Field(
        default=(),
        description="Names of time intervals; the rule acts only inside them.",
        examples=[["office-hours"]],
    )
    mute: tuple[str, ...] = Field(
        default=(),
        description="Names of time intervals in which the rule never acts (freezes).",
        examples=[["year-end-freeze"]],
    )


class Approval(RuleSection):
    """Who may approve, and for how long."""

    by: tuple[str, ...] = Field(
        default=(),
        description="Names of operators who may approve; empty = any.",
        examples=[["ann", "bob"]],
    )
    expires: Duration = Field(
        default=timedelta(hours=1), description="How long to wait for an approval.", examples=["1h"]
    )
    two_person: bool = Field(
        default=False,
        strict=True,
        description="Two different operators must approve the same plan.",
        examples=[True],
    )
