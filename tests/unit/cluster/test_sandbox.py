"""What the sandbox plays is what Kubernetes does: rollouts, scaling, evictions, versions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.cluster.sandbox import SandboxCluster
from remediator.errors import BudgetExhausted, Conflict, Rejected, TargetGone, Unreachable
from remediator.kinds import DEPLOYMENT, POD
from remediator.model.call import Call, ours
from remediator.model.facts import Facts
from remediator.model.managed import managed
from remediator.model.raw import annotations, condition, labels, meta, ready
from remediator.model.target import Target
from remediator.replay import VirtualClock
from remediator.sights.isolation import ISOLATION, Isolation
from remediator.sights.pods import PODS
from remediator.sights.revisions import NUMBER, REVISIONS
from tests.unit.objects import T

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
KINDS = ["Deployment", "StatefulSet", "DaemonSet"]


class Played:
    """A sandbox with a workload `web` of image web:1, and its clock."""

    def __init__(self, kind: str = "Deployment", replicas: int = 4, **more: Any) -> None:
        self.clock, self.kind = VirtualClock(T), kind
        self.cluster = SandboxCluster(self.clock.now)
        self.cluster.create_workload(kind, "shop", "web", "web:1", replicas=replicas, **more)

    @property
    def web(self) -> dict[str, Any]:
        return self.cluster.objects[self.kind, "shop", "web"]

    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.pods("shop", "web")

    def images(self) -> list[str]:
        return sorted(pod["spec"]["containers"][0]["image"] for pod in self.pods())

    def ready(self) -> int:
        return sum(map(ready, self.pods()))

    def run(self, duration: timedelta = MINUTE, check: Callable[[], None] = lambda: None) -> None:
        """Lets time pass, and checks something every second."""
        for _ in range(int(duration / SECOND)):
            self.clock.time += SECOND
            self.pods()
            check()

    def release(self, image: str, crashes: bool = False) -> None:
        if crashes:
            self.cluster.crashing.add(image)
        self.cluster.set_image(self.kind, "shop", "web", image)

    def scale(self, count: int) -> None:
        self.cluster.edit(self.kind, "shop", "web", lambda o: o["spec"].update(replicas=count))

    def target(self, obj: dict[str, Any] | None = None) -> Target:
        obj = obj or self.web
        return Target("c", obj["kind"], "shop", meta(obj)["name"], meta(obj)["uid"])

    async def look(self) -> Facts:
        sights = frozenset({PODS, REVISIONS})
        return await self.cluster.observe(self.target(), False, sights, self.clock.now())


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_that_was_created_is_whole(kind: str) -> None:
    played = Played(kind)
    assert (played.images(), played.ready()) == (["web:1"] * 4, 4)
    assert played.web["status"]["observedGeneration"] == meta(played.web)["generation"] == 1


@pytest.mark.parametrize(
    ("kind", "replicas", "surge", "unavailable"),
    [
        ("Deployment", 4, 1, 1),
        ("Deployment", 1, 1, 0),  # a quarter, rounded up and rounded down
        ("Deployment", 10, 3, 2),
        ("StatefulSet", 3, 0, 1),
        ("DaemonSet", 3, 0, 1),
    ],
)
def test_a_rollout_stays_within_its_bounds_and_ends(
    kind: str, replicas: int, surge: int, unavailable: int
) -> None:
    played = Played(kind, replicas)
    most, least = 0, replicas

    def check() -> None:
        nonlocal most, least
        most, least = max(most, len(played.pods())), min(least, played.ready())

    played.release("web:2")
    played.run(MINUTE, check)
    assert played.images() == ["web:2"] * replicas
    assert (most, least) == (replicas + surge, replicas - unavailable)


def rolling(**bounds: int | str) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": bounds}


@pytest.mark.parametrize(
    ("kind", "strategy", "most", "least"),
    [
        ("Deployment", rolling(maxSurge=0, maxUnavailable=2), 4, 2),
        ("Deployment", rolling(maxSurge="50%", maxUnavailable=0), 6, 4),
        ("Deployment", rolling(maxSurge="0%", maxUnavailable="0%"), 4, 3),
        ("Deployment", rolling(maxSurge="10%", maxUnavailable="30%"), 5, 3),
        ("DaemonSet", rolling(maxUnavailable="50%"), 4, 2),
        ("DaemonSet", rolling(maxSurge=1, maxUnavailable=0), 5, 4),
    ],
)
def test_a_strategy_sets_the_bounds(
    kind: str, strategy: dict[str, Any], most: int, least: int
) -> None:
    key = "strategy" if kind == "Deployment" else "updateStrategy"
    more: Any = {key: strategy}
    played = Played(kind, **more)
    seen: list[tuple[int, int]] = []
    played.release("web:2")
    played.run(MINUTE, lambda: seen.append((len(played.pods()), played.ready())))
    assert played.images() == ["web:2"] * 4
    assert (max(count for count, _ in seen), min(up for _, up in seen)) == (most, least)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
async def test_on_delete_only_pods_that_somebody_deletes_are_replaced(kind: str) -> None:
    played = Played(kind, updateStrategy={"type": "OnDelete"})
    played.release("web:2")
    played.run()
    assert played.images() == ["web:1"] * 4
    await played.cluster.apply(Call("delete", played.target(played.pods()[0])), "r-1.1", "")
    played.run()
    assert played.images() == ["web:1"] * 3 + ["web:2"]


async def test_a_stateful_set_is_updated_from_its_last_pod_down_to_its_partition() -> None:
    played = Played("StatefulSet", updateStrategy=rolling(partition=2))
    shown: list[list[str]] = []

    def by_name() -> list[str]:
        pods = sorted(played.pods(), key=lambda pod: str(meta(pod)["name"]))
        return [pod["spec"]["containers"][0]["image"] for pod in pods]

    played.release("web:2")
    played.run(MINUTE, lambda: shown.append(by_name()))
    steps = [names for names in shown if len(names) == 4]
    assert steps[0] == ["web:1", "web:1", "web:1", "web:2"]
    assert steps[-1] == ["web:1", "web:1", "web:2", "web:2"]
    await played.cluster.apply(Call("delete", played.target(played.pods()[0])), "r-1.1", "")
    played.run()
    assert by_name() == steps[-1]


async def test_a_stateful_set_waits_for_the_name_of_a_pod_that_was_let_go_of() -> None:
    played = Played("StatefulSet")
    played.cluster.edit("Pod", "shop", "web-1", lambda obj: obj["metadata"].update(labels={}))
    played.run()
    assert {meta(pod)["name"] for pod in played.pods()} == {"web-0", "web-2", "web-3"}
    played.cluster.remove("Pod", "shop", "web-1")
    played.run()
    assert played.ready() == 4


def test_a_stateful_set_is_scaled_in_from_its_last_pod() -> None:
    played = Played("StatefulSet")
    played.scale(2)
    played.run()
    assert [meta(pod)["name"] for pod in played.pods()] == ["web-0", "web-1"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_that_crashes_does_not_take_the_pods_that_serve(kind: str) -> None:
    played = Played(kind)
    played.release("web:2", crashes=True)
    played.run()
    assert played.ready() == 3
    assert "web:1" in played.images()


async def test_going_back_to_an_older_template_uses_its_replica_set_again() -> None:
    played = Played()
    played.release("web:2")
    played.run()
    played.release("web:1")
    played.run()
    revisions = (await played.look())[REVISIONS]
    assert isinstance(revisions, tuple)
    images = [r.template["spec"]["containers"][0]["image"] for r in revisions]
    numbered = [(r.number, image, r.current) for r, image in zip(revisions, images, strict=True)]
    assert numbered == [(2, "web:2", False), (3, "web:1", True)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stateful_set_alone_stays_stuck_after_it_went_back(kind: str) -> None:
    """kubernetes#67250: until somebody deletes the pod that is not ready."""
    played = Played(kind)
    played.release("web:2", crashes=True)
    played.run()
    played.release("web:1")
    played.run()
    assert ("web:2" in played.images()) is (kind == "StatefulSet")
    for pod in [pod for pod in played.pods() if not ready(pod)]:
        await played.cluster.apply(Call("delete", played.target(pod)), "r-1.1", "")
    played.run()
    assert (played.images(), played.ready()) == (["web:1"] * 4, 4)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.sampled_from(KINDS[:2]))
