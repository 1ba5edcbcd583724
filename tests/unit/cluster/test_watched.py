"""What is looked at live even where watches tell of the rest, and how often."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from remediator.cluster import watched
from remediator.cluster.watched import WatchedCluster
from remediator.errors import Unreachable
from remediator.kinds import EVENT, POD
from remediator.telemetry import Metrics


class Live:
    """A cluster that counts its lists, and answers them when it is let."""

    def __init__(self) -> None:
        self.transport = SimpleNamespace(metrics=Metrics())
        self.asked: list[tuple[str, str]] = []
        self.open, self.fails = asyncio.Event(), False

    async def list_objects(self, kind: Any, namespace: str, *_: str) -> list[Any]:
        self.asked.append((kind.name, namespace))
        await self.open.wait()
        if self.fails:
            raise Unreachable("no answer")
        return [{"metadata": {"name": str(len(self.asked))}}]


@pytest.fixture
async def live() -> Live:
    return Live()


@pytest.fixture
async def cluster(live: Live) -> WatchedCluster:
    return WatchedCluster(live)  # type: ignore[arg-type]


async def events(cluster: WatchedCluster, namespace: str = "shop") -> list[Any]:
    return await cluster.list_objects(EVENT, namespace, "", "reason=FailedCreate")


async def test_all_that_is_held_in_a_namespace_looks_at_one_list_of_events(
    live: Live, cluster: WatchedCluster
) -> None:
    looks = asyncio.gather(*(events(cluster) for _ in range(50)), events(cluster, "other"))
    await asyncio.sleep(0)
    live.open.set()
    await looks
    await events(cluster)
    assert live.asked == [("Event", "shop"), ("Event", "other")]


async def test_events_are_listed_again_after_a_moment(
    live: Live, cluster: WatchedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.open.set()
    before = await events(cluster)
    monkeypatch.setattr(watched, "MOMENT", 0.0)
    assert await events(cluster) != before
    assert cluster._events.keys() == {("shop", "", "reason=FailedCreate")}  # and nothing piles up


async def test_a_list_that_failed_is_made_again(live: Live, cluster: WatchedCluster) -> None:
    live.open.set()
    live.fails = True
    with pytest.raises(Unreachable):
        await events(cluster)
    live.fails = False
    assert len(await events(cluster)) == 1


async def test_a_look_that_is_given_up_takes_the_list_from_nobody(
    live: Live, cluster: WatchedCluster
) -> None:
    first, second = (asyncio.ensure_future(events(cluster)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    live.open.set()
    assert len(await second) == 1
    assert len(live.asked) == 1


async def test_what_is_not_watched_is_looked_at_each_time(
    live: Live, cluster: WatchedCluster
) -> None:
    live.open.set()
    for _ in range(2):
        await cluster.list_objects(POD, "shop", "")
    assert live.asked == [("Pod", "shop")] * 2
