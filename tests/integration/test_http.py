"""The daemon's HTTP server in process.

Credentials, bad bodies, a journal that fails, and what the CLI asks.
"""

import asyncio
import base64
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from remediator.app import App, running
from remediator.errors import ConfigurationError, JournalUnavailable
from remediator.settings import Settings, load

FIRING = (Path(__file__).parents[1] / "fixtures" / "alertmanager" / "firing-0.33.json").read_bytes()
RULES = Path(__file__).parents[2] / "rules"
AM = {"Authorization": "Bearer am-secret"}
ME = {"Authorization": "Bearer me-secret"}


def settings(folder: Path, **more: object) -> Settings:
    (folder / "am").write_text("am-secret\n")
    (folder / "me").write_text("me-secret\n")
    data = {
        "rules": [str(RULES)],
        "journal": f"sqlite:///{folder}/j.db",
        "web": {"listen": "127.0.0.1:0", "max_body_bytes": 200_000},
        "sources": [
            {
                "name": "am",
                "token_file": str(folder / "am"),
                "password_file": str(folder / "am"),
                "username": "u",
            }
        ],
        "operators": [{"name": "me", "token_file": str(folder / "me")}],
        "cluster": {"kind": "sandbox"},
        "settle": "0s",
        **more,
    }
    return Settings.model_validate(data)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running(settings(tmp_path)) as started:
        yield started


@pytest.fixture
async def http(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(app.url) as session:
        yield session


async def test_a_captured_webhook_is_stored_and_shown(http: aiohttp.ClientSession) -> None:
    async with http.post("/webhook", data=FIRING, headers=AM) as answer:
        assert (answer.status, await answer.json()) == (200, {"stored": 1})
    async with http.get("/api/v1/episodes", headers=ME) as answer:
        (row,) = await answer.json()
    assert (row["source"], row["fingerprint"]) == ("am", "0e057280875f53d6")
    async with http.get("/metrics") as answer:
        assert (
            'remediator_alerts_received_total{severity="critical",status="firing"} 1.0'
            in await answer.text()
        )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer me-secret"},
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer é"},
    ],
)
async def test_a_stranger_s_webhook_is_refused_before_it_is_read(
    http: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    async with http.post("/webhook", data=FIRING, headers=headers) as answer:
        assert answer.status == 401


async def test_basic_credentials_are_taken(http: aiohttp.ClientSession) -> None:
    token = base64.b64encode(b"u:am-secret").decode()
    async with http.post(
        "/webhook", data=FIRING, headers={"Authorization": f"Basic {token}"}
    ) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["remediations", "episodes", "pauses", "rules"])
async def test_a_source_is_no_operator(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(f"/api/v1/{path}", headers=AM) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"[" * 50_000, 400),
        (b"x" * 300_000, 413),
        (json.dumps({"version": "3", "alerts": []}).encode(), 400),
    ],
)
async def test_a_bad_body_is_refused_with_few_words(
    http: aiohttp.ClientSession, body: bytes, status: int
) -> None:
    async with http.post("/webhook", data=body, headers=AM) as answer:
        assert answer.status == status
        assert len(await answer.text()) < 500
    async with http.get("/healthz") as answer:
        assert answer.status == 200


