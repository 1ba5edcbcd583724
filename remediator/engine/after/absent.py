"""Alerts whose end is never delivered: silenced when they resolve, or forgotten by Alertmanager.

An open episode that settled Alertmanagers no longer list has resolved. All open ones are checked,
some at a time.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from ...model.alert import Activity, Episode
from ...telemetry import log
from ..doors import Doors

AT_ONCE = 200


async def sweep(doors: Doors, after: Episode | None, now: datetime) -> Episode | None:
    """Closes those of the next open episodes that resolved without a delivery. Returns the last one
    checked; None once all were.
    """
    episodes = await doors.journal.still_open(after, AT_ONCE)
    await close(doors, episodes, now)
    return episodes[-1] if len(episodes) == AT_ONCE else None


async def close(doors: Doors, episodes: Sequence[Episode], now: datetime) -> bool:
    """Closes those that resolved without a delivery. Returns whether none of them is still open."""
    still = [item for item in episodes if item.open]
    # one snapshot for all
    asked = [doors.alertmanager.activity(item.source, item.alert, item.last_seen) for item in still]
    found = zip(still, await asyncio.gather(*asked), strict=True)
    gone = [item for item, activity in found if activity is Activity.NOT_LISTED]
    for episode in gone:
        await doors.journal.close_episode(episode, now)
        name = episode.alert.name
        log().info("alert_resolved_unseen", alertname=name, fingerprint=episode.fingerprint)
    return len(gone) == len(still)