def test_whatever_it_is_scaled_to_that_many_serve_in_the_end(counts: list[int], kind: str) -> None:
    played = Played(kind, 3)
    for count in counts:
        played.scale(count)
        played.run(timedelta(seconds=5))
        assert (len(played.pods()), played.ready()) == (count, count)
        status = played.web["status"]
        assert [status[key] for key in ("replicas", "readyReplicas", "updatedReplicas")] == (
            [count] * 3
        )


@pytest.mark.parametrize("seconds", [0, 1, 2, 3])
def test_a_new_pod_takes_a_moment_until_it_serves(seconds: int) -> None:
    played = Played(replicas=1)
    played.scale(2)
    played.run(seconds * SECOND)
    assert played.ready() == (2 if seconds >= 2 else 1)


def progressing(played: Played) -> tuple[str, str]:
    found = next(c for c in played.web["status"]["conditions"] if c["type"] == "Progressing")
    return str(found["status"]), str(found["reason"])


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (timedelta(seconds=55), ("True", "ReplicaSetUpdated")),
        (timedelta(seconds=70), ("False", "ProgressDeadlineExceeded")),
    ],
    ids=["within it", "after it"],
)
def test_a_rollout_that_does_not_move_is_given_up_after_its_deadline(
    after: timedelta, expected: tuple[str, str]
) -> None:
    played = Played(progressDeadlineSeconds=60)
    assert progressing(played) == ("True", "NewReplicaSetAvailable")
    played.release("web:2", crashes=True)
    played.run(after)
    assert progressing(played) == expected
    played.release("web:1")
    played.run()
    assert progressing(played) == ("True", "NewReplicaSetAvailable")


