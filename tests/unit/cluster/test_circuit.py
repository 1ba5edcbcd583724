"""A server that answers nothing: reads fail at once for a while, writes are always tried."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes_asyncio import client

from remediator.cluster import pacing
from remediator.cluster.pacing import IN_A_ROW, Bucket
from remediator.cluster.transport import Transport
from remediator.errors import ClusterError
from remediator.telemetry import Metrics

PATH = "/api/v1/pods"
MOMENT = 0.05


class Hanging:
    """An API server that hangs while `hangs`."""

    def __init__(self) -> None:
        self.hangs, self.asked = True, list[str]()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.method)
        if self.hangs:
            await asyncio.sleep(10)
        return web.json_response({"kind": "Status", "code": 403}, status=403)


@pytest.fixture
def server() -> Hanging:
    return Hanging()


@pytest.fixture
async def transport(server: Hanging) -> AsyncIterator[Transport]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(application) as running:
        settings = client.Configuration()
        settings.host = str(running.make_url("")).rstrip("/")
        made = Transport(client.ApiClient(settings), 100, Metrics())
        yield made
        await made.close()


async def read(
    transport: Transport, method: str = "GET", timeout: float = MOMENT, **more: Any
) -> str:
    """Why a request failed."""
    with pytest.raises(ClusterError) as raised:
        await transport.ask(method, PATH, "list pods", timeout=timeout, **more)
    return str(raised.value)


async def test_after_some_that_nobody_answered_reads_fail_at_once(
    transport: Transport, server: Hanging
) -> None:
    for _ in range(IN_A_ROW):
        assert "no answer" in await read(transport)
    why = await read(transport, timeout=10)
    assert "the API server does not answer; it is asked again in 5s" in why
    assert len(server.asked) == IN_A_ROW


async def test_a_write_is_always_tried(transport: Transport, server: Hanging) -> None:
    for _ in range(IN_A_ROW):
        await read(transport)
    assert "no answer" in await read(transport, "PATCH")
    assert server.asked == ["GET"] * IN_A_ROW + ["PATCH"]


async def test_when_the_while_is_over_it_is_asked_again(
    transport: Transport, server: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "REST", MOMENT)
    for _ in range(IN_A_ROW):
        await read(transport)
    await asyncio.sleep(2 * MOMENT)
    assert "no answer" in await read(transport)
    assert "asked again" in await read(transport)
    server.hangs = False
    await asyncio.sleep(2 * MOMENT)
    for _ in range(2):
        assert "403" in await read(transport, timeout=10)


async def test_an_answer_in_between_begins_the_count_anew(
    transport: Transport, server: Hanging
) -> None:
    for _ in range(2 * IN_A_ROW):
        server.hangs = True
        assert "no answer" in await read(transport)
        server.hangs = False
        assert "403" in await read(transport, timeout=10)


async def test_what_waits_for_its_turn_says_nothing_of_the_server(
    transport: Transport, server: Hanging
) -> None:
    server.hangs = False
    transport._bucket = Bucket(0.001)
    transport._bucket._tokens = 0
    for _ in range(2 * IN_A_ROW):
        assert "no answer" in await read(transport)
    assert server.asked == []
    transport._bucket = Bucket(100)
    assert "403" in await read(transport, timeout=10)


@pytest.mark.parametrize(
    "more", [{"method": "PATCH"}, {"raw": True}], ids=["a write", "the log of a pod"]
)
async def test_what_may_wait_for_somebody_else_says_nothing_of_the_server(
    transport: Transport, server: Hanging, more: dict[str, Any]
) -> None:
    for _ in range(2 * IN_A_ROW):
        assert "no answer" in await read(transport, **more)
    server.hangs = False
    assert "403" in await read(transport, timeout=10)


async def test_what_nobody_waits_for_any_more_says_nothing_of_the_server(
    transport: Transport, server: Hanging
) -> None:
    for _ in range(2 * IN_A_ROW):
        asking = asyncio.ensure_future(transport.ask("GET", PATH, "list pods"))
        await asyncio.sleep(MOMENT)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    server.hangs = False
    assert "403" in await read(transport, timeout=10)
