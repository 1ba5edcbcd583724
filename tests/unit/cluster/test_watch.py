"""A watch against a server that says what it was told, line by line."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes_asyncio import client

from remediator.cluster import transport, watch
from remediator.cluster.client import KubernetesCluster
from remediator.cluster.watch import Watch
from remediator.errors import Expired, Unreachable
from remediator.kinds import POD
from remediator.telemetry import Metrics


def pod(name: str, version: int, **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": name, "resourceVersion": str(version), "uid": name}
    return {"metadata": metadata, **more}


def told(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


class Told:
    """Pods in two pages; a watch is told what was put down for it, in pieces."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.asked: list[dict[str, str]] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        if query.get("watch") != "true":
            first = "continue" not in query
            page = {"items": [pod("a" if first else "b", 5)], "metadata": {"resourceVersion": "7"}}
            page["metadata"] |= {"continue": "more"} if first else {}  # type: ignore[operator]
            return web.json_response(page)
        if self.status != 200:
            return web.json_response({"kind": "Status", "message": "no"}, status=self.status)
        stream = web.StreamResponse()
        await stream.prepare(request)
        while (piece := await self.pieces.get()) is not None:
            await stream.write(piece)
        return stream


@pytest.fixture
async def server() -> Told:
    return Told()


@pytest.fixture
async def watching(server: Told, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    monkeypatch.setattr(watch, "FIRST", 0.01)
    monkeypatch.setattr(watch, "SHORTEST", 0.01)
    application = web.Application()
    application.router.add_get("/{path:.*}", server.answer)
    async with TestServer(application) as serving:
        url = str(serving.make_url("")).rstrip("/")
        cluster = KubernetesCluster(
            client.ApiClient(client.Configuration(host=url)), 1000, Metrics()
        )
        made = Watch(cluster.transport, POD, Metrics(), lambda _kind, _obj: None)
        task = asyncio.create_task(made.run())
        yield made
        task.cancel()
        await asyncio.wait([task])
        await cluster.close()
        server.pieces.put_nowait(None)


async def until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not become so in time")


def names(of: Watch) -> list[str]:
    return [str(obj["metadata"]["name"]) for obj in of.kept.find("shop", "", "")]


async def test_all_pages_are_kept_and_the_watch_goes_on_from_the_list(
    server: Told, watching: Watch
) -> None:
    await until(lambda: watching.alive)
    assert names(watching) == ["a", "b"]
    (opened,) = [query for query in server.asked if query.get("watch")]
    assert opened["resourceVersion"] == "7"
    assert opened["allowWatchBookmarks"] == "true"


async def test_events_are_read_wherever_their_text_is_split(server: Told, watching: Watch) -> None:
    text = told("ADDED", pod("c", 8, spec={"nodeName": "n" * 5000})) + told("DELETED", pod("a", 9))
    for start in range(0, len(text), 700):
        server.pieces.put_nowait(text[start : start + 700])
    await until(lambda: names(watching) == ["b", "c"])
    assert watching.kept.version == "9"


async def test_a_bookmark_moves_the_version_and_changes_nothing_else(
    server: Told, watching: Watch
) -> None:
    server.pieces.put_nowait(told("BOOKMARK", {"metadata": {"resourceVersion": "40"}}))
    await until(lambda: watching.kept.version == "40")
    assert names(watching) == ["a", "b"]


async def test_a_watch_that_ends_is_opened_again_where_it_was(
    server: Told, watching: Watch
) -> None:
    server.pieces.put_nowait(told("MODIFIED", pod("b", 12)))
    server.pieces.put_nowait(None)
    await until(lambda: len([query for query in server.asked if query.get("watch")]) == 2)
    lists = [query for query in server.asked if not query.get("watch")]
    assert server.asked[-1]["resourceVersion"] == "12"
    assert len(lists) == 2
    assert watching.alive


@pytest.mark.parametrize("code", [410, 500])
async def test_an_error_within_a_watch_has_the_list_made_again(
    server: Told, watching: Watch, code: int
) -> None:
    await until(lambda: watching.alive)
    server.pieces.put_nowait(told("ADDED", pod("z", 8)))
    await until(lambda: "z" in names(watching))
    server.pieces.put_nowait(told("ERROR", {"kind": "Status", "code": code, "message": "no"}))
    await until(lambda: names(watching) == ["a", "b"] and watching.alive)


@pytest.mark.parametrize("status", [403, 404, 410, 500, 503])
async def test_a_watch_that_is_refused_is_not_believed(
    server: Told, watching: Watch, status: int
) -> None:
    server.status = status
    server.pieces.put_nowait(None)
    await until(lambda: server.asked and server.asked[-1].get("watch"))
    await until(lambda: not watching.alive)


GARBAGE = (
    *(b"<html>\n", b"[]\n", b"1\n", b'{"type": "ADDED"}\n', b'{"type": 1, "object": []}\n'),
    *(told("ADDED", {}), told("ADDED", {"metadata": {"resourceVersion": "9"}})),
)


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_what_no_api_server_tells_ends_the_belief(
    server: Told, watching: Watch, garbage: bytes
) -> None:
    await until(lambda: watching.alive)
    before = len(server.asked)
    server.pieces.put_nowait(garbage)
    await until(lambda: len(server.asked) > before)
    await until(lambda: names(watching) == ["a", "b"])


def test_what_a_status_says_in_a_watch_is_an_error_of_ours() -> None:
    assert isinstance(watch._error_of(POD, {"code": 410}), Expired)
    assert isinstance(watch._error_of(POD, {"code": 504, "message": "busy"}), Unreachable)


def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, none of which is waited for."""
    made: list[float] = []

    def about(pause: float) -> float:
        made.append(pause)
        return 0.0

    monkeypatch.setattr(watch, "_about", about)
    return made


@pytest.mark.parametrize("status", [401, 410, 429])
async def test_a_watch_that_fails_again_and_again_is_tried_less_and_less_often(
    server: Told, watching: Watch, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    pauses = paused(monkeypatch)
    server.status = status
    server.pieces.put_nowait(None)
    await until(lambda: len(pauses) >= 8)
    assert pauses[:4] == sorted(pauses[:4])
    assert pauses[3] >= 4 * pauses[0]
    assert max(pauses) <= watch.MOST


async def test_what_worked_for_long_is_tried_again_at_once(
    server: Told, watching: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = paused(monkeypatch)
    monkeypatch.setattr(watch, "STEADY", 0.0)
    server.status = 410
    server.pieces.put_nowait(None)
    await until(lambda: len(pauses) >= 5)
    assert set(pauses) == {watch.FIRST}


async def test_a_watch_that_is_not_wanted_any_more_has_no_gauge() -> None:
    metrics = Metrics()
    made = Watch(None, POD, metrics, lambda _kind, _obj: None)  # type: ignore[arg-type]
    assert b'kubernetes_watch_alive{kind="pods"} 0.0' in metrics.render()
    made.end()
    assert b"kubernetes_watch_alive{" not in metrics.render()
    assert not made.alive


class Answer:
    """An answer whose connection goes back to the pool once it is whole."""

    def __init__(self) -> None:
        self.connection: Any = SimpleNamespace(transport=self)
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1

    def close(self) -> None:
        self.connection = None


@pytest.mark.parametrize(("whole", "aborted"), [(True, 0), (False, 1)])
def test_a_connection_that_another_request_may_have_is_not_ended(whole: bool, aborted: int) -> None:
    answer = Answer()
    with transport._dropped(answer):  # type: ignore[arg-type]
        if whole:
            answer.connection = None
    assert answer.aborted == aborted
