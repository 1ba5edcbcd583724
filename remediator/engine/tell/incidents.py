"""Trust in rules: storms that stop all, breakers that stop one. Each is notified once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ...guards import breaker
from ...guards.situation import Situation
from ...guards.storm import counted, members
from ...model.notice import Notice
from ...model.verdict import Reason
from ...ports.records import Storm
from ...rules.ruleset import LoadedRule
from ...telemetry import log
from .. import messages
from ..doors import Doors

SUSPECTS = 100
MOST_NAMED = 20
MOST_COUNTED = 1000
BEFORE = timedelta(hours=1)  # what was held by a storm may have been created before it was one


CLOSED = "closed: no bad outcomes for a while, or it was reset"


async def storm(
    doors: Doors, loaded: LoadedRule, situation: Situation, why: str, *, now: datetime
) -> None:
    """A storm is on: it is stored, and notified once for all its members, whose own notifications
    wait.
    """
    group = situation.group
    troubled = members(situation.namespaces, await doors.journal.troubled(situation.target.cluster))
    advice = "individual remediations are on hold; find the common cause"
    body = _about(
        group,
        f"{why}; {advice}",
        members=tuple(troubled[:MOST_NAMED]),
        story=tuple(f"in trouble: {name}" for name in troubled[:MOST_NAMED]),
    )
    until = now + doors.limits.storm.calm
    if await doors.journal.storm(
        group, why, until, messages.to_all(list(loaded.rule.escalate.to), body), now=now
    ):
        doors.metrics.count("storms_total")
        log().warning("storm", group=group, why=why)


async def watch(doors: Doors, now: datetime) -> None:
    """Updates storms by count, and breakers by how remediations ended."""
    for row in await doors.journal.storms():
        await _storm(doors, row, now)
    await _breakers(doors, now)


async def _storm(doors: Doors, row: Storm, now: datetime) -> None:
    """Whether as many workloads are still in trouble. The storm is over once they were few for a
    while.
    """
    group, limit = row.group, doors.limits.storm
    cluster, _, name = group.partition("/")
    firing = await doors.journal.troubled(cluster)
    troubled: set[str] = set()
    # groups of several files may have one name: it lasts as long as one of them counts a storm
    for namespaces in _scopes(doors, name):
        roots = members(namespaces, firing)
        troubled.update(roots)
        why = counted(limit, group, roots, await doors.census.count(cluster, namespaces, now))
        if why:
            await doors.journal.storm(group, why, now + limit.calm, (), now=now)
            return
    if row.until <= now:
        said = f"storm over; the remaining alerts will be re-evaluated; {_left(sorted(troubled))}"
        said += await _held(doors, row)
        await doors.journal.calm(group, _about(group, said, closed=True), now)


def _about(group: str, why: str, **more: Any) -> Notice:
    """A notification about a storm."""
    return messages.about(
        f"storm-{group}", "", "storm", Reason.STORM, why=why, target=group, **more
    )


def _scopes(doors: Doors, group: str) -> list[tuple[str, ...]]:
    """Where the groups of a name may act."""
    groups = [source.group for source in doors.rules.sources if source.group.name == group]
    return sorted({tuple(group.scope.namespaces) for group in groups})


def _left(troubled: Sequence[str]) -> str:
    if not troubled:
        return "all resolved"
    named = ", ".join(troubled[:MOST_NAMED])
    return f"{len(troubled)} workloads still have alerts firing: {named}"


async def _held(doors: Doors, row: Storm) -> str:
    """How many remediations the storm held until they expired, as the end of a sentence."""
    listed = await doors.journal.remediations(MOST_COUNTED, None, since=row.since - BEFORE)
    held = sum(_held_by(doors, row, item) for item in listed)
    return f"; {held} remediations expired without acting" if held else ""


def _held_by(doors: Doors, row: Storm, item: Mapping[str, Any]) -> bool:
    """Whether it was this storm, and no other group's or earlier one, that kept it from acting."""
    if item["reason"] != Reason.STORM or item["ended_at"] is None:
        return False
    loaded = doors.rules.find(item["rule"])
    mine = loaded is not None and loaded.group_in(item["cluster"]) == row.group
    return mine and datetime.fromisoformat(item["ended_at"]) >= row.since


async def _breakers(doors: Doors, now: datetime) -> None:
    known = {row.rule: row.opened_at for row in await doors.journal.breakers()}
    limit = doors.limits.breaker
    suspects = await doors.journal.suspects(now - limit.quiet, SUSPECTS)
    for rule in sorted({*suspects, *(name for name, opened in known.items() if opened)}):
        since = breaker.open_since(limit, await doors.journal.ends(rule, limit.of), now)
        doors.metrics.set("breaker_open", int(since is not None), rule)
        if since == known.get(rule):
            continue
        await switch(doors, rule, since, now)


async def switch(doors: Doors, rule: str, since: datetime | None, now: datetime) -> None:
    """One breaker opened or closed, or stays open for longer."""
    limit, loaded = doors.limits.breaker, doors.rules.find(rule)
    to = list(loaded.rule.escalate.to) if loaded else []
    text = breaker.why(limit, rule) if since else CLOSED
    told = f"{text}; the rule now needs approval" if since else text
    body = messages.about(f"breaker-{rule}", rule, "breaker_open", Reason.BREAKER_OPEN, why=told)
    log().warning("breaker", rule=rule, open=since is not None, why=text)
    await doors.journal.breaker(
        rule, since, text, to, said=body if since else replace(body, closed=True), now=now
    )
