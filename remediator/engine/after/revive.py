"""Sends alerts that keep firing after their remediation ended back to triage.

The alerts of an expired remediation go back once its last reason has cleared. Those of any other
end go back only if someone changed the pod template, an operator says retry, or, after observing or
being blocked, the rules change.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ...model.facts import Facts
from ...model.remediation import Remediation, State
from ...model.sight import Sight
from ...model.verdict import REASONS, Decision, Reason
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ...telemetry import log
from ..decide.assess import assess
from ..doors import Doors
from ..see.observe import observe, template_now
from . import absent

SOONEST, LATEST = timedelta(minutes=1), timedelta(minutes=5)
AT_ONCE = 20


async def run(doors: Doors, now: datetime) -> None:
    """Checks ended remediations whose alerts still fire, the most overdue first, some at a time."""
    for ended in await doors.journal.revivals(now, AT_ONCE):
        remediation = ended.remediation
        if not any(episode.open for episode in ended.episodes):
            await doors.journal.revive_later(remediation.id, remediation.ended_template, None)
            continue
        resolved_unheard = await absent.close(doors, ended.episodes, now)
        if not resolved_unheard:
            await _revive(doors, ended, now)


async def _revive(doors: Doors, ended: Claim, now: datetime) -> None:
    """Sends its alerts back to triage if something has changed, else looks again later."""
    remediation = ended.remediation
    loaded = doors.rule_of(ended)
    why, template = await _changed(doors, ended, loaded, now)
    if not why:
        age = now - (remediation.ended_at or now)
        later = now + min(LATEST, max(SOONEST, age / 10))
        await doors.journal.revive_later(remediation.id, template, later)
        return
    log().info("alerts_revived", remediation_id=remediation.id, rule=remediation.rule, why=why)
    await doors.journal.revive(remediation.id, now)
    doors.wake.set()


async def _changed(
    doors: Doors, ended: Claim, loaded: LoadedRule | None, now: datetime
) -> tuple[str, str]:
    """Why its alerts go back to triage (empty: they do not), and the pod template now."""
    remediation = ended.remediation
    expired = remediation.state is State.EXPIRED and _clears(remediation.reason)
    if expired and (loaded is None or loaded.digest != remediation.rule_digest):
        return "its rule changed", remediation.ended_template
    if loaded is None:
        return "", remediation.ended_template
    sights: frozenset[Sight[Any]] | None = None if expired else frozenset()
    facts = await observe(doors, remediation, loaded, now, sights=sights, live=True)
    if not isinstance(facts.object, Mapping):
        return "", remediation.ended_template
    template = template_now(facts)
    if await _modified(doors, remediation, template):
        return "the target was modified by someone else", template
    if expired and not await _still(doors, ended, loaded, facts, now=now):
        return f"{remediation.reason} has cleared", template
    return "", remediation.ended_template or template


def _clears(reason: Reason | None) -> bool:
    """Whether what it expired with can pass by itself."""
    return reason is None or REASONS[reason].clears


async def _modified(doors: Doors, remediation: Remediation, template: str) -> bool:
    """Whether the target has a template that it did not have at the end, nor from us."""
    before = remediation.ended_template
    if not before or template == before:
        return False
    return template not in await _left(doors, remediation)


async def _left(doors: Doors, remediation: Remediation) -> set[str]:
    """The pod templates that our attempts left on the target."""
    return {
        act.left
        for act in (await doors.journal.past(remediation.rule, remediation.target.key)).acts
    }


async def _still(
    doors: Doors, ended: Claim, loaded: LoadedRule, facts: Facts, *, now: datetime
) -> bool:
    """Whether the reason that it expired with still applies."""
    fresh = replace(ended.remediation, rung=0, approved_digest="")
    seen = await assess(doors, fresh, ended.episodes, loaded, facts=facts, now=now, live=True)
    return any(
        v.reason == ended.remediation.reason and v.decision is not Decision.ALLOW
        for v in seen.verdicts
    )
