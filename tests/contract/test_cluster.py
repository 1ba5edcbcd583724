"""The cluster port's contract: the same suite on the sandbox and on a real API server, refusals included."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from remediator import causes
from remediator.actions import ACTIONS
from remediator.cluster.kubernetes import connect
from remediator.cluster.objects import READABLE
from remediator.cluster.sandbox import SandboxCluster
from remediator.errors import Conflict, TargetGone
from remediator.model.facts import Sight, annotations, meta
from remediator.model.past import Past, PastAct
from remediator.model.plan import STAMP, Plan, Refusal, Verification
from remediator.model.target import Target
from tests.real.parts import ControlPlane

SIGHTS = frozenset(Sight)


class World:
    """One Deployment `web` in a namespace of its own, seen through an adapter."""

    def __init__(self, cluster: Any, namespace: str, plane: ControlPlane | None) -> None:
        self.cluster, self.namespace, self.plane = cluster, namespace, plane
        self.target = Target("c", "Deployment", namespace, "web")

    def release(self, image: str, crashes: bool) -> None:
        if self.plane:
            self.plane.release(self.namespace, "web", image, crashes)
        else:
            if crashes:
                self.cluster.crashing.add(image)
            self.cluster.set_image("Deployment", self.namespace, "web", image)

    async def look(self, target: Target | None = None, climb: bool = True) -> Any:
        return await self.cluster.observe(target or self.target, climb, SIGHTS, datetime.now(UTC))  # noqa: TID251

    async def settle(self, condition: Any) -> Any:
        import asyncio

        for _ in range(150):
            facts = await self.look()
            if condition(facts):
                return facts
            await asyncio.sleep(0.2)
        raise AssertionError("it did not settle within 30 s")


@pytest.fixture(params=["sandbox", "kubernetes"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    namespace = f"ns-{uuid.uuid4().hex[:8]}"
    if request.param == "sandbox":
        sandbox = SandboxCluster(lambda: datetime.now(UTC))  # noqa: TID251
        sandbox.create_workload("Deployment", namespace, "web", "web:1")
        yield World(sandbox, namespace, None)
        return
    plane = request.getfixturevalue("control_plane")
    plane.deploy(namespace, "web", "web:1")
    cluster = await connect(str(plane.kubeconfig), "", 50)
    yield World(cluster, namespace, plane)
    await cluster.close()


async def test_facts_have_pods_revisions_and_namespace(world: World) -> None:
    facts = await world.look()
    assert facts.target.uid
    assert facts.root == facts.target
    assert len(facts.pods) == 3
    assert [r.number for r in facts.revisions] == [1]
    assert facts.revisions[0].current
    assert facts.revisions[0].seen_healthy
    assert meta(facts.namespace)["name"] == world.namespace


async def test_a_pod_climbs_to_its_deployment(world: World) -> None:
    pod = (await world.look()).pods[0]
    facts = await world.look(Target("c", "Pod", world.namespace, meta(pod)["name"]))
    assert (facts.target.kind, facts.target.name, facts.root.kind) == ("Deployment", "web", "Deployment")
    staying = await world.look(Target("c", "Pod", world.namespace, meta(pod)["name"]), climb=False)
    assert (staying.target.kind, staying.root.kind) == ("Pod", "Deployment")


async def test_what_does_not_exist_or_has_another_uid_is_none(world: World) -> None:
    assert (await world.look(Target("c", "Deployment", world.namespace, "nobody"))).object is None
    assert (await world.look(Target("c", "Deployment", world.namespace, "web", "another-uid"))).object is None


async def test_a_crashing_release_is_seen_rolled_back_and_verified(world: World) -> None:
    world.release("web:2", crashes=True)
    facts = await world.settle(lambda f: len(causes.find(f)) == 2)
    assert [cause.name for cause in causes.find(facts)] == ["rollout_changed", "crash_loop"]
    action = ACTIONS["rollback_workload"]
    plan = action.plan(facts, action.params())
    assert isinstance(plan, Plan)
    evidence = await world.cluster.apply(plan.calls[0], "r-1.1", meta(facts.object)["resourceVersion"])
    shown = {"stamp": evidence.stamp, "template_hash": evidence.template_hash}
    done = await world.settle(lambda f: action.verify(plan, shown, f) is Verification.CONVERGED)
    assert done.object["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert annotations(done.object)[STAMP] == "r-1.1"
    before = str(plan.assumptions["template"])
    act = PastAct("r", action.name, (), None, facts.at, before, evidence.template_hash)
    again = action.plan(replace(done, past=Past((act,))), action.params())
    assert isinstance(again, Refusal)


async def test_a_restart_makes_new_pods_and_no_new_template(world: World) -> None:
    facts = await world.look()
    old = {meta(p)["uid"] for p in facts.pods}
    action = ACTIONS["restart_workload"]
    plan = action.plan(facts, action.params())
    assert isinstance(plan, Plan)
    evidence = await world.cluster.apply(plan.calls[0], "r-2.1", meta(facts.object)["resourceVersion"])
    shown = {"stamp": evidence.stamp, "template_hash": evidence.template_hash}
    done = await world.settle(lambda f: action.verify(plan, shown, f) is Verification.CONVERGED)
    assert old.isdisjoint({meta(p)["uid"] for p in done.pods})
    assert not [c for c in causes.find(done) if c.name == "rollout_changed"]


async def test_a_stale_reading_is_a_conflict_and_writes_nothing(world: World) -> None:
    facts = await world.look()
    action = ACTIONS["restart_workload"]
    plan = action.plan(facts, action.params())
    assert isinstance(plan, Plan)
    await world.cluster.apply(plan.calls[0], "r-3.1", meta(facts.object)["resourceVersion"])
    with pytest.raises(Conflict):
        await world.cluster.apply(plan.calls[0], "r-3.2", meta(facts.object)["resourceVersion"])
    assert annotations((await world.look()).object)[STAMP] == "r-3.1"


async def test_a_dry_run_changes_nothing(world: World) -> None:
    facts = await world.look()
    action = ACTIONS["restart_workload"]
    plan = action.plan(facts, action.params())
    assert isinstance(plan, Plan)
    await world.cluster.apply(plan.calls[0], "r-4.1", meta(facts.object)["resourceVersion"], dry_run=True)
    assert STAMP not in annotations((await world.look()).object)


async def test_what_is_gone_is_target_gone(world: World) -> None:
    facts = await world.look()
    action = ACTIONS["restart_workload"]
    plan = action.plan(facts, action.params())
    assert isinstance(plan, Plan)
    if world.plane:
        world.plane.ask("DELETE", f"/apis/apps/v1/namespaces/{world.namespace}/deployments/web")
    else:
        del world.cluster._objects["Deployment", world.namespace, "web"]
    with pytest.raises(TargetGone):
        await world.cluster.apply(plan.calls[0], "r-5.1", meta(facts.object)["resourceVersion"])


def test_every_readable_kind_has_its_path() -> None:
    assert all(version == "v1" and plural == plural.lower() for _, version, plural in READABLE.values())
