"""Receivers against local servers that take, fail, refuse and stall; the outbox delivers at least once and never drops silently."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import remediator.notify as notify
from remediator.engine.engine import Engine
from remediator.notify import LogReceiver, WebhookReceiver
from tests.integration.world import World

MESSAGE = {"remediation": "r-1", "state": "failed", "why": "because"}


class Server:
    """A webhook that answers as it is told, and remembers."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.seen: list[tuple[str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append((request.headers.get("Authorization", ""), json.loads(await request.read())))
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Location": "http://169.254.169.254/"} if status == 302 else {}
        return web.Response(status=status, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    built = Server()
    app = web.Application()
    app.router.add_post("/", built.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    built.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield built
    await runner.cleanup()


async def test_a_webhook_is_posted_as_json_with_its_token(server: Server) -> None:
    await WebhookReceiver(server.url, "secret").notify(MESSAGE)
    assert server.seen == [("Bearer secret", MESSAGE)]


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
async def test_anything_but_2xx_is_a_failure_and_no_redirect_is_followed(server: Server, status: int) -> None:
    server.answers = [status]
    with pytest.raises(aiohttp.ClientError, match=f"answered {status}"):
        await WebhookReceiver(server.url).notify(MESSAGE)
    assert len(server.seen) == 1


async def test_nobody_there_is_a_failure() -> None:
    with pytest.raises(aiohttp.ClientError):
        await WebhookReceiver("http://127.0.0.1:9/").notify(MESSAGE)


async def test_one_that_stalls_is_a_failure_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "TIMEOUT", aiohttp.ClientTimeout(total=0.2))

    async def stall(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    over = asyncio.Event()
    held = await asyncio.start_server(stall, "127.0.0.1", 0)
    with pytest.raises(TimeoutError):
        await WebhookReceiver(f"http://127.0.0.1:{held.sockets[0].getsockname()[1]}/").notify(MESSAGE)
    over.set()
    held.close()
    await held.wait_closed()


async def blocked(world: World) -> None:
    """A remediation that ends without success, so that people are told."""
    world.leak()
    world.cluster.annotate("Deployment", "shop", "web", "remediator.io/disabled", "true")
    await world.deliver("Leak")
    await world.run(timedelta(seconds=30))


async def test_the_outbox_tries_again_until_it_is_taken(server: Server) -> None:
    world = await World().start()
    world.engine = Engine(world.doors, {"log": WebhookReceiver(server.url)})
    server.answers = [500, 503]
    await blocked(world)
    await world.run(timedelta(minutes=2))
    assert len(server.seen) == 3
    body = server.seen[-1][1]
    assert (body["state"], body["reason"], body["rule"]) == ("blocked", "opted_out", "restart")
    assert body["show"] == f"remediator show {body['remediation']}"
    shown = await world.journal.show(body["remediation"])
    assert shown is not None
    assert [(m["tries"], bool(m["delivered_at"])) for m in shown["messages"]] == [(3, True)]
    await world.journal.close()


async def test_what_nobody_ever_takes_is_given_up_loudly(server: Server) -> None:
    world = await World().start()
    world.engine = Engine(world.doors, {"log": WebhookReceiver(server.url)})
    server.answers = [500] * 100
    await blocked(world)
    await world.run(timedelta(hours=3), timedelta(seconds=10))
    assert len(server.seen) == 12
    text = world.doors.metrics.render().decode()
    assert 'remediator_notifications_total{channel="webhook",outcome="given_up"} 1.0' in text
    (row,) = await world.rows()
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert "answered 500" in shown["messages"][0]["error"]
    await world.journal.close()


async def test_a_receiver_that_is_gone_is_said_so() -> None:
    world = await World().start()
    world.engine = Engine(world.doors, {})
    await blocked(world)
    (row,) = await world.rows()
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert shown["messages"][0]["error"] == "no receiver log is configured"
    await world.journal.close()


async def test_the_log_is_a_receiver() -> None:
    await LogReceiver().notify(MESSAGE)
