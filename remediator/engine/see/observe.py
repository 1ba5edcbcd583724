"""Reading objects: the target of a rule, any object, and everything that a plan touches."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ...guards import pipeline
from ...guards.situation import Touched
from ...guards.situation import touched as touched_by
from ...model.facts import Facts, Unknown, unseen
from ...model.plan import Plan
from ...model.pointer import TEMPLATE, at
from ...model.remediation import Remediation
from ...model.sight import Sight
from ...model.target import Target
from ...rules import planner
from ...rules.ruleset import LoadedRule
from ..doors import Doors


async def observe(
    doors: Doors,
    remediation: Remediation,
    loaded: LoadedRule,
    now: datetime,
    *,
    live: bool,
    sights: frozenset[Sight[Any]] | None = None,
) -> Facts:
    """The target as the rule names it, with the given sights or all that the rule needs."""
    climb = loaded.rule.target == "workload"
    wanted = planner.sights(loaded.rule) if sights is None else sights
    return await see(doors, remediation.target, climb, wanted, now=now, live=live)


async def see(
    doors: Doors,
    target: Target,
    climb: bool,
    sights: frozenset[Sight[Any]],
    *,
    now: datetime,
    live: bool,
) -> Facts:
    """An object in any cluster; Unknown if that cluster is not configured. `live`: as it is now,
    and not perhaps as it was a moment ago.
    """
    cluster = doors.looks(live).get(target.cluster)
    if cluster is None:
        return unseen(now, target, Unknown(f"no cluster {target.cluster} is configured"))
    return await cluster.observe(target, climb, sights, now)


def _narrowed(plan: Plan, *keys: str) -> Plan:
    """The plan with those of its touches that the keys name."""
    return replace(plan, touches=tuple(t for t in plan.touches if t.target.key in keys))


async def touched(
    doors: Doors,
    plan: Plan | None,
    facts: Facts,
    now: datetime,
    *,
    live: bool,
    only: str = "",
) -> tuple[Touched, ...]:
    """What a plan touches as it is now, or the part that `only` (a key) names, and the target."""
    if plan is not None and only:
        plan = _narrowed(plan, only, facts.target.key)
    touches = plan.touches if plan is not None else ()
    others = [touch.target for touch in touches if touch.target.key != facts.target.key]
    if not others:
        return touched_by(plan, facts, {})
    sights = pipeline.DISRUPTION if any(touch.takes for touch in touches) else frozenset()
    cluster = doors.looks(live)[facts.target.cluster]
    seen = await cluster.observe_all(others, sights, now)
    by_key = {target.key: found for target, found in zip(others, seen, strict=True)}
    return touched_by(plan, facts, by_key)


def template_now(facts: Facts) -> str:
    """The hash of the target's pod template; empty if it has none or cannot be read."""
    return str(at(facts.object, TEMPLATE)) if isinstance(facts.object, Mapping) else ""
