"""storm: if many workloads have alerts at once, nothing is repaired one by one.

Many workloads in trouble at once have a common cause, such as a network or a node pool. A storm
starts when at least `storm.roots` workloads, and at least `storm.share` of the workloads in the
scope of the rule's group, have a firing alert, and ends once both numbers have stayed below that
for `storm.calm`. People are notified once, not once per workload. Actions that take nothing away,
such as scaling out or quarantine, are not held.

Verdicts: hold `storm`.
"""

from collections.abc import Sequence
from datetime import timedelta

from ..model.duration import format_duration
from ..model.limit import StormLimit
from ..model.matcher import admits
from ..model.usage import Troubled, Usage
from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Situation

LONGEST_PAUSE = timedelta(minutes=1)


def check(situation: Situation, usage: Usage) -> Verdict:
    """Holds while a storm is on or was on lately.

    The verdict of a new one says what was counted.
    """
    if situation.storm_exempt or not situation.process.storm.roots:
        return allow("storm")
    counted = _counted(situation, usage)
    if counted:
        return hold("storm", Reason.STORM, counted, LONGEST_PAUSE)
    if usage.storm_until is not None and usage.storm_until > situation.now:
        left = usage.storm_until - situation.now
        why = (
            f"few workloads in {situation.group} still have alerts; the storm ends in"
            f" {format_duration(left)}"
        )
        return hold("storm", Reason.STORM, why, min(left, LONGEST_PAUSE))
    return allow("storm")


def on(situation: Situation, usage: Usage) -> bool:
    """Whether the storm is on now: its row is to be written, or prolonged."""
    return bool(
        situation.process.storm.roots and not situation.storm_exempt and _counted(situation, usage)
    )


def _counted(situation: Situation, usage: Usage) -> str:
    roots = members(situation.namespaces, usage.troubled)
    return counted(situation.process.storm, situation.group, roots, situation.workloads)


def members(namespaces: tuple[str, ...], troubled: Sequence[Troubled]) -> list[str]:
    """The roots in trouble that are in the namespaces of a scope."""
    return sorted({item.key for item in troubled if admits(namespaces, item.namespace)})


def counted(storm: StormLimit, group: str, roots: Sequence[str], workloads: int | None) -> str:
    """What makes it a storm in words, else nothing."""
    if not storm.roots or len(roots) < storm.roots:
        return ""
    what = f"{len(roots)} workloads in {group} have alerts firing now"
    if workloads is None:
        return f"{what} (the total is unknown)"
    share = len(roots) / max(1, workloads)
    return f"{what}: {share:.0%} of {workloads}" if share >= storm.share else ""


GUARD = Guard(
    name="storm",
    manual=__doc__,
    set_by="settings `storm`",
    order=260,
    begin=lambda situation, usage: [check(situation, usage)],
)
