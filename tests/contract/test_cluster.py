"""The cluster port's contract.

The same suite on the sandbox and on a real API server, refusals included.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_asyncio.config import kube_config

from remediator import causes
from remediator.actions import ACTIONS
from remediator.cluster import pacing
from remediator.cluster.client import KubernetesCluster, connect
from remediator.cluster.sandbox import SandboxCluster
from remediator.cluster.watched import WatchedCluster
from remediator.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Rejected,
    TargetGone,
    Unreachable,
    Unsupported,
)
from remediator.generate.rbac import rbac
from remediator.kinds import BUILT_IN, NODE
from remediator.model.call import STAMP, Call, Effect, Evidence, effect
from remediator.model.facts import Facts, Unknown
from remediator.model.kind import Kind
from remediator.model.past import Past, PastAct
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.pointer import TEMPLATE
from remediator.model.raw import annotations, meta
from remediator.model.target import Target, Unresolved
from remediator.model.verdict import Reason
from remediator.rules import looking
from remediator.sights import SIGHTS as SIGHTS_BY_NAME
from remediator.sights.autoscaler import AUTOSCALER
from remediator.sights.disruption_budgets import BUDGETS
from remediator.sights.isolation import ISOLATION, Isolation
from remediator.sights.pods import PODS
from remediator.sights.revisions import REVISIONS
from remediator.sights.room import ROOM, Room
from tests.real.parts import TOKEN, ControlPlane
from tests.real.proxy import Proxy
from tests.real.wire import CLOSING

SIGHTS = frozenset(SIGHTS_BY_NAME.values())
ROOT = Path(__file__).parents[2]


class World:
    """Workloads in a namespace of their own, a Deployment `web` first, seen through an adapter."""

    def __init__(self, cluster: Any, namespace: str, plane: ControlPlane | None) -> None:
        self.cluster, self.namespace, self.plane = cluster, namespace, plane
        self.target = Target("c", "Deployment", namespace, "web")

    def create(self, kind: str, name: str, **labels: str) -> Target:
        if self.plane:
            self.plane.create(kind, self.namespace, name, f"{name}:1", labels=labels)
        else:
            self.cluster.create_workload(kind, self.namespace, name, f"{name}:1", labels=labels)
        return Target("c", kind, self.namespace, name)

    def service(self, name: str, **selector: str) -> Target:
        if self.plane:
            spec = {"selector": selector, "ports": [{"port": 80}]}
            self.plane.ask(
                "POST",
                f"/api/v1/namespaces/{self.namespace}/services",
                {"metadata": {"name": name}, "spec": spec},
            )
        else:
            self.cluster.create_service(self.namespace, name, selector)
        return Target("c", "Service", self.namespace, name)

    def release(
        self, image: str, crashes: bool, kind: str = "Deployment", name: str = "web"
    ) -> None:
        if self.plane:
            self.plane.release(self.namespace, name, image, crashes, kind=kind)
        else:
            if crashes:
                self.cluster.crashing.add(image)
            self.cluster.set_image(kind, self.namespace, name, image)

    def autoscaler(self, kind: str, name: str, least: int, most: int) -> None:
        if self.plane:
            self.plane.autoscaler(self.namespace, name, kind, least, most=most)
        else:
            self.cluster.create_autoscaler(self.namespace, name, kind, least, most=most)

    async def carry_out(self, calls: tuple[Call, ...], name: str) -> tuple[Evidence, ...]:
        """Every call, one after the other, each on what stands there then.

        The id of each is its stamp.
        """
        done = []
        for number, call in enumerate(calls):
            evidence = None
            while evidence is None:  # what controllers write between is read again
                obj = (
                    await self.cluster.observe(call.target, False, frozenset(), datetime.now(UTC))
                ).object
                version = str(meta(obj)["resourceVersion"]) if isinstance(obj, dict) else ""
                with contextlib.suppress(Conflict):
                    evidence = await self.cluster.apply(call, f"{name}.{number}", version)
            done.append(evidence)
            obj = (
                await self.cluster.observe(call.target, False, frozenset(), datetime.now(UTC))
            ).object
            if call.verb != "collect":
                assert (
                    effect(call, f"{name}.{number}", obj if isinstance(obj, dict) else None)
                    is Effect.PROVED
                ), call.describe()
        return tuple(done)

    async def look(self, target: Target | None = None, climb: bool = True) -> Facts:
        now = datetime.now(UTC)
        facts: Facts = await self.cluster.observe(target or self.target, climb, SIGHTS, now)
        return facts

    async def settle(
        self, condition: Any, target: Target | None = None, climb: bool = True
    ) -> Facts:
        for _ in range(150):
            facts = await self.look(target, climb)
            if condition(facts):
                return facts
            await asyncio.sleep(0.2)
        raise AssertionError("it did not settle within 30 s")

    async def apply(
        self, facts: Facts, plan: Plan, call_id: str, dry_run: bool = False
    ) -> Evidence:
        assert isinstance(facts.object, dict)
        version = meta(facts.object)["resourceVersion"]
        evidence: Evidence = await self.cluster.apply(plan.calls[0], call_id, version, dry_run)
        return evidence

    async def converged(
        self, plan: Plan, evidence: Evidence, target: Target | None = None
    ) -> Facts:
        verify = ACTIONS[plan.action].verify
        return await self.settle(
            lambda facts: verify(plan, (evidence,), facts) == Seen(Verified.CONVERGED), target
        )


def planned(facts: Facts, action: str = "restart_workload") -> Plan:
    plan = ACTIONS[action].plan(facts, ACTIONS[action].params(), ())
    assert isinstance(plan, Plan), plan
    return plan


def pods(facts: Facts) -> tuple[Any, ...]:
    found = facts[PODS]
    assert isinstance(found, tuple)
    return found


class Compared:
    """A cluster as watches tell of it: soon what is there, whatever is looked at."""

    def __init__(self, live: KubernetesCluster, watched: WatchedCluster) -> None:
        self.live, self.watched = live, watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self.live, name)

    async def observe(self, *given: Any) -> Facts:
        for _ in range(200):
            seen, there = await asyncio.gather(
                self.watched.observe(*given), self.live.observe(*given)
            )
            if seen == there:
                return seen
            await asyncio.sleep(0.05)
        raise AssertionError(f"the watches tell {seen}, but there is {there}")


def alive(cluster: KubernetesCluster, kind: Kind) -> bool:
    """Whether a kind is watched."""
    name, labels = "remediator_kubernetes_watch_alive", {"kind": kind.plural}
    return cluster.transport.metrics.registry.get_sample_value(name, labels) == 1.0


async def built(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world on the adapter that a fixture's parameter names."""
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    if request.param == "sandbox":
        sandbox = SandboxCluster(lambda: datetime.now(UTC))
        world = World(sandbox, namespace, None)
        world.create("Deployment", "web")
        yield world
        return
    plane = request.getfixturevalue("control_plane")
    cluster = await connect(str(plane.kubeconfig), "", 500)
    watched = WatchedCluster(cluster)
    watches = asyncio.create_task(watched.run(lambda _names: None))
    seen_by: Any = cluster
    if request.param == "watched":
        kinds = looking.watched(None)
        watched.want(kinds)
        while not all(alive(cluster, kind) for kind in kinds):
            await asyncio.sleep(0.05)
        seen_by = Compared(cluster, watched)
    world = World(seen_by, namespace, plane)
    world.create("Deployment", "web")
    yield world
    watches.cancel()
    await asyncio.wait([watches])
    await cluster.close()
    await asyncio.sleep(CLOSING)


