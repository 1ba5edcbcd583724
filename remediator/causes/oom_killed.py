"""oom_killed: a container of the target ended with OOMKilled."""

from datetime import timedelta

from ..model.facts import Facts
from ..model.raw import meta
from .cause import Cause, CauseName


def find(facts: Facts, _changed_within: timedelta) -> Cause | None:
    """The containers that the kernel killed, by pod."""
    if not isinstance(facts.pods, tuple):
        return None
    killed = [
        f"{meta(pod).get('name')}/{status.get('name')}"
        for pod in facts.pods
        for status in (pod.get("status") or {}).get("containerStatuses") or []
        for state in (status.get("lastState") or {}, status.get("state") or {})
        if (state.get("terminated") or {}).get("reason") == "OOMKilled"
    ]
    if not killed:
        return None
    return Cause(
        CauseName.OOM_KILLED, f"out of memory: {', '.join(sorted(set(killed))[:5])}", {"containers": sorted(set(killed))}
    )
