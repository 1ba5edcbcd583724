"""Restores temporary changes once the alert has been quiet for long enough."""

from datetime import datetime, timedelta

from ...ports.records import Owed
from ...telemetry import log
from ..doors import Doors

AT_ONCE = 20
LATEST = timedelta(minutes=5)


async def run(doors: Doors, now: datetime) -> None:
    """Starts the undos that are due; postpones them if the alert is firing."""
    for owed in await doors.journal.restorations(now, AT_ONCE):
        again = await _quiet_at(doors, owed, now)
        if again is None or again > now:
            await doors.journal.restore_later(owed.attempt.id, again)
        else:
            await _start(doors, owed, now)


async def _start(doors: Doors, owed: Owed, now: datetime) -> None:
    """Creates the undo; tries again later where that is refused."""
    remediation, attempt = owed.remediation, owed.attempt
    refused = await doors.journal.undo(remediation.id, attempt.id, "timed", now)
    if refused:
        await doors.journal.restore_later(attempt.id, now + LATEST)
        return
    log().info(
        "undo_created",
        remediation_id=remediation.id,
        rule=remediation.rule,
        action=attempt.action,
    )
    doors.wake.set()


async def _quiet_at(doors: Doors, owed: Owed, now: datetime) -> datetime | None:
    """When the rule's alerts will have been quiet for long enough; None if a later act owes it."""
    past = await doors.journal.past(owed.remediation.rule, owed.remediation.target.key)
    attempt = owed.attempt
    later = [act for act in past.acts if act.owed and act.begun_at > attempt.begun_at]
    if any(act.action == attempt.action for act in later):
        return None
    after = attempt.times.restore_after or timedelta()
    ends = [ended for _, ended in past.firing]
    if None in ends:
        return now + min(after, LATEST)
    last = max((ended for ended in ends if ended), default=now - after)
    return max(last, owed.remediation.ended_at or last) + after