@pytest.fixture(params=["sandbox", "kubernetes", "watched"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async for made in built(request):
        yield made


async def test_every_workload_is_counted_with_its_namespace(world: World) -> None:
    world.create("StatefulSet", "db")
    world.create("DaemonSet", "agent")
    found = await world.cluster.workloads()
    assert not isinstance(found, Unknown)
    assert [name for name in found if name == world.namespace] == [world.namespace] * 3


async def test_what_guards_look_at_before_pods_are_taken_away(world: World) -> None:
    selector = {"matchLabels": {"app": "web"}}
    hard = {"pods": "5"}
    if world.plane:
        path = f"/namespaces/{world.namespace}"
        budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 3, "selector": selector}}
        world.plane.ask("POST", f"/apis/policy/v1{path}/poddisruptionbudgets", budget)
        world.plane.ask(
            "POST",
            f"/api/v1{path}/resourcequotas",
            {"metadata": {"name": "q"}, "spec": {"hard": hard}},
        )
    else:
        world.cluster.create(
            "PodDisruptionBudget",
            world.namespace,
            "b",
            {"selector": selector},
            status={"disruptionsAllowed": 0},
        )
        world.cluster.create(
            "ResourceQuota",
            world.namespace,
            "q",
            {"hard": hard},
            status={"hard": hard, "used": {"pods": "3"}},
        )
    sights = frozenset({PODS, BUDGETS, ROOM})

    async def seen() -> Any:
        return await world.cluster.observe(world.target, False, sights, datetime.now(UTC))

    for _ in range(100):  # the controllers fill the status in
        facts = await seen()
        assert isinstance(facts[ROOM], Room), facts[ROOM]
        if (facts[ROOM].quotas[0].get("status") or {}).get("used", {}).get("pods") == "3":
            break
        await asyncio.sleep(0.1)
    assert isinstance(facts[BUDGETS], tuple)
    (budget,) = facts[BUDGETS]
    assert (
        budget["spec"]["selector"],
        int(budget.get("status", {}).get("disruptionsAllowed") or 0),
    ) == (selector, 0)
    assert facts[ROOM].quotas[0]["status"]["used"]["pods"] == "3"
    said = chain.from_iterable(node["status"]["conditions"] for node in facts[ROOM].nodes)
    assert any(item["type"] == "Ready" and item["status"] == "True" for item in said)
    assert facts[ROOM].failed == ()


