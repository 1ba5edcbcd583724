"""Every action, from a real Prometheus' alert to its proof, on the
oldest and the current Prometheus and Alertmanager.

And what Prometheus then has of the daemon: every query of the dashboards, with data.
"""

import json
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.dashboards import FILES, queries
from tests.e2e.stack import Stack
from tests.real.parts import ControlPlane, until

pytestmark = pytest.mark.timeout(300)
QUIET = {  # what a day without such an event shows nothing for
    "Paused", "Undone", "People told", "Median alert duration, not remediated", "Storms",
}  # fmt: skip


@pytest.fixture(params=["oldest", "current"])
def stack(
    request: pytest.FixtureRequest, control_plane: ControlPlane, tmp_path: Path
) -> Iterator[Stack]:
    built = Stack(control_plane, tmp_path, oldest=request.param == "oldest")
    with built.running():
        yield built


def test_each_action_answers_a_real_alert_and_is_proved(stack: Stack, namespace: str) -> None:
    plane = stack.plane
    plane.deploy(f"{namespace}-well", "web", "web:1")
    stack.fire(f"{namespace}-well")  # an alert without a cause: held, and shown under "Why not"
    names = {kind: f"{namespace}-{kind}" for kind in ("back", "again", "more", "alone")}
    for name in names.values():
        plane.deploy(name, "web", "web:1")
        stack.exporter.namespaces.add(name)
    plane.release(names["back"], "web", "web:2", crashes=True)
    stack.exporter.leak(names["again"], "web")
    stack.exporter.slow.add((names["more"], "web"))
    pod = plane.ask("GET", f"/api/v1/namespaces/{names['alone']}/pods")["items"][0]["metadata"][
        "name"
    ]
    stack.exporter.suspected.add((names["alone"], pod))
    stack.start_prometheus()
    ended = {
        kind: stack.wait(name, "succeeded", "failed", "blocked", "ineffective", seconds=120)
        for kind, name in names.items()
    }
    assert {kind: (row["rule"], row["state"], row["reason"]) for kind, row in ended.items()} == {
        "back": ("roll-back", "succeeded", None),
        "again": ("restart", "succeeded", None),
        "more": ("scale", "succeeded", None),
        "alone": ("isolate", "succeeded", None),
    }
    assert {kind: plane.writes(name) for kind, name in names.items()} == {
        "back": [("patch", "deployments", 200)],
        "again": [("patch", "deployments", 200)],
        "more": [("patch", "deployments/scale", 200)],
        "alone": [("create", "networkpolicies", 201), ("patch", "pods", 200)],
    }
    isolated = plane.ask("GET", f"/api/v1/namespaces/{names['alone']}/pods/{pod}")
    assert isolated["status"]["phase"] == "Running"
    assert list(isolated["metadata"]["labels"]) == ["remediator.io/quarantine"]
    # Prometheus has seen the counters by now; what it never saw grow is not drawn
    stack.fire(f"{namespace}-late")
    _dashboards_have_data(stack)


def _dashboards_have_data(stack: Stack) -> None:
    def ask(query: str) -> Any:
        """What Grafana asks for: the query over the time shown, so that
        what happened a minute ago is still drawn.
        """
        now = time.time()
        asked = urllib.parse.urlencode({"query": query, "start": now - 600, "end": now, "step": 5})
        url = f"http://127.0.0.1:{stack.prom_port}/api/v1/query_range?{asked}"
        answer = json.loads(stack.get(url, raw=True))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def empty() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in FILES:
            for title, query in queries(path):
                if not ask(query) and title not in QUIET and "Watchdog" not in title:
                    found.setdefault(title, []).append(query)
        return found

    until(lambda: not empty(), f"data for every panel; empty: {empty()}", 60)
