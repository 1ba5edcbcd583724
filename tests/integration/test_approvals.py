"""A plan that waits, by link.

It is shown to whoever has the link, and decided only by an operator's own credential.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from pydantic import ValidationError

from remediator.app import App, running
from remediator.cluster.sandbox import SandboxCluster
from remediator.settings import Settings
from remediator.web.links import Links
from tests.integration.test_http import AM, ME, settings

KEY = "k" * 32
PUBLIC = "https://remediator.example"
RULE = """\
version: 1
groups:
  - name: g
    scope: {namespaces: [shop]}
    defaults: {mode: approve, escalate: {to: [hook]}}
    rules:
      - {name: ask, match: ['alertname="Leak"'], steps: [{action: restart_workload, if: always}]}
"""


class Hook:
    """A receiver on loopback that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))  # type: ignore[union-attr]
        self.told.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


def configured(folder: Path, port: int, **web: Any) -> Settings:
    (folder / "rules.yaml").write_text(RULE)
    (folder / "key").write_text(KEY)
    (folder / "bob").write_text("bob-secret\n")
    operators = [{"name": who, "token_file": str(folder / who)} for who in ("me", "bob")]
    given = {
        "listen": "127.0.0.1:0",
        "public_url": PUBLIC,
        "link_key_file": str(folder / "key"),
        **web,
    }
    return settings(
        folder,
        rules=[str(folder / "rules.yaml")],
        web=given,
        operators=operators,
        receivers=[{"name": "hook", "kind": "webhook", "url": f"http://127.0.0.1:{port}/"}],
    )


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Hook, int]]:
    made = Hook()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    async with server:
        yield made, server.sockets[0].getsockname()[1]


async def asked(app: App, hook: Hook) -> str:
    """An alert whose plan waits; the link that people were sent, on this server."""
    cluster = app.doors.clusters["default"]
    assert isinstance(cluster, SandboxCluster)
    cluster.create_workload("Deployment", "shop", "web", "web:1")
    now = datetime.now(UTC)
    alert = {
        "status": "firing",
        "labels": {
            "alertname": "Leak",
            "namespace": "shop",
            "deployment": "web",
            "note": "<script>x</script>",
        },
        "startsAt": now.isoformat(),
        "fingerprint": "f1",
    }
    body = {"version": "4", "alerts": [alert]}
    async with (
        aiohttp.ClientSession(app.url) as http,
        http.post("/webhook", json=body, headers=AM) as answer,
    ):
        assert answer.status == 200
    for _ in range(200):
        links = [message["link"] for message in hook.told if message.get("link")]
        if links:
            assert links[0].startswith(f"{PUBLIC}/approvals/r-")
            return str(links[0]).removeprefix(PUBLIC)
        await asyncio.sleep(0.05)
    raise AssertionError("nobody was sent a link")


@pytest.fixture
async def app(tmp_path: Path, hook: tuple[Hook, int]) -> AsyncIterator[App]:
    async with running(configured(tmp_path, hook[1])) as started:
        yield started


