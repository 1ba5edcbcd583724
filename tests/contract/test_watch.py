"""Watches of a real API server: what they tell is what is there, or they are not asked."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remediator.cluster import transport, watch
from remediator.cluster.client import KubernetesCluster, connect
from remediator.cluster.watched import WatchedCluster
from remediator.kinds import DEPLOYMENT, POD, REPLICA_SET
from remediator.model.kind import Kind
from tests.real.parts import TOKEN, ControlPlane
from tests.real.wire import Wire, wire

QUIET = 2.0
PODS_AND_MORE = frozenset({POD, DEPLOYMENT})


@dataclass
class Watching:
    """A cluster, watches of it, and the way between; a Deployment `web` of three pods."""

    plane: ControlPlane
    namespace: str
    live: KubernetesCluster
    watched: WatchedCluster
    way: Wire
    told: list[list[tuple[str, str, str]]]

    def read(self, source: str) -> float:
        name, labels = "remediator_kubernetes_reads_total", {"from": source}
        return self.live.transport.metrics.registry.get_sample_value(name, labels) or 0.0

    def alive(self, kind: Kind) -> bool:
        name, labels = "remediator_kubernetes_watch_alive", {"kind": kind.plural}
        return self.live.transport.metrics.registry.get_sample_value(name, labels) == 1.0

    def lost(self, kind: Kind, error: str) -> float:
        name = "remediator_kubernetes_watches_lost_total"
        labels = {"kind": kind.plural, "error": error}
        return self.live.transport.metrics.registry.get_sample_value(name, labels) or 0.0

    async def image(self) -> str:
        """That of `web`, as the watches tell."""
        obj = await self.watched.get(DEPLOYMENT, self.namespace, "web")
        assert obj is not None
        return str(obj["spec"]["template"]["spec"]["containers"][0]["image"])

    async def release(self, image: str) -> None:
        await asyncio.to_thread(self.plane.release, self.namespace, "web", image, False)

    async def from_watch(self) -> bool:
        """Whether the next look is answered without a request."""
        before = self.read("watch")
        await self.image()
        return self.read("watch") > before


async def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Waits for a condition, perhaps one that waits itself."""
    for _ in range(int(seconds / 0.05)):
        answer = condition()
        if await answer if asyncio.iscoroutine(answer) else answer:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not become so in time")


@asynccontextmanager
async def watching(
    plane: ControlPlane, folder: Path, token: str = TOKEN
) -> AsyncIterator[Watching]:
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(plane.create, "Deployment", namespace, "web", "web:1")
    async with wire(plane) as (way, url):
        plane.write_kubeconfig(folder / "kubeconfig", url, token)
        live = await connect(str(folder / "kubeconfig"), "", 500)
        watched, told = WatchedCluster(live), list[list[tuple[str, str, str]]]()
        watches = asyncio.create_task(watched.run(told.append))
        watched.want(PODS_AND_MORE)
        yield Watching(plane, namespace, live, watched, way, told)
        watches.cancel()
        await asyncio.wait([watches])
        await live.close()


@pytest.fixture
async def there(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Watching]:
    monkeypatch.setattr(watch, "FIRST", 0.1)
    monkeypatch.setattr(watch, "SHORTEST", 0.1)
    async with watching(control_plane, tmp_path) as made:
        await until(lambda: made.alive(POD) and made.alive(DEPLOYMENT))
        yield made


async def test_what_is_watched_is_looked_at_without_requests(there: Watching) -> None:
    before = there.read("live")
    pods = await there.watched.list_objects(POD, there.namespace, "app=web")
    assert len(pods) == 3
    assert await there.image() == "web:1"
    assert there.read("live") == before


async def test_what_changes_is_told_at_once(there: Watching) -> None:
    await there.release("web:2")

    async def told() -> bool:
        return await there.image() == "web:2"

    await until(told, 5)
    assert await there.from_watch()


async def test_what_is_not_there_is_asked_live(there: Watching) -> None:
    before = there.read("live")
    assert await there.watched.get(DEPLOYMENT, there.namespace, "other") is None
    assert there.read("live") == before + 1


