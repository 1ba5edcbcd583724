"""Tells people of remediations that take too long, and, once all is quiet, that it is over."""

from datetime import datetime, timedelta

from ...model.remediation import Remediation, State
from ...model.verdict import Reason
from ...ports.records import RemediationRecord
from ..doors import Doors
from ..messages import message, story, to_all

AT_ONCE = 20
ASK_AGAIN = timedelta(minutes=1)


async def escalate(doors: Doors, now: datetime) -> None:
    """Tells of what takes too long; a converged attempt within its time is waited for."""
    for remediation in await doors.journal.escalations(now):
        known = await doors.journal.known(remediation.id)
        if known is not None:
            await _escalate(doors, known, now)


async def _escalate(doors: Doors, known: RemediationRecord, now: datetime) -> None:
    remediation = known.claim.remediation
    if remediation.mode == "observe":
        await doors.journal.escalated(remediation.id, (), None, now)
        return
    later = _within_verification(known, now)
    if later is None and await _spoken_for(doors, known):
        later = now + ASK_AGAIN
    because = f" ({remediation.why})" if remediation.why else ""
    why = f"not healed yet: {remediation.state}{because}"
    reason, told = remediation.reason or "", story(known.history)
    body = message(remediation, remediation.state, reason, why, story=told)
    receivers = known.claim.rule.escalate.to
    await doors.journal.escalated(remediation.id, to_all(receivers, body), later, now)
    if later is None:
        doors.metrics.count("escalations_total", remediation.rule, remediation.reason or "none")


async def _spoken_for(doors: Doors, known: RemediationRecord) -> bool:
    """Whether a storm's message speaks for it.

    What it did itself, and what others than the storm keep it from, it tells itself.
    """
    remediation = known.claim.remediation
    if known.claim.attempts or remediation.reason is not Reason.STORM:
        return False
    told = await _told_of_storm(doors, remediation)
    return set(known.claim.rule.escalate.to) <= told


async def _told_of_storm(doors: Doors, remediation: Remediation) -> set[str]:
    """Who was told of the storm that is on where a remediation belongs."""
    loaded = doors.rules.find(remediation.rule)
    scope = loaded.scope_of(remediation.target.cluster) if loaded else ""
    told: set[str] = set()
    for storm in await doors.journal.storms():
        if storm.scope == scope:
            told.update(storm.told)
    return told


def _within_verification(known: RemediationRecord, now: datetime) -> datetime | None:
    """Until when its last act may still be proved, where that is yet to come."""
    attempts = known.claim.attempts
    if known.claim.remediation.state is not State.VERIFYING or not attempts:
        return None
    converged_at = attempts[-1].converged_at
    if converged_at is None:
        return None
    ends = converged_at + attempts[-1].times.resolved_within
    return ends if ends > now else None


async def close(doors: Doors, now: datetime) -> None:
    """Says that it is over, to all who were told of trouble, once the
    remediation has ended and its alerts have resolved.
    """
    for remediation, receivers in await doors.journal.quieted(AT_ONCE):
        reason, why = remediation.reason or "", "the alerts have resolved"
        body = message(remediation, remediation.state, reason, why, closed=True)
        await doors.journal.told_quiet(remediation.id, to_all(receivers, body), now)