def test_pods_that_fail_after_a_rollout_do_not_make_it_a_failed_one() -> None:
    played = Played(progressDeadlineSeconds=60)
    played.cluster.crashing.add("web:1")
    played.run(2 * MINUTE)
    assert played.ready() == 0
    assert progressing(played) == ("True", "NewReplicaSetAvailable")
    played.release("web:2", crashes=True)
    played.run(2 * MINUTE)
    assert progressing(played) == ("False", "ProgressDeadlineExceeded")


def test_a_recreated_deployment_has_no_old_pods_beside_new_ones() -> None:
    played = Played(strategy={"type": "Recreate"})
    seen: set[tuple[str, ...]] = set()
    played.release("web:2")
    played.run(MINUTE, lambda: seen.add(tuple(sorted(set(played.images())))))
    assert ("web:1", "web:2") not in seen


def test_a_paused_deployment_does_not_roll_out() -> None:
    played = Played(paused=True)
    played.release("web:2")
    played.run()
    assert played.images() == ["web:1"] * 4


def test_a_paused_rollout_stays_where_it_is_and_goes_on_later() -> None:
    played = Played()
    played.release("web:2")
    played.cluster.edit("Deployment", "shop", "web", lambda o: o["spec"].update(paused=True))
    before = played.images()
    played.run()
    assert (played.images(), progressing(played)) == (before, ("Unknown", "DeploymentPaused"))
    played.release("web:3")
    played.scale(6)
    played.run()
    assert (len(played.pods()), played.web["status"]["updatedReplicas"]) == (6, 0)
    assert "web:3" not in played.images()
    played.cluster.edit("Deployment", "shop", "web", lambda o: o["spec"].update(paused=False))
    played.run()
    assert played.images() == ["web:3"] * 6
    assert progressing(played) == ("True", "NewReplicaSetAvailable")


