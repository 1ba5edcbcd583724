"""What Prometheus and Alertmanager say about a remediation's alerts and its rule's queries."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product

from ...model.alert import Activity, Episode
from ...model.facts import Facts, Unknown
from ...rules import templates
from ...rules.lookback import resolved_within
from ...rules.schema import Rule
from ...rules.sections import Unless
from ..doors import Doors

Labels = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Outside:
    """What they said, and when the last of them was asked."""

    unmet: tuple[tuple[str, Unknown | None], ...]
    inhibitor: str | Unknown | None
    activity: Activity
    asked_at: datetime


async def ask(doors: Doors, rule: Rule, episodes: tuple[Episode, ...], facts: Facts) -> Outside:
    """Asks them. Whether the alerts are still active is asked last, since that ages fastest."""
    queries = await unmet(doors, rule.when, episodes, facts)
    inhibiting = await inhibitor(doors, rule, episodes)
    asked_at = doors.clock.now()
    return Outside(queries, inhibiting, await activity(doors, episodes), asked_at)


async def activity(doors: Doors, episodes: tuple[Episode, ...]) -> Activity:
    """ACTIVE if any open episode is active and none is muted; else the most doubtful."""
    found = await asyncio.gather(
        *(doors.alertmanager.activity(e.source, e.alert, e.last_seen) for e in episodes if e.open)
    )
    for answer in (Activity.SILENCED, Activity.INHIBITED, Activity.UNKNOWN, Activity.ACTIVE):
        if answer in found:
            return answer
    return Activity.NOT_LISTED


async def inhibitor(
    doors: Doors, rule: Rule, episodes: tuple[Episode, ...]
) -> str | Unknown | None:
    """The firing alert that an `unless` entry matches, if any."""
    if not rule.unless:
        return None
    for source in sorted({episode.source for episode in episodes}):
        firing = await doors.alertmanager.firing(source)
        if isinstance(firing, Unknown):
            return firing
        own = [episode.alert.labels for episode in episodes if episode.source == source]
        found = _inhibiting(rule.unless, firing, own)
        if found is not None:
            return found.get("alertname", "an alert named in `unless`")
    return None


def _inhibiting(entries: Sequence[Unless], firing: Labels, own: Labels) -> Mapping[str, str] | None:
    """The first of the firing alerts (their labels) that an entry matches."""
    for entry, labels in product(entries, firing):
        if _inhibits(entry, labels, own):
            return labels
    return None


def _inhibits(entry: Unless, labels: Mapping[str, str], own: Labels) -> bool:
    """Whether a firing alert matches, and has equal values for the labels in `equal`."""
    if not all(matcher.matches(labels) for matcher in entry.match):
        return False
    wanted = [labels.get(key, "") for key in entry.equal]
    return any(wanted == [mine.get(key, "") for key in entry.equal] for mine in own)


async def unmet(
    doors: Doors, queries: tuple[str, ...], episodes: tuple[Episode, ...], facts: Facts
) -> tuple[tuple[str, Unknown | None], ...]:
    """The queries that return nothing (None) or cannot be run."""
    out: list[tuple[str, Unknown | None]] = []
    labels = episodes[0].alert.labels if episodes else {}
    for text in queries:
        try:
            query = templates.render(text, labels, facts.target, facts.root, promql=True)
        except templates.AbsentLabel as error:
            return ((text, Unknown(str(error))),)
        answer = await doors.prometheus.holds(query)
        if isinstance(answer, Unknown):  # it holds, whatever the others say: they are not asked
            return ((query, answer),)
        if not answer:
            out.append((query, None))
    return tuple(out)


async def began(doors: Doors, episodes: tuple[Episode, ...]) -> datetime | None:
    """When the trouble started: the earliest start of the firing alerts, minus the `for` of their
    rule.
    """
    starts = []
    for episode in (e for e in episodes if e.open):
        found = await doors.prometheus.alerting_rule(episode.alert.name)
        waited = float(found.get("duration") or 0) if isinstance(found, Mapping) else 0.0
        starts.append(episode.alert.starts_at - timedelta(seconds=waited))
    return min(starts, default=None)


async def proof_within(doors: Doors, episodes: tuple[Episode, ...]) -> timedelta:
    """How long the alerts may keep firing after a perfect repair; the longest of all alerts."""
    found = []
    for alert in {episode.alert.name: episode.alert for episode in episodes}.values():
        rule = await doors.prometheus.alerting_rule(alert.name)
        known = None if isinstance(rule, Unknown) else rule
        found.append(resolved_within(known, alert.generator_url))
    return max(found)
