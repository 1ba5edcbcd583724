"""What one remediation costs until it is over: its alert fires, a workload is restarted, the
rollout converges, and the alert resolves after a while.
"""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from bench import act, serving
from tests.real.parts import ControlPlane, until

TRANSACTIONS = "remediator_journal_commits_total"


@dataclass(frozen=True, slots=True)
class Idle:
    """What happens a second while nothing happens, and RSS in MB."""

    reads: float
    requests: float
    transactions: float
    wake_ups: float
    rss: float


@dataclass(frozen=True, slots=True)
class Life:
    """API requests by kind, and transactions of the journal, from the alert to the success."""

    reads: int
    writes: int
    transactions: int
    idle: Idle


def config(folder: Path, plane: ControlPlane, alertmanager: str, port: int, *, hasty: bool) -> str:
    """The default settings, and one rule. `hasty`: nothing is waited for."""
    steps: list[dict[str, Any]] = [{"action": "restart_workload", "if": "always"}]
    if hasty:
        steps[0]["verify"] = {"quiet_for": "1s"}
    one = {"name": "restart", "match": ['alertname="Bench"'], "mode": "act", "steps": steps}
    group = {
        "name": "bench",
        "scope": {"namespaces": [act.NAMESPACE]},
        "defaults": {"escalate": {"to": ["log"], "after": "2h"}},
        "rules": [one],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump({"version": 1, "groups": [group]}))
    (folder / "token").write_text("t\n")
    source = {"name": "am", "token_file": str(folder / "token"), "alertmanager": alertmanager}
    return serving.configured(
        str(folder),
        port,
        rules=[str(folder / "rules.yaml")],
        sources=[source],
        startup_grace="0s",
        settle="0s" if hasty else "10s",
        cluster={"kubeconfig": str(plane.kubeconfig)},
    )


def requests(plane: ControlPlane) -> Counter[str]:
    """The daemon's requests so far, by their verb."""
    entries = map(json.loads, filter(_ours, plane.audit.read_text().splitlines()))
    return Counter(str(entry["verb"]) for entry in entries)


def _ours(line: str) -> bool:
    return '"userAgent":"remediator/' in line and line.endswith("}")


def transactions(url: str) -> int:
    """The journal's transactions so far, those that only read among them."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(TRANSACTIONS))


def states(url: str) -> Iterator[str]:
    with urllib.request.urlopen(f"{url}/api/v1/remediations") as answer:
        yield from (row["state"] for row in json.load(answer))


def measure(seconds: float, *, hasty: bool = False) -> Life:
    """The alert resolves so many seconds after it fired. What the daemon does anyway in the same
    time is taken off.
    """
    with act.staged() as stage:
        plane, alertmanager, url = stage.plane, stage.alertmanager, stage.url
        plane.deploy(act.NAMESPACE, "web", "web:1")
        pid = stage.serve(config(stage.folder, plane, alertmanager.url, stage.port, hasty=hasty))
        time.sleep(5)  # its watches have begun
        idle = _idle(url, plane, pid, min(seconds, 120))
        before, began, asked = transactions(url), time.monotonic(), requests(plane)
        since = datetime.now(UTC)
        alertmanager.lists("Bench", "web")
        act.post(url, "Bench", "web")
        time.sleep(seconds)
        alertmanager.listed.clear()
        act.post(url, "Bench", "web", since=since)
        until(lambda: list(states(url)) == ["succeeded"], "the success", 900)
        lasted = time.monotonic() - began
        made, did = requests(plane) - asked, transactions(url) - before
        reads = made["get"] + made["list"] - round(idle.reads * lasted)
        return Life(reads, made["patch"], did - round(idle.transactions * lasted), idle)


def _idle(url: str, plane: ControlPlane, pid: int, seconds: float) -> Idle:
    """What the daemon does while nothing happens."""
    asked, did, woke = requests(plane), transactions(url), _wake_ups(pid)
    time.sleep(seconds)
    made = requests(plane) - asked
    return Idle(
        reads=(made["get"] + made["list"]) / seconds,
        requests=made.total() / seconds,
        transactions=(transactions(url) - did) / seconds,
        wake_ups=(_wake_ups(pid) - woke) / seconds,
        rss=act.rss(pid),
    )


def _wake_ups(pid: int) -> int:
    """How often its threads have waited and gone on so far."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    lines = chain.from_iterable(map(str.splitlines, texts))
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
