"""What guards look at. The engine gathers it once, before they are asked.

There is one type per moment: before anything is observed, before an attempt, before an undo.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from ..model.alert import Activity, Episode
from ..model.facts import Facts, Unknown
from ..model.interval import Named
from ..model.limit import BreakerLimit, Radius, StormLimit
from ..model.pauses import Pause
from ..model.plan import Plan, Touch
from ..model.target import Target
from ..model.usage import Rate

PROTECTED = ("kube-system", "kube-public", "kube-node-lease", "monitoring")


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Limits of the process, over all rules. `grace` is counted from the daemon's start."""

    root: tuple[Rate, ...] = (Rate(8, timedelta(hours=6)),)
    action: tuple[Rate, ...] = ()
    namespace: tuple[Rate, ...] = (Rate(5, timedelta(hours=1)),)
    everything: tuple[Rate, ...] = (Rate(10, timedelta(hours=1)),)
    grace: timedelta = timedelta(minutes=2)
    protected: tuple[str, ...] = PROTECTED
    storm: StormLimit = field(default_factory=StormLimit)
    breaker: BreakerLimit = field(default_factory=BreakerLimit)

    @property
    def longest(self) -> timedelta:
        """How far back charges must be read for these."""
        return max(
            (r.window for r in (*self.root, *self.action, *self.namespace, *self.everything)),
            default=timedelta(hours=1),
        )


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """One rule's limits."""

    attempts: tuple[Rate, ...] = (Rate(3, timedelta(hours=6)),)
    cooldown: timedelta = timedelta(minutes=15)
    per_rule: tuple[Rate, ...] = (Rate(10, timedelta(hours=1)),)
    in_flight: int = 2
    blast_radius: Radius = field(default_factory=Radius)


@dataclass(frozen=True, slots=True)
class Touched:
    """Something that a plan touches, as it is now."""

    touch: Touch
    facts: Facts


def touched(plan: Plan | None, facts: Facts, others: Mapping[str, Facts]) -> tuple[Touched, ...]:
    """Everything that a plan touches, the target first.

    `others` are the facts of the rest, by key.
    """
    touches = plan.touches if plan is not None else ()
    if not any(touch.target.key == facts.target.key for touch in touches):
        touches = (Touch(facts.target, facts.root), *touches)
    known = {**others, facts.target.key: facts}
    return tuple(Touched(touch, known[touch.target.key]) for touch in touches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """One remediation at one moment, before it is looked at.

    No field has a default: what is forgotten is a type error.

    `group` is the rule's group in its cluster and `namespaces` where it may act. `root` is the
    target until the climb has found it.
    """

    now: datetime
    remediation: str
    rule: str
    action: str
    mode: str
    target: Target
    root: Target
    episodes: tuple[Episode, ...]
    limits: RuleLimits
    process: ProcessLimits
    started_at: datetime
    pauses: tuple[Pause, ...]
    max_age: timedelta
    pending: timedelta
    lifted: frozenset[str]
    owners: Mapping[str, str]
    own_namespace: str
    approved_digest: str
    priority: int
    active: tuple[Named, ...]
    mute: tuple[Named, ...]
    opt_in: bool
    group: str
    namespaces: tuple[str, ...]

    @property
    def objects(self) -> tuple[Target, ...]:
        """Everything that is acted upon."""
        return (self.target, self.root)

    def undoing(self, *, facts: Facts, outside: tuple[Target, ...]) -> "Undoing":
        """The same, once what is to be taken back was looked at."""
        own = _fields(self) | {"target": facts.target, "root": facts.root}
        return Undoing(**own, facts=facts, outside=outside)

    def planned(
        self,
        *,
        facts: Facts,
        plan: Plan | None,
        action: str,
        mode: str,
        approved_digest: str,
        touched: tuple[Touched, ...],
        outside: tuple[Target, ...],
        activity: Activity,
        inhibitor: str | Unknown | None,
        unmet: tuple[tuple[str, Unknown | None], ...],
        step_attempts: tuple[Rate, ...],
        workloads: int | None,
        storm_exempt: bool,
    ) -> "Situation":
        """The same, once the target was looked at and a step of the ladder chosen."""
        own = _fields(self) | {"target": facts.target, "root": facts.root}
        own |= {"action": action, "mode": mode, "approved_digest": approved_digest}
        return Situation(
            **own,
            facts=facts,
            plan=plan,
            touched=touched,
            outside=outside,
            activity=activity,
            inhibitor=inhibitor,
            unmet=unmet,
            step_attempts=step_attempts,
            workloads=workloads,
            storm_exempt=storm_exempt,
        )


def _fields(before: Before) -> dict[str, Any]:
    return {field_.name: getattr(before, field_.name) for field_ in fields(Before)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing(Before):
    """What guards look at before an act is taken back.

    `outside` is what the rule's group may not act on.
    """

    facts: Facts
    outside: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation(Undoing):
    """What guards look at before an act. `plan` is None where no step of the ladder plans.

    `touched` is everything that the plan touches, the target always. `workloads` counts those in
    the namespaces of the scope, None where that is unknown.
    """

    plan: Plan | None
    touched: tuple[Touched, ...]
    activity: Activity
    inhibitor: str | Unknown | None
    unmet: tuple[tuple[str, Unknown | None], ...]
    step_attempts: tuple[Rate, ...]
    workloads: int | None
    storm_exempt: bool

    @property
    def apart(self) -> tuple[Touched, ...]:
        """The target, and what is touched of other workloads.

        An HPA of the target's own goes with it.
        """
        own = self.facts.root.key
        first, *others = self.touched
        return (first, *(item for item in others if item.touch.root.key != own))

    @property
    def objects(self) -> tuple[Target, ...]:
        """Everything that is acted upon."""
        found = [self.target, self.root]
        for item in self.apart:
            found += [item.facts.target, item.facts.root]
        return tuple(dict.fromkeys(found))
