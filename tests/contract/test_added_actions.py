"""What each action that needs more than a workload does on a real API
server, with the RBAC that its rule brings.
"""

import asyncio
import urllib.error
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.actions import ACTIONS
from remediator.actions.run_cronjob import JOBS
from remediator.cluster.client import KubernetesCluster, connect
from remediator.errors import BudgetExhausted, Conflict
from remediator.generate.rbac import rbac
from remediator.guards import pipeline
from remediator.model.call import Call, Effect, Evidence, bound, effect
from remediator.model.cause import Cause
from remediator.model.facts import Facts
from remediator.model.plan import Plan, Verified
from remediator.model.pointer import at
from remediator.model.raw import meta
from remediator.model.sight import Sight
from remediator.model.target import Target
from remediator.sights.pods import PEERS, PODS, pods_of
from remediator.sights.residents import RESIDENTS, Residents
from tests.real.parts import ControlPlane, until

RULES = """
version: 1
groups:
  - name: g
    scope: {namespaces: [".+"], nodes: [".+"]}
    rules:
      - name: r
        match: ['alertname="A"']
        mode: act
        escalate: {to: [log]}
        limits: {attempts: 9/6h}
        steps:
          - {action: drain_node, if: always}
          - {action: run_cronjob, if: always}
          - {action: renew_certificate, if: always}
          - {action: set_resources}
"""
KILLED = (Cause("oom_killed", "", {"containers": ["x/app"]}),)


@dataclass
class World:
    """A namespace of a real control plane, and our client with the rights that the rule needs."""

    cluster: KubernetesCluster
    plane: ControlPlane
    namespace: str

    async def look(self, target: Target, *sights: Sight[Any]) -> Facts:
        return await self.cluster.observe(target, False, frozenset(sights), datetime.now(UTC))

    async def send(self, call: Call, call_id: str) -> Evidence:
        """Reads the call's object and sends it, and says that it is proved by what shows then."""
        call = bound(call, call_id)
        for _ in range(20):
            obj = (await self.look(call.target)).object
            version = str(meta(obj)["resourceVersion"]) if isinstance(obj, dict) else ""
            try:
                evidence = await self.cluster.apply(call, call_id, version)
            except Conflict:  # controllers write too
                continue
            after = (await self.look(call.target)).object
            shown = after if isinstance(after, dict) else None
            assert effect(call, call_id, shown) is Effect.PROVED, call.describe()
            return evidence
        raise AssertionError("it kept changing")

    def planned(self, facts: Facts, action: str, *found: Cause, **parameters: Any) -> Plan:
        spec = ACTIONS[action]
        plan = spec.plan(facts, spec.params(**parameters), found)
        assert isinstance(plan, Plan), plan
        return plan


