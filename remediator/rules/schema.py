"""The rule file's keys.

Every field's description is its documentation; unknown keys are refused.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from ..causes import CAUSES
from ..located import suggest
from ..model.duration import format_duration, parse_duration
from ..model.interval import MONTHS, WEEKDAYS, Interval, Named, parse_range, parse_time, zone
from ..model.limit import Radius
from ..model.matcher import Matcher, MatcherError, compile_regex, parse_matcher
from ..model.usage import Rate


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"invalid duration {value!r}; use a form such as 30s, 5m or 1h30m")
    return parse_duration(value)


def as_rate(value: Any) -> Rate:
    """A number per duration. Raises: ValueError."""
    if isinstance(value, Rate):
        return value
    count, slash, window = str(value).partition("/")
    if not slash or not count.isdigit():
        raise ValueError(f"invalid limit {value!r}; use a number per duration, such as 3/6h")
    return Rate(int(count), parse_duration(window))


def _rates(value: Any) -> tuple[Rate, ...]:
    return (
        tuple(as_rate(item) for item in value)
        if isinstance(value, list | tuple)
        else (as_rate(value),)
    )


def _matcher(value: Any) -> Matcher:
    if isinstance(value, Matcher):
        return value
    if not isinstance(value, str):
        raise ValueError(
            f"invalid matcher {value!r}; use a form such as 'alertname=\"PodCrashLooping\"'"
        )
    try:
        return parse_matcher(value)
    except MatcherError as error:
        raise ValueError(f"bad matcher at character {error.offset + 1}: {error}") from None


def _regex(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"invalid regular expression {value!r}")
    compile_regex(value)
    return value


def _radius(value: Any) -> Radius:
    if isinstance(value, Radius):
        return value
    share: float | None = None
    count: int | None = None
    for item in value if isinstance(value, list | tuple) else [value]:
        text = str(item)
        if (
            text.endswith("%")
            and text[:-1].replace(".", "", 1).isdigit()
            and float(text[:-1]) <= 100
        ):
            share = float(text[:-1]) / 100
        elif isinstance(item, int) and not isinstance(item, bool) and item >= 0:
            count = item
        else:
            raise ValueError(
                f"invalid blast_radius {item!r}; use a percentage such as 30%, a number of pods, or"
                " both: [2, 30%]"
            )
    if share is None and count is None:
        raise ValueError(
            "an empty blast_radius allows nothing; use a percentage such as 30%, or a number of"
            " pods"
        )
    return Radius(share, count)


def _radius_text(radius: Radius) -> list[int | str]:
    parts: list[int | str] = [] if radius.count is None else [radius.count]
    return [*parts, *([] if radius.share is None else [f"{radius.share * 100:g}%"])]


def _intervals(names: Sequence[str], least: int, most: int) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("write a list")
        return tuple(
            item if isinstance(item, tuple) else parse_range(str(item), names, least, most)
            for item in value
        )

    return parse


def _zone(value: Any) -> str:
    zone(str(value))
    return str(value)


def _times(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError("write a list of {start_time, end_time}")
    out = []
    for item in value:
        if isinstance(item, tuple):
            out.append(item)
            continue
        if not isinstance(item, Mapping) or set(item) != {"start_time", "end_time"}:
            raise ValueError("each of `times` needs `start_time` and `end_time`, and nothing else")
        start, end = parse_time(str(item["start_time"])), parse_time(str(item["end_time"]))
        if end <= start:
            raise ValueError(
                f"{item['start_time']} to {item['end_time']} ends before it starts; split it in"
                " two at midnight"
            )
        out.append((start, end))
    return tuple(out)


def _cause(value: Any) -> Any:
    words = [*CAUSES, "any", "always"]
    if value not in words:
        raise ValueError(
            f"unknown cause `{value}`{suggest(str(value), words)}; known: {', '.join(words)}"
        )
    return value


def _causes(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Duration = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(format_duration, return_type=str)
]
Rates = Annotated[
    tuple[Rate, ...],
    BeforeValidator(_rates),
    PlainSerializer(lambda rates: [str(rate) for rate in rates], return_type=list),
]
Ranges = tuple[tuple[int, int], ...]
RadiusText = Annotated[
    Radius, BeforeValidator(_radius), PlainSerializer(_radius_text, return_type=list)
]
MatcherText = Annotated[Matcher, BeforeValidator(_matcher), PlainSerializer(str, return_type=str)]
Regex = Annotated[str, BeforeValidator(_regex)]
Mode = Literal["observe", "approve", "act"]
Policy = Literal["refuse", "warn", "allow"]
CauseWord = Annotated[
    str,
    BeforeValidator(_cause),
    WithJsonSchema({"enum": [*CAUSES, "any", "always"], "type": "string"}),
]


class RuleSection(BaseModel):
    """A part of a rule file."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Scope(RuleSection):
    """Where a group may act."""

    namespaces: tuple[Regex, ...] = Field(
        default=(),
        description="Anchored regular expressions for the namespaces the group may act in.",
    )
    alerts: tuple[Regex, ...] | None = Field(
        default=None,
        description=(
            'Namespaces its alerts may come from; "" admits alerts without one. Default: as'
            " `namespaces`."
        ),
    )
    nodes: tuple[Regex, ...] = Field(
        default=(), description="Anchored regular expressions for the nodes the group may act on."
    )
    protected: tuple[str, ...] = Field(
        default=(),
        description=(
            "Protected objects (`Kind/namespace/name`) that the group may act on all the same."
        ),
    )
    opt_in: bool = Field(
        default=False,
        strict=True,
        description=(
            "Act only on objects annotated `remediator.io/enabled`, directly or on their namespace."
        ),
    )