async def test_what_cannot_be_stored_is_503_and_accepted_later(
    app: App, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise JournalUnavailable("cannot write the journal: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(app.doors.journal, "store", full)
        async with http.post("/webhook", data=FIRING, headers=AM) as answer:
            assert answer.status == 503
    async with http.post("/webhook", data=FIRING, headers=AM) as answer:
        assert answer.status == 200


async def test_a_hundred_deliveries_at_once_are_all_stored(http: aiohttp.ClientSession) -> None:
    body = json.loads(FIRING)

    async def post(number: int) -> int:
        alert = {**body["alerts"][0], "fingerprint": f"f{number}"}
        async with http.post("/webhook", json={**body, "alerts": [alert]}, headers=AM) as answer:
            return answer.status

    assert set(await asyncio.gather(*(post(number) for number in range(100)))) == {200}
    async with http.get("/api/v1/episodes", headers=ME) as answer:
        assert len(await answer.json()) == 100


async def test_explain_says_why_nothing_matches(http: aiohttp.ClientSession) -> None:
    await (await http.post("/webhook", data=FIRING, headers=AM)).read()
    async with http.post(
        "/api/v1/explain", json={"fingerprint": "0e057280875f53d6"}, headers=ME
    ) as answer:
        shown = await answer.json()
    assert [rule["matched"] for rule in shown["rules"]] == [False] * 7
    assert "does not match" in shown["rules"][0]["why"]
    async with http.post("/api/v1/explain", json={"fingerprint": "nobody"}, headers=ME) as answer:
        assert answer.status == 404


async def test_a_pause_needs_a_reason_and_names_who(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/v1/pauses", json={"scope": "all"}, headers=ME) as answer:
        assert answer.status == 400
    async with http.post(
        "/api/v1/pauses", json={"scope": "all", "reason": "deploy", "for": "1h"}, headers=ME
    ) as answer:
        assert (await answer.json())["by"] == "me"
    async with http.delete("/api/v1/pauses/all", headers=ME) as answer:
        assert answer.status == 200


async def test_a_bad_reload_keeps_the_last_good_rules(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    good = (RULES / "workloads.yaml").read_text()
    (folder / "a.yaml").write_text(good)
    async with running(settings(tmp_path, rules=[str(folder)])) as app:
        digest = app.doors.rules.digest
        (folder / "a.yaml").write_text("version: 1\ngroups: [{}]\n")
        for _ in range(50):
            await asyncio.sleep(0.1)
            if b"remediator_config_last_reload_successful 0.0" in app.doors.metrics.render():
                break
        assert b"remediator_config_last_reload_successful 0.0" in app.doors.metrics.render()
        assert app.doors.rules.digest == digest
        (folder / "a.yaml").write_text(good.replace("attempts: 2/6h", "attempts: 1/6h"))
        for _ in range(50):
            await asyncio.sleep(0.1)
            if app.doors.rules.digest != digest:
                break
        assert app.doors.rules.digest != digest


async def test_it_refuses_to_listen_beyond_loopback_without_credentials() -> None:
    bare = Settings.model_validate(
        {"web": {"listen": "0.0.0.0:0"}, "journal": "sqlite://", "cluster": {"kind": "sandbox"}}
    )
    with pytest.raises(ConfigurationError, match="needs at least one credential"):
        async with running(bare):
            pass


async def test_a_rule_that_tells_nobody_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="escalates to `log`"):
        async with running(settings(tmp_path, receivers=[{"name": "other"}])):
            pass


def test_bad_settings_are_all_shown(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "rulez: []\nsettle: soon\nweb: {listn: x}\nsources: [{name: a, token_file: /nowhere}]\n"
    )
    with pytest.raises(ConfigurationError) as error:
        load(path)
    assert str(error.value).count("  error  ") == 4
    assert "did you mean `rules`?" in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: 3", "write a list, such as [a, b]"),
        ("workers: many", "write a whole number"),
        ("workers: 0", "it must be 1 or more"),
        ("cluster: {qps: 0}", "it must be more than 0"),
        ("storm: {share: many}", "write a number"),
        ("cluster: {kind: cloud}", "write one of 'kubernetes' or 'sandbox'"),
        ("operators: [{token_file: ''}]", "`name` is required"),
    ],
)
def test_a_mistake_in_the_settings_is_reported_in_the_terms_of_yaml(
    text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path / "c.yaml")
    assert words in str(error.value)
    assert "Input should" not in str(error.value)


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    assert "am-secret" not in repr(settings(tmp_path))
    assert settings(tmp_path).settle == timedelta(0)


async def test_https_is_served_with_a_certificate(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(cert),
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run(command, check=True, capture_output=True)
    web = {"listen": "127.0.0.1:0", "tls_cert": str(cert), "tls_key": str(key)}
    trusting = ssl.create_default_context(cafile=str(cert))
    async with running(settings(tmp_path, web=web)) as app, aiohttp.ClientSession() as session:
        assert app.url.startswith("https://")
        async with session.get(f"{app.url}/readyz", ssl=trusting) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(("proxies", "status"), [(["127.0.0.1"], 200), (["10.0.0.1"], 401)])
async def test_a_header_names_the_operator_only_from_a_trusted_proxy(
    tmp_path: Path, proxies: list[str], status: int
) -> None:
    web = {"listen": "127.0.0.1:0", "trusted_proxy_header": "X-User", "trusted_proxies": proxies}
    async with (
        running(settings(tmp_path, web=web)) as app,
        aiohttp.ClientSession(app.url) as session,
    ):
        pause = {"scope": "all", "reason": "a look"}
        async with session.post("/api/v1/pauses", json=pause, headers={"X-User": "ada"}) as answer:
            assert answer.status == status
            if status == 200:
                assert (await answer.json())["by"] == "ada"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/remediations/r-nobody", None, 404),
        ("POST", "/remediations/r-nobody/approve", {"digest": "sha256:x"}, 404),
        ("POST", "/remediations/r-nobody/approve", {}, 400),
        ("POST", "/remediations/r-nobody/retry", {}, 404),
        ("POST", "/remediations/r-nobody/explode", {}, 404),
        ("POST", "/pauses", {"scope": "all"}, 400),
        ("POST", "/pauses", {"scope": "galaxy", "reason": "x"}, 400),
        ("POST", "/pauses", {"scope": "all", "reason": "x", "for": "soon"}, 400),
        ("POST", "/pauses", {"scope": "all", "reason": "x", "for": "9999999d"}, 400),
        ("POST", "/pauses", {"scope": "all", "reason": "x", "for": "0s"}, 400),
        ("POST", "/pauses", {"scope": "all", "reason": "x", "fro": "2h"}, 400),
        ("POST", "/pauses", {"scope": "namespace:", "reason": "x"}, 400),
        ("POST", "/pauses", {"scope": "rule:no-such-rule", "reason": "x"}, 404),
        ("POST", "/pauses", {"scope": "cluster:nowhere", "reason": "x"}, 404),
        ("DELETE", "/pauses/all", None, 404),
        ("POST", "/explain", {}, 400),
        ("POST", "/explain", {"fingerprint": "nobody"}, 404),
        ("POST", "/explain", {"alert": {"labels": 3}}, 400),
        ("POST", "/remediations/r-nobody/undo", {}, 404),
        ("POST", "/remediations/r-nobody/cancel", {}, 404),
        ("GET", "/remediations/r-nobody/undo", None, 404),
        ("POST", "/explain", {"alert": {"labels": {"alertname": "A"}}}, 200),
        ("GET", "/remediations?limit=nonsense", None, 400),
        ("GET", "/remediations?limit=²", None, 400),
        ("GET", "/remediations?limit=99999999999999999999", None, 400),
        ("GET", "/counts", None, 200),
    ],
)
async def test_the_api_answers_in_words(
    http: aiohttp.ClientSession, method: str, path: str, body: object, *, status: int
) -> None:
    async with http.request(method, f"/api/v1{path}", json=body, headers=ME) as answer:
        assert answer.status == status
        if status >= 400 and "explode" not in path:
            assert (await answer.json())["error"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "pauses", {"Content-Type": "text/plain"}, 415),
        ("POST", "pauses", {}, 415),
        (
            "POST",
            "pauses",
            {"Content-Type": "application/json", "Origin": "https://evil.example"},
            403,
        ),
        ("POST", "pauses", {"Content-Type": "application/json", "Origin": "null"}, 403),
        ("DELETE", "pauses/all", {"Origin": "http://evil.example:9099"}, 403),
        ("POST", "pauses", {"Content-Type": "application/json"}, 200),
    ],
)
async def test_a_page_cannot_use_what_vouches_for_its_visitor(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], *, status: int
) -> None:
    web = {
        "listen": "127.0.0.1:0",
        "trusted_proxy_header": "X-User",
        "trusted_proxies": ["127.0.0.1"],
    }
    body = json.dumps({"scope": "all", "reason": "from a page"}).encode()
    async with (
        running(settings(tmp_path, web=web)) as app,
        aiohttp.ClientSession(app.url) as session,
    ):
        async with session.request(
            method, f"/api/v1/{path}", data=body, headers={**headers, "X-User": "ada"}
        ) as answer:
            assert answer.status == status
        async with session.get("/api/v1/pauses", headers=ME) as answer:
            assert len(await answer.json()) == (status == 200)


