"""What the engine's parts share: ports, loaded rules, and what wakes them."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..guards.situation import ProcessLimits
from ..model.remediation import Remediation
from ..model.verdict import Verdict, strongest
from ..ports import Alertmanager, Clock, Cluster, Looks, Prometheus
from ..ports.journal import Journal
from ..ports.records import Claim
from ..rules.ruleset import LoadedRule, RuleSet
from ..telemetry import Metrics
from .census import Census, Trouble
from .lanes import Lanes
from .news import Named, News

CROWD = 2
LULL = timedelta(milliseconds=100)


class Wake:
    """Wakes every task that waits for news. No news is lost between two checks of a task."""

    def __init__(self) -> None:
        self._events: list[asyncio.Event] = []

    def subscribe(self) -> asyncio.Event:
        """An event of the task's own, which it clears before it checks."""
        self._events.append(asyncio.Event())
        return self._events[-1]

    def set(self) -> None:
        """There is news."""
        for event in self._events:
            event.set()


@dataclass(slots=True)
class Crowd:
    """Whether webhooks arrive faster than one per commit.

    Unpacking waits then, up to the settle time, within which nothing would be done for them anyway.
    So a burst is accepted first.
    """

    since: datetime | None = None
    until: datetime | None = None

    def note(self, together: int, now: datetime) -> None:
        """Some webhooks were committed together."""
        if together < CROWD:
            return
        if self.until is None or now > self.until:
            self.since = now
        self.until = now + LULL

    def defers(self, settle: timedelta, now: datetime) -> bool:
        """Whether unpacking should wait."""
        if self.since is None or self.until is None:
            return False
        # a clock that jumped back defers nothing
        return now <= self.until and timedelta() <= now - self.since < settle


@dataclass(slots=True)
class Doors:
    """The ports and the process's settings.

    `clusters` by name; `watched` shows the same clusters, perhaps as they were a moment ago, for
    what decides nothing for good. `sources` maps a source to its cluster. `arrivals` wakes only
    triage, `wake` everyone. `followers` are receivers that get every step. `link` makes the
    approval link for (remediation, digest, until).
    """

    journal: Journal
    clusters: Mapping[str, Cluster]
    watched: Mapping[str, Looks]
    sources: Mapping[str, str]
    prometheus: Prometheus
    alertmanager: Alertmanager
    clock: Clock
    metrics: Metrics
    rules: RuleSet
    limits: ProcessLimits
    started_at: datetime
    settle: timedelta = timedelta(seconds=10)
    quiet_for: timedelta | None = None
    own_namespace: str = ""
    watchdog: str = "Watchdog"
    followers: tuple[str, ...] = ()
    link: Callable[[str, str, datetime], str] | None = None
    wake: Wake = field(default_factory=Wake)
    arrivals: asyncio.Event = field(init=False)
    crowd: Crowd = field(default_factory=Crowd)
    census: Census = field(init=False)
    trouble: Trouble = field(init=False)
    news: News = field(default_factory=News)
    lanes: Lanes = field(default_factory=Lanes)

    def __post_init__(self) -> None:
        self.arrivals = self.wake.subscribe()
        self.census = Census(self.clusters)
        self.trouble = Trouble(self.journal)

    def tell(self, names: Iterable[Named]) -> None:
        """Something happened to objects."""
        self.news.tell(names)

    @property
    def only_live(self) -> bool:
        """Whether everything is always seen as it is now."""
        return self.watched is self.clusters

    def looks(self, live: bool) -> Mapping[str, Looks]:
        """The clusters by name, as they are now or as they were seen."""
        return self.clusters if live else self.watched

    def cluster_of(self, source: str) -> str:
        """The cluster that a source's alerts are about."""
        return self.sources.get(source, "default")

    def rule_of(self, claim: Claim) -> LoadedRule | None:
        """Its rule as it is loaded now, with the overrides of the alert that it was created for.
        Alerts that joined later may have others.
        """
        remediation, first = claim.remediation, next(iter(claim.episodes), None)
        given = (one for one in claim.episodes if one.id == remediation.created_for)
        own = next(given, first)
        return self.rules.find(remediation.rule, own.alert if own else None)

    def count_verdicts(self, remediation: Remediation, verdicts: list[Verdict]) -> Verdict:
        """Counts verdicts other than allow, if they are new. Returns the strongest."""
        decisive = strongest(verdicts)
        if decisive.reason != remediation.reason:
            for verdict in verdicts:
                if verdict.reason is not None:
                    labels = (remediation.rule, verdict.guard, verdict.decision, verdict.reason)
                    self.metrics.count("verdicts_total", *labels)
        return decisive

    def longest_window(self) -> timedelta:
        """How far back charges count for any limit."""
        windows = [self.limits.longest]
        for rule in (source.rule for source in self.rules.sources):
            rates = [*rule.limits.attempts, *rule.limits.per_rule]
            for step in rule.steps:
                rates += step.limits.attempts
            windows += [rate.window for rate in rates]
        return max(windows)
