"""Facts to causes: one file per cause, each a pure function; the registry is this list."""

from collections.abc import Callable
from datetime import timedelta

from ..model.facts import Facts
from . import crash_loop, oom_killed, rollout_changed
from .cause import Cause, CauseName

FINDERS: dict[CauseName, Callable[[Facts, timedelta], Cause | None]] = {
    CauseName.ROLLOUT_CHANGED: rollout_changed.find,
    CauseName.OOM_KILLED: oom_killed.find,
    CauseName.CRASH_LOOP: crash_loop.find,
}


def find(facts: Facts, changed_within: timedelta = timedelta(hours=1)) -> tuple[Cause, ...]:
    """Every cause that the facts show, in the registry's order."""
    found = (finder(facts, changed_within) for finder in FINDERS.values())
    return tuple(cause for cause in found if cause is not None)
