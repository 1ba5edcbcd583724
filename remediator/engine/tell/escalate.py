"""Notifies of remediations that take too long, and of their end."""

from datetime import datetime, timedelta

from ...model.verdict import Reason
from ...ports.records import Overdue
from ..doors import Doors
from ..messages import message, story, to_all

AT_ONCE = 20
ASK_AGAIN = timedelta(minutes=1)


async def escalate(doors: Doors, now: datetime) -> None:
    """Notifies of what takes too long, except a converged attempt that is still within its time."""
    for overdue in await doors.journal.escalations(now):
        await _escalate(doors, overdue, now)


async def _escalate(doors: Doors, overdue: Overdue, now: datetime) -> None:
    remediation = overdue.remediation
    if remediation.mode == "observe":
        await doors.journal.escalated(remediation.id, (), None, now)
        return
    later = await _later(doors, overdue, now)
    because = f" ({remediation.why})" if remediation.why else ""
    why = f"not resolved yet: {remediation.state}{because}"
    reason, told = remediation.reason or "", story(overdue.history)
    body = message(remediation, remediation.state, reason, why, story=told)
    await doors.journal.escalated(remediation.id, to_all(overdue.to, body), later, now)
    if later is None:
        doors.metrics.count("escalations_total", remediation.rule, remediation.reason or "none")


async def _later(doors: Doors, overdue: Overdue, now: datetime) -> datetime | None:
    """When to look again instead of notifying; None if it is time to notify."""
    if overdue.proof_until is not None and overdue.proof_until > now:
        return overdue.proof_until
    return now + ASK_AGAIN if await _spoken_for(doors, overdue) else None


async def _spoken_for(doors: Doors, overdue: Overdue) -> bool:
    """Whether a storm's notification covers it. Its own actions, and other reasons than the storm,
    are its own to report.
    """
    remediation = overdue.remediation
    if overdue.attempted or remediation.reason is not Reason.STORM:
        return False
    loaded = doors.rules.find(remediation.rule)
    group = loaded.group_in(remediation.target.cluster) if loaded else ""
    told: set[str] = set()
    for storm in await doors.journal.storms():
        if storm.group == group:
            told.update(storm.told)
    return set(overdue.to) <= told


async def close(doors: Doors, now: datetime) -> None:
    """Notifies everyone who was notified of trouble that it is over: it has ended, and its alerts
    have resolved.
    """
    for remediation, receivers in await doors.journal.quieted(AT_ONCE):
        reason, why = remediation.reason or "", "the alerts have resolved"
        body = message(remediation, remediation.state, reason, why, closed=True)
        await doors.journal.told_quiet(remediation.id, to_all(receivers, body), now)
