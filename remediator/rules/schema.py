"""The rule file: groups of rules, their steps, and overrides.

Every field's description is its documentation, with an example; unknown keys are refused.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from .scalars import (
    A_WORD,
    BY_FORM,
    OTHERWISE,
    CauseWords,
    Duration,
    MatcherText,
    Mode,
    Regex,
)
from .sections import (
    Approval,
    Escalate,
    Limits,
    Owners,
    RuleSection,
    Scope,
    StepLimits,
    TimeInterval,
    Unless,
    Windows,
)

EXAMPLE: Mapping[str, Any] = {
    "name": "restart-a-leaking-workload",
    "match": ['alertname="ContainerOOM"'],
    "steps": [{"action": "restart_workload"}],
    "escalate": {"to": ["oncall"]},
}


class ExplicitTarget(RuleSection):
    """A target that the rule names; `{{ labels.x }}` may stand in namespace and name."""

    kind: str = Field(description="The Kubernetes kind.", examples=["Deployment"])
    namespace: str = Field(default="", description="Its namespace.", examples=["shop"])
    name: str = Field(description="Its name.", examples=["web"])


class Verify(RuleSection):
    """What proves that a step helped."""

    until: (
        Annotated[
            Annotated[Literal["resolved", "converged"], A_WORD]
            | Annotated[tuple[str, ...], OTHERWISE],
            BY_FORM,
        ]
        | None
    ) = Field(
        default=None,
        description=(
            "`resolved` (the alert), `converged` (no further proof), or PromQL queries that must"
            " return something."
        ),
        examples=[['sum(rate(http_requests_total{code="500"}[5m])) < 1']],
    )
    converged_within: Duration | None = Field(
        default=None,
        description="Time limit from the first call to convergence; default: the action's.",
        examples=["10m"],
    )
    resolved_within: Duration | None = Field(
        default=None,
        description=(
            "Time limit from convergence to proof; default: the range of the alert's expression +"
            " 5m, at least 15m; 30m if it is unknown."
        ),
        examples=["20m"],
    )
    quiet_for: Duration = Field(
        default=timedelta(minutes=5), description="How long the proof must last.", examples=["5m"]
    )


class Restore(RuleSection):
    """When what a step did is taken back."""

    after: Duration | None = Field(
        default=None,
        description=(
            "Undo the change after the alert has been quiet for this long; `0s` = never."
            " Default: the action's."
        ),
        examples=["1h"],
    )


class Step(RuleSection):
    """One rung of the ladder."""

    name: str = Field(
        default="",
        description="Name by which overrides refer to the step; default: the action's name.",
        examples=["restart-once"],
    )
    action: str = Field(description="The action to run.", examples=["restart_workload"])
    with_: Mapping[str, Any] = Field(
        default_factory=dict,
        alias="with",
        description="The action's parameters.",
        examples=[{"allow_outage": True}],
    )
    if_: CauseWords = Field(
        default=None,
        alias="if",
        description="The causes that the step handles; default: those that the action declares.",
        examples=[["oom_killed"]],
    )
    when: tuple[str, ...] = Field(
        default=(),
        description="PromQL queries; the step is skipped if one returns nothing.",
        examples=[['up{job="api"} == 1']],
    )
    mode: Mode | None = Field(
        default=None,
        description="Mode of the step; the stricter of this and the rule's applies.",
        examples=["approve"],
    )
    limits: StepLimits = Field(
        default=StepLimits(), description="Limits of this step.", examples=[{"attempts": ["1/6h"]}]
    )
    then: Literal["verify", "next"] = Field(
        default="verify",
        description=(
            "`verify`, or `next` to continue with the next step after convergence; the"
            " last step always verifies."
        ),
        examples=["next"],
    )
    verify: Verify = Field(
        default=Verify(),
        description="What proves that it helped.",
        examples=[{"until": "converged"}],
    )
    restore: Restore = Field(
        default=Restore(), description="When the change is undone.", examples=[{"after": "1h"}]
    )

    @property
    def label(self) -> str:
        """The name that overrides address."""
        return self.name or self.action


class Rule(RuleSection):
    """One remediation rule."""

    name: str = Field(
        min_length=1,
        description="Name of the rule, unique across all files.",
        examples=["restart-a-leaking-workload"],
    )
    match: tuple[MatcherText, ...] = Field(
        min_length=1,
        description="Matchers in Alertmanager's syntax; all must match.",
        examples=[['alertname="ContainerOOM"', 'severity!="info"']],
    )
    unless: tuple[Unless, ...] = Field(
        default=(),
        description="Alerts that hold the remediation (`inhibited`) while they fire.",
        examples=[[{"match": ['alertname="KubeNodeNotReady"'], "equal": ["node"]}]],
    )
    continue_: bool = Field(
        default=False,
        alias="continue",
        strict=True,
        description="Also try the rules after this one.",
        examples=[True],
    )
    target: Annotated[
        Annotated[Literal["object", "workload"], A_WORD] | Annotated[ExplicitTarget, OTHERWISE],
        BY_FORM,
    ] = Field(
        default="workload",
        description=(
            "What to act on: the alert's object, the workload that owns it, or a fixed object."
        ),
        examples=[{"kind": "Deployment", "namespace": "shop", "name": "web"}],
    )
    pending: Duration = Field(
        default=timedelta(),
        description="Minimum time the alert must have been firing.",
        examples=["5m"],
    )
    when: tuple[str, ...] = Field(
        default=(),
        description="PromQL queries; the remediation holds until each returns something.",
        examples=[['up{job="api"} == 1']],
    )
    mode: Mode = Field(
        default="observe",
        description="`observe` plans only, `approve` waits for an operator, `act` acts.",
        examples=["approve"],
    )
    priority: int = Field(
        default=0,
        strict=True,
        description=(
            "A remediation that is only verifying loses its locks to one of higher priority,"
            " and ends."
        ),
        examples=[10],
    )
    windows: Windows = Field(
        default=Windows(),
        description="When the rule may act; it holds otherwise.",
        examples=[{"mute": ["year-end-freeze"]}],
    )
    owners: Owners = Field(
        default=Owners(),
        description="What to do if someone else owns the fields that the plan would change.",
        examples=[{"helm": "allow"}],
    )
    approval: Approval = Field(
        default=Approval(), description="Who may approve.", examples=[{"expires": "1h"}]
    )
    max_age: Duration = Field(
        default=timedelta(hours=1),
        description="Maximum time since the alert was last confirmed active.",
        examples=["15m"],
    )
    expire: Duration = Field(
        default=timedelta(hours=1),
        description="Maximum time a remediation may be held.",
        examples=["1h"],
    )
    deadline: Duration = Field(
        default=timedelta(hours=1),
        description="Maximum time from creation to the start of the last step.",
        examples=["2h"],
    )
    limits: Limits = Field(
        default=Limits(),
        description="How often the rule may act.",
        examples=[{"attempts": ["2/6h"]}],
    )
    steps: tuple[Step, ...] = Field(
        min_length=1,
        description="The steps, tried in order (an escalation ladder).",
        examples=[[{"action": "restart_workload", "if": "oom_killed"}]],
    )
    escalate: Escalate = Field(
        description="Whom to notify, and when.", examples=[{"to": ["oncall"]}]
    )


class Override(RuleSection):
    """A change of rules for a part of the world.

    Applied after all files, in order, the last wins.
    """

    rules: tuple[str, ...] = Field(
        min_length=1, description="Names of rules.", examples=[["restart-a-leaking-workload"]]
    )
    namespaces: tuple[Regex, ...] = Field(
        default=(),
        description="Anchored regular expressions; empty = every namespace.",
        examples=[["shop-test"]],
    )
    match: tuple[MatcherText, ...] = Field(
        default=(),
        description="Matchers on the alert; empty = every alert.",
        examples=[['severity="info"']],
    )
    mode: Mode | None = Field(default=None, description="See the rule's `mode`.", examples=["act"])
    limits: Mapping[str, Any] | None = Field(
        default=None, description="Merged into the rule's.", examples=[{"attempts": ["5/1h"]}]
    )
    windows: Mapping[str, Any] | None = Field(
        default=None,
        description="Merged into the rule's.",
        examples=[{"mute": ["year-end-freeze"]}],
    )
    escalate: Mapping[str, Any] | None = Field(
        default=None, description="Merged into the rule's.", examples=[{"to": ["chat"]}]
    )
    steps: Mapping[str, Mapping[str, Any]] | None = Field(
        default=None,
        description="By step name, merged into the rule's.",
        examples=[{"restart-once": {"mode": "act"}}],
    )


class GroupHead(RuleSection):
    """A group's name, and where its rules may act."""

    name: str = Field(
        min_length=1, description="Name of the group, shown with its rules.", examples=["shop"]
    )
    scope: Scope = Field(
        description="Where the group's rules may act; `namespaces` or `nodes` is required.",
        examples=[{"namespaces": ["shop"]}],
    )