async def test_pods_that_could_not_be_created_are_seen(world: World) -> None:
    if not world.plane:  # the sandbox refuses no pods, and says so
        facts = await world.cluster.observe(
            world.target, False, frozenset({ROOM}), datetime.now(UTC)
        )
        assert isinstance(facts[ROOM], Room)
        assert facts[ROOM].failed == ()
        return
    path = f"/api/v1/namespaces/{world.namespace}"
    world.plane.ask(
        "POST",
        f"{path}/resourcequotas",
        {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}}},
    )
    await asyncio.sleep(1)
    world.plane.release(world.namespace, "web", "web:2", False, kind="Deployment")
    sights = frozenset({PODS, REVISIONS, ROOM})
    for _ in range(150):
        facts = await world.cluster.observe(world.target, False, sights, datetime.now(UTC))
        if isinstance(facts[ROOM], Room) and facts[ROOM].failed:
            break
        await asyncio.sleep(0.1)
    assert isinstance(facts[ROOM], Room)
    assert "exceeded quota" in str(facts[ROOM].failed[0]["message"])
    assert isinstance(facts[REVISIONS], tuple)
    assert str(facts[ROOM].failed[0]["involvedObject"]["uid"]) in {
        revision.uid for revision in facts[REVISIONS]
    }


async def test_facts_have_pods_revisions_and_namespace(world: World) -> None:
    facts = await world.look()
    assert facts.target.uid
    assert facts.root == facts.target
    assert len(pods(facts)) == 3
    revisions = facts[REVISIONS]
    assert isinstance(revisions, tuple)
    assert [(r.number, r.current, r.seen_healthy) for r in revisions] == [(1, True, True)]
    assert isinstance(facts.namespace, dict)
    assert meta(facts.namespace)["name"] == world.namespace


async def test_a_pod_climbs_to_its_deployment(world: World) -> None:
    pod = Target("c", "Pod", world.namespace, meta(pods(await world.look())[0])["name"])
    facts = await world.look(pod)
    assert (facts.target.kind, facts.target.name, facts.root.kind) == (
        "Deployment",
        "web",
        "Deployment",
    )
    staying = await world.look(pod, climb=False)
    assert (staying.target.kind, staying.root.kind) == ("Pod", "Deployment")


async def test_a_service_stands_for_the_one_workload_behind_it(world: World) -> None:
    facts = await world.look(world.service("front", app="web"))
    assert (facts.target.kind, facts.target.name, len(pods(facts))) == ("Deployment", "web", 3)


async def test_a_service_in_front_of_two_workloads_or_none_is_ambiguous(world: World) -> None:
    for name in ("a", "b"):
        world.create("Deployment", name, tier="front")
    for service in (world.service("both", tier="front"), world.service("none", tier="nobody")):
        seen = (await world.look(service)).object
        assert isinstance(seen, Unresolved)
        assert seen.reason is Reason.AMBIGUOUS_TARGET


