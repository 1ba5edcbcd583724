"""The rule file's keys. Every field's description is its documentation; unknown keys are refused."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from ..model.duration import format_duration, parse_duration
from ..model.matcher import Matcher, MatcherError, compile_regex, parse_matcher
from ..model.usage import Rate


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no duration; write one such as 30s, 5m or 1h30m")
    return parse_duration(value)


def _rate(value: Any) -> Rate:
    if isinstance(value, Rate):
        return value
    count, slash, window = str(value).partition("/")
    if not slash or not count.isdigit():
        raise ValueError(f"{value!r} is no limit; write a number per duration, such as 3/6h")
    return Rate(int(count), parse_duration(window))


def _rates(value: Any) -> tuple[Rate, ...]:
    return tuple(_rate(item) for item in value) if isinstance(value, list | tuple) else (_rate(value),)


def _matcher(value: Any) -> Matcher:
    if isinstance(value, Matcher):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no matcher; write one such as 'alertname=\"PodCrashLooping\"'")
    try:
        return parse_matcher(value)
    except MatcherError as error:
        raise ValueError(f"bad matcher at character {error.offset + 1}: {error}") from None


def _regex(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no regular expression")
    compile_regex(value)
    return value


def _causes(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(format_duration, return_type=str)]
Rates = Annotated[
    tuple[Rate, ...],
    BeforeValidator(_rates),
    PlainSerializer(lambda rates: [f"{r.count}/{format_duration(r.window)}" for r in rates], return_type=list),
]
MatcherText = Annotated[Matcher, BeforeValidator(_matcher), PlainSerializer(str, return_type=str)]
Regex = Annotated[str, BeforeValidator(_regex)]
Mode = Literal["observe", "approve", "act"]
Policy = Literal["refuse", "warn", "allow"]
CauseWord = Literal["rollout_changed", "oom_killed", "crash_loop", "any", "always"]


class Section(BaseModel):
    """A part of a rule file."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Scope(Section):
    """Where a group may act."""

    namespaces: tuple[Regex, ...] = Field(default=(), description="Anchored regexes of namespaces it may act in.")
    alerts: tuple[Regex, ...] | None = Field(
        default=None, description='Where its alerts may come from; "" admits those without a namespace. Default: as `namespaces`.'
    )
    nodes: tuple[Regex, ...] = Field(default=(), description="Anchored regexes of nodes it may act on.")
    protected: tuple[str, ...] = Field(default=(), description="`Kind/namespace/name`: protection lifted for exactly these.")


class Unless(Section):
    """An alert whose firing holds the remediation."""

    match: tuple[MatcherText, ...] = Field(min_length=1, description="All must hold, in Alertmanager's matcher grammar.")
    equal: tuple[str, ...] = Field(default=(), description="Labels that must be equal in both alerts.")


class Limits(Section):
    """How often a rule may act."""

    attempts: Rates = Field(
        default=(Rate(3, timedelta(hours=6)),),
        description="The rule's attempts on one root, successes included; spent = `gave_up`.",
    )
    cooldown: Duration = Field(default=timedelta(minutes=15), description="Per rule and target, since the last one's end.")
    per_rule: Rates = Field(default=(Rate(10, timedelta(hours=1)),), description="The rule's attempts on all targets.")
    in_flight: int = Field(default=2, ge=1, strict=True, description="Remediations of the rule that act at once.")


class StepLimits(Section):
    """How often one step may be tried on one root."""

    attempts: Rates = Field(default=(), description="Attempts of this step on one root.")


class Escalate(Section):
    """Who is told, and when."""

    to: tuple[str, ...] = Field(min_length=1, description="Names of receivers from the settings.")
    after: Duration = Field(
        default=timedelta(minutes=10),
        description="Since the remediation was born; people are told at once when it ends without success.",
    )


class Owners(Section):
    """What to do where others own what the plan would write."""

    gitops: Policy = Field(default="refuse", description="Argo CD and Flux.")
    operator: Policy = Field(default="refuse", description="A controller that is a custom resource.")
    helm: Policy = Field(default="warn", description="Helm.")
    hpa: Policy = Field(default="refuse", description="A HorizontalPodAutoscaler; acts through it are not refused.")
    keda: Policy = Field(default="refuse", description="KEDA's ScaledObject, which writes the HPA.")


class Approval(Section):
    """Who may approve, and for how long."""

    by: tuple[str, ...] = Field(default=(), description="Names of operators; empty = any operator.")
    expires: Duration = Field(default=timedelta(hours=1), description="How long an approval is waited for.")


class ExplicitTarget(Section):
    """A target that the rule names; `{{ labels.x }}` may stand in namespace and name."""

    kind: str = Field(description="The Kubernetes kind.")
    namespace: str = Field(default="", description="Its namespace.")
    name: str = Field(description="Its name.")


