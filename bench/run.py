"""Measures, as ratios against a named baseline in the same run, and writes docs/performance.md.

Usage: python -m bench.run [SECONDS]   seconds of load per case (default 4)
       python -m bench.run --short      a quick run of every case, which writes nothing
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
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from bench import act, match, replays
from remediator import app as daemon
from remediator.alertmanager.payload import decode
from remediator.setting_sections import ClusterSettings, Web
from remediator.settings import Settings
from remediator.telemetry import configure_log

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 128
# seconds: where each alert becomes a remediation, triage takes a hundred times as long as the burst
BURST = 0.5
START = "2026-05-01T12:00:00Z"


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
    path = Path(folder) / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def matched(folder: str) -> str:
    """A rule file that every alert of the load matches, each with a target of its own."""
    path = Path(folder) / "rules.yaml"
    path.write_text(
        "version: 1\ngroups:\n  - name: g\n    scope: {namespaces: [shop]}\n    defaults:"
        " {escalate: {to: [log], after: 2h}}\n    rules:\n      - {name: r, match:"
        " ['alertname=\"Bench\"'], steps: [{action: restart_workload, if: always}]}\n"
    )
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
        if kind.startswith("remediator"):
            settings = Settings(
                rules=(matched(folder),) if kind == "remediator, matched" else (),
                settle=timedelta(hours=1),  # triage is measured, and no look
                journal=f"sqlite:///{folder}/bench.db",
                web=Web(listen="127.0.0.1:0"),
                # never asked
                cluster=ClusterSettings(kubeconfig=kubeconfig(folder, "http://127.0.0.1:9")),
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
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(kind, theirs, folder)
        )
        process.start()
        try:
            yield ours.recv()
        finally:
            process.kill()
            process.join()


def accepted(kind: str, per_post: int, seconds: float) -> float:
    with serving(kind) as url:
        return uvloop.run(load(url, per_post, seconds))


def triaged(seconds: float, kind: str = "remediator") -> float:
    """Alerts a second from the first POST until the last one is triaged,
    for a burst that takes so long to accept.
    """
    with serving(kind) as url:
        started = time.monotonic()
        count = uvloop.run(load(url, 20, seconds)) * seconds
        while True:
            with urllib.request.urlopen(f"{url}/api/v1/counts") as answer:
                counts = json.load(answer)
            if not counts["webhooks"]["waiting"] and not counts["episodes"].get("pending"):
                return count / (time.monotonic() - started)
            time.sleep(0.5)


def start_up() -> tuple[float, float]:
    """Seconds until ready, and idle RSS in MB, of the daemon as shipped, for
    a real cluster (a kubeconfig), without rules.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.yaml"
        cluster = kubeconfig(folder, "http://127.0.0.1:9")
        config.write_text(
            f"journal: sqlite:///{folder}/j.db\nweb: {{listen: '127.0.0.1:0'}}\ncluster:"
            f" {{kubeconfig: {cluster}}}\n"
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


@dataclass(frozen=True, slots=True)
class Size:
    """How long, how often, and how many."""

    seconds: float
    rounds: int
    rules: int
    cases: tuple[act.Case, ...]
    held: act.Case
    webhooks: int


SHORT = Size(
    0.3, 1, 1000, (act.Case(6, 2), act.Case(3, 2, 20)), act.Case(2, 2, 20, act.HELD_BY, True), 2000
)


def full(seconds: float) -> Size:
    """What is published."""
    cases = (act.Case(), act.Case(36, 12, 20))
    return Size(seconds, 3, 10_000, cases, act.Case(24, 30, 20, 1000, True), 100_000)


def _load(case: act.Case) -> str:
    alerts = act.RATE * case.seconds
    return f"{case.targets} targets among {alerts} alerts in {case.seconds} s, qps {case.qps:g}"


def measured(size: Size) -> str:
    """Every case, as the page shows it."""
    rows = []
    for per_post in (1, 20):
        kinds = ("bare", "commit", "remediator")
        rounds = [
            {kind: accepted(kind, per_post, size.seconds) for kind in kinds}
            for _ in range(size.rounds)
        ]
        for name, baseline in (
            ("a bare handler that reads and decodes", "bare"),
            ("the same with one fsync'd commit per request", "commit"),
        ):
            ratios = sorted(each["remediator"] / each[baseline] for each in rounds)
            ours, theirs = (
                statistics.median(each[kind] for each in rounds)
                for kind in ("remediator", baseline)
            )
            shown = f"{ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            rows.append(
                f"| alerts/s accepted, {per_post} per POST | {ours:.0f} | {name} | {theirs:.0f} |"
                f" {shown} |"
            )
    for shape in match.SHAPES:
        few, many = match.seconds(shape, 10), match.seconds(shape, size.rules)
        rows.append(
            f"| µs to match an alert, {size.rules} rules, {shape.name} | {many * 1e6:.1f} | 10"
            f" rules | {few * 1e6:.1f} | {many / few:.2f} (goal {shape.goal:g}) |"
        )
    for case in size.cases:
        acted = act.measure(case)
        rows.append(
            f"| ms from POST to the first API write, {_load(case)} |"
            f" {acted.median:.0f} (p95 {acted.p95:.0f}, p99 {acted.p99:.0f}; {acted.per_second:.1f}"
            f" writes/s) | one PATCH round trip | {acted.patch:.1f} |"
            f" {acted.median / acted.patch:.1f}, p99 {acted.p99 / acted.patch:.1f} |"
        )
    alone, among = act.measure(replace(size.held, held=False)), act.measure(size.held)
    rows.append(
        f"| the same, {_load(size.held)}, while {size.held.others} remediations are held |"
        f" {among.median:.0f} (p99 {among.p99:.0f}) | their alerts match no rule |"
        f" {alone.median:.0f} (p99 {alone.p99:.0f}) | {among.median / alone.median:.2f} (goal"
        " 1.2) |"
    )
    replayed, bare = replays.a_second(size.webhooks), replays.matched_a_second(size.webhooks)
    rows.append(
        f"| webhooks/s replayed, {size.webhooks} of which 1 % match | {replayed:.0f} | their alerts"
        f" matched and nothing else | {bare:.0f} | {replayed / bare:.3f} |"
    )
    burst = min(size.seconds, BURST)
    unmatched, matched_ = triaged(burst), triaged(burst, "remediator, matched")
    rows.append(
        f"| alerts/s accepted and triaged, each matched | {matched_:.0f} | unmatched |"
        f" {unmatched:.0f} | {matched_ / unmatched:.2f} |"
    )
    ready, idle = start_up()
    text = (
        "# Performance\n\nWritten by `make bench` (accepting: medians of three rounds; all else:"
        " once; the load generator shares the machine's cores "
    )
    text += "with the server: read the ratios, not the figures).\n\n"
    text += (
        "| what | remediator | baseline | baseline's figure | ratio |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
    )
    text += (
        f"\n\nStart-up until ready: {ready:.2f} s. RSS: {idle:.0f} MB idle, {acted.rss:.0f} MB"
        f" after {acted.count} acts on a real API server.\n"
    )
    return text + "\n" + NOTES


