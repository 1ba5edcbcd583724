"""Dependencies that fail: what needs them is held, and nothing else is slowed.

Compared within one run, on real time.
"""

import asyncio
import statistics
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from remediator.engine.see import outside
from remediator.engine.tell import deliver
from remediator.guards.situation import ProcessLimits
from remediator.model.facts import Unknown
from remediator.model.limit import StormLimit
from remediator.model.notice import Notice
from remediator.model.target import Target
from remediator.prometheus import PrometheusApi
from tests.integration.world import World, rules

PLAIN = (
    "name: plain, match: ['alertname=\"Leak\"'], limits: {in_flight: 50, per_rule: 99/1h}, steps:"
    " [{action: restart_workload, if: always}]"
)
ASKING = (
    "name: asking, match: ['alertname=\"Other\"'], when: ['up > 0'], limits: {in_flight: 50},"
    " steps: [{action: restart_workload, if: always}]"
)
WORKERS, MANY = 4, 20


@pytest.fixture
def silent() -> Iterator[str]:
    """A Prometheus that takes connections and says nothing."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            over.wait(30)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    over.set()
    server.shutdown()
    server.server_close()


class RealTime:
    """A clock that goes on by itself from where the world's is."""

    def __init__(self, world: World) -> None:
        self._start, self._at = world.clock.now(), time.monotonic()

    def now(self) -> Any:
        return self._start + timedelta(seconds=time.monotonic() - self._at)


@asynccontextmanager
async def busy(url: str) -> AsyncIterator[World]:
    """Many workloads whose rule asks Prometheus, and one whose rule does not."""
    world = await World(rules(PLAIN, ASKING)).start()
    for number in range(MANY):
        world.cluster.create_workload("Deployment", "shop", f"app{number}", "app:1", replicas=1)
    world.doors.settle = timedelta()
    world.doors.limits = ProcessLimits(storm=StormLimit(roots=0))
    world.doors.clock = RealTime(world)
    if url:
        world.doors.prometheus = PrometheusApi(url)
    else:

        async def holds(_query: str) -> bool:
            return False

        world.prometheus.holds = holds  # type: ignore[assignment, method-assign]
    for number in range(MANY):
        await world.deliver("Other", f"app{number}")
    yield world
    if isinstance(world.doors.prometheus, PrometheusApi):
        world.doors.prometheus.close()
    await world.journal.close()


async def until_acted(url: str) -> float:
    """Seconds until a rule that does not ask Prometheus has
    acted, while many that do wait before it.
    """
    async with busy(url) as world:
        task = asyncio.ensure_future(world.engine.run(WORKERS))
        await asyncio.sleep(3)  # they are looked at, and find that Prometheus is silent
        started = time.monotonic()
        await world.deliver("Leak", "web")
        world.doors.wake.set()
        while not world.cluster.calls and time.monotonic() - started < 60:
            await asyncio.sleep(0.02)
        took = time.monotonic() - started
        await asyncio.sleep(0.5)  # what was begun goes on to a point where it waits
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert world.cluster.calls
        return took


async def test_a_silent_prometheus_does_not_slow_a_rule_that_does_not_ask_it(silent: str) -> None:
    rounds = [(await until_acted(""), await until_acted(silent)) for _ in range(3)]
    answering, not_answering = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    assert not_answering <= 1.5 * max(answering, 1.0), rounds


async def test_the_first_unknown_ends_the_questions() -> None:
    world = await World(rules(PLAIN)).start()
    asked: list[str] = []

    async def holds(query: str) -> Any:
        asked.append(query)
        return Unknown("silent")

    world.prometheus.holds = holds  # type: ignore[method-assign]
    facts = await world.cluster.observe(_target(), True, frozenset(), world.clock.now())
    answer = await outside.unmet(world.doors, ("a", "b", "c"), (), facts)
    assert (len(answer), asked) == (1, ["a"])
    await world.journal.close()


def _target() -> Any:
    return Target("default", "Deployment", "shop", "web")


async def test_a_prometheus_that_answers_every_other_time_uses_up_no_attempt() -> None:
    world = await World(rules(ASKING)).start()
    answers: list[Any] = []

    async def holds(_query: str) -> Any:
        answers.append(Unknown("no answer") if len(answers) % 2 == 0 else True)
        return answers[-1]

    world.prometheus.holds = holds  # type: ignore[assignment, method-assign]
    await world.deliver("Other", "web")
    await world.run(timedelta(minutes=10))
    assert len(world.cluster.calls) == 1
    assert answers.count(True) < len(answers)
    (row,) = await world.rows()
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert [attempt["number"] for attempt in shown["attempts"]] == [1]
    await world.journal.close()


class Slow:
    """A receiver that takes so many seconds for each message."""

    kind = "webhook"

    def __init__(self, seconds: float) -> None:
        self.seconds, self.taken = seconds, list[str]()

    async def notify(self, message: Notice, ref: str = "") -> str:
        await asyncio.sleep(self.seconds)
        self.taken.append(message.target)
        return ""


async def test_a_slow_receiver_gets_each_message_once_and_keeps_no_other_waiting() -> None:
    both = (
        "name: ask, match: ['alertname=\"Leak\"'], mode: approve, escalate: {to: [log, slow]},"
        " steps: [{action: restart_workload, if: always}]"
    )
    world, slow = await World(rules(both)).start(), Slow(1)
    world.doors.settle = timedelta()
    world.engine._receivers = {"slow": slow, "log": world.told}
    for number in range(5):
        world.cluster.create_workload("Deployment", "shop", f"app{number}", "app:1", replicas=1)
        world.leak(f"app{number}")
        await world.deliver("Leak", f"app{number}")
    world.doors.limits = ProcessLimits(storm=StormLimit(roots=0))
    world.doors.clock = RealTime(world)
    task = asyncio.ensure_future(world.engine.run(2))
    started = time.monotonic()
    while len(world.told.messages) < 5 and time.monotonic() - started < 20:
        await asyncio.sleep(0.02)
    assert len(world.told.messages) == 5
    while len(slow.taken) < 5 and time.monotonic() - started < 40:
        await asyncio.sleep(0.05)
    await asyncio.sleep(2.5)
    assert sorted(slow.taken) == [f"Deployment/shop/app{number}" for number in range(5)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.journal.close()


async def test_a_silent_receiver_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "SLOWEST", 2.0)
    both = (
        "name: ask, match: ['alertname=\"Leak\"'], mode: approve, escalate: {to: [log, stuck]},"
        " steps: [{action: restart_workload, if: always}]"
    )
    world = await World(rules(both)).start()
    world.doors.settle = timedelta()
    world.engine._receivers = {"stuck": Slow(60), "log": world.told}
    task = asyncio.ensure_future(world.engine.run(1))
    await world.deliver("Leak")
    started = time.monotonic()
    while not world.told.messages and time.monotonic() - started < 20:
        await asyncio.sleep(0.05)
    assert world.told.messages
    assert time.monotonic() - started < 5
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.journal.close()