@pytest.fixture
async def world(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[World]:
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    control_plane.namespace(namespace)
    (tmp_path / "rules.yaml").write_text(RULES)
    roles = yaml.safe_load_all(rbac([tmp_path / "rules.yaml"]))
    token = control_plane.service_account(namespace, namespace, *roles)
    control_plane.write_kubeconfig(tmp_path / "kubeconfig", control_plane.url, token)
    cluster = await connect(str(tmp_path / "kubeconfig"), "", 200)
    yield World(cluster, control_plane, namespace)
    await cluster.close()


def only_here(pool: str) -> Callable[[dict[str, Any]], None]:
    """Keeps a workload's pods on the nodes of one test."""

    def change(template: dict[str, Any]) -> None:
        toleration = {"key": "pool", "operator": "Equal", "value": pool, "effect": "NoSchedule"}
        template["spec"] |= {"nodeSelector": {"pool": pool}, "tolerations": [toleration]}

    return change


def takes_pods(plane: ControlPlane, name: str) -> bool:
    node = plane.ask("GET", f"/api/v1/nodes/{name}")
    conditions = node["status"].get("conditions") or []
    up = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return up and len(node["spec"].get("taints") or []) == 1


def as_a_kubelet(plane: ControlPlane, namespace: str) -> None:
    """Says of every pod that its containers run with what its spec gives them."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    for pod in plane.ask("GET", path)["items"]:
        statuses = [
            {**status, "resources": container["resources"]}
            for status, container in zip(
                pod["status"]["containerStatuses"], pod["spec"]["containers"], strict=True
            )
        ]
        body = {"status": {"containerStatuses": statuses}}
        place = f"{path}/{meta(pod)['name']}/status"
        plane.ask("PATCH", place, body, kind="application/merge-patch+json")


async def test_a_node_is_drained_within_budgets_and_uncordoned(world: World) -> None:
    plane, pool = world.plane, world.namespace
    names = [f"{pool}-a", f"{pool}-b"]
    for name in names:
        taint = {"key": "pool", "value": pool, "effect": "NoSchedule"}
        metadata = {
            "name": name,
            "labels": {"pool": pool, "kubernetes.io/hostname": name},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        }
        plane.ask("POST", "/api/v1/nodes", {"metadata": metadata, "spec": {"taints": [taint]}})
    until(lambda: all(takes_pods(plane, name) for name in names), "the nodes")
    plane.deploy(pool, "web", "web:1", replicas=4, change=only_here(pool))
    budget = {
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}},
    }
    path = f"/apis/policy/v1/namespaces/{pool}/poddisruptionbudgets"
    plane.ask("POST", path, budget)
    until(lambda: "disruptionsAllowed" in plane.ask("GET", f"{path}/web")["status"], "budget")
    node = Target("c", "Node", "", names[0])
    facts = await world.look(node, RESIDENTS)
    residents = facts[RESIDENTS]
    assert isinstance(residents, Residents)
    there = len(residents.pods)
    assert 0 < there < 4
    plan = world.planned(facts, "drain_node")
    web = plan.touches[1]
    assert str(web.target) == f"Deployment/{pool}/web"
    (touched,) = await world.cluster.observe_all(
        [web.target], pipeline.DISRUPTION, datetime.now(UTC)
    )
    assert all(sight in touched for sight in pipeline.DISRUPTION)
    peers = touched[PEERS]
    assert isinstance(peers, tuple)
    assert len(peers) == 4
    sent = [await world.send(plan.calls[0], "r-1.1")]
    action = ACTIONS["drain_node"]
    assert action.next is not None
    assert action.undo is not None
    assert action.next(plan, (), await world.look(node, RESIDENTS)) == ()  # the budget forbids it
    pod = residents.pods[0]
    target = Target("c", "Pod", pool, meta(pod)["name"], meta(pod)["uid"])
    with pytest.raises(BudgetExhausted, match=f"cannot evict pod {pool}/{target.name}"):
        await world.cluster.apply(Call("evict", target, proof="gone"), "r-1.1.1", "")
    plane.ask("DELETE", f"{path}/web")
    other = Call("evict", target.seen("another"), proof="gone")
    assert (await world.cluster.apply(other, "r-1.1.1", "")).status == 404
    evicted = set()
    for _ in range(100):
        facts = await world.look(node, RESIDENTS)
        if action.verify(plan, tuple(sent), facts).how is Verified.CONVERGED:
            break
        calls = action.next(plan, tuple(sent), facts)
        assert len(calls) <= 1
        for call in calls:
            sent.append(await world.send(call, f"r-1.1.{len(sent)}"))
            evicted.add(call.target.uid)
        await asyncio.sleep(0.2)
    else:
        raise AssertionError("it was not drained")
    assert len(evicted) == there
    back = action.undo(plan, tuple(sent), facts)
    assert isinstance(back, Plan)
    await world.send(back.calls[0], "u-1.1")
    assert not plane.ask("GET", f"/api/v1/nodes/{names[0]}")["spec"].get("unschedulable")
    for name in names:
        plane.ask("DELETE", f"/api/v1/nodes/{name}")


@pytest.mark.parametrize(
    ("spec", "ends"),
    [
        ({"completions": 0}, Verified.CONVERGED),
        ({"activeDeadlineSeconds": 1}, Verified.FAILED),
    ],
)
async def test_a_cronjob_is_run_once(world: World, spec: dict[str, Any], ends: Verified) -> None:
    pod = {"containers": [{"name": "dump", "image": "dump:1"}], "restartPolicy": "Never"}
    job = {"spec": {**spec, "template": {"spec": pod}}}
    made = {
        "metadata": {"name": "backup"},
        "spec": {"schedule": "0 3 1 1 *", "jobTemplate": job},
    }
    world.plane.ask("POST", f"/apis/batch/v1/namespaces/{world.namespace}/cronjobs", made)
    backup = Target("c", "CronJob", world.namespace, "backup")
    plan = world.planned(await world.look(backup, JOBS), "run_cronjob")
    sent = (await world.send(plan.calls[0], "r-abc.1"),)
    with pytest.raises(Conflict):
        await world.cluster.apply(bound(plan.calls[0], "r-abc.1"), "r-abc.1", "")
    action = ACTIONS["run_cronjob"]
    for _ in range(100):
        seen = action.verify(plan, sent, await world.look(backup, JOBS))
        if seen.how is not Verified.WAITING:
            break
        await asyncio.sleep(0.2)
    assert seen.how is ends
    assert world.plane.ask(
        "GET", f"/apis/batch/v1/namespaces/{world.namespace}/jobs/backup-r-abc-1"
    )


def define_certificates(plane: ControlPlane) -> None:
    """The part of cert-manager's definition that matters here."""
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "certificates.cert-manager.io"},
        "spec": {
            "group": "cert-manager.io",
            "scope": "Namespaced",
            "names": {"kind": "Certificate", "plural": "certificates"},
            "versions": [version],
        },
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    plane.ask("POST", path, definition)

    def served() -> bool:
        found = plane.ask("GET", f"{path}/certificates.cert-manager.io")
        conditions = found.get("status", {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    until(served, "certificates.cert-manager.io", 30)


async def test_a_certificate_is_renewed_through_its_status(world: World) -> None:
    define_certificates(world.plane)
    path = f"/apis/cert-manager.io/v1/namespaces/{world.namespace}/certificates"
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-05-01T12:00:00Z"}
    made = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "tls"},
        "spec": {"secretName": "tls"},
    }

    def created() -> bool:
        try:
            return bool(world.plane.ask("POST", path, made))
        except urllib.error.HTTPError as error:  # not served yet
            return error.code != 404

    until(created, "a Certificate")
    status = {"status": {"revision": 3, "conditions": [ready]}}
    merge = "application/merge-patch+json"
    world.plane.ask("PATCH", f"{path}/tls/status", status, kind=merge)
    tls = Target("c", "Certificate", world.namespace, "tls")
    facts = await world.look(tls)
    plan = world.planned(facts, "renew_certificate")
    assert isinstance(facts.object, dict)
    stale = meta(facts.object)["resourceVersion"]
    world.plane.ask("PATCH", f"{path}/tls/status", {"status": {"other": 1}}, kind=merge)
    with pytest.raises(Conflict):
        await world.cluster.apply(plan.calls[0], "r-1.1", stale)
    await world.send(plan.calls[0], "r-1.1")
    after = world.plane.ask("GET", f"{path}/tls")
    assert at(after, "condition:Issuing") == "True"
    assert at(after, "condition:Ready") == "True"
    world.plane.ask("DELETE", f"{path}/tls")