class Unless(RuleSection):
    """An alert whose firing holds the remediation."""

    match: tuple[MatcherText, ...] = Field(
        min_length=1, description="Matchers in Alertmanager's syntax; all must match."
    )
    equal: tuple[str, ...] = Field(
        default=(), description="Labels that must have equal values in both alerts."
    )


class Limits(RuleSection):
    """How often a rule may act."""

    attempts: Rates = Field(
        default=(Rate(3, timedelta(hours=6)),),
        description=(
            "Attempts of the rule on one workload, including successful ones; when used"
            " up, it ends as `gave_up`."
        ),
    )
    cooldown: Duration = Field(
        default=timedelta(minutes=15),
        description=(
            "Time between remediations of the rule on one target; doubles with each in a row"
            " that did"
            " not help."
        ),
    )
    per_rule: Rates = Field(
        default=(Rate(10, timedelta(hours=1)),),
        description="Attempts of the rule on all targets together.",
    )
    in_flight: int = Field(
        default=2,
        ge=1,
        strict=True,
        description="Remediations of the rule that may act at the same time.",
    )
    blast_radius: RadiusText = Field(
        default=Radius(),
        description=(
            "Ready pods of a workload that may be taken down at once: a percentage (rounded"
            " down, at"
            " least one), a number, or both."
        ),
    )


class StepLimits(RuleSection):
    """How often one step may be tried on one root."""

    attempts: Rates = Field(default=(), description="Attempts of this step on one workload.")


class Escalate(RuleSection):
    """Who is told, and when."""

    to: tuple[str, ...] = Field(min_length=1, description="Names of receivers from the settings.")
    after: Duration = Field(
        default=timedelta(minutes=10),
        description=(
            "Notify the receivers this long after creation; they are notified immediately if it"
            " ends without success."
        ),
    )


class Owners(RuleSection):
    """What to do where others own what the plan would write."""

    gitops: Policy = Field(default="refuse", description="Argo CD and Flux.")
    operator: Policy = Field(
        default="refuse", description="An operator: the controlling owner is a custom resource."
    )
    helm: Policy = Field(default="warn", description="Helm.")
    hpa: Policy = Field(
        default="refuse",
        description="A HorizontalPodAutoscaler; actions through it are not refused.",
    )
    keda: Policy = Field(default="refuse", description="KEDA's ScaledObject, which writes the HPA.")


