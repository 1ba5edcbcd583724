"""Reading a target: as its rule names it, or any object by itself."""

from datetime import datetime
from typing import Any

from ...model.facts import Facts, Unknown, unseen
from ...model.remediation import Remediation
from ...model.sight import Sight
from ...model.target import Target
from ...rules import planner
from ...rules.ruleset import Source
from ..doors import Doors


async def observe(
    doors: Doors,
    remediation: Remediation,
    source: Source,
    now: datetime,
    sights: frozenset[Sight[Any]] | None = None,
) -> Facts:
    """The target as the rule names it, with the sights given, else with all that the rule must see."""
    climb = source.rule.target == "workload"
    wanted = planner.sights(source.rule) if sights is None else sights
    return await see(doors, remediation.target, climb, wanted, now)


async def see(
    doors: Doors, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
) -> Facts:
    """An object of any cluster; Unknown where that cluster is not configured."""
    cluster = doors.clusters.get(target.cluster)
    if cluster is None:
        return unseen(now, target, Unknown(f"no cluster {target.cluster} is configured"))
    return await cluster.observe(target, climb, sights, now)
