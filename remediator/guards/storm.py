"""storm: many workloads in trouble at once have a common cause: nothing is repaired one by one, people are told once.

Decided inside the begin transaction, from the remediations that were born lately in the scope of the rule's group. What
takes nothing away that serves (scaling out, quarantine) is not held.
"""

from datetime import timedelta

from ..model.duration import format_duration
from ..model.matcher import admits
from ..model.usage import Usage
from ..model.verdict import Reason, Verdict, allow, hold
from .situation import Situation

LONGEST_PAUSE = timedelta(minutes=1)


def check(situation: Situation, usage: Usage) -> Verdict:
    """Holds while a storm is on or was on lately; the verdict of a new one says what was counted."""
    if situation.storm_exempt or not situation.process.storm.roots:
        return allow("storm")
    counted = _counted(situation, usage)
    if counted:
        return hold("storm", Reason.STORM, counted, LONGEST_PAUSE)
    if usage.storm_until is not None and usage.storm_until > situation.now:
        left = usage.storm_until - situation.now
        why = f"a storm in {situation.scope} passed lately; {format_duration(left)} of calm are left"
        return hold("storm", Reason.STORM, why, min(left, LONGEST_PAUSE))
    return allow("storm")


def on(situation: Situation, usage: Usage) -> bool:
    """Whether the storm is on now: its row is to be written, or prolonged."""
    return bool(situation.process.storm.roots and not situation.storm_exempt and _counted(situation, usage))


def _counted(situation: Situation, usage: Usage) -> str:
    """What makes it a storm in words, else nothing."""
    storm = situation.process.storm
    roots = {item.key for item in usage.newcomers if admits(situation.namespaces, item.namespace)}
    if len(roots) < storm.roots:
        return ""
    what = f"{len(roots)} workloads in {situation.scope} came into trouble within {format_duration(storm.within)}"
    if situation.workloads is None:
        return f"{what} (of how many cannot be known)"
    share = len(roots) / max(1, situation.workloads)
    return f"{what}: {share:.0%} of {situation.workloads}" if share >= storm.share else ""
