"""What each receiver sends: within the limits of the service, as text and not as markup, and with
no secret in what is said of a failure.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from remediator.engine.engine import Engine
from remediator.engine.tell.deliver import failure
from remediator.model.notice import Notice, from_payload
from remediator.model.remediation import State
from remediator.notify.apprise import AppriseReceiver
from remediator.notify.log import LogReceiver
from remediator.notify.pagerduty import PagerDutyReceiver
from remediator.notify.slack import SlackReceiver
from remediator.notify.webhook import WebhookReceiver
from remediator.ports import Notifier
from tests.contract.test_notify import MESSAGE, Server, blocked
from tests.integration.world import World, rules
from tests.unit.notify.answering import answering, http

HOSTILE = "<!channel> <https://evil.example|click> & *bold* \n\x1b[2J \u202e"
LONG = replace(
    MESSAGE,
    why="&<>" * 3000,
    plan="p" * 5000,
    story=tuple(f"{number:02} {'x' * 297}" for number in range(20)),
    members=tuple(f"shop/w{number}" for number in range(20)),
    link="https://r.example/approvals/r-1?digest=d&until=1",
    approve="remediator approve r-1 --digest d",
)


def slack(server: Server) -> SlackReceiver:
    return SlackReceiver("xoxb-token", "C1", f"{server.url}api/")


async def sent(server: Server, notice: Notice, ref: str = "") -> dict[str, Any]:
    """What Slack gets first of a notice."""
    await slack(server).notify(notice, ref)
    said: dict[str, Any] = server.seen[0][1]
    return said


def shown(said: dict[str, Any], kind: str) -> list[str]:
    """The texts of blocks of a kind."""
    blocks = [block["text"] for block in said["blocks"]]
    return [block["text"] for block in blocks if block["type"] == kind]


@pytest.mark.parametrize("notice", [MESSAGE, LONG], ids=["short", "long"])
async def test_a_message_keeps_to_slack_s_limits_of_blocks(server: Server, notice: Notice) -> None:
    said = await sent(server, notice)
    assert 1 <= len(said["blocks"]) <= 50
    texts = [block["text"]["text"] for block in said["blocks"]]
    assert all(1 <= len(text) <= 3000 for text in texts)


async def test_a_body_that_needs_several_blocks_is_shown_whole_and_in_order(
    server: Server,
) -> None:
    notice = replace(MESSAGE, why="".join(f"{number:05}" for number in range(1400)))
    said = await sent(server, notice)
    assert "".join(shown(said, "plain_text")).startswith(f"worse: {notice.why}\n")


@pytest.mark.parametrize("length", [2993, 2994, 2995])
async def test_no_block_is_empty_at_a_limit(server: Server, length: int) -> None:
    """The reason before it takes seven characters."""
    said = await sent(server, replace(MESSAGE, why="x" * length, show=""))
    lengths = [len(text) for text in shown(said, "plain_text")]
    assert sum(lengths) == length + 7
    assert min(lengths) > 0


async def test_the_text_of_an_update_keeps_to_slack_s_limit(server: Server) -> None:
    await slack(server).notify(LONG, "C1/1.0")
    (updated,) = [
        said
        for path, (_, said) in zip(server.paths, server.seen, strict=True)
        if path.endswith("chat.update")
    ]
    assert len(updated["text"]) <= 4000


@pytest.mark.parametrize("field", ["rule", "target", "cluster", "why", "plan", "reason", "approve"])
async def test_nothing_in_a_message_is_a_link_or_a_mention(server: Server, field: str) -> None:
    hostile: dict[str, Any] = {"why": "w", field: HOSTILE}
    said = await sent(server, replace(MESSAGE, **hostile))
    marked = [said["text"], *shown(said, "mrkdwn")]
    assert not any("<" in text or ">" in text for text in marked)
    assert "&lt;!channel&gt;" in said["text"]


async def test_a_link_cannot_be_left_by_what_is_in_it(server: Server) -> None:
    said = await sent(server, replace(MESSAGE, link="https://r.example/?a=1&b=<!here>"))
    assert shown(said, "mrkdwn")[-1] == (
        "<https://r.example/?a=1&amp;b=&lt;!here&gt;|Review the plan and decide>"
    )


async def test_without_a_link_nothing_can_be_clicked(server: Server) -> None:
    assert len(shown(await sent(server, MESSAGE), "mrkdwn")) == 1


@pytest.mark.parametrize(
    ("state", "closed", "mark"),
    [
        ("failed", False, ":red_circle:"),
        ("awaiting_approval", False, ":large_orange_circle:"),
        ("storm", False, ":large_orange_circle:"),
        ("succeeded", False, ":large_green_circle:"),
        ("failed", True, ":large_green_circle:"),
    ],
)
async def test_the_mark_tells_how_bad_it_is(
    server: Server, state: str, closed: bool, mark: str
) -> None:
    said = await sent(server, replace(MESSAGE, state=state, closed=closed))
    assert said["text"].startswith(f"{mark} *")
    assert shown(said, "mrkdwn")[0].startswith(f"{mark} *")


async def test_a_reply_goes_to_the_channel_of_its_thread(server: Server) -> None:
    assert await slack(server).notify(MESSAGE, "C9/7.5") == "C9/7.5"
    (_, update), (_, reply) = server.seen
    assert (reply["channel"], reply["thread_ts"]) == ("C9", "7.5")
    assert (update["channel"], update["ts"]) == ("C9", "7.5")
    assert "unfurl_links" not in update


@asynccontextmanager
async def slack_by(
    answer: Callable[[web.Request], Awaitable[web.Response]],
) -> AsyncIterator[SlackReceiver]:
    """A receiver whose Slack answers like this."""
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield SlackReceiver("t", "C1", f"http://127.0.0.1:{runner.addresses[0][1]}/api/")
    await runner.cleanup()


@pytest.mark.parametrize("error", ["ratelimited", "internal_error", ""])
async def test_nothing_is_posted_until_the_first_message_can_be_changed(error: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"ok": False, "error": error} if error else {})

    async with slack_by(answer) as receiver:
        with pytest.raises(OSError, match="Slack rejected the message"):
            await receiver.notify(MESSAGE, "C1/7.5")
    assert asked == ["/api/chat.update"]


async def test_a_reply_is_posted_once_though_the_first_message_cannot_be_changed() -> None:
    posted: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        said = await request.json()
        if request.path.endswith("chat.update"):
            return web.json_response({"ok": False, "error": "edit_window_closed"})
        posted.append(said["text"])
        return web.json_response({"ok": True, "channel": "C1", "ts": f"{len(posted)}.0"})

    async with slack_by(answer) as receiver:
        world = await World().start()
        world.doors.followers = ("chat",)
        world.engine = Engine(world.doors, {"log": LogReceiver(), "chat": receiver})
        world.crash()
        await world.deliver("Crash")
        await world.run(timedelta(minutes=1))
        await world.deliver("Crash", firing=False)
        await world.run(timedelta(minutes=30), timedelta(seconds=10))
        await world.journal.close()
    assert ["Verifying" in posted[0], "Succeeded" in posted[1], len(posted)] == [True, True, 2]


async def event(server: Server, notice: Notice) -> dict[str, Any]:
    """What PagerDuty gets of a notice."""
    await PagerDutyReceiver("routing-key", server.url).notify(notice)
    said: dict[str, Any] = server.seen[-1][1]
    return said


@pytest.mark.parametrize("notice", [MESSAGE, LONG], ids=["short", "long"])
async def test_an_incident_keeps_to_pagerduty_s_limits(server: Server, notice: Notice) -> None:
    said = await event(server, notice)
    assert 1 <= len(said["payload"]["summary"]) <= 1024
    assert len(said["dedup_key"]) <= 255
    assert len(json.dumps(said)) < 512 * 1024
    assert "\n" not in said["payload"]["summary"]


@pytest.mark.parametrize("state", [*sorted(State), "storm", "breaker_open", ""])
async def test_every_state_is_a_severity_that_pagerduty_knows(server: Server, state: str) -> None:
    said = await event(server, replace(MESSAGE, state=state))
    assert said["payload"]["severity"] in {"critical", "error", "warning", "info"}


async def test_an_incident_has_all_that_is_known_of_it(server: Server) -> None:
    said = await event(server, replace(LONG, reason=""))
    assert said["routing_key"] == "routing-key"
    assert said["payload"]["custom_details"] == replace(LONG, reason="").payload()
    assert said["payload"]["class"] == "failed"
    assert said["payload"]["summary"].startswith("Failed: restart on Deployment/shop/web: &<>")


async def test_remediations_are_incidents_of_their_own(server: Server) -> None:
    keys = {
        (await event(server, replace(MESSAGE, remediation=ident, closed=closed)))["dedup_key"]
        for ident, closed in (("r-1", False), ("r-1", True), ("r-2", False), ("storm-g", False))
    }
    assert len(keys) == 3


async def test_what_is_over_needs_no_words(server: Server) -> None:
    over = replace(from_payload({"remediation": "r-1"}), closed=True)
    assert (await event(server, over))["event_action"] == "resolve"


async def test_a_notice_of_few_words_opens_an_incident_too(server: Server) -> None:
    said = await event(server, from_payload({"remediation": "r-1", "state": "failed"}))
    assert said["payload"]["summary"]


@pytest.mark.parametrize("secret", ["a", "a secret of ours", "ключ 🗝", "whsec_x", "x" * 500])
async def test_a_webhook_is_signed_with_the_secret_as_it_is_in_the_file(
    server: Server, secret: str
) -> None:
    await WebhookReceiver(server.url, secret=secret).notify(replace(MESSAGE, why="ü\n🙂"))
    payload = Webhook(secret.encode()).verify(server.body, server.headers)
    assert payload == replace(MESSAGE, why="ü\n🙂").payload()
    assert "Authorization" not in server.headers


async def test_without_a_secret_nothing_looks_signed(server: Server) -> None:
    await WebhookReceiver(server.url).notify(MESSAGE)
    assert not [name for name in server.headers if name.lower().startswith("webhook-")]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_success_is_one(server: Server, status: int) -> None:
    server.answers = [status]
    assert await WebhookReceiver(server.url).notify(MESSAGE, "ref") == ""


@pytest.mark.parametrize("status", [300, 301, 304, 307, 308, 404, 410, 429, 502])
async def test_what_is_no_success_is_tried_again(server: Server, status: int) -> None:
    server.answers = [status]
    with pytest.raises(aiohttp.ClientError, match=f"answered {status}$"):
        await WebhookReceiver(server.url).notify(MESSAGE)


async def test_a_mail_shows_no_markup_of_a_label(server: Server) -> None:
    receiver = AppriseReceiver(server.url.replace("http://", "json://"))
    await receiver.notify(replace(MESSAGE, why="<b>bold</b>\n[x](https://evil.example)"))
    (_, said) = server.seen[0]
    assert (said["type"], said["title"]) == ("failure", "Failed: restart on Deployment/shop/web")
    assert said["message"].splitlines() == [
        "worse: <b>bold</b>\N{REPLACEMENT CHARACTER}[x](https://evil.example)",
        "remediator show r-1",
    ]


async def failed(receiver: Notifier) -> str:
    """What is said of a failure."""
    with pytest.raises((aiohttp.ClientError, OSError, TimeoutError)) as raised:
        await receiver.notify(MESSAGE)
    return failure(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/SECRET?key=SECRET",
        "http://user:SECRET@127.0.0.1:9/",
        "hooks.example.com/SECRET",
        "http://127.0.0.1:99999/SECRET",
        "http:///SECRET",
        "htps://hooks.example.com/SECRET",
    ],
)
async def test_a_url_is_not_repeated_in_a_failure(url: str) -> None:
    assert "SECRET" not in await failed(WebhookReceiver(url, secret="SECRET"))


async def test_a_url_is_not_repeated_because_its_server_speaks_something_else() -> None:
    async with answering(b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n") as server:
        assert "SECRET" not in await failed(WebhookReceiver(f"http://{server.address}/SECRET"))


async def test_what_a_server_answers_is_not_repeated_in_a_failure() -> None:
    async with answering(http("500 No", "text/plain", b"your key is SECRET")) as server:
        assert "SECRET" not in await failed(WebhookReceiver(f"http://{server.address}/"))


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        pytest.param("502 Bad Gateway", "text/html", b"<html>", id="a page of a proxy"),
        pytest.param("200 OK", "text/html", b"<html>", id="a login page"),
        pytest.param("200 OK", "application/json", b"{}", id="an answer without a word"),
        pytest.param("200 OK", "application/json", b"<html>", id="no JSON though it says so"),
        pytest.param("200 OK", "application/json", b"[]", id="JSON of another kind"),
        pytest.param("200 OK", "application/json", b'["ok"]', id="a list"),
        pytest.param("200 OK", "application/json", b'"ok"', id="a text"),
    ],
)
async def test_what_is_not_slack_s_answer_is_a_failure(status: str, kind: str, body: bytes) -> None:
    async with answering(http(status, kind, body)) as server:
        receiver = SlackReceiver("xoxb-SECRET", "C1", f"http://{server.address}/api/")
        assert "SECRET" not in await failed(receiver)


@pytest.mark.parametrize(
    "receiver",
    [
        pytest.param(WebhookReceiver("http://hooks..example.com/"), id="a host that is none"),
        pytest.param(
            WebhookReceiver("http://user:password@127.0.0.1:9/", "token"), id="two credentials"
        ),
    ],
)
async def test_a_receiver_that_can_never_work_is_said_so(receiver: Notifier) -> None:
    world = await World().start()
    world.engine = Engine(world.doors, {"log": receiver})
    try:
        await blocked(world)
        await world.run(timedelta(minutes=2))
        shown = await world.journal.show((await world.only())["id"])
    finally:
        await world.journal.close()
    assert shown is not None
    assert [bool(message["error"]) for message in shown["messages"]] == [True]


LEAK = "name: r, match: ['alertname=\"Leak\"'], steps: [{action: restart_workload, if: always}]"


async def test_a_storm_is_told_as_the_schema_says() -> None:
    world = await World(rules(LEAK)).start()
    for number in range(6):
        world.cluster.create_workload("Deployment", "shop", f"w{number}", "x:1")
        await world.deliver("Leak", f"w{number}")
    await world.run()
    await world.journal.close()
    (told,) = [message for message in world.told.messages if message["state"] == "storm"]
    assert (told["rule"], told["target"].rpartition("/")[2]) == ("", "g")