async def test_a_stateful_set_s_pod_comes_back_under_its_name_with_another_uid() -> None:
    played = Played("StatefulSet")
    before = {meta(pod)["name"]: meta(pod)["uid"] for pod in played.pods()}
    await played.cluster.apply(Call("delete", played.target(played.pods()[0])), "r-1.1", "")
    played.run()
    after = {meta(pod)["name"]: meta(pod)["uid"] for pod in played.pods()}
    assert set(after) == set(before)
    assert len(set(after.values()) - set(before.values())) == 1


@pytest.mark.parametrize(
    ("replicas", "least", "most", "expected"),
    [
        (3, 2, 8, 3),
        (3, 5, 8, 5),
        (0, 2, 8, 0),  # scaled to zero on purpose: it is switched off
        (6, 2, 4, 4),
    ],
    ids=["between", "too few", "none", "too many"],
)
def test_an_autoscaler_keeps_its_bounds_without_any_metrics(
    replicas: int, least: int, most: int, expected: int
) -> None:
    played = Played(replicas=replicas)
    played.cluster.create_autoscaler("shop", "web", "Deployment", least, most=most)
    played.run()
    assert played.web["spec"]["replicas"] == len(played.pods()) == expected


async def patched(played: Played, path: str, value: Any, **more: Any) -> None:
    call = Call("patch", played.target(), ({"op": "add", "path": path, "value": value},))
    version = more.pop("version", meta(played.web)["resourceVersion"])
    await played.cluster.apply(call, "r-1.1", version, **more)


@pytest.mark.parametrize(
    ("path", "value", "generations"),
    [("/spec/replicas", 5, 1), ("/spec/replicas", 4, 0), ("/metadata/labels/a", "b", 0)],
    ids=["another spec", "the same spec", "metadata"],
)
async def test_only_another_spec_is_another_generation(
    path: str, value: Any, generations: int
) -> None:
    played = Played()
    before = meta(played.web)["generation"]
    await patched(played, path, value)
    assert meta(played.web)["generation"] - before == generations


async def test_a_write_moves_the_version_and_a_version_that_has_moved_is_a_conflict() -> None:
    played = Played()
    before = meta(played.web)["resourceVersion"]
    await patched(played, "/metadata/labels/a", "b")
    assert int(meta(played.web)["resourceVersion"]) > int(before)
    with pytest.raises(Conflict):
        await patched(played, "/metadata/labels/a", "c", version=before)
    assert labels(played.web)["a"] == "b"


def test_another_status_is_another_version() -> None:
    played = Played()
    before = meta(played.web)["resourceVersion"]
    played.cluster.crashing.add("web:1")
    played.run()
    assert played.web["status"]["readyReplicas"] == 0
    assert meta(played.web)["resourceVersion"] != before


def test_what_controllers_write_moves_a_version_only_where_something_differs() -> None:
    played = Played()

    def versions() -> set[str]:
        return {str(meta(obj)["resourceVersion"]) for obj in played.cluster.objects.values()}

    before = versions()
    played.run()
    assert versions() == before
    played.cluster.leaking.add(meta(played.pods()[0])["name"])
    played.run()
    assert len(versions() - before) == 1


async def test_a_dry_run_of_a_patch_is_checked_and_leaves_nothing() -> None:
    played = Played()
    await patched(played, "/spec/replicas", 9, dry_run=True)
    with pytest.raises(Rejected):
        await patched(played, "/spec/none/here", 9, dry_run=True)
    with pytest.raises(Conflict):
        await patched(played, "/spec/replicas", 9, version="1", dry_run=True)
    played.run()
    assert (len(played.pods()), played.cluster.calls) == (4, [])


async def test_what_was_read_may_be_changed_without_changing_the_cluster() -> None:
    played = Played()
    before = {meta(pod)["uid"] for pod in played.pods()}
    obj: Any = await played.cluster.get(DEPLOYMENT, "shop", "web")
    listed: Any = await played.cluster.list_objects(POD, "shop", "")
    obj["spec"]["replicas"] = 0
    listed[0]["metadata"]["labels"].clear()
    played.run()
    assert {meta(pod)["uid"] for pod in played.pods()} == before


