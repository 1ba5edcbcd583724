"""Reloads: many rules keep no alert waiting, and a system without
inotify instances left is looked at by polling.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import watchfiles

import remediator.app as daemon
from remediator.setting_sections import ClusterSettings, Web
from remediator.settings import Settings

RULE = (
    "version: 1\ngroups:\n  - name: g\n    scope: {{namespaces: [shop]}}\n    defaults: {{escalate:"
    " {{to: [log]}}}}\n    rules:\n      - {{name: {}, match: ['alertname=\"A\"'], steps:"
    " [{{action: restart_workload}}]}}\n"
)


def settings(tmp_path: Path) -> Settings:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(RULE.format("first"))
    return Settings(
        rules=(str(tmp_path / "rules"),),
        journal=f"sqlite:///{tmp_path}/j.db",
        web=Web(listen="127.0.0.1:0"),
        cluster=ClusterSettings(kind="sandbox"),
    )


async def reloaded(app: daemon.App, name: str) -> bool:
    for _ in range(100):
        if app.doors.rules.find(name) is not None:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_rules_are_read_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    load = daemon.load_rules

    def noted(given: Settings) -> Any:
        threads.append(threading.current_thread())
        return load(given)

    async with daemon.running(settings(tmp_path)) as app:
        monkeypatch.setattr(daemon, "load_rules", noted)
        (tmp_path / "rules" / "a.yaml").write_text(RULE.format("second"))
        assert await reloaded(app, "second")
    assert threads
    assert threading.main_thread() not in threads


async def test_without_inotify_the_daemon_polls_and_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = watchfiles.awatch

    async def awatch(*folders: str, **options: Any) -> AsyncIterator[Any]:
        if not options.get("force_polling"):
            raise OSError(24, "Too many open files")
        async for change in real(*folders, **options):
            yield change

    monkeypatch.setattr(daemon, "awatch", awatch)
    monkeypatch.setattr(daemon, "POLL", 100)
    async with daemon.running(settings(tmp_path)) as app, aiohttp.ClientSession(app.url) as http:
        await asyncio.sleep(1.5)  # polling tells files apart by whole seconds
        (tmp_path / "rules" / "a.yaml").write_text(RULE.format("second"))
        assert await reloaded(app, "second")
        async with http.get("/readyz") as answer:
            assert answer.status == 200
