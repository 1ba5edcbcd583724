"""A container of the target was OOM-killed: it used more memory than its limit."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..model.facts import Facts, Unknown
from ..model.raw import named_statuses, timestamp
from ..sights.pods import PODS
from .cause_spec import CauseSpec, Found


def find(facts: Facts, changed_within: timedelta) -> Found | Unknown | None:
    """The containers that the kernel killed since `changed_within` before the trouble began."""
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return pods
    since = facts.since - changed_within
    killed = sorted({name for name, status in named_statuses(pods) if _killed(status, since)})
    if not killed:
        return None
    return Found(f"out of memory: {', '.join(killed[:5])}", {"containers": killed})


def _killed(status: Mapping[str, Any], since: datetime) -> bool:
    """Whether a container ended so in its last state or in the one it is in."""
    states = (status.get("lastState") or {}, status.get("state") or {})
    return any(_lately(state.get("terminated") or {}, since) for state in states)


def _lately(terminated: Mapping[str, Any], since: datetime) -> bool:
    """Whether it is an OOM kill of the time that counts; one without a time is taken to be."""
    if terminated.get("reason") != "OOMKilled":
        return False
    ended = timestamp(terminated.get("finishedAt"))
    return ended is None or ended >= since


CAUSE = CauseSpec("oom_killed", __doc__, frozenset({PODS}), find)
