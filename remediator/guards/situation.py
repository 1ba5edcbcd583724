"""Everything that guards may look at: gathered by the engine, once, before they are asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..model.alert import Activity, Episode
from ..model.facts import Facts, Unknown
from ..model.interval import Named
from ..model.limit import Breaker, Radius, Storm
from ..model.plan import Plan
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
    storm: Storm = field(default_factory=Storm)
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def longest(self) -> timedelta:
        """How far back charges must be read for these."""
        return max((r.window for r in (*self.root, *self.action, *self.namespace, *self.everything)), default=timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """One rule's limits."""

    attempts: tuple[Rate, ...] = (Rate(3, timedelta(hours=6)),)
    cooldown: timedelta = timedelta(minutes=15)
    per_rule: tuple[Rate, ...] = (Rate(10, timedelta(hours=1)),)
    in_flight: int = 2
    blast_radius: Radius = field(default_factory=Radius)


@dataclass(frozen=True, slots=True)
class Pause:
    """A scope that somebody paused: `all`, `cluster:X`, `namespace:X` or `rule:X`."""

    scope: str
    reason: str
    author: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Situation:
    """One remediation at one moment. `facts` and `plan` are None in the first pass.

    `scope` is the rule's group and `namespaces` where it may act; `workloads` counts those there, None where that is unknown.
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
    pauses: tuple[Pause, ...] = ()
    max_age: timedelta = timedelta(hours=1)
    pending: timedelta = timedelta()
    activity: Activity = Activity.UNKNOWN
    inhibitor: str | Unknown | None = None
    unmet: tuple[tuple[str, Unknown | None], ...] = ()
    in_scope: bool = True
    lifted: frozenset[str] = field(default=frozenset())
    owners: Mapping[str, str] = field(default_factory=dict)
    own_namespace: str = ""
    approved_digest: str = ""
    step_attempts: tuple[Rate, ...] = ()
    priority: int = 0
    active: tuple[Named, ...] = ()
    mute: tuple[Named, ...] = ()
    opt_in: bool = False
    scope: str = ""
    namespaces: tuple[str, ...] = ()
    workloads: int | None = None
    storm_exempt: bool = False
    facts: Facts | None = None
    plan: Plan | None = None
