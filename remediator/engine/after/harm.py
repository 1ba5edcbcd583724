"""Harm that the facts of an action do not show: a new critical alert on the same workload."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from ...kinds import POD
from ...model.alert import Alert, Episode
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
            if hurt is not None and await _troubled_since(doors, alert) > since:
                return f"critical alert {alert.name} started firing on {hurt} after the change"
    return ""


async def _troubled_since(doors: Doors, alert: Alert) -> datetime:
    """When its expression became true: it fired after its rule's `for`, if that is known."""
    rule = await doors.prometheus.alerting_rule(alert.name)
    waited = float(rule.get("duration") or 0) if isinstance(rule, Mapping) else 0.0
    return alert.starts_at - timedelta(seconds=waited)


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
    if not isinstance(named, Target) or named.cluster != remediation.target.cluster:
        return None
    pods = {str(meta(pod).get("name")) for pod in pods_of(facts)}
    its_pod = named.kind == POD.name and named.name in pods
    here = its_pod and named.namespace == remediation.target.namespace
    if here or named.key == remediation.root_key:
        return remediation.target
    return next((target for target in touched if _is_about(named, target)), None)


def _is_about(named: Target, target: Target) -> bool:
    """Whether the named object is the target, or by its name one of its pods."""
    if named.namespace != target.namespace:
        return False
    pod_of_it = named.kind == POD.name and workload_name(named.kind, named.name) == target.name
    return named.key == target.key or pod_of_it