async def test_an_exporter_s_pod_is_never_the_target(world: World) -> None:
    workload = world.create(
        "Deployment", "metrics", **{"app.kubernetes.io/name": "kube-state-metrics"}
    )
    pod = pods(await world.look(workload))[0]
    seen = (await world.look(Target("c", "Pod", world.namespace, meta(pod)["name"]))).object
    assert isinstance(seen, Unresolved)
    assert seen.reason is Reason.TARGET_IS_EXPORTER


async def test_what_does_not_exist_or_has_another_uid_is_none(world: World) -> None:
    assert (await world.look(Target("c", "Deployment", world.namespace, "nobody"))).object is None
    assert (
        await world.look(Target("c", "Deployment", world.namespace, "web", "another-uid"))
    ).object is None


async def test_a_kind_that_cannot_be_read_is_unknown(world: World) -> None:
    assert isinstance(
        (await world.look(Target("c", "Rollout", world.namespace, "web"))).object, Unknown
    )


async def test_a_crashing_release_is_seen_rolled_back_and_verified(world: World) -> None:
    world.release("web:2", crashes=True)
    facts = await world.settle(lambda f: len(causes.find(f)) == 2)
    assert [cause.name for cause in causes.find(facts)] == ["crash_loop", "rollout_changed"]
    action, plan = ACTIONS["rollback_workload"], planned(facts, "rollback_workload")
    evidence = await world.apply(facts, plan, "r-1.1")
    done = await world.converged(plan, evidence)
    assert isinstance(done.object, dict)
    assert done.object["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert annotations(done.object)[STAMP] == "r-1.1"
    act = PastAct(
        "r",
        action.name,
        (),
        None,
        facts.at,
        str(plan.assumptions[TEMPLATE]),
        evidence.left[TEMPLATE],
    )
    assert isinstance(action.plan(replace(done, past=Past((act,))), action.params(), ()), Refusal)


async def test_a_rollback_is_undone_by_putting_the_replaced_template_back(world: World) -> None:
    world.release("web:2", crashes=True)
    facts = await world.settle(lambda f: len(causes.find(f)) == 2)
    action, plan = ACTIONS["rollback_workload"], planned(facts, "rollback_workload")
    assert action.undo is not None
    assert action.restored is not None
    evidence = await world.apply(facts, plan, "r-1.1")
    undone = None
    while undone is None:  # the rollout's own progress moves the object
        now = await world.look()
        back = action.undo(plan, (evidence,), now)
        assert isinstance(back, Plan)
        with contextlib.suppress(Conflict):
            undone = await world.apply(now, back, "u-1.1")
    assert isinstance(back, Plan)
    undoing, restored = back, action.restored
    done = await world.settle(lambda f: restored(undoing, (undone,), f) == Seen(Verified.CONVERGED))
    assert isinstance(done.object, dict)
    assert done.object["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    # what stands there now is not the rollback's
    assert isinstance(action.undo(plan, (evidence,), done), Refusal)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
async def test_a_restart_makes_new_pods_and_no_new_template(world: World, kind: str) -> None:
    target = world.create(kind, "again")
    facts = await world.look(target)
    old = {meta(p)["uid"] for p in pods(facts)}
    plan = planned(facts)
    done = await world.converged(plan, await world.apply(facts, plan, "r-2.1"), target)
    assert old
    assert old.isdisjoint({meta(p)["uid"] for p in pods(done)})
    assert not [c for c in causes.find(done) if c.name == "rollout_changed"]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
async def test_a_crashing_release_of_any_workload_is_rolled_back(world: World, kind: str) -> None:
    target = world.create(kind, "other")
    world.release("other:2", crashes=True, kind=kind, name="other")
    facts = await world.settle(
        lambda f: [c.name for c in causes.find(f)] == ["crash_loop", "rollout_changed"], target
    )
    action, plan = ACTIONS["rollback_workload"], planned(facts, "rollback_workload")
    sent = await world.carry_out(plan.calls, "r-7.1")
    assert action.next is not None
    deleted: set[str] = set()
    for _ in range(150):
        seen = await world.look(target)
        if action.verify(plan, sent, seen) == Seen(Verified.CONVERGED):
            break
        following = action.next(plan, sent, seen)
        await world.carry_out(following, "r-7.1")
        deleted |= {call.target.uid for call in following}
        await asyncio.sleep(0.2)
    else:
        raise AssertionError("it did not converge")
    assert isinstance(seen.object, dict)
    assert seen.object["spec"]["template"]["spec"]["containers"][0]["image"] == "other:1"
    # nothing else replaces a StatefulSet's stuck pods
    assert bool(deleted) == (kind == "StatefulSet")
    assert len(deleted) <= sum(bound.most for bound in plan.bounds)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
async def test_a_workload_is_scaled_and_put_back(world: World, kind: str) -> None:
    target = world.create(kind, "more")
    facts = await world.settle(lambda f: isinstance(f[PODS], tuple) and len(f[PODS]) == 3, target)
    action, plan = ACTIONS["scale_workload"], planned(facts, "scale_workload")
    sent = await world.carry_out(plan.calls, "r-8.1")
    done = await world.settle(
        lambda f: action.verify(plan, sent, f) == Seen(Verified.CONVERGED), target
    )
    assert len(pods(done)) == 5
    assert action.undo is not None
    assert action.restored is not None
    back = action.undo(plan, sent, done)
    assert isinstance(back, Plan)
    undone = await world.carry_out(back.calls, "u-8.1")
    restored = action.restored
    await world.settle(
        lambda f: restored(back, undone, f) == Seen(Verified.CONVERGED) and len(pods(f)) == 3,
        target,
    )


async def test_an_hpa_s_least_count_is_raised_and_put_back(world: World) -> None:
    target = world.create("Deployment", "auto")
    world.autoscaler("Deployment", "auto", 2, 8)
    facts = await world.settle(lambda f: isinstance(f[AUTOSCALER], dict), target)
    action, plan = ACTIONS["scale_workload"], planned(facts, "scale_workload")
    assert plan.calls[0].target.kind == "HorizontalPodAutoscaler"
    sent = await world.carry_out(plan.calls, "r-9.1")
    done = await world.settle(
        lambda f: action.verify(plan, sent, f) == Seen(Verified.CONVERGED), target
    )
    assert len(pods(done)) == 5
    by_hpa = Target("c", "HorizontalPodAutoscaler", world.namespace, "auto")
    assert (
        await world.look(by_hpa)
    ).target.kind == "Deployment"  # an alert on the HPA is about what it scales
    assert action.undo is not None
    back = action.undo(plan, sent, done)
    assert isinstance(back, Plan)
    await world.carry_out(back.calls, "u-9.1")
    seen = await world.look(target)
    hpa = seen[AUTOSCALER]
    assert isinstance(hpa, dict)
    assert hpa["spec"]["minReplicas"] == 2


async def test_a_pod_is_isolated_replaced_and_released(world: World) -> None:
    world.service("front", app="web")
    name = meta(pods(await world.look())[0])["name"]
    pod = Target("c", "Pod", world.namespace, name)

    async def look(_: Any = None) -> Facts:
        return await world.look(pod, climb=False)

    def listed(facts: Facts) -> bool:
        seen = facts[ISOLATION]
        return isinstance(seen, Isolation) and seen.services == ("front",)

    facts = await world.settle(listed, pod, climb=False)
    assert facts.root.kind == "Deployment"
    action, plan = ACTIONS["quarantine_pod"], planned(facts, "quarantine_pod")
    sent = await world.carry_out(plan.calls, "r-a.1")
    assert sent[0].left["phase"] == "Running"
    web = plan.beside
    assert web is not None

    async def isolated() -> Facts:
        beside = (await world.look(web)).object
        return replace(await look(), beside=beside if isinstance(beside, dict) else None)

    for _ in range(150):
        seen = await isolated()
        if action.verify(plan, sent, seen) == Seen(Verified.CONVERGED):
            break
        await asyncio.sleep(0.2)
    else:
        raise AssertionError(f"it was not isolated: {seen[ISOLATION]}")
    assert isinstance(seen.object, dict)
    assert (meta(seen.object)["uid"], seen.object["status"]["phase"]) == (
        facts.target.uid,
        "Running",
    )
    assert not meta(seen.object).get("ownerReferences")
    assert len(pods(await world.look())) == 3
    again = action.plan(seen, action.params(), ())
    assert isinstance(again, Refusal)
    assert action.undo is not None
    back = action.undo(plan, sent, seen)
    assert isinstance(back, Plan)
    await world.carry_out(back.calls, "u-a.1")
    free = await world.look(pod, climb=False)
    assert free.object is None or "app" in meta(free.object)["labels"]  # type: ignore[arg-type]  # it may be the one too many
    isolation = free[ISOLATION]
    assert isinstance(isolation, Unknown) or isolation.policy is None


async def test_a_quarantine_s_end_deletes_exactly_that_pod(world: World) -> None:
    facts = await world.look(
        Target("c", "Pod", world.namespace, meta(pods(await world.look())[0])["name"]), climb=False
    )
    action, plan = ACTIONS["quarantine_pod"], planned(facts, "quarantine_pod")
    sent = await world.carry_out(plan.calls, "r-b.1")
    assert action.ending is not None
    end = action.ending(plan, sent, await world.look(facts.target, climb=False))
    assert isinstance(end, Plan)
    await world.carry_out(end.calls, "u-b.1")
    assert (
        await world.settle(lambda f: f.object is None, facts.target, climb=False)
    ).object is None
    evidence = await world.cluster.apply(end.calls[0], "u-b.2", "")
    assert evidence.status == 404
    assert len(pods(await world.settle(lambda f: len(pods(f)) == 3))) == 3


async def test_a_stale_reading_is_a_conflict_and_writes_nothing(world: World) -> None:
    facts = await world.look()
    plan = planned(facts)
    await world.apply(facts, plan, "r-3.1")
    with pytest.raises(Conflict):
        await world.apply(facts, plan, "r-3.2")
    assert annotations((await world.look()).object)[STAMP] == "r-3.1"  # type: ignore[arg-type]


async def test_a_dry_run_changes_nothing(world: World) -> None:
    facts = await world.look()
    await world.apply(facts, planned(facts), "r-4.1", dry_run=True)
    assert STAMP not in annotations((await world.look()).object)  # type: ignore[arg-type]


async def test_what_is_gone_is_target_gone(world: World) -> None:
    facts = await world.look()
    if world.plane:
        world.plane.ask("DELETE", f"/apis/apps/v1/namespaces/{world.namespace}/deployments/web")
    else:
        del world.cluster.objects["Deployment", world.namespace, "web"]
    with pytest.raises(TargetGone):
        await world.apply(facts, planned(facts), "r-5.1")


async def test_a_patch_that_cannot_be_applied_is_rejected(world: World) -> None:
    facts = await world.look()
    bad = replace(
        planned(facts),
        calls=(
            Call(
                "patch",
                facts.target,
                ({"op": "replace", "path": "/spec/nothing/here", "value": 1},),
            ),
        ),
    )
    with pytest.raises(Rejected):
        await world.apply(facts, bad, "r-6.1")


async def test_an_event_is_put_on_the_target(world: World) -> None:
    facts = await world.look()
    await world.cluster.announce(facts.target, "Remediated", "it works", False)
    if world.plane:
        events = world.plane.ask("GET", f"/api/v1/namespaces/{world.namespace}/events")["items"]
        seen = {(e["involvedObject"]["uid"], e["reason"], e["message"]) for e in events}
        assert (facts.target.uid, "Remediated", "it works") in seen
    else:
        assert world.cluster.events == [(str(facts.target), "Remediated", "it works")]


def test_every_readable_kind_has_its_path() -> None:
    assert all(kind.version in ("v1", "v2") and kind.plural.islower() for kind in BUILT_IN)


async def test_the_sandbox_says_what_it_cannot() -> None:
    sandbox = SandboxCluster(lambda: datetime.now(UTC))
    with pytest.raises(Unsupported):
        await sandbox.apply(Call("connect", Target("c", "Pod", "n", "p"), ()), "x", "1")
    with pytest.raises(Unsupported):
        sandbox.create_workload("CronJob", "n", "x", "x:1")


@pytest.fixture
async def proxied(
    control_plane: ControlPlane, tmp_path: Path
) -> AsyncIterator[tuple[World, Proxy]]:
    """The real API server behind a way that can fail."""
    proxy = Proxy(control_plane, tmp_path)
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    control_plane.deploy(namespace, "web", "web:1")
    cluster = await connect(str(proxy.kubeconfig), "", 50)
    yield World(cluster, namespace, control_plane), proxy
    await cluster.close()
    proxy.stop()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, Forbidden),
        (409, Conflict),
        (422, Rejected),
        (429, Unreachable),
        (500, Unreachable),
        (503, Unreachable),
    ],
)
async def test_what_the_api_server_answers_is_an_error_of_ours(
    proxied: tuple[World, Proxy], status: int, error: type[ClusterError]
) -> None:
    world, proxy = proxied
    facts = await world.look()
    proxy.answers = [status]
    with pytest.raises(error) as raised:
        await world.apply(facts, planned(facts), "r-1.1")
    assert str(raised.value).startswith("cannot patch deployments")
    proxy.cut = True
    assert isinstance((await world.look()).object, Unknown)
    assert "API server unreachable" in str(await world.cluster.ready())