def limited(template: dict[str, Any]) -> None:
    template["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_raised_memory_limit_can_be_undone(world: World, in_place: bool) -> None:
    world.plane.deploy(world.namespace, "web", "web:1", change=limited)
    web = Target("c", "Deployment", world.namespace, "web")
    as_a_kubelet(world.plane, world.namespace)
    action = ACTIONS["set_resources"]
    assert action.undo is not None
    facts = await world.look(web, PODS)
    plan = world.planned(facts, "set_resources", *KILLED, in_place=in_place)
    sent = [await world.send(call, f"r-1.1.{n}") for n, call in enumerate(plan.calls)]
    if in_place:
        facts = await world.look(web, PODS)
        assert action.verify(plan, tuple(sent), facts).how is Verified.WAITING
        assert action.next is not None
        assert action.next(plan, tuple(sent), facts) == ()
        as_a_kubelet(world.plane, world.namespace)
        more = action.next(plan, tuple(sent), await world.look(web, PODS))
        plan = replace(plan, calls=(*plan.calls, *more))
        sent += [await world.send(call, f"r-1.1.{n}") for n, call in enumerate(more, 1)]
        as_a_kubelet(world.plane, world.namespace)
    assert len(sent) == (3 if in_place else 1)
    limits = set()
    for _ in range(150):
        facts = await world.look(web, PODS)
        limits = {at(pod, "/spec/containers/0/resources/limits/memory") for pod in pods_of(facts)}
        seen = action.verify(plan, tuple(sent), facts)
        if limits == {"80Mi"} and seen.how is Verified.CONVERGED:
            break
        await asyncio.sleep(0.2)
    assert limits == {"80Mi"}
    back = action.undo(plan, tuple(sent), facts)
    assert isinstance(back, Plan)
    for number, call in enumerate(back.calls):
        await world.send(call, f"u-1.1.{number}")
