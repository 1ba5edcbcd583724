"""From an alert's POST to the first write at a real API server,
under a steady load of other alerts.

Times of writes are the API server's own, from its audit log.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import yaml

from bench import crowd
from tests.real.parts import ControlPlane, free_port, until

RATE = 100
NAMESPACE = "bench"


@dataclass(frozen=True, slots=True)
class Acted:
    """Milliseconds from POST to write, of one PATCH round trip, writes a
    second, and the daemon's memory in MB after it.
    """

    median: float
    p95: float
    p99: float
    patch: float
    per_second: float
    count: int
    rss: float


class FakeAlertmanager:
    """Lists every alert that was posted as active: what the daemon asks before it acts."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                up = {"uptime": "2026-05-01T12:00:00Z", "cluster": {"peers": [{}]}}
                body = json.dumps(fake.listed if "alerts" in self.path else up).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def lists(self, name: str, deployment: str) -> None:
        """An alert fires."""
        labels = {"alertname": name, "namespace": NAMESPACE, "deployment": deployment}
        self.listed.append(
            {
                "fingerprint": fingerprint(name, deployment),
                "status": {"state": "active"},
                "labels": labels,
            }
        )


def fingerprint(name: str, deployment: str) -> str:
    return f"f-{name}-{deployment}"


@dataclass(frozen=True, slots=True)
class Case:
    """So many workloads, each in trouble once, within so many seconds.

    `qps` as the daemon is set. `others`: so many other alerts fire meanwhile; `held`: a rule
    matches each of them, and a limit holds it. `pods`: so many there are, of which `changes` change
    every second.
    """

    targets: int = 36
    seconds: int = 12
    qps: float = 500
    others: int = 0
    held: bool = False
    pods: int = 0
    changes: int = 0