@pytest.mark.parametrize("verb", ["delete", "evict"])
async def test_a_pod_that_is_taken_is_replaced_and_another_of_its_name_is_spared(
    verb: str,
) -> None:
    played = Played()
    gone = played.target(played.pods()[0])
    stranger = gone.seen("uid-of-an-older-one")
    assert (await played.cluster.apply(Call(verb, stranger), "r-1.1", "")).status == 404
    await played.cluster.apply(Call(verb, gone), "r-1.1", "", dry_run=True)
    assert meta(played.pods()[0])["uid"] == gone.uid
    await played.cluster.apply(Call(verb, gone), "r-1.1", "")
    assert gone.uid not in {meta(pod)["uid"] for pod in played.pods()}
    played.run()
    assert played.ready() == 4
    assert (await played.cluster.apply(Call(verb, gone), "r-1.1", "")).status == 404
    assert len(played.cluster.calls) == 1


WEB_PODS = {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    ("selector", "namespace", "allowed", "evicted"),
    [
        (WEB_PODS, "shop", 1, True),
        (WEB_PODS, "shop", 0, False),
        (WEB_PODS, "billing", 0, True),
        ({"matchLabels": {"app": "api"}}, "shop", 0, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "shop", 0, False),
        ({}, "shop", 0, False),
        (None, "shop", 0, True),
    ],
    ids=["it allows one", "it allows none", "of another namespace", "of other pods",
         "by an expression", "of all pods", "of no pods"],
)  # fmt: skip
async def test_a_budget_holds_evictions_of_the_pods_that_it_selects(
    selector: dict[str, Any] | None, namespace: str, allowed: int, *, evicted: bool
) -> None:
    played = Played()
    spec, status = {"selector": selector}, {"disruptionsAllowed": allowed}
    played.cluster.create("PodDisruptionBudget", namespace, "b", spec, status=status)
    call = Call("evict", played.target(played.pods()[0]))
    if evicted:
        await played.cluster.apply(call, "r-1.1", "")
        return
    for dry_run in (True, False):
        with pytest.raises(BudgetExhausted):
            await played.cluster.apply(call, "r-1.1", "", dry_run)
    assert played.cluster.calls == []


async def test_a_budget_does_not_hold_a_deletion() -> None:
    played = Played()
    status = {"disruptionsAllowed": 0}
    played.cluster.create("PodDisruptionBudget", "shop", "b", {"selector": {}}, status=status)
    done = await played.cluster.apply(Call("delete", played.target(played.pods()[0])), "r-1.1", "")
    assert done.status == 200


async def test_a_pod_under_two_budgets_cannot_be_evicted_whatever_they_allow() -> None:
    played = Played()
    for name in "ab":
        spec, status = {"selector": WEB_PODS}, {"disruptionsAllowed": 3}
        played.cluster.create("PodDisruptionBudget", "shop", name, spec, status=status)
    with pytest.raises(Rejected):
        await played.cluster.apply(Call("evict", played.target(played.pods()[0])), "r-1.1", "")


async def test_a_pod_that_waits_for_a_node_is_evicted_whatever_its_budget_allows() -> None:
    played = Played(replicas=1)
    cordon(played, "node-1")
    played.scale(2)
    played.run()
    (waits,) = [pod for pod in played.pods() if pod["status"]["phase"] == "Pending"]
    spec, status = {"selector": WEB_PODS}, {"disruptionsAllowed": 0}
    played.cluster.create("PodDisruptionBudget", "shop", "b", spec, status=status)
    await played.cluster.apply(Call("evict", played.target(waits)), "r-1.1", "")


