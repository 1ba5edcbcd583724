"""Metrics that are read from time to time rather than counted as things happen."""

import asyncio
import math
from datetime import datetime

from ...guards import limits
from ...model.alert import Fate
from ...model.remediation import LIVE, Outcome, State
from ...rules.schema import Rule
from ...telemetry import Metrics
from ..doors import Doors

LAG = 0.05


def announce(doors: Doors) -> None:
    """Metrics of the loaded rules, with the series of every rule at 0."""
    metrics, sources = doors.metrics, doors.rules.sources
    if not doors.watchdog:
        # none is expected, so none is late
        metrics.set("watchdog_last_seen_timestamp_seconds", math.inf)
    for mode in ("observe", "approve", "act"):
        metrics.set("rules_loaded", sum(source.rule.mode == mode for source in sources), mode)
    metrics.set("config_last_reload_successful", 1)
    metrics.set("config_last_reload_success_timestamp_seconds", doors.clock.now().timestamp())
    for source in sources:
        _zeros(metrics, source.rule)


def _zeros(metrics: Metrics, rule: Rule) -> None:
    """Counters of what a rule has not done yet, so that `increase` sees the first time."""
    for state in sorted(set(State) - LIVE):
        metrics.zero("remediations_total", rule.name, rule.mode, state)
    for action in sorted({step.action for step in rule.steps}):
        for outcome in Outcome:
            metrics.zero("attempts_total", rule.name, action, outcome)


async def read(doors: Doors, since: datetime, now: datetime) -> None:
    """Sets every gauge, and counts the alerts that ended since the last time."""
    metrics, journal = doors.metrics, doors.journal
    counts = await journal.counts()
    for state in LIVE:
        metrics.set("remediations_in_progress", counts["remediations"].get(state, 0), state)
    for fate in (Fate.PENDING, Fate.UNMATCHED, Fate.ATTACHED):
        metrics.set("episodes_open", counts["episodes"].get(fate, 0), fate)
    paused = {pause.scope.split(":")[0] for pause in await journal.pauses() if pause.lasts(now)}
    for scope in ("all", "cluster", "namespace", "rule"):
        metrics.set("paused", int(scope in paused), scope)
    due = await journal.next_due()
    metrics.set("oldest_due_seconds", max(0.0, (now - due).total_seconds()) if due else 0.0)
    oldest = await journal.oldest_message()
    metrics.set(
        "outbox_oldest_age_seconds", max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    )
    metrics.set("journal_bytes", journal.size())
    for rule, remediated, seconds in await journal.resolutions(since, now):
        metrics.observe("alert_resolution_seconds", seconds, rule, str(remediated).lower())
    charges = await journal.charges(now - doors.longest_window())
    per_rule = {source.rule.name: source.rule.limits.per_rule for source in doors.rules.sources}
    for scope, ratio in limits.fullest(doors.limits, per_rule, charges, now).items():
        metrics.set("limit_usage_ratio", ratio, scope)
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(LAG)
    metrics.set(
        "event_loop_lag_seconds", max(0.0, asyncio.get_running_loop().time() - started - LAG)
    )