class Group(GroupHead):
    """Rules that share a scope and defaults."""

    defaults: Mapping[str, Any] = Field(
        default_factory=dict,
        description="Defaults for the keys of each rule in the group.",
        examples=[{"mode": "approve", "escalate": {"to": ["oncall"]}}],
    )
    rules: tuple[Rule, ...] = Field(
        min_length=1,
        description="The rules, tried in order.",
        examples=[[EXAMPLE]],
    )


class RuleFile(RuleSection):
    """One rule file."""

    version: Literal[1] = Field(description="Version of the file format.", examples=[1])
    time_intervals: tuple[TimeInterval, ...] = Field(
        default=(),
        description="Time intervals for the `windows` of rules in any file.",
        examples=[[{"name": "office-hours", "time_intervals": [{"weekdays": ["monday:friday"]}]}]],
    )
    groups: tuple[Group, ...] = Field(
        default=(),
        description="Groups of rules.",
        examples=[[{"name": "shop", "scope": {"namespaces": ["shop"]}, "rules": [EXAMPLE]}]],
    )
    overrides: tuple[Override, ...] = Field(
        default=(),
        description="Changes to rules for some namespaces or alerts.",
        examples=[
            [{"rules": ["restart-a-leaking-workload"], "namespaces": ["shop-test"], "mode": "act"}]
        ],
    )


LATER = {
    "diagnose": "the diagnose action",
    "vpa": "no action writes resources",
}