class IntervalEntry(RuleSection):
    """One entry of a time interval; a time is in it where every field that is given says so."""

    times: Annotated[Ranges, BeforeValidator(_times)] = Field(
        default=(), description='`{start_time: "09:00", end_time: "17:00"}`; the end is excluded.'
    )
    weekdays: Annotated[Ranges, BeforeValidator(_intervals(WEEKDAYS, 0, 6))] = Field(
        default=(), description="Such as `monday:friday`, or `sunday`."
    )
    days_of_month: Annotated[Ranges, BeforeValidator(_intervals((), -31, 31))] = Field(
        default=(), description="Such as `1:5`; `-1` is the last day."
    )
    months: Annotated[Ranges, BeforeValidator(_intervals(MONTHS, 1, 12))] = Field(
        default=(), description="Such as `december`, or `1:3`."
    )
    years: Annotated[Ranges, BeforeValidator(_intervals((), 1970, 9999))] = Field(
        default=(), description="Such as `2026:2027`."
    )
    location: Annotated[str, BeforeValidator(_zone)] = Field(
        default="UTC", description="A time zone such as Europe/Berlin."
    )


class TimeInterval(RuleSection):
    """A named time interval, in Alertmanager's own grammar."""

    name: str = Field(min_length=1, description="Name by which `windows` refers to it.")
    time_intervals: tuple[IntervalEntry, ...] = Field(
        min_length=1, description="Alternatives; the interval is active if one matches."
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
        default=(), description="Names of time intervals; the rule acts only inside them."
    )
    mute: tuple[str, ...] = Field(
        default=(), description="Names of time intervals in which the rule never acts (freezes)."
    )


class Approval(RuleSection):
    """Who may approve, and for how long."""

    by: tuple[str, ...] = Field(
        default=(), description="Names of operators who may approve; empty = any."
    )
    expires: Duration = Field(
        default=timedelta(hours=1), description="How long to wait for an approval."
    )
    two_person: bool = Field(
        default=False,
        strict=True,
        description="Two different operators must approve the same plan.",
    )


class ExplicitTarget(RuleSection):
    """A target that the rule names; `{{ labels.x }}` may stand in namespace and name."""

    kind: str = Field(description="The Kubernetes kind.")
    namespace: str = Field(default="", description="Its namespace.")
    name: str = Field(description="Its name.")


class Verify(RuleSection):
    """What proves that a step helped."""

    until: Literal["resolved", "converged"] | tuple[str, ...] | None = Field(
        default=None,
        description=(
            "`resolved` (the alert), `converged` (no further proof), or PromQL queries that"
            " must return"
            " something."
        ),
    )
    converged_within: Duration | None = Field(
        default=None,
        description="Time limit from the first call to convergence; default: the action's.",
    )
    resolved_within: Duration | None = Field(
        default=None,
        description=(
            "Time limit from convergence to proof; default: the range of the alert's expression"
            " + 5m,"
            " at least 15m; 30m if it is unknown."
        ),
    )
    quiet_for: Duration = Field(
        default=timedelta(minutes=5), description="How long the proof must last."
    )


class Restore(RuleSection):
    """When what a step did is taken back."""

    after: Duration | None = Field(
        default=None,
        description=(
            "Undo the change after the alert has been quiet for this long; `0s` = never."
            " Default: the action's."
        ),
    )


class Step(RuleSection):
    """One rung of the ladder."""

    name: str = Field(
        default="",
        description="Name by which overrides refer to the step; default: the action's name.",
    )
    action: str = Field(description="The action to run.")
    with_: Mapping[str, Any] = Field(
        default_factory=dict, alias="with", description="The action's parameters."
    )
    if_: Annotated[tuple[CauseWord, ...] | None, BeforeValidator(_causes)] = Field(
        default=None,
        alias="if",
        description="The causes that the step handles; default: those that the action declares.",
    )
    when: tuple[str, ...] = Field(
        default=(), description="PromQL queries; the step is skipped if one returns nothing."
    )
    mode: Mode | None = Field(
        default=None, description="Mode of the step; the stricter of this and the rule's applies."
    )
    limits: StepLimits = Field(default=StepLimits(), description="Limits of this step.")
    then: Literal["verify", "next"] = Field(
        default="verify",
        description=(
            "`verify`, or `next` to continue with the next step after convergence; the"
            " last step always verifies."
        ),
    )
    verify: Verify = Field(default=Verify(), description="What proves that it helped.")
    restore: Restore = Field(default=Restore(), description="When the change is undone.")

    @property
    def label(self) -> str:
        """The name that overrides address."""
        return self.name or self.action


