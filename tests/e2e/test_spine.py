"""A real alert to a verified act, on real parts; and kill -9 in each state, acts counted in the API server's audit log."""

import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.real.parts import ControlPlane, until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def namespace() -> str:
    return f"e2e-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def stack(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Stack]:
    built = Stack(control_plane, tmp_path)
    try:
        built.start_alertmanager()
        built.start_daemon()
        yield built
    finally:
        built.stop()


def fire(stack: Stack, namespace: str, name: str = "KubePodCrashLooping") -> None:
    """An alert that is active in the real Alertmanager for the test's time."""
    now = datetime.now(UTC)  # noqa: TID251
    _tell(stack, namespace, name, now, now + timedelta(minutes=5))


def resolve(stack: Stack, namespace: str, name: str = "KubePodCrashLooping") -> None:
    """The same alert, ended now."""
    now = datetime.now(UTC)  # noqa: TID251
    _tell(stack, namespace, name, now - timedelta(minutes=1), now)


def _tell(stack: Stack, namespace: str, name: str, starts: datetime, ends: datetime) -> None:
    labels = {"alertname": name, "namespace": namespace, "deployment": "web", "severity": "critical"}
    alert = {"labels": labels, "startsAt": starts.isoformat(), "endsAt": ends.isoformat()}
    stack.post(f"{stack.am_url}/api/v2/alerts", [alert])


def image(stack: Stack, namespace: str) -> str:
    return str(stack.plane.deployment(namespace, "web")["spec"]["template"]["spec"]["containers"][0]["image"])


def test_prometheus_fires_and_a_crashing_release_is_rolled_back(stack: Stack, namespace: str) -> None:
    stack.plane.deploy(namespace, "web", "web:1")
    stack.exporter.namespaces.add(namespace)
    stack.start_prometheus()
    stack.plane.release(namespace, "web", "web:2", crashes=True)
    row = stack.wait(namespace, "succeeded", "failed", "blocked", seconds=120)
    assert (row["state"], row["rule"], row["name"]) == ("succeeded", "roll-back", "web")
    assert image(stack, namespace) == "web:1"
    assert len(stack.plane.acts(namespace, "web")) == 1
    events = stack.plane.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    assert {"RemediationApplied", "Remediated"} <= {event["reason"] for event in events}
    metrics = stack.get(f"{stack.url}/metrics", raw=True).decode()
    assert 'remediator_remediations_total{rule="roll-back",state="succeeded"} 1.0' in metrics


def test_prometheus_fires_and_a_leaking_workload_is_restarted(stack: Stack, namespace: str) -> None:
    stack.plane.deploy(namespace, "web", "web:1")
    stack.exporter.namespaces.add(namespace)
    stack.exporter.leak(namespace, "web")
    stack.start_prometheus()
    row = stack.wait(namespace, "succeeded", "failed", "blocked", seconds=120)
    assert (row["state"], row["rule"]) == ("succeeded", "restart")
    assert len(stack.plane.acts(namespace, "web")) == 1


def test_a_silence_made_meanwhile_holds(stack: Stack, namespace: str) -> None:
    stack.plane.deploy(namespace, "web", "web:1")
    stack.post(f"{stack.url}/api/v1/pauses", {"scope": f"namespace:{namespace}", "reason": "a person looks"})
    fire(stack, namespace, "PodLeaks")
    assert stack.wait(namespace, "held")["reason"] == "paused"
    now = datetime.now(UTC)  # noqa: TID251
    matchers = [{"name": "namespace", "value": namespace, "isRegex": False, "isEqual": True}]
    silence = {
        "matchers": matchers,
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "t",
        "comment": "t",
    }
    stack.post(f"{stack.am_url}/api/v2/silences", silence)
    request = urllib.request.Request(
        f"{stack.url}/api/v1/pauses/namespace:{namespace}", headers={"Authorization": "Bearer me-secret"}, method="DELETE"
    )
    urllib.request.urlopen(request, timeout=10).close()
    until(lambda: stack.wait(namespace, "held")["reason"] == "silenced", "the hold for the silence", 30)
    assert stack.plane.acts(namespace, "web") == []


@pytest.mark.parametrize("moment", ["queued", "before the write", "after the write", "verifying"])
def test_killed_in_each_state_it_acts_exactly_once(stack: Stack, namespace: str, moment: str) -> None:
    stack.plane.deploy(namespace, "web", "web:1")
    stack.plane.release(namespace, "web", "web:2", crashes=True)
    stack.proxy.hold = {"before the write": "before", "after the write": "after"}.get(moment, "")
    fire(stack, namespace)
    if stack.proxy.hold:
        assert stack.proxy.held.wait(60)
    else:
        stack.wait(namespace, moment)
    stack.kill_daemon()
    stack.proxy.hold = ""
    stack.proxy.release.set()
    stack.start_daemon()
    stack.wait(namespace, "verifying", seconds=90)
    until(lambda: stack.plane.deployment(namespace, "web")["status"].get("updatedReplicas") == 3, "the rollout", 60)
    resolve(stack, namespace)
    row = stack.wait(namespace, "succeeded", "failed", seconds=90)
    assert row["state"] == "succeeded"
    assert image(stack, namespace) == "web:1"
    acts = stack.plane.acts(namespace, "web")
    print(f"killed {moment}: {len(acts)} act in the audit log")
    assert len(acts) == 1
