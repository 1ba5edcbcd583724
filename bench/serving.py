"""Servers that take alerts: the daemon, and two that bound what it can reach."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import uvloop
import yaml
from aiohttp import web

from bench import act
from remediator.alertmanager.payload import decode
from tests.real.parts import free_port, until

CONNECTIONS = 128
START = "2026-05-01T12:00:00Z"
# these stand for what no daemon can be faster than
LIMITS = ("bare", "commit")
RULES = """\
version: 1
groups:
  - name: g
    scope: {namespaces: [shop]}
    defaults: {escalate: {to: [log], after: 2h}}
    rules:
      - {name: r, match: ['alertname="Bench"'], steps: [{action: restart_workload, if: always}]}
"""


def body(first: int, count: int) -> bytes:
    alerts = [
        {
            "status": "firing",
            "labels": {
                "alertname": "Bench",
                "namespace": "shop",
                "pod": f"p{n}",
                "severity": "critical",
            },
            "annotations": {"summary": "a bench"},
            "startsAt": START,
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": f"{n:016x}",
        }
        for n in range(first, first + count)
    ]
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


def kubeconfig(folder: str, server: str) -> str:
    """A kubeconfig for a server without authentication."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = Path(folder) / "nowhere"
    path.write_text(json.dumps(config))
    return str(path)


def configured(folder: str, port: int, **more: object) -> str:
    """The settings of a daemon whose cluster is never asked."""
    path = Path(folder) / "c.yaml"
    config = {
        "journal": f"sqlite:///{folder}/j.db",
        "web": {"listen": f"127.0.0.1:{port}"},
        "cluster": {"kubeconfig": kubeconfig(folder, "http://127.0.0.1:9")},
        **more,
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


@contextmanager
def serving(kind: str) -> Iterator[str]:
    """The URL of one case's server, in a process of its own. `matched`: a rule matches all alerts,
    each with a target of its own; `unmatched`: none does.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        if kind in LIMITS:
            command = [sys.executable, "-m", "bench.serving", kind, str(port), folder]
        else:
            (Path(folder) / "rules.yaml").write_text(RULES)
            rules = [f"{folder}/rules.yaml"] if kind == "matched" else []
            # triage is measured, and no look
            command = act.command(configured(folder, port, rules=rules, settle="1h"))
        process = subprocess.Popen(command)
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: urllib.request.urlopen(f"{url}/readyz").status == 200, kind, 30)
            yield url
        finally:
            process.kill()
            process.wait()


async def load(url: str, per_post: int, seconds: float) -> float:
    """Alerts a second that were answered with 200."""
    accepted, number, ends = 0, 0, time.monotonic() + seconds

    async def post(session: aiohttp.ClientSession) -> None:
        nonlocal accepted, number
        while time.monotonic() < ends:
            number += per_post
            async with session.post(f"{url}/webhook", data=body(number, per_post)) as answer:
                accepted += per_post if answer.status == 200 else 0

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await asyncio.gather(*(post(session) for _ in range(CONNECTIONS)))
    return accepted / seconds


def accepted(kind: str, per_post: int, seconds: float) -> float:
    """Alerts a second."""
    with serving(kind) as url:
        return uvloop.run(load(url, per_post, seconds))


def triaged(kind: str, seconds: float) -> float:
    """Alerts a second from the first POST until the last one is triaged, for a burst that takes so
    long to accept.
    """
    with serving(kind) as url:
        started = time.monotonic()
        count = uvloop.run(load(url, 20, seconds)) * seconds
        while True:
            with urllib.request.urlopen(f"{url}/api/v1/counts") as answer:
                counts = json.load(answer)
            if not counts["webhooks"]["waiting"] and not counts["episodes"].get("pending"):
                return count / (time.monotonic() - started)
            time.sleep(0.2)


def start_up() -> tuple[float, float]:
    """Seconds until ready, and idle RSS in MB, of the daemon as shipped, for a real cluster (a
    kubeconfig), without rules.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        started = time.perf_counter()
        with subprocess.Popen(act.command(configured(folder, port))) as process:
            url = f"http://127.0.0.1:{port}/readyz"
            while not _ready(url):
                time.sleep(0.02)
            ready = time.perf_counter() - started
            time.sleep(2)
            size = act.rss(process.pid)
            process.terminate()
        return ready, size


def _ready(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url).status == 200)
    except OSError:
        return False


async def _serve(kind: str, port: int, folder: str) -> None:
    """A handler that reads and decodes, and one that commits too."""
    connection = sqlite3.connect(f"{folder}/commit.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE body (data BLOB)")

    async def answer(request: web.Request) -> web.Response:
        data = await request.read()
        decode(data)
        if kind == "commit":
            connection.execute("INSERT INTO body VALUES (?)", (data,))
            connection.commit()
        return web.json_response({})

    async def ready(_request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application(client_max_size=8_000_000)
    application.add_routes([web.post("/webhook", answer), web.get("/readyz", ready)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
