"""What the engine's parts share: the ports, the rules that are loaded now, and what wakes them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..guards.situation import ProcessLimits
from ..journal_port import Journal
from ..model.verdict import Verdict, strongest
from ..ports import Alertmanager, Clock, Cluster, Prometheus
from ..rules.ruleset import RuleSet
from ..telemetry import Metrics


@dataclass(slots=True)
class Doors:
    """The ports and the process' own settings. `clusters` by name; `sources` says which cluster a source speaks of."""

    journal: Journal
    clusters: Mapping[str, Cluster]
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
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def cluster_of(self, source: str) -> str:
        """The cluster that a source's alerts are about."""
        return self.sources.get(source, "default")

    def count_verdicts(self, rule: str, verdicts: list[Verdict]) -> Verdict:
        """Counts what was not allowed; answers the strongest."""
        for verdict in verdicts:
            if verdict.reason is not None:
                self.metrics.count("verdicts_total", rule, verdict.guard, verdict.decision, verdict.reason)
        return strongest(verdicts)


def as_json(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as they are stored and shown."""
    return [{"guard": v.guard, "verdict": v.decision, "reason": v.reason, "why": v.why} for v in verdicts]
