"""A container of the target is in CrashLoopBackOff: it keeps exiting and is restarted with
increasing delays.
"""

from datetime import timedelta

from ..model.facts import Facts, Unknown
from ..model.raw import named_statuses, waiting_reason
from ..sights.pods import PODS
from .cause_spec import CauseSpec, Found


def find(facts: Facts, _changed_within: timedelta) -> Found | Unknown | None:
    """The containers in CrashLoopBackOff, by pod, with their restarts."""
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return pods
    looping = {}
    for name, status in named_statuses(pods):
        if waiting_reason(status) == "CrashLoopBackOff":
            looping[name] = int(status.get("restartCount") or 0)
    if not looping:
        return None
    shown = [f"{name} ({count} restarts)" for name, count in sorted(looping.items())[:5]]
    return Found(f"crash loop: {', '.join(shown)}", {"containers": looping})


CAUSE = CauseSpec("crash_loop", __doc__, frozenset({PODS}), find)
