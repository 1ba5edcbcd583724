"""Triage: stored webhooks to episodes, pending episodes to remediations.

It knows only labels, and asks Alertmanager of what came late.
"""

from datetime import datetime, timedelta

from ..journal_port import Delivery, Triaged, Wanted
from ..model.alert import Activity, Episode, Fate
from ..model.verdict import Reason
from ..payload import BadPayload, parse
from ..rules.ruleset import Match
from ..telemetry import log, severity_of
from .doors import Doors

BATCH = 500
BODIES = 100
ASK_AGAIN = timedelta(seconds=30)


async def unpack(doors: Doors) -> None:
    """Makes episodes of the stored webhooks, some at a time, in their order."""
    while not doors.crowd.defers(doors.settle, doors.clock.now()):
        bodies = await doors.journal.inbox(BODIES)
        if not bodies:
            return
        deliveries: list[Delivery] = []
        count = 0
        for body in bodies:
            try:
                alerts, _ = parse(body.body)
            except BadPayload as error:  # an older version took it
                await doors.journal.unreadable(body.id, str(error))
                log().error("webhook_unreadable", source=body.source, body=body.id, why=str(error))
                continue
            deliveries.append(Delivery(body.source, alerts, body.received_at, body.id))
            count += len(alerts)
            if count >= BATCH:
                break
        if deliveries:
            await doors.journal.receive(deliveries)


async def run(doors: Doors, now: datetime) -> int:
    """Decides every pending episode that is due; how many."""
    await unpack(doors)
    total = 0
    while not doors.crowd.defers(doors.settle, doors.clock.now()):
        batch = await doors.journal.pending(now, BATCH)
        if not batch:
            return total
        decided = [await decide(doors, episode, now) for episode in batch]
        await doors.journal.triaged(decided, now)
        for item in decided:
            alert = item.episode.alert
            doors.metrics.count("episodes_total", item.fate, severity_of(alert.labels))
            if item.episode.fate is Fate.PENDING and item.episode.deliveries == 1:
                delay = (item.episode.confirmed_at - alert.starts_at).total_seconds()
                doors.metrics.observe("alert_delivery_delay_seconds", max(0.0, delay))
            reason = item.reason or ("matched" if item.wanted else "")
            log().info(
                "alert_triaged",
                alertname=alert.name,
                fingerprint=item.episode.fingerprint,
                fate=item.fate,
                reason=reason,
            )
        total += len(batch)
    return total


async def decide(doors: Doors, episode: Episode, now: datetime) -> Triaged:
    """One episode's fate."""
    rules = doors.rules
    if episode.reopened:
        activity = await doors.alertmanager.activity(episode.source, episode.alert)
        if activity is Activity.UNKNOWN:
            return Triaged(episode, Fate.PENDING, Reason.UNKNOWN_FACT, rules.digest, again_at=now + ASK_AGAIN)
        if activity is Activity.NOT_LISTED:
            return Triaged(episode, Fate.STALE, Reason.STALE_ALERT, rules.digest)
    matches, reason = rules.match(episode.alert, doors.cluster_of(episode.source))
    if not matches:
        return Triaged(episode, Fate.UNMATCHED, reason, rules.digest)
    return Triaged(episode, Fate.ATTACHED, None, rules.digest, tuple(_wanted(doors, episode, match) for match in matches))


def _wanted(doors: Doors, episode: Episode, match: Match) -> Wanted:
    rule = match.rule
    return Wanted(
        rule=rule.name,
        rule_digest=match.source.digest,
        rule_text=rule.model_dump(mode="json", by_alias=True),
        mode=rule.mode,
        target=match.target,
        escalate_after=rule.escalate.after,
        settled_at=episode.confirmed_at + doors.settle,
    )