def settings(
    folder: Path, plane: ControlPlane, alertmanager: str, port: int, *, case: Case
) -> Path:
    rules = {
        "version": 1,
        "groups": [
            {
                "name": "bench",
                "scope": {"namespaces": [NAMESPACE]},
                "defaults": {"mode": "act", "escalate": {"to": ["log"]}},
                "rules": [rule("restart", "Bench", 10_000)]
                + [rule(f"held{n}", f"Held{n}", 1) for n in range(HELD_BY if case.held else 0)],
            }
        ],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    (folder / "token").write_text("t\n")
    config = {
        "rules": [str(folder / "rules.yaml")],
        "journal": f"sqlite:///{folder}/j.db",
        "web": {"listen": f"127.0.0.1:{port}"},
        "sources": [
            {"name": "am", "token_file": str(folder / "token"), "alertmanager": alertmanager}
        ],
        "cluster": {"kubeconfig": str(plane.kubeconfig), "qps": case.qps},
        "settle": "0s",
        "startup_grace": "0s",
        "limits": {"namespace": "10000/1h", "all": "10000/1h"},
        "storm": {"roots": 0},  # so many at once would be one; it is not what is measured
        "breaker": {"bad": 0},
    }
    (folder / "c.yaml").write_text(yaml.safe_dump(config))
    return folder / "c.yaml"


HELD_BY = 20  # rules, each of which acts once and holds the rest


def rule(name: str, alertname: str, in_flight: int) -> dict[str, Any]:
    """A rule that restarts what an alert is about."""
    return {
        "name": name,
        "match": [f'alertname="{alertname}"'],
        "limits": {"in_flight": in_flight, "per_rule": "10000/1h"},
        "steps": [{"action": "restart_workload", "if": "always"}],
    }


def post(url: str, name: str, deployment: str, *, since: datetime | None = None) -> None:
    """An alert fires; or it has fired since then, and has resolved."""
    now, status = datetime.now(UTC), "resolved" if since else "firing"
    alert = {
        "status": status,
        "labels": {"alertname": name, "namespace": NAMESPACE, "deployment": deployment},
        "annotations": {},
        "startsAt": (since or now).isoformat(),
        "endsAt": now.isoformat() if since else "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint(name, deployment),
    }
    body = json.dumps({"version": "4", "status": status, "alerts": [alert]}).encode()
    request = urllib.request.Request(f"{url}/webhook", body, {"Authorization": "Bearer t"})
    with urllib.request.urlopen(request) as answer:
        answer.read()


def fire(url: str, alertmanager: FakeAlertmanager, case: Case) -> None:
    """Has the other alerts fire, and waits until all that are to be held are."""
    for number in range(case.others):
        name, deployment = f"Held{number % HELD_BY}", f"held{number // HELD_BY}"
        alertmanager.lists(name, deployment)
        post(url, name, deployment)

    def count() -> bool:
        with urllib.request.urlopen(f"{url}/api/v1/counts") as answer:
            counts = json.load(answer)
        if counts["webhooks"]["waiting"] or counts["episodes"].get("pending"):
            return False
        states = counts["remediations"]
        wanted = case.others - HELD_BY if case.held else 0
        return not states.get("queued") and states.get("held", 0) >= wanted

    until(count, f"{case.others} alerts", 300)


WARM = "warm"


def warm_up(url: str, alertmanager: FakeAlertmanager, audit: "Written") -> None:
    """The first act of a daemon compiles statements and opens connections."""
    alertmanager.lists("Bench", WARM)
    post(url, "Bench", WARM)
    until(lambda: WARM in audit.read(), "the first act", 60)
    del audit.seen[WARM]
    time.sleep(2)  # what it took of the daemon's requests is there again


def offer(url: str, alertmanager: FakeAlertmanager, case: Case) -> dict[str, float]:
    """RATE alerts a second, of which some match; when each of those was posted."""
    posted: dict[str, float] = {}
    every = max(1, RATE * case.seconds // case.targets)
    started = time.time()

    def lane(first: int) -> None:
        for number in range(first, RATE * case.seconds, LANES):
            time.sleep(max(0.0, started + number / RATE - time.time()))
            matching, index = number % every == 0, number // every
            if matching and index < case.targets:
                alertmanager.lists("Bench", f"web{index}")
                posted[f"web{index}"] = time.time()
                post(url, "Bench", f"web{index}")
            else:
                post(url, "Other", f"other{number}")

    threads = [threading.Thread(target=lane, args=(first,)) for first in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return posted


LANES = 8


class Written:
    """When the API server received the daemon's first write of each Deployment.

    Reads on in the audit log where it stopped.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._audit = plane.audit.open()
        self._rest = ""
        self.seen: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        *lines, self._rest = (self._rest + self._audit.read()).split("\n")
        for line in lines:
            if '"verb":"patch"' not in line or '"userAgent":"remediator/' not in line:
                continue
            entry = json.loads(line)
            if entry["objectRef"]["name"].startswith("held"):  # by the first of a rule that holds
                continue
            at = datetime.fromisoformat(entry["requestReceivedTimestamp"].replace("Z", "+00:00"))
            self.seen.setdefault(entry["objectRef"]["name"], at.timestamp())
        return self.seen


def patch_round_trip(plane: ControlPlane) -> float:
    """Milliseconds of one PATCH on an open connection, median of thirty."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/baseline"
    connection = crowd.connect(plane)
    took = []
    for number in range(30):
        started = time.perf_counter()
        changed = {"metadata": {"annotations": {"n": str(number)}}}
        crowd.request(connection, "PATCH", path, changed, kind="merge-patch+json")
        took.append((time.perf_counter() - started) * 1e3)
    connection.close()
    return statistics.median(took)


def rss(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def command(config: str) -> list[str]:
    """What serves with these settings."""
    return [sys.executable, "-m", "remediator", "serve", "--config", config, "--log-level", "error"]


@dataclass(slots=True)
class Stage:
    """A control plane and an Alertmanager, and the daemon once it serves."""

    folder: Path
    port: int
    plane: ControlPlane
    alertmanager: FakeAlertmanager
    daemon: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The daemon's."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, config: str) -> int:
        """Starts the daemon, waits until it is ready, and answers its pid."""
        self.daemon = subprocess.Popen(command(config))
        ready = f"{self.url}/readyz"
        until(lambda: urllib.request.urlopen(ready).read() == b"ok\n", "the daemon", 30)
        return self.daemon.pid


@contextmanager
def staged() -> Iterator[Stage]:
    """All of them, until the measure is over."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stage = Stage(folder, free_port(), ControlPlane(folder), FakeAlertmanager())
        try:
            stage.plane.start()
            yield stage
        finally:
            if stage.daemon is not None:
                stage.daemon.terminate()
                stage.daemon.wait()
            stage.plane.stop()
            stage.alertmanager.server.shutdown()
            stage.alertmanager.server.server_close()


def measure(case: Case) -> Acted:
    """Starts a control plane and a daemon, offers the load, and reads the audit log."""
    with staged() as stage:
        plane, alertmanager, url = stage.plane, stage.alertmanager, stage.url
        names = [WARM, *(f"web{number}" for number in range(case.targets))]
        names += [f"held{number}" for number in range(case.others // HELD_BY)]
        with ThreadPool(LANES) as lanes:
            lanes.map(lambda name: plane.deploy(NAMESPACE, name, "web:1", replicas=1), names, 1)
        plane.deploy(NAMESPACE, "baseline", "web:1", replicas=1)
        crowd.fill(plane, NAMESPACE, case.pods)
        # what follows a restart is the controllers' work, and would share the cores with what is
        # measured
        plane.freeze()
        patch, audit = patch_round_trip(plane), Written(plane)
        pid = stage.serve(
            str(settings(stage.folder, plane, alertmanager.url, stage.port, case=case))
        )
        fire(url, alertmanager, case)
        warm_up(url, alertmanager, audit)
        with crowd.changing(plane, NAMESPACE, case.pods, case.changes):
            posted = offer(url, alertmanager, case)
        writes = until(lambda: len(w := audit.read()) == len(posted) and w, "all writes", 200)
        took = sorted((writes[key] - posted[key]) * 1e3 for key in posted)
        lasted = max(writes.values()) - min(writes.values())
        return Acted(
            median=statistics.median(took),
            p95=took[int(len(took) * 0.95)],
            p99=took[int(len(took) * 0.99)],
            patch=patch,
            per_second=len(took) / max(lasted, 0.001),
            count=len(took),
            rss=rss(pid),
        )