async def test_an_api_server_that_does_not_answer_in_time_is_unreachable(
    proxied: tuple[World, Proxy],
) -> None:
    world, proxy = proxied
    facts = await world.look()
    slow = planned(facts)
    proxy.delay = 2
    slow = replace(slow, calls=(replace(slow.calls[0], timeout=slow.calls[0].timeout / 20),))
    with pytest.raises(Unreachable, match="no answer"):
        await world.apply(facts, slow, "r-1.1")
    proxy.delay = 0


async def test_an_admission_policy_s_refusal_is_rejected_with_its_message(
    control_plane: ControlPlane,
) -> None:
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    control_plane.deploy(namespace, "web", "web:1")
    admission = "/apis/admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["UPDATE"],
        "resources": ["deployments"],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [
            {
                "expression": (
                    "!('remediator.io/stamp' in object.metadata.?annotations.orValue({}))"
                ),
                "message": "a freeze is on",
            }
        ],
    }
    binding = {
        "policyName": namespace,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    control_plane.ask(
        "POST",
        f"{admission}/validatingadmissionpolicies",
        {"metadata": {"name": namespace}, "spec": spec},
    )
    control_plane.ask(
        "POST",
        f"{admission}/validatingadmissionpolicybindings",
        {"metadata": {"name": namespace}, "spec": binding},
    )
    cluster = await connect(str(control_plane.kubeconfig), "", 50)
    world = World(cluster, namespace, control_plane)
    refused = None
    for attempt in range(60):  # a policy binds some moments after it was made
        facts = await world.look()
        try:
            await world.apply(facts, planned(facts), f"r-{attempt}", dry_run=True)
        except Rejected as error:
            refused = error
            break
        await asyncio.sleep(0.5)
    assert "a freeze is on" in str(refused)
    await cluster.close()


@pytest.mark.parametrize("mode", ["act", "observe"])
async def test_the_generated_rbac_is_enough_and_an_observing_rule_s_writes_nothing(
    control_plane: ControlPlane, tmp_path: Path, mode: str
) -> None:
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    control_plane.deploy(namespace, "web", "web:1")
    rules = tmp_path / "rules.yaml"
    text = (ROOT / "remediator" / "cli" / "demo" / "rules.yaml").read_text()
    text = text.replace("namespaces: [shop]", f"namespaces: [{namespace}]")
    rules.write_text(
        text.replace("mode: act", f"mode: {mode}").replace("mode: approve", f"mode: {mode}")
    )
    token = control_plane.service_account(
        namespace, "remediator", *yaml.safe_load_all(rbac([rules]))
    )
    kubeconfig = tmp_path / "kubeconfig"
    control_plane.write_kubeconfig(kubeconfig, control_plane.url, token)
    cluster = await connect(str(kubeconfig), "", 50)
    world = World(cluster, namespace, control_plane)
    facts = await world.look(world.service("front", app="web"))
    assert isinstance(facts.object, dict)
    assert not isinstance(facts[REVISIONS], Unknown)
    if mode == "act":
        await world.apply(facts, planned(facts), "r-1.1")
        await cluster.announce(facts.target, "Remediated", "done", False)
    else:
        with pytest.raises(Forbidden, match="cannot patch deployments: RBAC does not allow it"):
            await world.apply(facts, planned(facts), "r-1.1")
    await cluster.close()


async def test_a_kubeconfig_s_plugin_is_run_again_beside_the_requests(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `aws eks get-token` or `kubelogin`.

    A token for minutes, for a daemon that runs for months.
    """
    monkeypatch.setattr(pacing, "RENEWED_EVERY", 0.2)
    plugin, token = tmp_path / "plugin", tmp_path / "token"
    soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"%s","expirationTimestamp":"%s"}}'
    )
    plugin.write_text(
        f"#!/bin/sh\necho asked >> {tmp_path}/asked\nprintf '{answer}' \"$(cat {token})\" {soon}\n"
    )
    plugin.chmod(0o755)
    token.write_text("has-ended")
    control_plane.write_kubeconfig(tmp_path / "kubeconfig", control_plane.url)
    config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    config["users"][0]["user"] = user
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    cluster = await connect(str(tmp_path / "kubeconfig"), "", 50)
    with pytest.raises(Forbidden, match="rejected the credential"):
        await cluster.list_objects(NODE, "", "")
    token.write_text(TOKEN)
    for _ in range(50):
        await asyncio.sleep(0.1)
        with contextlib.suppress(Forbidden):
            if await cluster.list_objects(NODE, "", ""):
                break
    # one that fails costs nothing as long as the token holds
    plugin.write_text("#!/bin/sh\nexit 3\n")
    for _ in range(4):
        await asyncio.sleep(0.3)
        assert await cluster.list_objects(NODE, "", "")
    # nor does one that hangs, and it is one
    plugin.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/asked\nexec sleep 60\n")
    (tmp_path / "asked").unlink()
    for _ in range(6):
        await asyncio.sleep(0.3)
        assert await cluster.list_objects(NODE, "", "")
    (pid,) = (tmp_path / "asked").read_text().split()
    await cluster.close()
    os.kill(int(pid), signal.SIGKILL)
    await asyncio.sleep(0.5)  # until asyncio has seen its end, and let go of it


async def test_an_oidc_token_that_ends_is_replaced_and_the_kubeconfig_is_left_alone(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "RENEWED_EVERY", 0.2)

    def token(ends: datetime) -> str:
        claims = (
            base64.b64encode(json.dumps({"exp": int(ends.timestamp())}).encode())
            .decode()
            .rstrip("=")
        )
        return f"head.{claims}.signature"

    class Issuer:
        def __init__(self, *_: object) -> None: ...

        async def refresh_token(self, refresh: str) -> dict[str, str]:
            assert refresh == "again"
            return {
                "id_token": token(datetime.now(UTC) + timedelta(hours=1)),
                "refresh_token": "again",
            }

    said: list[str] = []

    class Log:
        def warning(self, event: str, **_: object) -> None:
            said.append(event)

    monkeypatch.setattr(pacing, "log", Log)
    monkeypatch.setattr(kube_config, "OpenIDRequestor", Issuer)
    control_plane.write_kubeconfig(tmp_path / "kubeconfig", control_plane.url)
    config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    known = {
        "client-id": "c",
        "client-secret": "s",
        "idp-issuer-url": "https://issuer.test",
        "refresh-token": "again",
    }
    known["id-token"] = token(datetime.now(UTC) + timedelta(minutes=20))
    config["users"][0]["user"] = {"auth-provider": {"name": "oidc", "config": known}}
    (tmp_path / "kubeconfig").write_text(before := yaml.safe_dump(config))
    cluster = await connect(str(tmp_path / "kubeconfig"), "", 50)
    settings = cluster.transport._api.configuration
    assert settings.api_key["BearerToken"] == f"Bearer {known['id-token']}"
    # it ends soon
    monkeypatch.setattr(kube_config, "EXPIRY_SKEW_PREVENTION_DELAY", timedelta(minutes=30))
    for _ in range(50):
        await asyncio.sleep(0.1)
        # the API server knows no such issuer
        with pytest.raises(Forbidden, match="rejected the credential"):
            await cluster.list_objects(NODE, "", "")
        if known["id-token"] not in settings.api_key["BearerToken"]:
            break
    assert known["id-token"] not in settings.api_key["BearerToken"]
    assert said == []
    assert (tmp_path / "kubeconfig").read_text() == before
    await cluster.close()


async def test_a_kubeconfig_without_a_credential_is_one_too(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    control_plane.write_kubeconfig(tmp_path / "kubeconfig", control_plane.url)
    config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    config["users"][0]["user"] = {}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    cluster = await connect(str(tmp_path / "kubeconfig"), "", 50)
    # it is anonymous
    with pytest.raises(Forbidden, match="cannot list nodes: RBAC does not allow it"):
        await cluster.list_objects(NODE, "", "")
    await cluster.close()