@pytest.mark.parametrize(
    ("policy", "healthy", "evicted"),
    [(None, 1, False), (None, 2, True), ("IfHealthyBudget", 2, True), ("AlwaysAllow", 0, True)],
)
async def test_a_pod_that_does_not_serve_may_go_though_its_budget_allows_none(
    policy: str | None, healthy: int, *, evicted: bool
) -> None:
    played = Played(replicas=2)
    played.release("web:2", crashes=True)
    played.run()
    down, up = sorted(played.pods(), key=ready)[:2]
    assert (ready(down), ready(up)) == (False, True)
    spec = {"selector": WEB_PODS, "unhealthyPodEvictionPolicy": policy}
    status = {"disruptionsAllowed": 0, "currentHealthy": healthy, "desiredHealthy": 2}
    played.cluster.create("PodDisruptionBudget", "shop", "b", spec, status=status)
    with pytest.raises(BudgetExhausted):
        await played.cluster.apply(Call("evict", played.target(up)), "r-1.1", "")
    call = Call("evict", played.target(down))
    if evicted:
        assert (await played.cluster.apply(call, "r-1.1", "")).status == 200
    else:
        with pytest.raises(BudgetExhausted):
            await played.cluster.apply(call, "r-1.1", "")


def cordon(played: Played, name: str, value: bool = True) -> None:
    played.cluster.edit("Node", "", name, lambda node: node["spec"].update(unschedulable=value))


def test_where_every_node_is_cordoned_new_pods_wait_and_say_why_and_old_ones_run() -> None:
    played = Played(replicas=2)
    cordon(played, "node-1")
    played.scale(3)
    played.run()
    (waits,) = [pod for pod in played.pods() if not ready(pod)]
    refused = condition(waits, "PodScheduled", "False")
    assert refused is not None
    assert (refused["reason"], waits["status"]["phase"]) == ("Unschedulable", "Pending")
    assert (played.ready(), waits["spec"].get("nodeName")) == (2, None)
    cordon(played, "node-1", False)
    played.run()
    assert played.ready() == 3


def test_a_node_that_is_not_ready_gets_no_pods() -> None:
    played = Played(replicas=1)
    lost = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    played.cluster.create("Node", "", "node-2", {}, status=lost)
    played.scale(4)
    played.run()
    assert {pod["spec"].get("nodeName") for pod in played.pods()} == {"node-1"}


def test_what_a_deleted_workload_owned_is_deleted_too() -> None:
    played = Played()
    played.cluster.create_workload("Deployment", "shop", "api", "api:1")
    played.cluster.remove("Deployment", "shop", "web")
    played.run()
    left = {name for kind, _, name in played.cluster.objects if kind in ("Pod", "ReplicaSet")}
    assert {name.partition("-")[0] for name in left} == {"api"}


def test_what_is_owned_by_a_kind_that_the_sandbox_does_not_know_stays() -> None:
    played = Played()
    owner = {"kind": "Rollout", "name": "web", "uid": "r", "controller": True}
    owned: Any = next(obj for (k, _, _), obj in played.cluster.objects.items() if k == "ReplicaSet")
    owned["metadata"]["ownerReferences"] = [owner]
    played.run()
    assert ("ReplicaSet", "shop", meta(owned)["name"]) in played.cluster.objects


async def isolation(played: Played, pod: dict[str, Any]) -> Isolation:
    sights = frozenset({ISOLATION})
    facts = await played.cluster.observe(played.target(pod), False, sights, played.clock.now())
    seen = facts[ISOLATION]
    assert isinstance(seen, Isolation)
    return seen


async def test_a_pod_whose_labels_are_taken_away_is_replaced_and_served_by_nothing() -> None:
    played = Played()
    played.cluster.create_service("shop", "front", {"app": "web"})
    pod = played.pods()[0]
    assert (await isolation(played, pod)).services == ("front",)
    name = meta(pod)["name"]
    played.cluster.edit("Pod", "shop", name, lambda obj: obj["metadata"].update(labels={}))
    played.run()
    assert (await isolation(played, pod)).services == ()
    let_go = played.cluster.objects["Pod", "shop", name]
    assert (meta(let_go).get("ownerReferences"), played.ready()) == (None, 4)


