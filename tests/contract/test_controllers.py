"""What Kubernetes' controllers do: the sandbox plays it as a real control plane does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from remediator.errors import Rejected
from remediator.kinds import POD
from remediator.model.call import Call, ours
from remediator.model.facts import Facts
from remediator.model.managed import managed
from remediator.model.raw import condition, meta, ready, status_of
from remediator.model.target import Target
from remediator.sights.pods import PODS
from tests.contract.test_cluster import World, built


@pytest.fixture(params=["sandbox", "kubernetes"])
async def there(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async for world in built(request):
        yield world


def edit(world: World, kind: str, name: str, **spec: Any) -> None:
    """Sets fields of a workload's spec."""
    if world.plane:
        path = f"/apis/apps/v1/namespaces/{world.namespace}/{kind.lower()}s/{name}"
        world.plane.ask("PATCH", path, {"spec": spec}, kind="application/merge-patch+json")
        return

    def change(obj: dict[str, Any]) -> None:
        obj["spec"].update(spec)

    world.cluster.edit(kind, world.namespace, name, change)


def remove(world: World, kind: str, name: str) -> None:
    if world.plane:
        path = f"/apis/apps/v1/namespaces/{world.namespace}/{kind.lower()}s/{name}"
        world.plane.ask("DELETE", f"{path}?propagationPolicy=Background")
    else:
        world.cluster.remove(kind, world.namespace, name)


def budget(world: World, name: str, selector: Any, allowed: int) -> None:
    """A disruption budget of which the pods of `web` may lose so many, or none."""
    if world.plane:
        spec = {"minAvailable": 3 - allowed} | ({"selector": selector} if selector else {})
        path = f"/apis/policy/v1/namespaces/{world.namespace}/poddisruptionbudgets"
        world.plane.ask("POST", path, {"metadata": {"name": name}, "spec": spec})
    else:
        status = {"disruptionsAllowed": allowed}
        spec = {"selector": selector}
        world.cluster.create("PodDisruptionBudget", world.namespace, name, spec, status=status)


def pods(facts: Facts) -> list[Any]:
    """The pods that stay."""
    found = facts[PODS]
    assert isinstance(found, tuple), found
    return [pod for pod in found if not meta(pod).get("deletionTimestamp")]


def images(facts: Facts) -> dict[str, str]:
    return {meta(pod)["name"]: pod["spec"]["containers"][0]["image"] for pod in pods(facts)}


def whole(count: int, image: str) -> Callable[[Facts], bool]:
    """Whether so many pods serve, each of the image."""

    def holds(facts: Facts) -> bool:
        up = [pod for pod in pods(facts) if ready(pod)]
        return list(images(facts).values()) == [image] * count and len(up) == count

    return holds


def progressing(facts: Facts) -> str:
    assert isinstance(facts.object, dict)
    found = [condition(facts.object, "Progressing", said) for said in ("True", "False", "Unknown")]
    return str(next(filter(None, found), {}).get("reason"))


async def take(world: World, name: str, verb: str = "delete") -> str:
    """Takes a pod; its uid."""
    obj = await world.cluster.get(POD, world.namespace, name)
    uid = str(meta(obj)["uid"])
    await world.cluster.apply(Call(verb, Target("c", "Pod", world.namespace, name, uid)), "x", "")
    return uid


async def test_a_stateful_set_s_pods_keep_their_names_and_the_last_goes_first(
    there: World,
) -> None:
    db = there.create("StatefulSet", "db")
    facts = await there.look(db)
    assert set(images(facts)) == {"db-0", "db-1", "db-2"}
    uid = await take(there, "db-0")
    facts = await there.settle(
        lambda f: whole(3, "db:1")(f) and uid not in {meta(pod)["uid"] for pod in pods(f)}, db
    )
    assert set(images(facts)) == {"db-0", "db-1", "db-2"}
    edit(there, "StatefulSet", "db", replicas=1)
    facts = await there.settle(whole(1, "db:1"), db)
    assert set(images(facts)) == {"db-0"}


async def test_a_stateful_set_is_rolled_out_down_to_its_partition(there: World) -> None:
    db = there.create("StatefulSet", "db")
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    edit(there, "StatefulSet", "db", updateStrategy=rolling)
    there.release("db:2", False, kind="StatefulSet", name="db")
    wanted = {"db-0": "db:1", "db-1": "db:2", "db-2": "db:2"}
    await there.settle(lambda f: images(f) == wanted, db)
    uid = await take(there, "db-0")
    facts = await there.settle(
        lambda f: len(images(f)) == 3 and uid not in {meta(pod)["uid"] for pod in pods(f)}, db
    )
    assert images(facts) == wanted


