"""A container of the target was OOM-killed: it used more memory than its limit."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..model.facts import Facts, Unknown
from ..model.raw import container_statuses, meta, timestamp
from ..sights.pods import PODS
from .cause_spec import CauseSpec, Found


def find(facts: Facts, changed_within: timedelta) -> Found | Unknown | None:
    """The containers that the kernel killed since
    `changed_within` before the trouble began, by pod.
    """
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return pods
    since = facts.since - changed_within
    killed = set()
    for pod in pods:
        for status in container_statuses(pod):
            states = (status.get("lastState") or {}, status.get("state") or {})
            if any(_lately(state.get("terminated") or {}, since) for state in states):
                killed.add(f"{meta(pod).get('name')}/{status.get('name')}")
    if not killed:
        return None
    shown = ", ".join(sorted(killed)[:5])
    return Found(f"out of memory: {shown}", {"containers": sorted(killed)})


def _lately(terminated: Mapping[str, Any], since: datetime) -> bool:
    """Whether it is an OOM kill of the time that counts; one without a time is taken to be."""
    if terminated.get("reason") != "OOMKilled":
        return False
    ended = timestamp(terminated.get("finishedAt"))
    return ended is None or ended >= since


CAUSE = CauseSpec("oom_killed", __doc__, frozenset({PODS}), find)