async def test_behind_a_proxy_that_names_users_a_request_without_a_name_is_anonymous(
    tmp_path: Path,
) -> None:
    web = {
        "listen": "127.0.0.1:0",
        "trusted_proxy_header": "X-User",
        "trusted_proxies": ["127.0.0.1"],
    }
    async with (
        running(settings(tmp_path, web=web, operators=[])) as app,
        aiohttp.ClientSession(app.url) as session,
    ):
        async with session.get("/api/v1/pauses") as answer:
            assert answer.status == 401
        async with session.get("/api/v1/pauses", headers={"X-User": "ada"}) as answer:
            assert answer.status == 200


async def test_bytes_that_are_no_text_are_wrong_credentials_and_a_deep_body_is_none(
    app: App,
) -> None:
    host, port = app.url.removeprefix("http://").split(":")
    for path, scheme in (("/webhook", b"Bearer \xff\xfe"), ("/api/v1/pauses", b"Basic \xff")):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection:"
            " close\r\nAuthorization: ".encode()
        )
        writer.write(head + scheme + b"\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 401"), path
        writer.close()
    async with aiohttp.ClientSession(app.url) as http:
        headers = {**ME, "Content-Type": "application/json"}
        async with http.post("/api/v1/pauses", data=b"[" * 100_000, headers=headers) as answer:
            assert answer.status == 400


