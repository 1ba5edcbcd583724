"""Alerts whose end nobody delivers: one that is silenced when it resolves, or whose Alertmanager forgot it.

An open episode that settled Alertmanagers no longer list has resolved. All open ones are gone through, some at a time.
"""

from collections.abc import Sequence
from datetime import datetime

from ..model.alert import Activity, Episode
from ..telemetry import log
from .doors import Doors

AT_ONCE = 200


async def sweep(doors: Doors, after: Episode | None, now: datetime) -> Episode | None:
    """Closes those of the next open episodes that resolved unseen; the last one looked at, None once all were."""
    episodes = await doors.journal.still_open(after, AT_ONCE)
    await close(doors, episodes, now)
    return episodes[-1] if len(episodes) == AT_ONCE else None


async def close(doors: Doors, episodes: Sequence[Episode], now: datetime) -> bool:
    """Closes those that resolved unseen; whether none of them is open any more."""
    left = 0
    for episode in (item for item in episodes if item.open):
        if await doors.alertmanager.activity(episode.source, episode.alert, episode.last_seen) is Activity.NOT_LISTED:
            await doors.journal.close_episode(episode, now)
            log().info("alert_resolved_unseen", alertname=episode.alert.name, fingerprint=episode.fingerprint)
        else:
            left += 1
    return left == 0
