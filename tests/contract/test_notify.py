"""Receivers against local servers that take, fail, refuse and stall.

The outbox delivers at least once and never drops silently.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from remediator import settings
from remediator.engine.engine import Engine
from remediator.engine.tell.deliver import failure
from remediator.errors import ConfigurationError
from remediator.model.notice import Notice
from remediator.notify import webhook as notify
from remediator.notify.apprise import AppriseReceiver
from remediator.notify.log import LogReceiver
from remediator.notify.pagerduty import PagerDutyReceiver
from remediator.notify.slack import SlackReceiver
from remediator.notify.webhook import WebhookReceiver
from tests.integration.world import RESTART, World, rules

MESSAGE = Notice(
    id="r-1/7",
    remediation="r-1",
    rule="restart",
    target="Deployment/shop/web",
    state="failed",
    reason="worse",
    why="because <!channel> & so on",
    show="remediator show r-1",
)


class Server:
    """A webhook that answers as it is told, and remembers."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.seen: list[tuple[str, Any]] = []
        self.paths: list[str] = []
        self.slack_error = ""
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.body = await request.read()
        self.headers = dict(request.headers)
        form = request.content_type == "application/x-www-form-urlencoded"
        given = dict(await request.post()) if form else json.loads(self.body)
        self.seen.append((request.headers.get("Authorization", ""), given))
        self.paths.append(request.path)
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Location": "http://169.254.169.254/"} if status == 302 else {}
        if request.path.startswith("/api/"):
            if status == 200 and self.slack_error:
                return web.json_response({"ok": False, "error": self.slack_error})
            return web.json_response(
                {"ok": status == 200, "channel": "C1", "ts": f"{len(self.seen)}.0"},
                status=status,
                headers=headers,
            )
        return web.Response(status=status, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    built = Server()
    app = web.Application()
    app.router.add_post("/{path:.*}", built.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    built.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield built
    await runner.cleanup()


async def test_a_webhook_is_posted_as_json_with_its_token(server: Server) -> None:
    await WebhookReceiver(server.url, "secret").notify(MESSAGE)
    assert server.seen == [("Bearer secret", MESSAGE.payload())]


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
async def test_anything_but_2xx_is_a_failure_and_no_redirect_is_followed(
    server: Server, status: int
) -> None:
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
        await WebhookReceiver(f"http://127.0.0.1:{held.sockets[0].getsockname()[1]}/").notify(
            MESSAGE
        )
    over.set()
    held.close()
    await held.wait_closed()


async def blocked(world: World) -> None:
    """A remediation that ends without success, so that people are told."""
    world.leak()
    world.cluster.annotate("Deployment", "shop", "web", "remediator.io/disabled", value="true")
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


async def test_a_signed_webhook_can_be_checked_and_keeps_its_id(server: Server) -> None:
    receiver = WebhookReceiver(server.url, secret="a secret of ours")
    for _ in range(2):
        await receiver.notify(MESSAGE)
        assert Webhook(b"a secret of ours").verify(server.body, server.headers) == MESSAGE.payload()
        assert server.headers["webhook-id"] == "r-1/7"
    with pytest.raises(WebhookVerificationError):
        Webhook(b"a secret of ours").verify(
            server.body.replace(b"failed", b"succeeded"), server.headers
        )
    with pytest.raises(WebhookVerificationError):
        Webhook(b"another secret").verify(server.body, server.headers)


async def test_slack_has_one_thread_whose_first_message_is_brought_up_to_date(
    server: Server,
) -> None:
    receiver = SlackReceiver("xoxb-token", "C1", f"{server.url}api/")
    ref = await receiver.notify(MESSAGE)
    assert await receiver.notify(replace(MESSAGE, state="succeeded", reason=""), ref) == ref
    assert server.paths == ["/api/chat.postMessage", "/api/chat.update", "/api/chat.postMessage"]
    (auth, first), (_, update), (_, reply) = server.seen
    assert auth == "Bearer xoxb-token"
    assert "thread_ts" not in first
    assert reply["thread_ts"] == update["ts"] == "1.0"
    assert "Failed: restart on Deployment/shop/web" in first["text"]
    assert "&lt;!channel&gt; &amp; so on" in first["text"]  # a label cannot page a channel
    assert "Succeeded" in update["text"]
    title, *rest = [block["text"] for block in first["blocks"]]
    # no label is markup or a link
    assert (title["type"], {text["type"] for text in rest}) == ("mrkdwn", {"plain_text"})
    assert (first["unfurl_links"], first["unfurl_media"]) == (False, False)


async def test_slack_links_to_the_plan_and_to_nothing_else(server: Server) -> None:
    receiver = SlackReceiver("xoxb-token", "C1", f"{server.url}api/")
    await receiver.notify(
        replace(
            MESSAGE,
            why="*look* at https://evil.example\n:boom:",
            link="https://r.example/approvals/r-1?digest=d&until=1",
        )
    )
    blocks = [block["text"] for block in server.seen[0][1]["blocks"]]
    assert [block["text"] for block in blocks if block["type"] == "mrkdwn"][1:] == [
        "<https://r.example/approvals/r-1?digest=d&amp;until=1|Review the plan and decide>"
    ]
    (said,) = [block["text"] for block in blocks if block["type"] == "plain_text"]
    assert "*look* at https://evil.example\N{REPLACEMENT CHARACTER}:boom:" in said


async def test_a_url_that_is_none_is_not_repeated(server: Server) -> None:
    del server
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.InvalidURL) as caught:
            await session.post("hooks.example.com/SECRET")
    assert "SECRET" in str(caught.value)
    assert "SECRET" not in failure(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_slack_s_failures_are_failures(server: Server, status: int) -> None:
    server.answers = [status]
    with pytest.raises(OSError, match="Slack rejected the message"):
        await SlackReceiver("t", "C1", f"{server.url}api/").notify(MESSAGE)


async def test_slack_s_refusal_is_reported_without_its_token(server: Server) -> None:
    server.slack_error = "channel_not_found"
    with pytest.raises(OSError, match="channel_not_found") as raised:
        await SlackReceiver("xoxb-token", "C1", f"{server.url}api/").notify(MESSAGE)
    assert "xoxb" not in str(raised.value)


async def test_pagerduty_has_one_incident_that_resolves(server: Server) -> None:
    receiver = PagerDutyReceiver("routing-key", server.url)
    await receiver.notify(MESSAGE)
    await receiver.notify(replace(MESSAGE, closed=True))
    (_, opened), (_, closed) = server.seen
    assert opened["dedup_key"] == closed["dedup_key"] == "remediator/r-1"
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert (opened["payload"]["severity"], opened["payload"]["component"]) == (
        "critical",
        "Deployment/shop/web",
    )
    assert "payload" not in closed
    server.answers = [400]
    with pytest.raises(aiohttp.ClientError):
        await receiver.notify(MESSAGE)


async def test_apprise_delivers_or_says_that_it_did_not(server: Server) -> None:
    url = server.url.replace("http://", "json://")
    receiver = AppriseReceiver(url)
    await receiver.notify(MESSAGE)
    assert server.seen[0][1]["title"] == "Failed: restart on Deployment/shop/web"
    assert "remediator show r-1" in server.seen[0][1]["message"]
    server.answers = [500]
    with pytest.raises(OSError, match="rejected the message"):
        await receiver.notify(MESSAGE)
    with pytest.raises(ConfigurationError, match="invalid Apprise URL"):
        AppriseReceiver("nonsense://")


async def told(world: World) -> list[Any]:
    (row,) = await world.rows()
    shown = await world.journal.show(row["id"])
    assert shown is not None
    return list(shown["messages"])


async def test_trouble_opens_an_incident_that_resolves_when_the_alert_does(server: Server) -> None:
    world = await World().start()
    world.engine = Engine(world.doors, {"log": PagerDutyReceiver("key", server.url)})
    await blocked(world)
    await world.run(timedelta(minutes=2))
    assert [event["event_action"] for _, event in server.seen] == ["trigger"]
    await world.deliver("Leak", firing=False)
    await world.run(timedelta(minutes=2))
    assert [event["event_action"] for _, event in server.seen] == ["trigger", "resolve"]
    assert len({event["dedup_key"] for _, event in server.seen}) == 1
    await world.run(timedelta(hours=1), timedelta(minutes=1))
    assert len(server.seen) == 2
    await world.journal.close()


async def test_a_follower_s_thread_tells_every_step_in_order(server: Server) -> None:
    world = await World().start()
    world.doors.followers = ("chat",)
    world.engine = Engine(
        world.doors, {"log": LogReceiver(), "chat": SlackReceiver("t", "C1", f"{server.url}api/")}
    )
    world.crash()
    # the first message fails: the second waits for it, or it would open another thread
    server.answers = [503, 200, 503]
    await world.deliver("Crash")
    await world.run(timedelta(minutes=1))
    await world.deliver("Crash", firing=False)
    await world.run(timedelta(minutes=8))
    posts = [
        given
        for path, (_, given) in zip(server.paths, server.seen, strict=True)
        if path == "/api/chat.postMessage"
    ]
    assert "Verifying" in posts[0]["text"]
    assert posts[1]["text"] == posts[0]["text"]  # again, and nothing else before it
    threads = {post.get("thread_ts") for post in posts} - {None}
    assert len(threads) == 1
    assert "Succeeded" in posts[-1]["text"]
    assert all(message["delivered_at"] for message in await told(world))
    await world.journal.close()


async def test_one_that_stalls_keeps_no_other_waiting_and_no_act(server: Server) -> None:
    """Real time: the daemon's own loops."""

    class Stalls:
        kind = "webhook"

        async def notify(self, _message: Any, ref: str = "") -> str:
            await asyncio.sleep(3600)
            return ref

    world = await World().start()
    world.engine = Engine(world.doors, {"stuck": Stalls(), "log": WebhookReceiver(server.url)})
    await blocked_without_running(world)
    world.clock.time += timedelta(seconds=30)
    running = asyncio.ensure_future(world.engine.run(2))
    for _ in range(100):
        await asyncio.sleep(0.05)
        if server.seen:
            break
    running.cancel()
    assert server.seen[0][1]["state"] == "blocked"
    await world.journal.close()


async def blocked_without_running(world: World) -> None:
    world.leak()
    world.cluster.annotate("Deployment", "shop", "web", "remediator.io/disabled", value="true")
    world.doors.rules = rules(
        RESTART.replace("name: restart", "name: restart, escalate: {to: [stuck, log]}")
    )
    await world.deliver("Leak")


async def notify_test(config: Path, *names: str) -> tuple[int, str]:
    """`remediator notify test`: its exit code, and what it printed."""
    command = [
        sys.executable,
        "-m",
        "remediator",
        "notify",
        "test",
        *names,
        "--config",
        str(config),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_the_test_command_tells_what_came_of_each_receiver(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t\n")
    receivers = [
        {"name": "log"},
        {
            "name": "chat",
            "kind": "slack",
            "token_file": str(tmp_path / "token"),
            "channel": "C1",
            "url": f"{server.url}api/",
        },
        {
            "name": "pager",
            "kind": "pagerduty",
            "token_file": str(tmp_path / "token"),
            "url": "http://127.0.0.1:9/",
        },
    ]
    config = tmp_path / "remediator.yaml"
    config.write_text(json.dumps({"receivers": receivers}))
    code, shown = await notify_test(config)
    assert code == 1
    assert "chat                 slack      delivered" in shown
    assert "pager                pagerduty  FAILED" in shown
    code, shown = await notify_test(config, "chat")
    assert (code, "pager" in shown) == (0, False)
    code, shown = await notify_test(config, "nobody")
    assert code == 2
    assert "unknown receiver nobody; the settings define chat, log, pager" in shown


@pytest.mark.parametrize(
    ("receiver", "words"),
    [
        ({"kind": "webhook"}, "needs url or url_file"),
        ({"kind": "slack", "channel": "C1"}, "needs token_file and channel"),
        ({"kind": "pagerduty"}, "needs token_file"),
        ({"kind": "apprise"}, "needs url or url_file"),
        ({"kind": "telegraph"}, "pagerduty"),
    ],
)
def test_a_receiver_that_is_not_complete_is_refused_at_loading(
    receiver: Any, words: str, tmp_path: Path
) -> None:
    config = tmp_path / "remediator.yaml"
    config.write_text(json.dumps({"receivers": [{"name": "x", **receiver}]}))
    with pytest.raises(ConfigurationError) as raised:
        settings.load(config)
    assert words in str(raised.value)