@pytest.fixture
async def http(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(app.url) as session:
        yield session


async def state(app: App) -> tuple[str, list[str]]:
    (row,) = await app.doors.journal.remediations(5, None)
    shown = await app.doors.journal.show(row["id"])
    assert shown is not None
    return str(row["state"]), [line["text"] for line in shown["history"]]


async def test_a_link_shows_the_plan_and_a_preview_decides_nothing(
    app: App, hook: tuple[Hook, int], http: aiohttp.ClientSession
) -> None:
    link = await asked(app, hook[0])
    for _ in range(3):
        async with http.get(link, headers={"User-Agent": "Slackbot-LinkExpanding 1.0"}) as answer:
            text = await answer.text()
            assert answer.status == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-store"
    assert "restart Deployment/shop/web" in text
    assert "PATCH Deployment/shop/web" in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert "<script>" not in text
    assert 'name="token"' in text
    assert (await state(app))[0] == "awaiting_approval"


@pytest.mark.parametrize(
    ("form", "headers", "status", "words"),
    [
        ({"verdict": "approve"}, {}, 401, "Unknown operator credentials"),
        ({"verdict": "approve", "token": "wrong"}, {}, 401, "Nothing was decided"),
        ({"verdict": "approve", "token": "am-secret"}, {}, 401, "Nothing was decided"),
        ({"verdict": "approve", "token": "me"}, {}, 401, "Nothing was decided"),
        ({"verdict": "maybe", "token": "me-secret"}, {}, 400, "Choose approve or deny"),
        (
            {"verdict": "approve", "token": "me-secret"},
            {"Origin": "https://evil.example"},
            403,
            "another site",
        ),
        (
            {"verdict": "approve", "token": "me-secret"},
            {"X-User": "me", "Origin": "null"},
            403,
            "another site",
        ),
    ],
)
async def test_what_decides_nothing(
    form: dict[str, str],
    headers: dict[str, str],
    status: int,
    words: str,
    *,
    app: App,
    hook: tuple[Hook, int],
    http: aiohttp.ClientSession,
) -> None:
    link = await asked(app, hook[0])
    async with http.post(link, data=form, headers=headers) as answer:
        assert (answer.status, words in await answer.text()) == (status, True)
    assert (await state(app))[0] == "awaiting_approval"


async def test_an_operator_approves_and_says_why(
    app: App, hook: tuple[Hook, int], http: aiohttp.ClientSession
) -> None:
    link = await asked(app, hook[0])
    form = {"verdict": "approve", "token": "me-secret", "reason": "looked at the graphs"}
    async with http.post(link, data=form, headers={"Origin": PUBLIC}) as answer:
        assert (answer.status, "me approved r-" in await answer.text()) == (200, True)
    for _ in range(100):
        if (await state(app))[0] not in ("awaiting_approval", "queued"):
            break
        await asyncio.sleep(0.05)
    now, history = await state(app)
    assert now in ("executing", "verifying")
    assert any(
        re.fullmatch(r"me approved sha256:\w+: looked at the graphs", line) for line in history
    )
    async with http.post(link, data=form) as answer:
        assert (answer.status, "it is not waiting for approval" in await answer.text()) == (
            409,
            True,
        )


async def test_an_operator_denies(
    app: App, hook: tuple[Hook, int], http: aiohttp.ClientSession
) -> None:
    link = await asked(app, hook[0])
    async with http.post(
        link, data={"verdict": "deny", "token": "bob-secret", "reason": "not today"}
    ) as answer:
        assert answer.status == 200
    assert "bob denied it: not today" in (await state(app))[1]


async def test_a_link_that_was_changed_or_is_over_shows_nothing(
    app: App, hook: tuple[Hook, int], http: aiohttp.ClientSession
) -> None:
    link = await asked(app, hook[0])
    split = urlsplit(link)
    query = {key: values[0] for key, values in parse_qs(split.query).items()}
    ident = split.path.rsplit("/", 1)[1]
    over = (
        Links(PUBLIC, KEY.encode())
        .make(ident, query["digest"], datetime.now(UTC) - timedelta(seconds=1))
        .removeprefix(PUBLIC)
    )
    foreign = (
        Links(PUBLIC, b"x" * 32)
        .make(ident, query["digest"], datetime.now(UTC) + timedelta(hours=1))
        .removeprefix(PUBLIC)
    )
    later = link.replace(query["until"], str(int(query["until"]) + 3600))
    other = link.replace(ident, "r-2222222222")
    for bad, words in [
        (over, "expired"),
        (foreign, "link is not valid"),
        (later, "link is not valid"),
        (other, "link is not valid"),
        (split.path, "link is not valid"),
    ]:
        for method in ("GET", "POST"):
            async with http.request(
                method, bad, data={"verdict": "approve", "token": "me-secret"}
            ) as answer:
                text = await answer.text()
                assert (answer.status, words in text, "restart" in text) == (403, True, False), bad
    assert (await state(app))[0] == "awaiting_approval"


async def test_wrong_credentials_are_counted_per_address(
    app: App, hook: tuple[Hook, int], http: aiohttp.ClientSession
) -> None:
    link = await asked(app, hook[0])
    seen: list[int] = []
    while 429 not in seen and len(seen) < 30:
        async with http.post(
            link, data={"verdict": "approve", "token": f"guess-{len(seen)}"}
        ) as answer:
            seen.append(answer.status)
    assert (set(seen[:-1]), seen[-1], len(seen) >= 11) == ({401}, 429, True)
    async with http.get("/api/v1/remediations", headers={"Authorization": "Bearer no"}) as answer:
        assert answer.status == 429
    async with http.get("/api/v1/remediations", headers=ME) as answer:
        assert answer.status == 200  # whoever guesses beside them keeps nobody out
    assert (await state(app))[0] == "awaiting_approval"
    async with http.post(link, data={"verdict": "deny", "token": "me-secret"}) as answer:
        assert answer.status == 200


async def test_behind_a_proxy_that_knows_its_users_no_token_is_needed(
    tmp_path: Path, hook: tuple[Hook, int]
) -> None:
    proxy = {"trusted_proxy_header": "X-User", "trusted_proxies": ["127.0.0.1"]}
    async with (
        running(configured(tmp_path, hook[1], **proxy)) as app,
        aiohttp.ClientSession(app.url) as http,
    ):
        link = await asked(app, hook[0])
        async with http.get(link, headers={"X-User": "ann"}) as answer:
            assert 'name="token"' not in await answer.text()
        async with http.post(
            link, data={"verdict": "approve"}, headers={"X-User": "ann"}
        ) as answer:
            assert answer.status == 403  # no browser said where the form came from
        async with http.post(
            link, data={"verdict": "approve"}, headers={"X-User": "ann", "Origin": PUBLIC}
        ) as answer:
            assert (answer.status, "ann approved" in await answer.text()) == (200, True)


async def test_an_operator_s_own_rate(tmp_path: Path, hook: tuple[Hook, int]) -> None:
    rated = configured(tmp_path, hook[1], operator_rate="3/1m", source_rate="2/1m")
    async with running(rated) as app, aiohttp.ClientSession(app.url) as http:
        seen = []
        for _ in range(4):
            async with http.get("/api/v1/counts", headers=ME) as answer:
                seen.append(answer.status)
        async with http.get(
            "/api/v1/counts", headers={"Authorization": "Bearer bob-secret"}
        ) as answer:
            seen.append(answer.status)
        for _ in range(3):
            async with http.post(
                "/webhook", json={"version": "4", "alerts": []}, headers=AM
            ) as answer:
                seen.append(answer.status)
    assert seen == [200, 200, 200, 429, 200, 200, 200, 503]


@pytest.mark.parametrize(
    ("web", "more", "words"),
    [
        ({"public_url": ""}, {}, "needs web.public_url"),
        ({"key": "short"}, {}, "shorter than 32 characters"),
        ({}, {"operators": []}, "otherwise nobody can decide"),
        ({}, {"sources": [{"name": "am", "certificate": "am.example"}]}, "set web.client_ca"),
    ],
)
def test_settings_that_promise_what_they_cannot_keep(
    tmp_path: Path, web: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    (tmp_path / "key").write_text(web.pop("key", KEY))
    (tmp_path / "me").write_text("me-secret")
    given = {
        "web": {"public_url": PUBLIC, "link_key_file": str(tmp_path / "key"), **web},
        "operators": [{"name": "me", "token_file": str(tmp_path / "me")}],
        **more,
    }
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate(given)