async def test_the_same_alert_twice_in_one_webhook_is_one_episode(
    http: aiohttp.ClientSession,
) -> None:
    body = json.loads(FIRING)
    body["alerts"] *= 3
    async with http.post("/webhook", json=body, headers=AM) as answer:
        assert await answer.json() == {"stored": 3}
    async with http.get("/api/v1/episodes", headers=ME) as answer:
        (row,) = await answer.json()
    assert row["deliveries"] == 3


async def test_no_secret_reaches_the_api_the_metrics_or_the_journal(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as app, aiohttp.ClientSession(app.url) as session:
        await (await session.post("/webhook", data=FIRING, headers=AM)).read()
        shown = ""
        for path in ("/api/v1/episodes", "/api/v1/remediations", "/api/v1/rules", "/metrics"):
            async with session.get(path, headers=ME) as answer:
                shown += await answer.text()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("j.db*"))
    for secret in ("am-secret", "me-secret"):
        assert secret not in shown
        assert secret.encode() not in stored


async def test_the_watchdog_s_heartbeat_is_a_metric(http: aiohttp.ClientSession) -> None:
    body = json.loads(FIRING)
    body["alerts"][0]["labels"]["alertname"] = "Watchdog"
    async with http.get("/metrics") as answer:
        assert "remediator_watchdog_last_seen_timestamp_seconds 0.0" in await answer.text()
    await (await http.post("/webhook", json=body, headers=AM)).read()
    async with http.get("/metrics") as answer:
        line = next(
            line
            for line in (await answer.text()).splitlines()
            if line.startswith("remediator_watchdog_last_seen")
        )
    assert float(line.split()[1]) > 1.7e9


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", "/remediations?state=bogus", None, "unknown state 'bogus'"),
        ("GET", "/remediations?nonsense=1", None, "unknown parameter nonsense"),
        ("GET", "/episodes?nonsense=1", None, "unknown parameter nonsense"),
        ("POST", "/pauses", "{broken", "the body is not valid JSON"),
        ("POST", "/pauses", "[1]", "the body must be a JSON object"),
        ("POST", "/remediations/r-x/deny", "{broken", "the body is not valid JSON"),
    ],
)
async def test_what_the_api_does_not_understand_is_refused_and_nothing_is_done(
    http: aiohttp.ClientSession, method: str, path: str, body: str | None, *, words: str
) -> None:
    headers = {**ME, "Content-Type": "application/json"}
    async with http.request(method, f"/api/v1{path}", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert words in (await answer.json())["error"]


async def test_a_webhook_with_wrong_credentials_is_401_however_often_and_is_in_the_log(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 would be taken for good by Alertmanager, and nobody would know."""
    import remediator.web.server as server

    said: list[str] = []

    class Log:
        def warning(self, event: str, **more: Any) -> None:
            said.append(f"{event} {more['address']}")

        info = debug = error = lambda self, *_, **__: None

    monkeypatch.setattr(server, "log", Log)
    seen = []
    for _ in range(30):
        async with http.post(
            "/webhook", data=b"{}", headers={"Authorization": "Bearer no"}
        ) as answer:
            seen.append(answer.status)
    assert set(seen) == {401}
    assert said == ["webhook_refused 127.0.0.1"]  # once a minute


async def test_a_port_in_use_is_one_message_and_no_traceback(app: App, tmp_path: Path) -> None:
    port = urlsplit(app.url).port
    other = settings(tmp_path, web={"listen": f"127.0.0.1:{port}"}, journal="sqlite://")
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
        async with running(other):
            raise AssertionError("it serves")
