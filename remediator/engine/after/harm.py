"""Harm that the facts of an action do not show: a new critical alert on the same workload."""

from collections.abc import Mapping
from datetime import timedelta

from ...kinds import POD
from ...model.alert import Episode
from ...model.facts import Facts
from ...model.raw import meta
from ...model.target import Target, workload_name
from ...ports.records import Claim
from ...rules.targets import resolve
from ...sights.pods import pods_of
from ..doors import Doors

LOOKED_AT = 200


async def by(doors: Doors, claim: Claim, facts: Facts) -> str:
    """The alert in words; empty if there is none. An alert whose trouble started before the action
    (by its `for`) does not count.
    """
    attempt = claim.attempts[-1]
    since, touched = attempt.done_at, _touched(claim)
    known = {episode.alert.name for episode in claim.episodes}
    for namespace in sorted({target.namespace for target in touched}):
        for episode in await doors.journal.began(since, namespace, LOOKED_AT):
            alert = episode.alert
            if alert.labels.get("severity") != "critical" or alert.name in known:
                continue
            hurt = _hurt(doors, episode, claim, facts, touched=touched)
            if hurt is None:
                continue
            rule = await doors.prometheus.alerting_rule(alert.name)
            waited = float(rule.get("duration") or 0) if isinstance(rule, Mapping) else 0.0
            if alert.starts_at - timedelta(seconds=waited) > since:
                return f"critical alert {alert.name} started firing on {hurt} after the change"
    return ""


def _touched(claim: Claim) -> list[Target]:
    """What was acted on, and every workload that loses pods by it."""
    losing = [touch.target for touch in claim.attempts[-1].plan.touches if touch.takes]
    return [claim.remediation.target, *losing]


def _hurt(
    doors: Doors, episode: Episode, claim: Claim, facts: Facts, *, touched: list[Target]
) -> Target | None:
    """The touched object that the alert is about: itself, its owner, or one of its pods."""
    remediation = claim.remediation
    named = resolve(episode.alert.labels, doors.cluster_of(episode.source))
    if not isinstance(named, Target):
        return None
    pods = {str(meta(pod).get("name")) for pod in pods_of(facts)}
    same_place = named.namespace == remediation.target.namespace
    if named.key == remediation.root_key or (
        same_place and named.kind == POD.name and named.name in pods
    ):
        return remediation.target
    workload = workload_name(named.kind, named.name)
    for target in touched:
        is_pod_of_it = named.kind == POD.name and workload == target.name
        if named.namespace == target.namespace and (named.key == target.key or is_pod_of_it):
            return target
    return None
