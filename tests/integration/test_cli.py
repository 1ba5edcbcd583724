"""The command line as a person uses it, against a running daemon on the sandbox cluster."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from remediator.__main__ import main as entry
from remediator.app import App, running
from remediator.cli import main, operators
from remediator.cluster.sandbox import SandboxCluster
from remediator.settings import Settings

RULES = """\
version: 1
groups:
  - name: g
    scope: {namespaces: [shop]}
    defaults: {mode: approve, escalate: {to: [log]}}
    rules:
      - {name: restart, match: ['alertname="Leak"'],
         steps: [{action: restart_workload, if: always}]}
"""
Run = Callable[..., Any]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    (tmp_path / "me").write_text("me-secret\n")
    (tmp_path / "rules.yaml").write_text(RULES)
    data = {
        "rules": [str(tmp_path / "rules.yaml")],
        "journal": f"sqlite:///{tmp_path}/j.db",
        "web": {"listen": "127.0.0.1:0"},
        "operators": [{"name": "me", "token_file": str(tmp_path / "me")}],
        "cluster": {"kind": "sandbox"},
        "settle": "0s",
        "startup_grace": "0s",
    }
    async with running(Settings.model_validate(data)) as started:
        cluster = started.doors.clusters["default"]
        assert isinstance(cluster, SandboxCluster)
        cluster.create_workload("Deployment", "shop", "web", "web:1")
        yield started


@pytest.fixture
def run(app: App, tmp_path: Path) -> Run:
    async def invoke(*words: str, code: int = 0) -> str:
        env = {"REMEDIATOR_URL": app.url, "REMEDIATOR_TOKEN_FILE": str(tmp_path / "me")}
        result: Result = await asyncio.to_thread(CliRunner().invoke, main, list(words), env=env)
        assert result.exit_code == code or (code and result.exception), result.output + str(
            result.exception
        )
        return result.output + (str(result.exception) if result.exception else "")

    return invoke


async def leak(app: App) -> None:
    now = datetime.now(UTC).isoformat()
    alert = {
        "status": "firing",
        "labels": {"alertname": "Leak", "namespace": "shop", "deployment": "web"},
        "startsAt": now,
        "fingerprint": "f1",
    }
    async with (
        aiohttp.ClientSession(app.url) as http,
        http.post("/webhook", json={"version": "4", "alerts": [alert]}) as answer,
    ):
        assert answer.status == 200


async def waiting(run: Run, state: str) -> str:
    """The id of the remediation, once it is in that state."""
    for _ in range(100):
        rows = json.loads(await run("list", "--json"))
        if rows and rows[0]["state"] == state:
            return str(rows[0]["id"])
        await asyncio.sleep(0.1)
    raise AssertionError(rows)


async def test_from_list_to_approve(app: App, run: Run) -> None:
    assert "no remediations yet" in await run("list")
    await leak(app)
    ident = await waiting(run, "awaiting_approval")
    assert ident in await run("list", "--state", "awaiting_approval")
    shown = await run("show", ident)
    for part in (
        "plan     restart Deployment/shop/web",
        "guard    approval: approve approval_required",
        "call     PATCH Deployment/shop/web",
    ):
        assert part in shown
    digest = json.loads(await run("show", ident, "--json"))["look"]["digest"]
    assert "the plan changed" in await run("approve", ident, "--digest", "sha256:other", code=1)
    assert f"pass --digest to confirm the plan (`remediator show {ident}` prints it)" in await run(
        "approve", ident, code=1
    )
    assert f"approve: {ident} (by me)" in await run(
        "approve", ident, "--digest", digest, "--reason", "seen it"
    )
    await waiting(run, "verifying")
    assert "in progress" in await run("show", ident)
    assert "is verifying; it is not waiting for approval" in await run("deny", ident, code=1)
    assert "it is verifying, not waiting for approval" in await run("approve", ident, code=1)
    assert "cancel" in await run("cancel", ident)
    await waiting(run, "cancelled")
    assert "retry" in await run("retry", ident)
    assert "restart_workload cannot be undone" in await run("undo", ident, code=1)


async def test_an_approval_at_a_terminal_shows_the_plan_and_asks(
    app: App, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leak(app)
    ident = await waiting(run, "awaiting_approval")
    digest = json.loads(await run("show", ident, "--json"))["look"]["digest"]
    shown: list[str] = []
    monkeypatch.setattr(operators, "_at_a_terminal", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda text, abort: shown.append(text))
    assert "plan     restart Deployment/shop/web" in await run("approve", ident)
    assert digest in shown[0]
    await waiting(run, "verifying")


async def test_a_label_cannot_forge_a_line_or_move_the_cursor(app: App, run: Run) -> None:
    labels = {
        "alertname": "Leak",
        "namespace": "shop",
        "deployment": "web",
        "note": "x\n  call     PATCH nothing\x1b[2K",
    }
    alert = {
        "status": "firing",
        "labels": labels,
        "startsAt": datetime.now(UTC).isoformat(),
        "fingerprint": "f2",
    }
    async with (
        aiohttp.ClientSession(app.url) as http,
        http.post("/webhook", json={"version": "4", "alerts": [alert]}),
    ):
        pass
    text = await run("explain", "f2")
    assert "\x1b" not in text
    assert "\n  call     PATCH nothing" not in text


async def test_explain_tells_of_a_received_and_of_a_given_alert(
    app: App, run: Run, tmp_path: Path
) -> None:
    await leak(app)
    text = await run("explain", "f1")
    assert "+ restart: matches, target Deployment/shop/web" in text
    assert "fate     attached" in text
    file = tmp_path / "alert.json"
    file.write_text(json.dumps({"labels": {"alertname": "Other"}}))
    assert 'alertname="Leak" does not match: the alert has alertname="Other"' in await run(
        "explain", str(file)
    )
    assert json.loads(await run("explain", "f1", "--json"))["rules"][0]["matched"]
    assert "no alert with fingerprint nobody has been received" in await run(
        "explain", "nobody", code=1
    )


async def test_pause_and_resume(run: Run) -> None:
    assert "paused namespace:shop (by me) until" in await run(
        "pause", "namespace:shop", "--reason", "a look", "--for", "2h"
    )
    assert "resumed namespace:shop (by me)" in await run("resume", "namespace:shop")
    assert "namespace:shop is not paused" in await run("resume", "namespace:shop", code=1)


async def test_a_daemon_that_is_not_there_is_said_so() -> None:
    result = await asyncio.to_thread(
        CliRunner().invoke, main, ["list", "--url", "http://127.0.0.1:9"]
    )
    assert "cannot reach remediator at http://127.0.0.1:9" in str(result.exception)
    assert "is it serving? set --url or REMEDIATOR_URL" in str(result.exception)


async def test_what_is_no_url_and_what_is_no_remediator_is_said_so(tmp_path: Path) -> None:
    no_url = await asyncio.to_thread(CliRunner().invoke, main, ["list", "--url", "foo"])
    assert "invalid URL foo; use a form such as http://127.0.0.1:9099" in str(no_url.exception)

    async def login(_: web.Request) -> web.Response:
        return web.Response(text="please log in")

    other = web.Application()
    other.router.add_get("/{any:.*}", login)
    runner = web.AppRunner(other)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    answered = await asyncio.to_thread(CliRunner().invoke, main, ["pauses", "--url", url])
    assert f"the server at {url} is not remediator" in str(answered.exception)
    await runner.cleanup()
    (tmp_path / "alert.json").write_text("x")
    no_json = await asyncio.to_thread(
        CliRunner().invoke, main, ["explain", str(tmp_path / "alert.json")]
    )
    assert "not valid JSON" in str(no_json.exception)


def test_init_where_nothing_can_be_written_says_so() -> None:
    refused = CliRunner().invoke(main, ["init", "/proc/nowhere"])
    assert refused.exit_code
    assert "cannot write /proc/nowhere" in refused.output + str(refused.exception)


def test_check_and_generate(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RULES)
    good = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert "1 files, 1 rules (0 observe, 1 approve, 0 act), 0 overrides: no mistakes" in good.output
    assert '"$defs"' in CliRunner().invoke(main, ["generate", "schema"]).output
    role = CliRunner().invoke(main, ["generate", "rbac", "--rules", str(tmp_path)]).output
    assert "patch" in role


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["check", "nowhere.yaml"], 2, "cannot read the file"),
        (["serve", "--config", "nowhere.yaml"], 2, "cannot read the settings"),
        (["list", "--url", "http://127.0.0.1:9"], 1, "cannot reach remediator"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_errors_are_words_and_exit_codes(
    words: list[str],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["remediator", *words])
    with pytest.raises(SystemExit) as ended:
        entry()
    assert ended.value.code == code
    captured = capsys.readouterr()
    assert text in captured.err + captured.out
    assert "Traceback" not in captured.err


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    first = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert "next: remediator check" in first.output
    assert (tmp_path / "secrets" / "me").stat().st_mode & 0o077 == 0
    assert CliRunner().invoke(main, ["check", str(tmp_path / "rules")]).exit_code == 0
    again = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert "already exists; nothing was changed" in str(again.exception)


SCALES = RULES.replace("mode: approve", "mode: act").replace(
    "{action: restart_workload, if: always}",
    "{action: scale_workload, if: always, with: {by: 2}, verify: {until: converged, quiet_for:"
    " 0s}}",
)


async def test_undo_shows_its_plan_and_asks_and_the_original_shows_its_undo(
    app: App, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.yaml").write_text(SCALES)
    for _ in range(100):
        if app.doors.rules.sources[0].rule.mode == "act":
            break
        await asyncio.sleep(0.1)
    await leak(app)
    ident = await waiting(run, "succeeded")
    asked = await run("undo", ident, code=1)
    assert "plan     set replicas of Deployment/shop/web back to 3" in asked
    assert "call     PATCH Deployment/shop/web/scale" in asked
    assert "no terminal to ask for confirmation" in asked
    cluster = app.doors.clusters["default"]
    assert isinstance(cluster, SandboxCluster)
    # asking changed nothing
    assert cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] == 5
    monkeypatch.setattr(operators, "_at_a_terminal", lambda: True)
    assert "Aborted" in await run("undo", ident, code=1)
    assert "undo: " in await run("undo", ident, "--yes")
    for _ in range(100):
        shown = await run("show", ident)
        if "undone   by u-" in shown and "succeeded" in shown.split("undone")[1].splitlines()[0]:
            break
        await asyncio.sleep(0.1)
    assert "undone   by u-" in shown
    assert "was already undone by u-" in await run("undo", ident, "--yes", code=1)
    assert cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] == 3


async def test_list_says_when_and_finds_by_namespace_rule_and_time(app: App, run: Run) -> None:
    await leak(app)
    ident = await waiting(run, "awaiting_approval")
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert today in await run("list")
    assert f"created  {today}" in await run("show", ident)
    for given in (
        ("--namespace", "shop"),
        ("--rule", "restart"),
        ("--since", "1h"),
        ("--limit", "1"),
    ):
        assert ident in await run("list", *given)
    for given in (("--namespace", "db"), ("--rule", "other"), ("--since", "2999-01-01T00:00:00Z")):
        assert "no matching remediations" in await run("list", *given)
    assert "unknown state 'nosuch'; known: queued" in await run("list", "--state", "nosuch", code=1)
    assert "neither a duration such as 2h nor a time" in await run(
        "list", "--since", "yesterday", code=1
    )


async def test_pauses_are_listed_and_one_of_nothing_is_refused(app: App, run: Run) -> None:
    assert await run("pauses") == "nothing is paused\n"
    assert "no namespace shopp" in await run("pause", "namespace:shopp", "--reason", "x", code=1)
    await run("pause", "namespace:shop", "--reason", "we look", "--for", "2h")
    shown = await run("pauses")
    assert shown.startswith("namespace:shop  by me  since ")
    assert "until 2" in shown
    assert shown.endswith(": we look\n")


@pytest.mark.parametrize(
    ("folder", "words"),
    [("empty", "no .yaml or .yml files found"), ("unknown", "escalates to `log`")],
)
def test_check_says_so_where_there_is_nothing_to_check_or_nobody_to_tell(
    folder: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "rules.yaml").write_text(RULES)
    (tmp_path / "c.yaml").write_text("receivers: [{name: pager, kind: log}]\n")
    given = ["check", str(tmp_path / folder), "--config", str(tmp_path / "c.yaml")]
    result = CliRunner().invoke(main, given)
    assert result.exit_code != 0
    assert words in str(result.exception)


def test_replay_knows_the_shipped_rules() -> None:
    fixtures = Path(__file__).parents[1] / "fixtures" / "alertmanager"
    result = CliRunner().invoke(main, ["replay", str(fixtures), "--assume", "healthy"])
    assert result.exit_code == 0, result.output
    assert "webhooks" in result.output