async def test_on_delete_nothing_is_replaced_until_somebody_deletes_it(there: World) -> None:
    db = there.create("StatefulSet", "db")
    edit(there, "StatefulSet", "db", updateStrategy={"type": "OnDelete", "rollingUpdate": None})
    there.release("db:2", False, kind="StatefulSet", name="db")
    await asyncio.sleep(3)
    assert set(images(await there.look(db)).values()) == {"db:1"}
    await take(there, "db-1")
    await there.settle(lambda f: images(f).get("db-1") == "db:2" and len(images(f)) == 3, db)


async def test_a_paused_deployment_does_not_roll_out(there: World) -> None:
    edit(there, "Deployment", "web", paused=True)
    there.release("web:2", False)
    facts = await there.settle(lambda f: progressing(f) == "DeploymentPaused")
    await asyncio.sleep(2)
    facts = await there.look()
    assert whole(3, "web:1")(facts)
    assert isinstance(facts.object, dict)
    assert status_of(facts.object).get("updatedReplicas", 0) == 0
    edit(there, "Deployment", "web", paused=False)
    await there.settle(whole(3, "web:2"))
    await there.settle(lambda f: progressing(f) == "NewReplicaSetAvailable")


async def test_a_recreated_deployment_has_no_old_pods_beside_new_ones(there: World) -> None:
    edit(there, "Deployment", "web", strategy={"type": "Recreate", "rollingUpdate": None})
    there.release("web:2", False)
    seen: list[set[str]] = []

    def over(facts: Facts) -> bool:
        seen.append(set(images(facts).values()))
        return whole(3, "web:2")(facts)

    await there.settle(over)
    assert {"web:1", "web:2"} not in seen


async def test_a_rollout_stays_complete_while_a_pod_comes_back(there: World) -> None:
    before = await there.settle(lambda f: progressing(f) == "NewReplicaSetAvailable")
    assert isinstance(before.object, dict)
    old = meta(before.object)
    await take(there, meta(pods(before)[0])["name"])
    seen: list[str] = []

    def back(facts: Facts) -> bool:
        seen.append(progressing(facts))
        # another status is another version, and no other generation
        now = facts.object if isinstance(facts.object, dict) else {}
        moved = meta(now).get("resourceVersion") != old["resourceVersion"]
        return moved and whole(3, "web:1")(facts)

    after = await there.settle(back)
    assert isinstance(after.object, dict)
    assert set(seen) == {"NewReplicaSetAvailable"}
    assert meta(after.object)["generation"] == old["generation"]


async def test_an_hpa_keeps_its_greatest_count_without_metrics(there: World) -> None:
    there.autoscaler("Deployment", "web", 1, 2)
    await there.settle(whole(2, "web:1"))


async def test_what_a_deleted_deployment_owned_is_deleted_too(there: World) -> None:
    remove(there, "Deployment", "web")
    for _ in range(100):
        left = await there.cluster.list_objects(POD, there.namespace, "app=web")
        if not [pod for pod in left if not meta(pod).get("deletionTimestamp")]:
            break
        await asyncio.sleep(0.2)
    else:
        raise AssertionError(left)


async def test_a_pod_under_two_budgets_is_refused_for_good(there: World) -> None:
    for name in "ab":
        budget(there, name, {"matchLabels": {"app": "web"}}, 2)
    name = meta(pods(await there.look())[0])["name"]
    with pytest.raises(Rejected, match="more than one PodDisruptionBudget"):
        await take(there, name, "evict")


async def test_a_budget_without_a_selector_holds_no_pod(there: World) -> None:
    budget(there, "none", None, 0)
    name = meta(pods(await there.look())[0])["name"]
    assert await take(there, name, "evict")


async def test_a_field_that_we_set_stays_ours_until_somebody_else_sets_it(there: World) -> None:
    facts = await there.look()
    wanted: Any = {
        "/spec/replicas": (2, "scale"),
        "/spec/template/spec/containers/0/image": ("web:3", ""),
    }
    for path, (value, subresource) in wanted.items():
        body = ({"op": "replace", "path": path, "value": value},)
        call = Call("patch", facts.target, body, subresource, leaves={path: value}, proof="managed")
        await there.carry_out((call,), "r-1")
    edit(there, "Deployment", "web", minReadySeconds=1)
    now = (await there.cluster.observe(facts.target, False, frozenset(), datetime.now(UTC))).object
    assert all(managed(now, path, ours) for path in wanted)
    edit(there, "Deployment", "web", replicas=4)
    now = (await there.cluster.observe(facts.target, False, frozenset(), datetime.now(UTC))).object
    assert [managed(now, path, ours) for path in wanted] == [False, True]
