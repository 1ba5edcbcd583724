"""Pods of the target cannot be scheduled.

No node has room for them, is tolerated and selected, and can reach their volumes.
"""

from datetime import timedelta

from ..model.facts import Facts, Unknown
from ..model.raw import condition, meta
from ..sights.pods import PODS
from .cause_spec import CauseSpec, Found


def find(facts: Facts, _changed_within: timedelta) -> Found | Unknown | None:
    """The pods that the scheduler could not place, with its words."""
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return pods
    waiting = {}
    for pod in pods:
        scheduled = condition(pod, "PodScheduled", "False") or {}
        if scheduled.get("reason") == "Unschedulable":
            waiting[str(meta(pod).get("name"))] = str(scheduled.get("message") or "")
    if not waiting:
        return None
    name, message = min(waiting.items())
    why = (
        f"{len(waiting)} of {len(pods)} pods are unschedulable; the scheduler on {name}: {message}"
    )
    return Found(why, {"pods": waiting})


CAUSE = CauseSpec("unschedulable", __doc__, frozenset({PODS}), find)
