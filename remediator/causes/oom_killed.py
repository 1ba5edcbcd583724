"""oom_killed: a container of the target ended with OOMKilled."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..model.facts import Facts
from ..model.raw import container_statuses, meta, timestamp
from .cause import Cause, CauseName


def find(facts: Facts, changed_within: timedelta) -> Cause | None:
    """The containers that the kernel killed since `changed_within` before the trouble began, by pod."""
    if not isinstance(facts.pods, tuple):
        return None
    killed = [
        f"{meta(pod).get('name')}/{status.get('name')}"
        for pod in facts.pods
        for status in container_statuses(pod)
        for state in (status.get("lastState") or {}, status.get("state") or {})
        if _lately(state.get("terminated") or {}, facts.since - changed_within)
    ]
    if not killed:
        return None
    return Cause(
        CauseName.OOM_KILLED,
        f"out of memory: {', '.join(sorted(set(killed))[:5])}",
        {"containers": sorted(set(killed))},
    )


def _lately(terminated: Mapping[str, Any], since: datetime) -> bool:
    """Whether it is an OOM kill of the time that counts; one without a time is taken to be."""
    if terminated.get("reason") != "OOMKilled":
        return False
    ended = timestamp(terminated.get("finishedAt"))
    return ended is None or ended >= since
