"""A real alert to a verified act, on real parts."""

import pytest

from tests.e2e.stack import Stack
from tests.real.parts import until

pytestmark = pytest.mark.timeout(300)


def test_prometheus_fires_and_a_crashing_release_is_rolled_back(
    stack: Stack, namespace: str
) -> None:
    stack.plane.deploy(namespace, "web", "web:1")
    stack.exporter.namespaces.add(namespace)
    stack.start_prometheus()
    stack.plane.release(namespace, "web", "web:2", crashes=True)
    row = stack.wait(namespace, "succeeded", "failed", "blocked", seconds=120)
    assert (row["state"], row["rule"], row["name"]) == ("succeeded", "roll-back", "web")
    assert stack.image(namespace) == "web:1"
    assert len(stack.plane.acts(namespace, "web")) == 1
    events = stack.plane.ask("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    assert {"RemediationApplied", "Remediated"} <= {event["reason"] for event in events}
    metrics = stack.get(f"{stack.url}/metrics", raw=True).decode()
    assert (
        'remediator_remediations_total{mode="act",rule="roll-back",state="succeeded"} 1.0'
        in metrics
    )


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
    stack.pause(namespace)
    stack.fire(namespace, "PodLeaks")
    assert stack.wait(namespace, "held")["reason"] == "paused"
    stack.silence(namespace)
    stack.resume(namespace)
    until(
        lambda: stack.wait(namespace, "held")["reason"] == "silenced",
        "the hold for the silence",
        30,
    )
    assert stack.plane.acts(namespace, "web") == []


def test_a_rollback_that_makes_it_worse_is_undone(stack: Stack, namespace: str) -> None:
    """The older revision does not start any more; the newer one ran, whatever its alert said."""
    stack.plane.deploy(namespace, "web", "web:1")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    merge = "application/merge-patch+json"
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    stack.plane.ask(
        "PATCH", path, {"spec": {"progressDeadlineSeconds": 5, "strategy": strategy}}, kind=merge
    )
    stack.plane.release(namespace, "web", "web:2", crashes=True)
    stack.plane.release(namespace, "web", "web:3", crashes=False)
    annotations = {"remediator.test/crash": None}
    stack.plane.ask(
        "PATCH",
        path,
        {"spec": {"template": {"metadata": {"annotations": annotations}}}},
        kind=merge,
    )
    until(
        lambda: stack.plane.deployment(namespace, "web")["status"].get("availableReplicas") == 3,
        "web:3",
        60,
    )
    # pruned history: web:2 is what a rollback finds
    stack.plane.forget_revision(namespace, "web:1")
    stack.fire(namespace, "RolloutIsBad")
    undo = until(
        lambda: [r for r in stack.remediations(namespace) if r["undo_of"]], "the undo", 90
    )[0]
    until(
        lambda: {r["state"] for r in stack.remediations(namespace)} == {"failed", "succeeded"},
        "the end of both",
        60,
    )
    rows = {row["id"]: row for row in stack.remediations(namespace)}
    assert (rows[undo["id"]]["state"], rows[undo["undo_of"]]["reason"]) == ("succeeded", "worse")
    assert stack.image(namespace) == "web:3"
    assert len(stack.plane.acts(namespace, "web")) == 2
