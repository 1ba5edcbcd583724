"""Whether an act did harm that its own facts do not show: a new critical alert on the same root."""

from collections.abc import Mapping
from datetime import timedelta

from ..journal_port import Claim
from ..model.alert import Episode
from ..model.facts import Facts
from ..model.raw import meta
from ..model.target import Target
from ..rules.targets import resolve
from ..sights.pods import pods_of
from .doors import Doors

LOOKED_AT = 200


async def by(doors: Doors, claim: Claim, facts: Facts) -> str:
    """The alert in words, or nothing. One whose trouble had begun before the act (its `for` is older) does not count."""
    attempt, remediation = claim.attempts[-1], claim.remediation
    since = attempt.done_at
    known = {episode.alert.name for episode in claim.episodes}
    for episode in await doors.journal.began(since, remediation.target.namespace, LOOKED_AT):
        alert = episode.alert
        if (
            alert.labels.get("severity") != "critical"
            or alert.name in known
            or not _same_root(doors, episode, claim, facts)
        ):
            continue
        rule = await doors.prometheus.alerting_rule(alert.name)
        waited = float(rule.get("duration") or 0) if isinstance(rule, Mapping) else 0.0
        if alert.starts_at - timedelta(seconds=waited) > since:
            return f"the critical alert {alert.name} began to fire on {remediation.target} after the act"
    return ""


def _same_root(doors: Doors, episode: Episode, claim: Claim, facts: Facts) -> bool:
    """Whether the alert is about what was acted upon, what owns it, or one of its pods."""
    remediation = claim.remediation
    target = resolve(episode.alert.labels, doors.cluster_of(episode.source))
    if not isinstance(target, Target) or target.namespace != remediation.target.namespace:
        return False
    pods = {str(meta(pod).get("name")) for pod in pods_of(facts)}
    return target.key in (remediation.target.key, remediation.root_key) or (
        target.kind == "Pod" and target.name in pods
    )