class Verify(Section):
    """What proves that a step helped."""

    until: Literal["resolved", "converged"] | tuple[str, ...] | None = Field(
        default=None, description="The alert resolved, nothing but convergence, or PromQL queries that must return something."
    )
    converged_within: Duration | None = Field(default=None, description="Since the first call; default: the action's own.")
    resolved_within: Duration | None = Field(
        default=None,
        description="Since convergence; default: the look-back of the alert's expression + 5m, at least 15m; 30m where it cannot be had.",
    )
    quiet_for: Duration = Field(default=timedelta(minutes=5), description="The proof must hold this long.")


class Restore(Section):
    """When what a step did is taken back."""

    after: Duration | None = Field(
        default=None, description="Once the alert has been quiet for so long; `0s` = never. Default: the action's own."
    )


class Step(Section):
    """One rung of the ladder."""

    name: str = Field(default="", description="How overrides address it; default: the action's name.")
    action: str = Field(description="What to do.")
    with_: Mapping[str, Any] = Field(default_factory=dict, alias="with", description="The action's parameters.")
    if_: Annotated[tuple[CauseWord, ...] | None, BeforeValidator(_causes)] = Field(
        default=None, alias="if", description="The causes that it is for; default: those that the action declares."
    )
    when: tuple[str, ...] = Field(default=(), description="PromQL; an unmet one skips the step.")
    mode: Mode | None = Field(default=None, description="The stricter of this and the rule's wins.")
    limits: StepLimits = Field(default=StepLimits(), description="Limits of this step.")
    then: Literal["verify", "next"] = Field(
        default="verify", description="`next` goes on as soon as it converged; the last step always verifies."
    )
    verify: Verify = Field(default=Verify(), description="What proves that it helped.")
    restore: Restore = Field(default=Restore(), description="When it is taken back.")

    @property
    def label(self) -> str:
        """The name that overrides address."""
        return self.name or self.action


class Rule(Section):
    """One remediation rule."""

    name: str = Field(min_length=1, description="Unique over all files.")
    match: tuple[MatcherText, ...] = Field(min_length=1, description="All must hold, in Alertmanager's matcher grammar.")
    unless: tuple[Unless, ...] = Field(default=(), description="Alerts whose firing holds the remediation (`inhibited`).")
    continue_: bool = Field(default=False, alias="continue", strict=True, description="Try later rules too.")
    target: Literal["object", "workload"] | ExplicitTarget = Field(
        default="workload", description="The alert's object itself, what owns it, or this one."
    )
    pending: Duration = Field(default=timedelta(), description="Firing at least this long.")
    when: tuple[str, ...] = Field(default=(), description="PromQL; each must return a non-empty vector, else it holds.")
    mode: Mode = Field(default="observe", description="Plan only, wait for a person, or act.")
    owners: Owners = Field(default=Owners(), description="Policy where others own what the plan would write.")
    approval: Approval = Field(default=Approval(), description="Who may approve.")
    max_age: Duration = Field(
        default=timedelta(hours=1), description="The longest time since the alert was last confirmed active."
    )
    expire: Duration = Field(default=timedelta(hours=1), description="The longest hold.")
    deadline: Duration = Field(default=timedelta(hours=1), description="Since birth; no step begins later.")
    limits: Limits = Field(default=Limits(), description="How often it may act.")
    steps: tuple[Step, ...] = Field(min_length=1, description="An escalation ladder.")
    escalate: Escalate = Field(description="Who is told.")


class Override(Section):
    """A change of rules for a part of the world; applied after all files, in order, the last wins."""

    rules: tuple[str, ...] = Field(min_length=1, description="Names of rules.")
    namespaces: tuple[Regex, ...] = Field(default=(), description="Anchored regexes; empty = every namespace.")
    match: tuple[MatcherText, ...] = Field(default=(), description="Matchers on the alert; empty = every alert.")
    mode: Mode | None = Field(default=None, description="As a rule's.")
    limits: Mapping[str, Any] | None = Field(default=None, description="Merged into the rule's.")
    escalate: Mapping[str, Any] | None = Field(default=None, description="Merged into the rule's.")
    steps: Mapping[str, Mapping[str, Any]] | None = Field(default=None, description="By step name, merged into the rule's.")


class Group(Section):
    """Rules that share a scope and defaults."""

    name: str = Field(min_length=1, description="Shown beside its rules.")
    scope: Scope = Field(description="Where its rules may act; `namespaces` or `nodes` is required.")
    defaults: Mapping[str, Any] = Field(default_factory=dict, description="Rule keys, merged under each rule.")
    rules: tuple[Rule, ...] = Field(min_length=1, description="The rules, tried in order.")


class RuleFile(Section):
    """One rule file."""

    version: Literal[1] = Field(description="The format's version.")
    groups: tuple[Group, ...] = Field(default=(), description="Groups of rules.")
    overrides: tuple[Override, ...] = Field(default=(), description="Changes for a part of the world.")


LATER = {
    "time_intervals": "time windows",
    "windows": "time windows",
    "priority": "priorities",
    "blast_radius": "the blast-radius guard",
    "two_person": "approval by two persons",
    "diagnose": "the diagnose action",
    "vpa": "VPA ownership",
}
NOT_BOUND = "time windows, blast radius, replaceability, storm, breaker, growing cooldown"  # defaults of the format
