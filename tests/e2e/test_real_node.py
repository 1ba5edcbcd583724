"""A real node with real containers.

A real crash loop is rolled back, a real OOM kill is named, a real pod is isolated and runs on.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pytest

from remediator import causes
from remediator.cluster.client import connect
from remediator.model.target import Target
from remediator.sights.pods import PODS
from remediator.sights.revisions import REVISIONS
from tests.e2e.stack import Stack
from tests.real.node import RealNode
from tests.real.parts import ControlPlane, until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def node(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealNode]:
    built = RealNode(control_plane, tmp_path_factory.mktemp("node"))
    try:
        built.start()
        yield built
    finally:
        built.stop()


def container(pod: Any) -> Any:
    return pod["status"]["containerStatuses"][0]


def test_a_container_that_really_crashes_is_really_rolled_back(
    node: RealNode, stack: Stack, namespace: str
) -> None:
    node.create(namespace, "web", "remediator.test/app:1")
    before = {
        pod["metadata"]["name"]: container(pod)["containerID"] for pod in node.pods(namespace)
    }
    stack.exporter.namespaces.add(namespace)
    stack.start_prometheus()
    stack.plane.release(namespace, "web", "remediator.test/app:2", crashes=True)
    row = stack.wait(namespace, "succeeded", "failed", "blocked", "ineffective", seconds=180)
    assert (row["rule"], row["state"]) == ("roll-back", "succeeded")
    shown = stack.get(f"{stack.url}/api/v1/remediations/{row['id']}")
    assert {cause["name"] for cause in shown["attempts"][0]["causes"]} == {
        "rollout_changed",
        "crash_loop",
    }
    assert stack.image(namespace) == "remediator.test/app:1"
    assert len(stack.plane.acts(namespace, "web")) == 1
    until(lambda: len(node.pods(namespace)) == 2, "the crashed pod's end", 60)
    assert all(container(pod)["ready"] for pod in node.pods(namespace))
    # the healthy ones never stopped
    assert any(container(pod)["containerID"] in before.values() for pod in node.pods(namespace))


async def test_a_container_that_is_really_killed_for_memory_is_named_so(
    node: RealNode, namespace: str
) -> None:
    node.create(namespace, "leak", "remediator.test/leak:1", replicas=1, memory="16Mi", wait=False)

    def killed() -> bool:
        states = []
        for pod in node.pods(namespace):
            states += [container(pod).get(when, {}) for when in ("state", "lastState")]
        return any((state.get("terminated") or {}).get("reason") == "OOMKilled" for state in states)

    until(killed, "the kernel's kill", 90)
    cluster = await connect(str(node.plane.kubeconfig), "", 50)
    target = Target("c", "Deployment", namespace, "leak")
    facts = await cluster.observe(target, True, frozenset({PODS, REVISIONS}), datetime.now(UTC))
    await cluster.close()
    found = {cause.name: cause.why for cause in causes.find(facts)}
    assert "oom_killed" in found
    assert found["oom_killed"].startswith("out of memory: leak-")


def test_a_suspected_pod_runs_on_out_of_its_service_and_is_replaced(
    node: RealNode, stack: Stack, namespace: str
) -> None:
    node.create(namespace, "web", "remediator.test/app:1")
    pod = node.pods(namespace)[0]
    name = pod["metadata"]["name"]
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"

    def endpoints() -> set[str]:
        items = stack.plane.ask("GET", slices)["items"]
        found = chain.from_iterable(item.get("endpoints") or [] for item in items)
        return {endpoint["targetRef"]["name"] for endpoint in found}

    until(lambda: name in endpoints(), "the pod behind its Service", 30)
    stack.exporter.namespaces.add(namespace)
    stack.exporter.suspected.add((namespace, name))
    stack.start_prometheus()
    row = stack.wait(namespace, "succeeded", "failed", "blocked", "ineffective", seconds=120)
    assert (row["rule"], row["state"]) == ("isolate", "succeeded")
    now = next(item for item in node.pods(namespace) if item["metadata"]["name"] == name)
    # the very container, never restarted
    assert container(now)["containerID"] == container(pod)["containerID"]
    assert (now["status"]["phase"], container(now)["restartCount"]) == ("Running", 0)
    assert name not in endpoints()
    assert len(endpoints()) == 2
    shown = stack.get(f"{stack.url}/api/v1/remediations/{row['id']}")
    collected = shown["attempts"][0]["evidence"][0]["left"]
    assert "serving app 1" in collected["logs"]["app"]
    assert any("Started" in event for event in collected["events"])
    reply = stack.plane.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{name}/log", raw=True)
    assert b"serving app 1" in reply
