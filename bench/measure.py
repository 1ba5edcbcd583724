"""One measure of the daemon whose tree is the current folder, as JSON.

So the same code measures two of them.

Usage: python -m bench.measure NAME [--short]
"""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from bench import act, life, serving
from remediator.telemetry import configure_log

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How long, and how many."""

    seconds: float
    rules: tuple[int, ...]
    slow: act.Case
    quick: act.Case
    burst: act.Case
    others: tuple[int, ...]
    pods: tuple[int, ...]
    changes: int
    webhooks: int
    resolves_after: float
    hasty: bool = False


FULL = Size(
    seconds=4,
    rules=(10, 100, 1000, 10_000),
    slow=act.Case(24, 30, 20),
    quick=act.Case(36, 12, 500),
    burst=act.Case(200, 2, 500),
    others=(100, 1000),
    pods=(1000, 10_000),
    changes=100,
    webhooks=20_000,
    resolves_after=300,
)
SHORT = Size(
    seconds=0.3,
    rules=(10, 100),
    slow=act.Case(2, 2, 20),
    quick=act.Case(3, 2, 500),
    burst=act.Case(4, 2, 500),
    others=(act.HELD_BY,),
    pods=(50,),
    changes=10,
    webhooks=1000,
    resolves_after=3,
    hasty=True,
)
# triage takes several times as long as a burst
BURST = 0.5


def acted(case: act.Case) -> Figures:
    """Milliseconds from POST to the first write."""
    found = act.measure(case)
    return {
        "median": found.median,
        "p99": found.p99,
        "patch": found.patch,
        "writes": found.per_second,
        "rss": found.rss,
    }


def held(size: Size) -> Figures:
    """The same while others are held, and while their alerts match no rule; by how many."""
    out: dict[str, float] = {}
    for others in size.others:
        case = replace(size.slow, others=others, held=True)
        out[f"held {others}"] = act.measure(case).median
        out[f"unmatched {others}"] = act.measure(replace(case, held=False)).median
    return out


def pods(size: Size) -> Figures:
    """The same while so many pods are there, some of which change every second; and the memory."""
    out: dict[str, float] = {}
    for count in size.pods:
        found = act.measure(replace(size.slow, pods=count, changes=size.changes))
        out |= {f"median {count}": found.median, f"p99 {count}": found.p99}
        out[f"rss {count}"] = found.rss
    return out


def matching(size: Size) -> Figures:
    """Microseconds to match an alert, by shape and number of rules."""
    match: Any = importlib.import_module("bench.match")
    cases = product(match.SHAPES, size.rules)
    return {f"{shape.name} {n}": match.seconds(shape, n) * 1e6 for shape, n in cases}


def replayed(size: Size) -> Figures:
    """Webhooks a second."""
    replays: Any = importlib.import_module("bench.replays")
    return {
        "replayed": replays.a_second(size.webhooks),
        "matched": replays.matched_a_second(size.webhooks),
    }


def triaged(size: Size) -> Figures:
    """Alerts a second."""
    burst = min(size.seconds, BURST)
    return {kind: serving.triaged(kind, burst) for kind in ("matched", "unmatched")}


def accepted(size: Size) -> Figures:
    """Alerts a second, by how many a POST has."""
    cases = product((*serving.LIMITS, "unmatched"), (1, 20))
    return {f"{kind} {n}": serving.accepted(kind, n, size.seconds) for kind, n in cases}


def lived(size: Size) -> Figures:
    """Requests and transactions of one remediation, and while there is none."""
    found = life.measure(size.resolves_after, hasty=size.hasty)
    return {
        "reads": found.reads,
        "writes": found.writes,
        "transactions": found.transactions,
        "idle requests": found.idle.requests * 60,
        "idle transactions": found.idle.transactions,
        "idle wake-ups": found.idle.wake_ups,
        "idle rss": found.idle.rss,
    }


def started(_size: Size) -> Figures:
    """Seconds until ready, and idle RSS in MB."""
    ready, idle = serving.start_up()
    return {"ready": ready, "rss": idle}


MEASURES: dict[str, Callable[[Size], Figures]] = {
    "slow": lambda size: acted(size.slow),
    "quick": lambda size: acted(size.quick),
    "burst": lambda size: acted(size.burst),
    "held": held,
    "pods": pods,
    "matching": matching,
    "replayed": replayed,
    "triaged": triaged,
    "accepted": accepted,
    "lived": lived,
    "started": started,
}


if __name__ == "__main__":
    configure_log("error")
    print(json.dumps(MEASURES[sys.argv[1]](SHORT if "--short" in sys.argv else FULL)))