def main() -> None:
    """From the command line."""
    configure_log("error")
    given = sys.argv[1] if len(sys.argv) > 1 else "4"
    if given == "--short":
        print(measured(SHORT))
        return
    text = measured(full(float(given)))
    (ROOT / "docs" / "performance.md").write_text(text)
    print(text)


NOTES = """\
What a profile showed: with one row per alert, encoding alerts again was the cost of accepting, so a
webhook is stored as it came. Then the journal's thread waited for its turn (5 ms by default in
CPython) more than for the disk, so the interpreter switches sooner, and a crowd of webhooks shares
each commit, by a statement that is compiled once. Then the decoded webhooks that waited for their
commit kept the garbage collector busy, twice as long as decoding took, so only a tally of each
waits. What is left is aiohttp's own work per request, decoding, and the disk.

Writes are timed at a real API server whose controllers are stopped meanwhile: what follows a
restart is their work, and would share the cores with what is measured. So no rollout completes, and
every act is looked at again while the others wait.

Rules are found by the value that the fewest of them demand, and patterns by one pass of RE2 over
all of them, so what an alert costs does not depend on how many rules there are, unless most of
their patterns begin and end with `.*`: then each of them may have to be tried.

What rules look at is watched, so a look that holds, or goes on waiting, costs no request. An act is
planned and judged from what there is now: that and its write take thirteen requests. So at the
default `qps` of 20 about three act in two seconds, and those that come faster wait for their turn.
What only waits is looked at after what is new, acts, or is to be proved. It still costs a look
every half a minute, so a thousand that are held keep most of one core busy, half of it with the
storm's count of all that fires: that is what an act waits for meanwhile.

A replay keeps its journal in dictionaries, and does what is due and nothing in between. What is
left is the engine itself: a matched alert is looked at as often as in a daemon, and of the others
each costs a delivery, a match, and a look at what is due.

Where it is slow: many at once are bound by the interpreter, most of which runs the journal's
statements: an act takes some sixty of them in a dozen transactions, about 25 ms; and each look at
what counts as a storm goes through all alerts that fire. Alerts are accepted faster than they are
triaged; the backlog waits in the journal (`webhooks.waiting` and `episodes.pending` of
`/api/v1/counts`).
"""


if __name__ == "__main__":
    main()