def test_what_a_person_writes_is_seen_at_once_and_annotations_add_up() -> None:
    played = Played()
    for key in "ab":
        played.cluster.annotate("Deployment", "shop", "web", key, value=key * 2)
    assert annotations(played.web) == {"a": "aa", "b": "bb"}
    assert meta(played.web)["generation"] == 1


async def test_what_a_person_sets_is_no_longer_ours_and_nothing_else() -> None:
    played = Played()
    body = ({"op": "add", "path": "/spec/replicas", "value": 5},)
    call = Call(
        "patch", played.target(), body, "scale", leaves={"/spec/replicas": 5}, proof="managed"
    )
    await played.cluster.apply(call, "r-1.1", meta(played.web)["resourceVersion"])
    played.release("web:2")
    assert managed(played.web, "/spec/replicas", ours)
    played.scale(6)
    assert not managed(played.web, "/spec/replicas", ours)


async def test_a_failure_that_was_asked_for_is_raised_once_and_nothing_is_done() -> None:
    played = Played()
    played.cluster.failures.append(Unreachable("because"))
    call = Call("delete", played.target(played.pods()[0]))
    with pytest.raises(Unreachable):
        await played.cluster.apply(call, "r-1.1", "")
    assert len(played.pods()) == 4
    assert (await played.cluster.apply(call, "r-1.1", "")).status == 200


async def test_a_patch_of_what_was_replaced_under_its_name_is_target_gone() -> None:
    played = Played()
    call = Call("patch", played.target().seen("older"), ())
    with pytest.raises(TargetGone):
        await played.cluster.apply(call, "r-1.1", meta(played.web)["resourceVersion"])


@pytest.mark.parametrize(
    ("image", "seconds", "ended"),
    [("job:1", 1, None), ("job:1", 2, "Complete"), ("bad:1", 2, "Failed")],
)
async def test_a_job_ends_once_well_or_not(image: str, seconds: int, ended: str | None) -> None:
    played = Played()
    played.cluster.crashing.add("bad:1")
    spec = {"template": {"spec": {"containers": [{"image": image}]}}}
    job = Target("c", "Job", "shop", "once")
    create = Call("create", job, {"metadata": {"name": "once"}, "spec": spec})
    await played.cluster.apply(create, "r-1.1", "")
    with pytest.raises(Conflict):
        await played.cluster.apply(create, "r-1.1", "")
    played.run(seconds * SECOND)
    status = played.cluster.objects["Job", "shop", "once"]["status"]
    found = [c["type"] for c in status.get("conditions", []) if c["status"] == "True"]
    assert found == ([ended] if ended else [])
    assert ("completionTime" in status) is (ended == "Complete")


def test_a_long_time_at_once_and_second_by_second_come_to_the_same() -> None:
    at_once, stepwise = Played("StatefulSet"), Played("StatefulSet")
    for played in (at_once, stepwise):
        played.release("web:2")
    at_once.clock.time += 2 * MINUTE
    stepwise.run(2 * MINUTE)
    assert at_once.images() == stepwise.images() == ["web:2"] * 4
    assert at_once.web["status"] == stepwise.web["status"]


def test_a_clock_that_goes_back_loses_no_pod() -> None:
    played = Played()
    played.run()
    played.clock.time -= 30 * MINUTE
    assert len(played.pods()) == 4
    played.clock.time += 30 * MINUTE
    played.run()
    assert (len(played.pods()), played.ready()) == (4, 4)


NUMBERED = [("Deployment", "ReplicaSet"), ("StatefulSet", "ControllerRevision")]


@pytest.mark.parametrize(("kind", "kept"), NUMBERED)
def test_each_release_has_the_next_number(kind: str, kept: str) -> None:
    played = Played(kind)
    for image in ("web:2", "web:3"):
        played.release(image)
        played.run()
    versions = [obj for (k, _, _), obj in played.cluster.objects.items() if k == kept]
    numbers = [v.get("revision") or int(annotations(v)[NUMBER]) for v in versions]
    assert numbers == [1, 2, 3]
    assert all(meta(v)["ownerReferences"][0]["uid"] == meta(played.web)["uid"] for v in versions)
