"""The commands that ask a daemon: what it answers is told in one message, whatever answers in its
place, and an operator's token goes to the daemon only.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remediator.cli import main
from remediator.cli.operators import Api
from remediator.errors import RemediatorError
from tests.unit.notify.answering import Answering, answering, http

NEVER_ASKED = "http://127.0.0.1:9"


async def run(url: str, *words: str, token: Path | None = None) -> tuple[str, Exception | None]:
    """What a command printed, and what it ended with."""
    env = {"REMEDIATOR_URL": url, "REMEDIATOR_TOKEN_FILE": str(token) if token else ""}
    result = await asyncio.to_thread(CliRunner().invoke, main, list(words), env=env)
    ended = result.exception
    assert ended is None or isinstance(ended, Exception | SystemExit)
    return result.output, ended if isinstance(ended, Exception) else None


async def said(url: str, *words: str, token: Path | None = None) -> str:
    """The one message that a command ends with."""
    _, ended = await run(url, *words, token=token)
    assert isinstance(ended, RemediatorError), repr(ended)
    return str(ended)


def answer(value: Any, status: str = "200 OK") -> bytes:
    return http(status, "application/json", json.dumps(value).encode())


def asked(server: Answering) -> str:
    """Method and path of the only request."""
    (request,) = server.seen
    return request.split(b" HTTP/1.1")[0].decode()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["list"], "GET /api/v1/remediations?limit=100"),
        (["list", "--rule", "a b&c", "--limit", "1"], "rule=a+b%26c&limit=1"),
        (
            ["list", "--since", "2026-05-01T12:00:00+02:00"],
            "since=2026-05-01T12%3A00%3A00%2B02%3A00",
        ),
        (["show", "r-1?x#y"], "GET /api/v1/remediations/r-1%3Fx%23y"),
        (["resume", "namespace:shop/x"], "DELETE /api/v1/pauses/namespace%3Ashop%2Fx"),
        (["reset", "a/b ü"], "POST /api/v1/rules/a%2Fb%20%C3%BC/reset"),
        (["deny", "r-1"], "POST /api/v1/remediations/r-1/deny"),
        (["cancel", "r-1"], "POST /api/v1/remediations/r-1/cancel"),
        (["approve", "r-1", "--digest", "d"], "POST /api/v1/remediations/r-1/approve"),
        (["undo", "r-1"], "GET /api/v1/remediations/r-1/undo"),
        (["approve", "r-1"], "GET /api/v1/remediations/r-1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_a_command_asks_for_exactly_what_was_named(words: list[str], expected: str) -> None:
    async with answering(answer({"error": "seen"}, "409 Conflict")) as server:
        assert await said(f"http://{server.address}/", *words) == "seen"
    assert expected in asked(server)


@pytest.mark.parametrize("text", ["me-secret", "me-secret\n", "  me-secret \r\n"], ids=repr)
async def test_a_token_is_read_from_its_file_without_the_space_around_it(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "me").write_text(text)
    async with answering(answer([])) as server:
        await run(f"http://{server.address}", "list", token=tmp_path / "me")
    assert b"\r\nAuthorization: Bearer me-secret\r\n" in server.seen[0]


async def test_without_a_token_none_is_sent() -> None:
    async with answering(answer([])) as server:
        await run(f"http://{server.address}", "list")
    assert b"authorization" not in server.seen[0].lower()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("409 Conflict", b'{"error": "the plan changed"}', "the plan changed"),
        ("401 Unauthorized", b'{"error": "who are you"}', "who are you"),
        ("502 Bad Gateway", b"<html>", "answered 502 Bad Gateway"),
        ("504 Gateway Timeout", b"", "answered 504 Gateway Timeout"),
        ("500 No", b"{}", "answered 500 No"),
        ("200 OK", b"<html>", "is not remediator; set --url"),
        ("200 OK", b"", "is not remediator; set --url"),
        ("502 Bad", b'"bad gateway"', "answered 502 Bad"),
        ("503 No", b"[]", "answered 503 No"),
    ],
)
async def test_a_refusal_is_told_in_the_daemon_s_words_or_by_its_status(
    status: str, body: bytes, expected: str
) -> None:
    async with answering(http(status, "application/json", body)) as server:
        assert expected in await said(f"http://{server.address}", "list")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing: it stops just now"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="TLS: it should be https"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]", id="half of an answer"),
    ],
)
async def test_a_daemon_that_hangs_up_is_said_so(text: bytes) -> None:
    async with answering(text) as server:
        assert server.address in await said(f"http://{server.address}", "list")


@pytest.mark.parametrize("url", ["remediator:9099", "ftp://remediator", "file:///etc/hosts", "/"])
async def test_only_a_server_is_asked(url: str) -> None:
    assert (await said(url, "list")).startswith("invalid URL")


@pytest.mark.parametrize("url", ["http://localhost:port", "http://two words", "http://[::1"])
async def test_a_url_that_is_none_is_said_so(url: str) -> None:
    assert url in await said(url, "list")


@pytest.mark.parametrize(
    "content", [None, b"\xff\xfe", b"two\nlines"], ids=["a folder", "no text", "two lines"]
)
async def test_a_token_file_that_has_no_token_is_said_so(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "me"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    assert str(file) in await said(NEVER_ASKED, "list", token=file)


async def test_a_token_is_not_sent_on_to_where_a_redirect_leads(tmp_path: Path) -> None:
    (tmp_path / "me").write_text("me-secret")
    async with answering(answer([])) as other:
        elsewhere = other.address.replace("127.0.0.1", "localhost")
        moved = http("302 Found", "text/plain", b"", f"Location: http://{elsewhere}/login\r\n")
        async with answering(moved) as server:
            await run(f"http://{server.address}", "list", token=tmp_path / "me")
    assert not any(b"me-secret" in request for request in other.seen)


async def test_a_pause_that_is_redirected_is_said_to_have_failed() -> None:
    async with answering(answer([])) as other:
        moved = http("301 Moved", "text/plain", b"", f"Location: http://{other.address}/\r\n")
        async with answering(moved) as server:
            assert await said(f"http://{server.address}", "pause", "--reason", "incident 42")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ('{"alerts": {"a": 1}}', "alert.json: `alerts` must be a list"),
        ('{"alerts": "a"}', "alert.json: `alerts` must be a list"),
        ('{"alerts": []}', "alert.json: `alerts` must be a list"),
    ],
    ids=["cut off", "empty", "alerts that are no list", "alerts that are text", "no alerts"],
)
async def test_a_file_that_is_no_alert_is_said_so(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "alert.json").write_text(text)
    assert expected in await said(NEVER_ASKED, "explain", str(tmp_path / "alert.json"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"labels": {"a": "b"}}, {"alert": {"labels": {"a": "b"}}}),
        ({"alerts": [{"labels": {"a": "1"}}, {}]}, {"alert": {"labels": {"a": "1"}}}),
    ],
    ids=["an alert", "a webhook: its first"],
)
async def test_a_file_is_asked_about_as_an_alert(
    tmp_path: Path, content: Any, expected: Any
) -> None:
    (tmp_path / "alert.json").write_text(json.dumps(content))
    shown = {"fingerprint": "given", "source": "s", "alert": {}, "rules": []}
    bodies = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        bodies.append(json.loads(await reader.readexactly(len(json.dumps(expected)))))
        writer.write(answer(shown))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        output, _ = await run(url, "explain", str(tmp_path / "alert.json"))
    assert (bodies, output.startswith("alert given from s")) == ([expected], True)


WAITING = {"id": "r-1", "state": "awaiting_approval", "look": {"digest": "sha256:0"}}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (WAITING, "cannot approve r-1: pass --digest to confirm the plan"),
        ({**WAITING, "state": "held"}, "cannot approve r-1: it is held, not waiting for approval"),
    ],
    ids=["nobody looked at the plan", "nothing waits"],
)
async def test_nothing_is_approved_unseen(row: Any, words: str) -> None:
    async with answering(answer(row)) as server:
        assert words in await said(f"http://{server.address}", "approve", "r-1")
    assert len(server.seen) == 1  # it was looked at, and nothing was sent


@pytest.mark.parametrize(
    ("refused", "yes", "words"),
    [
        ("owned: by Argo CD", [], "cannot undo r-1: owned: by Argo CD"),
        ("owned: by Argo CD", ["--yes"], "cannot undo r-1: owned: by Argo CD"),
        ("", [], "review the plan above, then use --yes"),
    ],
    ids=["refused", "refused though it is wanted", "nobody to ask"],
)
async def test_nothing_is_undone_unseen(refused: str, yes: list[str], words: str) -> None:
    would = {"plan": "set it back", "calls": ["PATCH x"], "verdicts": [], "refused": refused}
    async with answering(answer(would)) as server:
        output, ended = await run(f"http://{server.address}", "undo", "r-1", *yes)
    assert output.startswith("plan     set it back\ncall     PATCH x\n")
    assert words in str(ended)
    assert len(server.seen) == 1


async def test_no_remediations_are_not_the_same_as_none_that_match() -> None:
    async with answering(answer([])) as server:
        url = f"http://{server.address}"
        assert (await run(url, "list"))[0] == "no remediations yet\n"
        assert "no matching remediations" in (await run(url, "list", "--rule", "a"))[0]
        assert json.loads((await run(url, "list", "--rule", "a", "--json"))[0]) == []


async def test_a_rule_that_is_not_loaded_cannot_be_promoted() -> None:
    async with answering(answer({"rules": []})) as server:
        assert "cannot promote x: no such rule" in await said(
            f"http://{server.address}", "promote", "x"
        )


def test_a_url_is_taken_with_or_without_a_slash_at_its_end() -> None:
    with pytest.raises(RemediatorError, match=r"at http://127\.0\.0\.1:9: "):
        Api(NEVER_ASKED + "///", None).ask("GET", "/counts")
