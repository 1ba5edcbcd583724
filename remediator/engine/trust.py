"""Trust in rules: storms that stop them all, breakers that stop one; people are told once of either."""

from datetime import datetime

from ..guards import breaker
from ..model.verdict import Reason
from ..rules.ruleset import Source
from ..telemetry import log
from . import people
from .doors import Doors
from .look import Look

SUSPECTS = 100


async def storm(doors: Doors, source: Source, seen: Look, now: datetime) -> None:
    """A storm is on: it is remembered, and told once."""
    why = next(verdict.why for verdict in seen.verdicts if verdict.reason is Reason.STORM)
    scope = seen.situation.scope
    advice = "nothing is repaired one by one; find the common cause"
    body = people.notice(f"storm-{scope}", scope, "storm", Reason.STORM, f"{why}; {advice}")
    until = now + doors.limits.storm.calm
    if await doors.journal.storm(scope, why, until, people.to_all(list(source.rule.escalate.to), body), now):
        doors.metrics.count("storms_total")
        log().warning("storm", scope=scope, why=why)


async def watch(doors: Doors, now: datetime) -> None:
    """Storms that are over; and journals the breakers that opened or closed, which follows from how remediations ended."""
    for row in await doors.journal.storms():
        if row["until"] <= now:
            scope = row["scope"]
            body = people.notice(
                f"storm-{scope}", scope, "storm", Reason.STORM, "it is calm; what still fires is looked at again"
            )
            await doors.journal.calm(scope, {**body, "closed": True}, now)
    known = {row["rule"]: row["opened_at"] for row in await doors.journal.breakers()}
    limit = doors.limits.breaker
    suspects = await doors.journal.suspects(now - limit.quiet, SUSPECTS)
    for rule in sorted({*suspects, *(name for name, opened in known.items() if opened)}):
        since = breaker.open_since(limit, await doors.journal.ends(rule, limit.of), now)
        doors.metrics.set("breaker_open", int(since is not None), rule)
        if since == known.get(rule):
            continue
        await switch(doors, rule, since, now)


async def switch(doors: Doors, rule: str, since: datetime | None, now: datetime) -> None:
    """One breaker opened, or closed, or stays open for longer."""
    limit, loaded = doors.limits.breaker, doors.rules.find(rule)
    to = list(loaded.rule.escalate.to) if loaded else []
    text = breaker.why(limit, rule) if since else "closed: nothing ended badly for a while, or somebody reset it"
    told = f"{text}; it waits for approvals now" if since else text
    body = people.notice(f"breaker-{rule}", rule, "breaker_open", Reason.BREAKER_OPEN, told)
    log().warning("breaker", rule=rule, open=since is not None, why=text)
    await doors.journal.breaker(rule, since, text, to, body if since else {**body, "closed": True}, now)
