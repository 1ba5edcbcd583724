"""Measures, as ratios against a named baseline in the same run, and writes docs/performance.md.

Usage: python -m bench.run [SECONDS]   seconds of load per case (default 4)
"""

import asyncio
import json
import multiprocessing
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from bench import act
from remediator import app as daemon
from remediator.located import load_text
from remediator.model.alert import Alert, AlertStatus
from remediator.payload import decode
from remediator.rules.loader import build
from remediator.settings import ClusterSettings, Settings, Web

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 128
START = "2026-05-01T12:00:00Z"


def body(first: int, count: int) -> bytes:
    alerts = [
        {"status": "firing", "labels": {"alertname": "Bench", "namespace": "shop", "pod": f"p{n}", "severity": "critical"},
         "annotations": {"summary": "a bench"}, "startsAt": START, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": f"{n:016x}"}
        for n in range(first, first + count)
    ]  # fmt: skip
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


def kubeconfig(folder: str, server: str) -> str:
    """A kubeconfig for a server without authentication."""
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    path = Path(folder) / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def serve(kind: str, pipe: Any, folder: str) -> None:
    """The server of one case, in a process of its own."""

    async def bare(request: web.Request) -> web.Response:
        decode(await request.read())
        return web.json_response({})

    async def committing(request: web.Request) -> web.Response:
        data = await request.read()
        decode(data)
        connection.execute("INSERT INTO body VALUES (?)", (data,))
        connection.commit()
        return web.json_response({})

    async def main() -> None:
        if kind == "remediator":
            settings = Settings(
                journal=f"sqlite:///{folder}/bench.db",
                web=Web(listen="127.0.0.1:0"),
                cluster=ClusterSettings(kubeconfig=kubeconfig(folder, "http://127.0.0.1:9")),  # no rules: it is never asked
            )
            async with daemon.running(settings) as running:
                pipe.send(running.url)
                await asyncio.Event().wait()
        application = web.Application(client_max_size=8_000_000)
        application.add_routes([web.post("/webhook", bare if kind == "bare" else committing)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()

    connection = sqlite3.connect(f"{folder}/commit.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE body (data BLOB)")
    from remediator.telemetry import configure_log

    configure_log("error")
    uvloop.run(main())


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


@contextmanager
def serving(kind: str) -> Iterator[str]:
    """The URL of one case's server."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(kind, theirs, folder))
        process.start()
        try:
            yield ours.recv()
        finally:
            process.kill()
            process.join()


def accepted(kind: str, per_post: int, seconds: float) -> float:
    with serving(kind) as url:
        return uvloop.run(load(url, per_post, seconds))


def matching(count: int) -> float:
    """Seconds per alert, with `count` rules of which the last matches."""
    head = (
        "version: 1\ngroups:\n  - name: g\n    scope: {namespaces: [shop]}\n    defaults: {escalate: {to: [log]}}\n    rules:\n"
    )
    lines = (
        f"      - {{name: r{n}, match: ['alertname=\"A{n}\"'], steps: [{{action: restart_workload}}]}}\n" for n in range(count)
    )
    ruleset = build([load_text(head + "".join(lines), "bench.yaml")])
    labels = {"alertname": f"A{count - 1}", "namespace": "shop", "deployment": "web"}
    alert = Alert("f", AlertStatus.FIRING, labels, {}, datetime(2026, 5, 1, tzinfo=UTC), None)
    rounds, started = 20_000, time.perf_counter()
    for _ in range(rounds):
        found, _reason = ruleset.match(alert, "c")
        assert found
    return (time.perf_counter() - started) / rounds


def triaged(seconds: float) -> float:
    """Alerts a second from the first POST until the last one is triaged, for a burst that takes so long to accept."""
    with serving("remediator") as url:
        started = time.monotonic()
        count = uvloop.run(load(url, 20, seconds)) * seconds
        while True:
            with urllib.request.urlopen(f"{url}/api/v1/counts") as answer:
                counts = json.load(answer)
            if not counts["webhooks"]["waiting"] and not counts["episodes"].get("pending"):
                return count / (time.monotonic() - started)
            time.sleep(0.5)


def start_up() -> tuple[float, float]:
    """Seconds until ready, and idle RSS in MB, of the daemon as shipped, for a real cluster (a kubeconfig), without rules."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.yaml"
        cluster = kubeconfig(folder, "http://127.0.0.1:9")
        config.write_text(
            f"journal: sqlite:///{folder}/j.db\nweb: {{listen: '127.0.0.1:0'}}\ncluster: {{kubeconfig: {cluster}}}\n"
        )
        started = time.perf_counter()
        command = [sys.executable, "-m", "remediator", "serve", "--config", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "serving" in line:
                    break
            ready = time.perf_counter() - started
            time.sleep(2)
            size = act.rss(process.pid)
            process.terminate()
            process.stderr.read()
        return ready, size


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    rows = []
    for per_post in (1, 20):
        rounds = [{kind: accepted(kind, per_post, seconds) for kind in ("bare", "commit", "remediator")} for _ in range(3)]
        for name, baseline in (
            ("a bare handler that reads and decodes", "bare"),
            ("the same with one fsync'd commit per request", "commit"),
        ):
            ratios = sorted(each["remediator"] / each[baseline] for each in rounds)
            ours, theirs = (statistics.median(each[kind] for each in rounds) for kind in ("remediator", baseline))
            shown = f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})"
            rows.append(f"| alerts/s accepted, {per_post} per POST | {ours:.0f} | {name} | {theirs:.0f} | {shown} |")
    few, many = matching(10), matching(10_000)
    rows.append(f"| µs to match an alert, 10 000 rules | {many * 1e6:.1f} | 10 rules | {few * 1e6:.1f} | {many / few:.2f} |")
    acted = act.measure()
    rows.append(
        f"| ms from POST to the first API write, median at {act.RATE} alerts/s | {acted.median:.0f} (p95 {acted.p95:.0f}) "
        f"| one PATCH round trip | {acted.patch:.1f} | {acted.median / acted.patch:.1f} |"
    )
    ready, size = start_up()
    text = "# Performance\n\nWritten by `make bench` (three rounds of each case, medians; the load generator shares the machine's cores with "
    text += "the server: read the ratios, not the figures).\n\n"
    text += "| what | remediator | baseline | baseline's figure | ratio |\n|---|---|---|---|---|\n" + "\n".join(rows)
    text += f"\n\nA burst of 20 alerts per POST is accepted first and triaged after; both together: {triaged(seconds):.0f} alerts/s.\n\n"
    text += f"Start-up until ready: {ready:.2f} s. RSS: {size:.0f} MB idle, {acted.rss:.0f} MB after {acted.count} acts on a real API server.\n"
    text += "\n" + NOTES
    (ROOT / "docs" / "performance.md").write_text(text)
    print(text)


NOTES = """\
What a profile showed: with one row per alert, encoding alerts again was the cost of accepting, so a webhook is stored as it
came. Then the journal's thread waited for its turn (5 ms by default in CPython) more than for the disk, so the interpreter
switches sooner, and a crowd of webhooks shares each commit, by a statement that is compiled once. Then the decoded webhooks
that waited for their commit kept the garbage collector busy, twice as long as decoding took, so only a tally of each waits.
What is left is aiohttp's own work per request, decoding, and the disk.
"""


if __name__ == "__main__":
    main()
