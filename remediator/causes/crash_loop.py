"""crash_loop: a container of the target waits in CrashLoopBackOff."""

from datetime import timedelta

from ..model.facts import Facts
from ..model.raw import container_statuses, meta
from .cause import Cause, CauseName


def find(facts: Facts, _changed_within: timedelta) -> Cause | None:
    """The containers in CrashLoopBackOff, by pod, with their restarts."""
    if not isinstance(facts.pods, tuple):
        return None
    looping = {
        f"{meta(pod).get('name')}/{status.get('name')}": int(status.get("restartCount") or 0)
        for pod in facts.pods
        for status in container_statuses(pod)
        if ((status.get("state") or {}).get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    }
    if not looping:
        return None
    shown = ", ".join(f"{name} ({count} restarts)" for name, count in sorted(looping.items())[:5])
    return Cause(CauseName.CRASH_LOOP, f"crash loop: {shown}", {"containers": looping})
