"""Sends alerts that keep firing after their remediation ended back to triage.

The alerts of an expired remediation go back once its last reason has cleared. Those of any other
end go back only if someone changed the pod template, an operator says retry, or, after observing or
being blocked, the rules change.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from ...model.facts import Facts
from ...model.remediation import Remediation, State
from ...model.verdict import REASONS, Decision
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
        if await absent.close(
            doors, ended.episodes, now
        ):  # they resolved, though nobody delivered it
            continue
        loaded = doors.rules.find(remediation.rule, ended.episodes[0].alert)
        why, template = await _changed(doors, ended, loaded, now)
        if why:
            log().info(
                "alerts_revived", remediation_id=remediation.id, rule=remediation.rule, why=why
            )
            await doors.journal.revive(remediation.id, now)
            doors.wake.set()
        else:
            age = now - (remediation.ended_at or now)
            await doors.journal.revive_later(
                remediation.id, template, now + min(LATEST, max(SOONEST, age / 10))
            )


async def _changed(
    doors: Doors, ended: Claim, loaded: LoadedRule | None, now: datetime
) -> tuple[str, str]:
    """Why its alerts go back to triage (empty: they do not), and the pod template now."""
    remediation = ended.remediation
    clears = remediation.reason is None or REASONS[remediation.reason].clears
    expired = remediation.state is State.EXPIRED and clears
    if loaded is None or (expired and loaded.digest != remediation.rule_digest):
        return ("its rule changed" if expired else ""), remediation.ended_template
    facts = await observe(doors, remediation, loaded, now, sights=None if expired else frozenset())
    if not isinstance(facts.object, Mapping):
        return "", remediation.ended_template
    template = template_now(facts)
    before = remediation.ended_template
    if before and template != before and template not in await _left(doors, remediation):
        return "the target was modified by someone else", template
    if expired and not await _still(doors, ended, loaded, facts, now=now):
        return f"{remediation.reason} has cleared", template
    return "", before or template


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
    seen = await assess(doors, fresh, ended.episodes, loaded, facts=facts, now=now)
    return any(
        v.reason == ended.remediation.reason and v.decision is not Decision.ALLOW
        for v in seen.verdicts
    )
