"""Triage: from stored webhooks to episodes, and from pending episodes to remediations.

It knows only labels, and asks Alertmanager about late deliveries.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ...alertmanager.payload import BadPayload, alerts_of, decode
from ...errors import AlreadyUnpacked
from ...model.alert import Activity, Episode, Fate
from ...model.verdict import Reason
from ...ports.records import Body, Delivery, Triaged, Wanted
from ...rules.ruleset import Match
from ...telemetry import log, severity_of
from ..doors import Doors

BATCH = 500
BODIES = 100
ASK_AGAIN = timedelta(seconds=30)


async def unpack(doors: Doors, now: datetime) -> None:
    """Makes episodes of the stored webhooks, some at a time and in order, and decides those
    immediately.
    """
    while not doors.crowd.defers(doors.settle, doors.clock.now()):
        bodies = await doors.journal.inbox(BODIES)
        if not bodies:
            return
        try:
            received = await doors.journal.receive(await _deliveries(doors, bodies))
        except AlreadyUnpacked:
            return
        await _decide(doors, received, now)


async def pending(doors: Doors, now: datetime) -> None:
    """Decides the episodes that are due again: checked with Alertmanager, revived, or left by a
    predecessor.
    """
    while not doors.crowd.defers(doors.settle, doors.clock.now()):
        batch = await doors.journal.pending(now, BATCH)
        if not batch:
            return
        await _decide(doors, batch, now)


async def _decide(doors: Doors, batch: Sequence[Episode], now: datetime) -> None:
    """Decides some episodes and stores the decisions together."""
    rules = doors.rules
    decided = [await decide(doors, episode, now) for episode in batch]
    if decided:
        await doors.journal.triaged(decided, now)
    # swapped meanwhile: what was just written by the old ones is asked of the new ones
    if doors.rules is not rules:
        await doors.journal.reloaded(doors.rules.digest, now)
    for item in decided:
        _tell(doors, item)
    if any(item.wanted for item in decided):
        doors.wake.set()


def _tell(doors: Doors, item: Triaged) -> None:
    """The metrics and the log line of one episode."""
    alert, metrics = item.episode.alert, doors.metrics
    metrics.count("episodes_total", item.fate, severity_of(alert.labels.get("severity")))
    if item.episode.deliveries == 1:
        metrics.observe(
            "alert_delivery_delay_seconds",
            max(0.0, (item.episode.confirmed_at - alert.starts_at).total_seconds()),
        )
    reason = item.reason or ("matched" if item.wanted else "")
    log().info(
        "alert_triaged",
        alertname=alert.name,
        fingerprint=item.episode.fingerprint,
        fate=item.fate,
        reason=reason,
    )


async def _deliveries(doors: Doors, bodies: Sequence[Body]) -> list[Delivery]:
    """The first ones, up to about `BATCH` alerts. What cannot be read is put aside."""
    deliveries: list[Delivery] = []
    count = 0
    for body in bodies:
        try:
            alerts = alerts_of(decode(body.body))
        except BadPayload as error:  # an older version took it
            await doors.journal.unreadable(body.id, str(error))
            log().error("webhook_unreadable", source=body.source, body=body.id, why=str(error))
            continue
        deliveries.append(Delivery(body.source, alerts, body.received_at, body.id))
        count += len(alerts)
        if count >= BATCH:
            break
    return deliveries


async def decide(doors: Doors, episode: Episode, now: datetime) -> Triaged:
    """One episode's fate."""
    rules = doors.rules
    undecided = await _late(doors, episode, now) if episode.reopened else None
    if undecided is not None:
        return undecided
    matches, reason = rules.match(episode.alert, doors.cluster_of(episode.source))
    if not matches:
        return Triaged(episode, Fate.UNMATCHED, reason, rules.digest)
    wanted = tuple(_wanted(doors, episode, match) for match in matches)
    return Triaged(episode, Fate.ATTACHED, None, rules.digest, wanted)


async def _late(doors: Doors, episode: Episode, now: datetime) -> Triaged | None:
    """The fate of what may be a late delivery of an alert that has ended; None if it fires."""
    alertmanager, digest = doors.alertmanager, doors.rules.digest
    activity = await alertmanager.activity(episode.source, episode.alert, episode.last_seen)
    if activity is Activity.UNKNOWN:
        again = now + ASK_AGAIN
        return Triaged(episode, Fate.PENDING, Reason.UNKNOWN_FACT, digest, again_at=again)
    if activity is Activity.NOT_LISTED:
        return Triaged(episode, Fate.STALE, Reason.STALE_ALERT, digest)
    return None


def _wanted(doors: Doors, episode: Episode, match: Match) -> Wanted:
    settled_at = episode.confirmed_at + doors.settle
    return Wanted(match.rule, match.loaded.digest, match.target, settled_at)