async def test_a_watch_that_falls_silent_is_not_believed(
    there: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE", QUIET)
    there.way.silent = True
    await there.release("web:2")
    await asyncio.sleep(QUIET)
    assert await there.image() == "web:2"
    assert not await there.from_watch()


async def test_a_watch_that_falls_silent_is_given_up_and_made_anew(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (watch, transport):
        monkeypatch.setattr(module, "SILENCE", QUIET)
    async with watching(control_plane, tmp_path) as there:
        await until(lambda: there.alive(DEPLOYMENT))
        there.way.silent = True
        await until(lambda: there.lost(DEPLOYMENT, "Unreachable"))
        assert not await there.from_watch()
        there.way.silent = False
        await until(there.from_watch)


async def test_bookmarks_that_stop_end_the_belief_and_nothing_else(
    there: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE", QUIET)
    there.way.no_bookmarks = True
    await until(lambda: _not(there.from_watch))
    assert await there.image() == "web:1"
    await there.release("web:2")
    await until(there.from_watch)
    assert await there.image() == "web:2"


async def _not(condition: Callable[[], Any]) -> bool:
    return not await condition()


async def test_a_version_that_is_too_old_has_the_list_made_again(there: Watching) -> None:
    listed = there.way.lists.count("/apis/apps/v1/deployments")
    there.way.expired = 2
    there.way.cut()
    await until(lambda: there.lost(DEPLOYMENT, "Expired") + there.lost(POD, "Expired") == 2)
    await there.release("web:2")

    async def told() -> bool:
        return await there.image() == "web:2" and await there.from_watch()

    await until(told)
    assert there.way.lists.count("/apis/apps/v1/deployments") > listed


async def test_what_happened_while_the_api_server_was_away_is_known_after(
    there: Watching,
) -> None:
    there.way.refused = True
    there.way.cut()
    await until(lambda: not there.alive(DEPLOYMENT) and not there.alive(POD))
    await there.release("web:2")
    path = f"/api/v1/namespaces/{there.namespace}/pods"
    (first, *_) = there.plane.ask("GET", path)["items"]
    there.plane.ask("DELETE", f"{path}/{first['metadata']['name']}")
    there.way.refused = False
    await until(lambda: there.alive(DEPLOYMENT) and there.alive(POD))

    async def same() -> bool:
        seen = await there.watched.list_objects(POD, there.namespace, "")
        now = await there.live.list_objects(POD, there.namespace, "")
        return seen == sorted(now, key=lambda pod: str(pod["metadata"]["name"]))

    await until(same)
    assert await there.image() == "web:2"


async def test_without_the_right_to_watch_everything_is_read_by_requests(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    plane, namespace = control_plane, f"ns-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(plane.namespace, namespace)
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]
    token = await asyncio.to_thread(plane.service_account, namespace, "reader", {"rules": rules})
    async with watching(plane, tmp_path, token) as there:
        await until(lambda: there.lost(DEPLOYMENT, "Forbidden") and there.lost(POD, "Forbidden"))
        assert await there.image() == "web:1"
        assert len(await there.watched.list_objects(POD, there.namespace, "app=web")) == 3
        assert there.read("watch") == 0


async def test_kinds_that_are_no_longer_wanted_are_no_longer_watched(there: Watching) -> None:
    await until(lambda: there.way.watching == 2)
    there.watched.want({DEPLOYMENT})
    await until(lambda: there.way.watching == 1)
    before = there.read("live")
    await there.watched.list_objects(POD, there.namespace, "")
    assert there.read("live") == before + 1


async def test_what_happens_to_a_pod_is_told_of_its_workload_and_its_node(there: Watching) -> None:
    there.watched.want({POD, DEPLOYMENT, REPLICA_SET})
    await until(lambda: there.alive(REPLICA_SET))
    path = f"/api/v1/namespaces/{there.namespace}/pods"
    (pod, *_) = there.plane.ask("GET", path)["items"]
    there.told.clear()
    there.plane.ask("DELETE", f"{path}/{pod['metadata']['name']}")
    await until(
        lambda: any(
            ("Pod", there.namespace, pod["metadata"]["name"]) in names for names in there.told
        )
    )
    (names, *_) = [names for names in there.told if names[0][2] == pod["metadata"]["name"]]
    assert names[1] == ("Node", "", pod["spec"]["nodeName"])
    assert [name[0] for name in names[2:]] == ["ReplicaSet", "Deployment"]
    assert names[3] == ("Deployment", there.namespace, "web")
