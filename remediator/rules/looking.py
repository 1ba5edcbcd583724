"""What rules look at: their sights, and the kinds of objects that these read."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from .. import causes
from ..actions import ACTIONS
from ..causes import CAUSES
from ..guards import pipeline
from ..kinds import EVENT, NAMESPACE, POD, REPLICA_SET, REPLICATION_CONTROLLER, SERVICE, WORKLOADS
from ..model.kind import Kind
from ..model.sight import Sight
from . import planner
from .ruleset import RuleSet

# read on the way to a target
CLIMBED = {POD, REPLICA_SET, REPLICATION_CONTROLLER, SERVICE, NAMESPACE}


def sights_of(loaded: RuleSet | None) -> frozenset[Sight[Any]]:
    """What the rules see; what every action and cause sees, where none are given."""
    if loaded is None:
        return of_actions(ACTIONS) | causes.sights(CAUSES)
    steps = chain.from_iterable(source.rule.steps for source in loaded.sources)
    bound = chain.from_iterable(map(loaded.bound, loaded.sources))
    sights = of_actions({step.action for step in steps})
    return sights.union(*(planner.sights(made.rule) for made in bound))


def of_actions(names: Iterable[str]) -> frozenset[Sight[Any]]:
    """What actions must see, whether they act or only observe."""
    seen: set[Sight[Any]] = set()
    for action in (ACTIONS[name] for name in names):
        seen |= action.sees | action.watches | causes.sights(action.causes)
        if action.disruptive:
            seen |= pipeline.DISRUPTION
    return frozenset(seen)


def watched(loaded: RuleSet | None) -> frozenset[Kind]:
    """The kinds that are looked at again and again, so that they are better watched."""
    return kinds_of(sights_of(loaded) | planner.ALWAYS) | CLIMBED | WORKLOADS


def kinds_of(sights: Iterable[Sight[Any]]) -> frozenset[Kind]:
    """The kinds that sights read. Not Events, which come and go too fast to be watched."""
    return frozenset(chain.from_iterable(one.lists | one.gets for one in sights)) - {EVENT}