class Rule(RuleSection):
    """One remediation rule."""

    name: str = Field(min_length=1, description="Name of the rule, unique across all files.")
    match: tuple[MatcherText, ...] = Field(
        min_length=1, description="Matchers in Alertmanager's syntax; all must match."
    )
    unless: tuple[Unless, ...] = Field(
        default=(), description="Alerts that hold the remediation (`inhibited`) while they fire."
    )
    continue_: bool = Field(
        default=False,
        alias="continue",
        strict=True,
        description="Also try the rules after this one.",
    )
    target: Literal["object", "workload"] | ExplicitTarget = Field(
        default="workload",
        description=(
            "What to act on: the alert's object, the workload that owns it, or a fixed object."
        ),
    )
    pending: Duration = Field(
        default=timedelta(), description="Minimum time the alert must have been firing."
    )
    when: tuple[str, ...] = Field(
        default=(),
        description="PromQL queries; the remediation holds until each returns something.",
    )
    mode: Mode = Field(
        default="observe",
        description="`observe` plans only, `approve` waits for an operator, `act` acts.",
    )
    priority: int = Field(
        default=0,
        strict=True,
        description=(
            "A remediation that is only verifying loses its locks to one of higher priority,"
            " and ends."
        ),
    )
    windows: Windows = Field(
        default=Windows(), description="When the rule may act; it holds otherwise."
    )
    owners: Owners = Field(
        default=Owners(),
        description="What to do if someone else owns the fields that the plan would change.",
    )
    approval: Approval = Field(default=Approval(), description="Who may approve.")
    max_age: Duration = Field(
        default=timedelta(hours=1),
        description="Maximum time since the alert was last confirmed active.",
    )
    expire: Duration = Field(
        default=timedelta(hours=1), description="Maximum time a remediation may be held."
    )
    deadline: Duration = Field(
        default=timedelta(hours=1),
        description="Maximum time from creation to the start of the last step.",
    )
    limits: Limits = Field(default=Limits(), description="How often the rule may act.")
    steps: tuple[Step, ...] = Field(
        min_length=1, description="The steps, tried in order (an escalation ladder)."
    )
    escalate: Escalate = Field(description="Whom to notify, and when.")


class Override(RuleSection):
    """A change of rules for a part of the world.

    Applied after all files, in order, the last wins.
    """

    rules: tuple[str, ...] = Field(min_length=1, description="Names of rules.")
    namespaces: tuple[Regex, ...] = Field(
        default=(), description="Anchored regular expressions; empty = every namespace."
    )
    match: tuple[MatcherText, ...] = Field(
        default=(), description="Matchers on the alert; empty = every alert."
    )
    mode: Mode | None = Field(default=None, description="See the rule's `mode`.")
    limits: Mapping[str, Any] | None = Field(default=None, description="Merged into the rule's.")
    windows: Mapping[str, Any] | None = Field(default=None, description="Merged into the rule's.")
    escalate: Mapping[str, Any] | None = Field(default=None, description="Merged into the rule's.")
    steps: Mapping[str, Mapping[str, Any]] | None = Field(
        default=None, description="By step name, merged into the rule's."
    )


class Group(RuleSection):
    """Rules that share a scope and defaults."""

    name: str = Field(min_length=1, description="Name of the group, shown with its rules.")
    scope: Scope = Field(
        description="Where the group's rules may act; `namespaces` or `nodes` is required."
    )
    defaults: Mapping[str, Any] = Field(
        default_factory=dict, description="Defaults for the keys of each rule in the group."
    )
    rules: tuple[Rule, ...] = Field(min_length=1, description="The rules, tried in order.")


class RuleFile(RuleSection):
    """One rule file."""

    version: Literal[1] = Field(description="Version of the file format.")
    time_intervals: tuple[TimeInterval, ...] = Field(
        default=(), description="Time intervals for the `windows` of rules in any file."
    )
    groups: tuple[Group, ...] = Field(default=(), description="Groups of rules.")
    overrides: tuple[Override, ...] = Field(
        default=(), description="Changes to rules for some namespaces or alerts."
    )


LATER = {
    "diagnose": "the diagnose action",
    "vpa": "no action writes resources",
}
