"""drain_node: what it refuses, what it evicts and when.

And drained on the sandbox, where guards judge every workload.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.actions import ACTIONS
from remediator.actions.drain_node import UNSCHEDULABLE, leaving
from remediator.model.call import STAMP, Evidence
from remediator.model.facts import Facts, Unknown
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.target import Target
from remediator.model.verdict import Reason
from remediator.sights.residents import RESIDENTS, Residents
from tests.integration.world import World, rules
from tests.unit.actions.samples import Sample
from tests.unit.objects import looked_at, node, pod, workload

DRAIN = ACTIONS["drain_node"]
N1 = Target("c", "Node", "", "n1", "uid-n1")
WEB = Target("c", "Deployment", "shop", "web", "uid-web")


def resident(name: str, owner: str = "ReplicaSet", **more: Any) -> dict[str, Any]:
    """A pod on the node, of a ReplicaSet of Deployment web if not of another kind."""
    made = pod(name)
    reference = {"kind": owner, "name": "web-1", "uid": f"uid-{owner}", "controller": True}
    made["metadata"] |= {"namespace": "shop", "ownerReferences": [reference], **more}
    return made


def whole() -> dict[str, Any]:
    return workload()


def short() -> dict[str, Any]:
    made = workload()
    made["status"]["readyReplicas"] = 2
    return made


def seen(
    *pods: Any, obj: Any = None, others: tuple[Any, ...] = (), budgets: Any = (), app: Any = None
) -> Facts:
    mine = obj or node("n1")
    mine["metadata"] |= {"uid": "uid-n1", "resourceVersion": "5"}
    there = (mine, *(others or (node("n2"),)))
    workloads = {"uid-ReplicaSet": (WEB, app or whole())}
    return looked_at(N1, N1, {"kind": "Node", **mine}).saw(
        RESIDENTS, Residents(tuple(pods), there, tuple(budgets), workloads)
    )


def cordoned(plan: Plan) -> Facts:
    mine = node("n1", unschedulable=True)
    mine["metadata"]["annotations"] = {STAMP: "x"}
    return seen(obj=mine)


def down(*pods: Any, **more: Any) -> Facts:
    """What is seen once the node is cordoned."""
    return seen(*pods, obj=node("n1", unschedulable=True), **more)


TWO = seen(resident("web-1"), resident("web-2"))
SAMPLES = [Sample(TWO, going_on=down(resident("web-1"), resident("web-2")), after=cordoned)]


def planned(facts: Facts, **parameters: Any) -> Plan | Refusal:
    return DRAIN.plan(facts, DRAIN.params(**parameters), ())


def test_drain_node_cordons_and_may_evict_what_has_to_go() -> None:
    plan = planned(TWO)
    assert isinstance(plan, Plan)
    (cordon,) = plan.calls
    assert (cordon.verb, cordon.target.kind, dict(cordon.leaves)) == (
        "patch",
        "Node",
        {UNSCHEDULABLE: True},
    )
    assert plan.later() == ["EVICT Pod, if needed, at most 4 times"]
    assert plan.locks == ("c/Deployment/shop/web", "c/Node//n1", "c/drain")
    assert plan.touches[1].successor == whole()["spec"]["template"]
    mine, web = plan.touches
    assert (mine.target, mine.takes, mine.paths) == (N1, 0, (UNSCHEDULABLE,))
    assert (web.target, web.takes, web.away_from, web.waits) == (WEB, 1, "n1", True)


def test_static_pods_daemons_and_what_has_ended_stay() -> None:
    static = resident("etcd", annotations={"kubernetes.io/config.mirror": "x"})
    ended = resident("done")
    ended["status"]["phase"] = "Succeeded"
    there = seen(static, resident("agent", owner="DaemonSet"), ended, resident("web-1"))
    residents = there[RESIDENTS]
    assert isinstance(residents, Residents)
    assert [made["metadata"]["name"] for made in leaving(residents)] == ["web-1"]


def alone() -> dict[str, Any]:
    return resident("bare", ownerReferences=[])


def with_data() -> dict[str, Any]:
    made = resident("web-1")
    return {**made, "spec": {**made["spec"], "volumes": [{"name": "tmp", "emptyDir": {}}]}}


def claimed() -> dict[str, Any]:
    made = resident("web-1")
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    return {**made, "spec": {**made["spec"], "volumes": [claim]}}


def budget(allowed: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed},
    }


def control_plane() -> dict[str, Any]:
    made = node("n1")
    made["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
    return made


@pytest.mark.parametrize(
    ("name", "facts", "parameters", "reason"),
    [
        ("a control plane", seen(obj=control_plane()), {}, Reason.PROTECTED_TARGET),
        (
            "another one is cordoned",
            seen(others=(node("n2", unschedulable=True),)),
            {},
            Reason.AT_CEILING,
        ),
        ("too many pods", TWO, {"at_most": 1}, Reason.AT_CEILING),
        ("a pod that nothing brings back", seen(alone()), {}, Reason.UNMANAGED_TARGET),
        (
            "a Job's pod would start over",
            seen(resident("job-1", owner="Job")),
            {},
            Reason.NOT_REPLACEABLE,
        ),
        ("local data would be lost", seen(with_data()), {}, Reason.NOT_REPLACEABLE),
        ("a volume may be out of reach", seen(claimed()), {}, Reason.NOT_REPLACEABLE),
        (
            "a pod is under two budgets",
            seen(resident("web-1"), budgets=(budget(1), budget(1))),
            {},
            Reason.BUDGET_EXHAUSTED,
        ),
        (
            "a pod itself says no",
            seen(resident("web-1", annotations={"remediator.io/disabled": "true"})),
            {},
            Reason.OPTED_OUT,
        ),
        ("its pods are not known", TWO.saw(RESIDENTS, Unknown("RBAC")), {}, Reason.UNKNOWN_FACT),
        ("it is no node", replace(TWO, target=WEB), {}, Reason.UNSUPPORTED_TARGET),
        ("it is gone", replace(TWO, object=None), {}, Reason.TARGET_GONE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_not_drained_where(
    name: str, facts: Facts, parameters: dict[str, Any], reason: Reason
) -> None:
    answer = planned(facts, **parameters)
    assert isinstance(answer, Refusal)
    assert answer.reason is reason


def test_what_a_pod_would_lose_may_be_given_up() -> None:
    assert isinstance(planned(seen(with_data()), delete_local_data=True), Plan)
    assert isinstance(planned(seen(claimed()), delete_claimed=True), Plan)


def evicted(facts: Facts) -> list[str]:
    plan = planned(TWO)
    assert isinstance(plan, Plan)
    assert DRAIN.next is not None
    return [call.target.name for call in DRAIN.next(plan, (), facts)]


def unready(name: str) -> dict[str, Any]:
    made = resident(name)
    made["status"]["conditions"] = []
    return made


def going() -> dict[str, Any]:
    return resident("web-1", deletionTimestamp="2026-05-01T12:00:00Z")


@pytest.mark.parametrize(
    ("name", "facts", "expected"),
    [
        ("one at a time", down(resident("web-1"), resident("web-2")), ["web-1"]),
        ("none where the cordon was taken back", TWO, []),
        (
            "what does not serve goes first",
            down(resident("web-1"), unready("web-2"), app=short()),
            ["web-2"],
        ),
        ("none while the last is going", down(going(), resident("web-2")), []),
        ("none while it is not replaced", down(resident("web-2"), app=short()), []),
        ("none that a budget forbids", down(resident("web-1"), budgets=(budget(0),)), []),
        ("one that a budget allows", down(resident("web-1"), budgets=(budget(1),)), ["web-1"]),
        ("none that was not planned", down(resident("other", owner="StatefulSet")), []),
        ("none that would lose data since", down(with_data()), []),
        ("none unseen", TWO.saw(RESIDENTS, Unknown("timeout")), []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_evicts(name: str, facts: Facts, expected: list[str]) -> None:
    assert evicted(facts) == expected


def test_it_is_done_once_no_pod_is_left_that_has_to_go() -> None:
    plan = planned(TWO)
    assert isinstance(plan, Plan)
    assert DRAIN.verify(plan, (), down()) == Seen(Verified.CONVERGED)
    waiting = DRAIN.verify(plan, (), down(resident("web-1")))
    assert waiting == Seen(Verified.WAITING, "1 pods are still on the node: shop/web-1")
    assert DRAIN.verify(plan, (), seen(obj=node("n1"))) == Seen(Verified.OVERTAKEN)
    blind = down().saw(RESIDENTS, Unknown("timeout"))
    assert DRAIN.verify(plan, (), blind) == Seen(Verified.UNKNOWN)


def test_it_is_uncordoned_only_where_the_cordon_is_ours() -> None:
    plan = planned(TWO)
    assert isinstance(plan, Plan)
    assert DRAIN.undo is not None
    back = DRAIN.undo(plan, (Evidence(200, "x"),), cordoned(plan))
    assert isinstance(back, Plan)
    assert dict(back.calls[0].leaves) == {UNSCHEDULABLE: None}
    theirs = DRAIN.undo(plan, (Evidence(200, "y"),), cordoned(plan))
    assert isinstance(theirs, Refusal)
    assert theirs.reason is Reason.ASSUMPTION_CHANGED
    before = planned(seen(obj=node("n1", unschedulable=True)))
    assert isinstance(before, Plan)
    kept = DRAIN.undo(before, (Evidence(200, "x"),), cordoned(before))
    assert isinstance(kept, Refusal)
    assert kept.reason is Reason.ALREADY_DONE


RULE = (
    "name: drain, match: ['alertname=\"NodeDown\"'], steps: [{action: drain_node, if: always, with:"
    " {WITH}}]"
)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def drained(given: str = "", replicas: int = 3, **more: Any) -> World:
    """A world of which the only node, that had every pod, is to be drained onto two others."""
    world = World(rules(RULE.replace("WITH", given), nodes=".+"))
    for namespace, name in more.pop("workloads", {}).items():
        world.cluster.create_workload("Deployment", namespace, name, "x:1", replicas=replicas)
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    for name in ("node-2", "node-3"):
        world.cluster.create("Node", "", name, {}, status=ready)
    await world.start()
    for scope in more.pop("paused", ()):
        await world.journal.pause(scope, "ann", "why", None, now=world.clock.now())
    world.cluster.calls.clear()
    await world.run(MINUTE)
    await world.deliver("NodeDown", "", node="node-1", fingerprint="n")
    return world


def on(world: World, name: str) -> list[str]:
    pods = [obj for (kind, _, _), obj in world.cluster.objects.items() if kind == "Pod"]
    return [made["metadata"]["name"] for made in pods if made["spec"].get("nodeName") == name]


def ready_of(world: World, namespace: str, name: str) -> int:
    return sum(bool(made["lively"]) for made in world.cluster.pods(namespace, name))


async def begun(world: World) -> None:
    """Runs until the first pod was evicted; others are still there."""
    for _ in range(120):
        await world.run(SECOND)
        if any(what.startswith("EVICT") for _, what in world.cluster.calls):
            break
    assert on(world, "node-1")


async def test_every_pod_goes_and_no_workload_misses_more_than_one_at_a_time() -> None:
    world = await drained(workloads={"billing": "pay"})
    least = 3
    for _ in range(600):
        await world.run(SECOND)
        least = min(
            least, *(ready_of(world, n, w) for n, w in (("shop", "web"), ("billing", "pay")))
        )
    assert on(world, "node-1") == []
    assert least == 2
    row = await world.journal.show((await world.only())["id"])
    assert row is not None
    assert (row["state"], row["reason"]) == ("succeeded", None)
    evictions = [what for _, what in world.cluster.calls if what.startswith("EVICT")]
    assert len(evictions) == len(set(evictions)) == 9
    await world.journal.close()


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("a protected namespace", {"workloads": {"kube-system": "dns"}}, "protected_target"),
        (
            "a paused namespace",
            {"workloads": {"billing": "pay"}, "paused": ["namespace:billing"]},
            "paused",
        ),
        (
            "the last pod of a workload",
            {"workloads": {"billing": "pay"}, "replicas": 1},
            "would_interrupt",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_nothing_is_cordoned_or_evicted_where_it_would_touch(
    name: str, given: dict[str, Any], reason: str
) -> None:
    world = await drained(**given)
    await world.run(5 * MINUTE, 5 * SECOND)
    assert world.cluster.calls == []
    assert (await world.only())["reason"] == reason
    await world.journal.close()


async def test_a_workload_that_is_opted_out_or_short_is_not_touched_either() -> None:
    world = await drained(workloads={"billing": "pay"})
    world.cluster.annotate("Deployment", "billing", "pay", "remediator.io/deny", value="drain_node")
    await world.run(MINUTE)
    assert (world.cluster.calls, (await world.only())["reason"]) == ([], "opted_out")
    await world.journal.close()


async def test_a_budget_that_allows_none_is_waited_for_without_another_charge() -> None:
    world = await drained()
    chosen = {"selector": {"matchLabels": {"app": "web"}}}
    world.cluster.create(
        "PodDisruptionBudget", "shop", "web", chosen, status={"disruptionsAllowed": 0}
    )
    await world.run(5 * MINUTE)
    assert [name for name in on(world, "node-1") if not name.startswith("web")] == []
    assert len([name for name in on(world, "node-1") if name.startswith("web")]) == 3
    assert (await world.only())["state"] == "verifying"
    world.cluster.remove("PodDisruptionBudget", "shop", "web")
    await world.run(10 * MINUTE)
    assert on(world, "node-1") == []
    row = await world.journal.show((await world.only())["id"])
    assert row is not None
    assert (row["state"], len(row["attempts"])) == ("succeeded", 1)
    await world.journal.close()


async def test_a_pause_that_comes_while_it_drains_stops_the_next_eviction() -> None:
    world = await drained()
    await begun(world)
    await world.journal.pause("namespace:shop", "ann", "stop", None, now=world.clock.now())
    before = len(world.cluster.calls)
    await world.run(5 * MINUTE, 5 * SECOND)
    assert len(world.cluster.calls) == before
    await world.journal.close()


async def test_what_comes_between_is_judged_before_each_eviction() -> None:
    world = await drained()
    await begun(world)

    def cordon(obj: Any) -> None:
        obj["spec"]["unschedulable"] = True

    for name in ("node-2", "node-3"):
        world.cluster.edit("Node", "", name, cordon)
    before = len(world.cluster.calls)
    await world.run(2 * MINUTE, 5 * SECOND)
    assert len(world.cluster.calls) == before  # no other node takes what would be evicted
    await world.journal.close()


async def test_a_pod_that_says_no_itself_stays() -> None:
    world = await drained()
    await begun(world)
    stays = on(world, "node-1")[-1]
    world.cluster.annotate("Pod", "shop", stays, "remediator.io/disabled", value="true")
    await world.run(10 * MINUTE, SECOND)
    assert on(world, "node-1") == [stays]
    await world.journal.close()


async def test_harm_to_a_workload_that_loses_pods_ends_the_drain_and_uncordons() -> None:
    world = await drained(workloads={"billing": "pay"})
    await begun(world)
    labels: dict[str, Any] = {"severity": "critical", "namespace": "billing", "deployment": "pay"}
    await world.deliver("PaymentsDown", "", fingerprint="p", **labels)
    await world.run(10 * MINUTE, SECOND)
    assert on(world, "node-1")
    parent = next(row for row in await world.rows() if not row["undo_of"])
    assert (parent["state"], parent["reason"]) == ("failed", "worse")
    assert "unschedulable" not in world.cluster.objects["Node", "", "node-1"]["spec"]
    await world.journal.close()


async def test_two_nodes_are_not_drained_at_once() -> None:
    world = await drained()
    await world.deliver("NodeDown", "", node="node-2", fingerprint="m")
    most = 0
    for _ in range(120):
        await world.run(SECOND)
        cordons = [obj for (kind, _, _), obj in world.cluster.objects.items() if kind == "Node"]
        most = max(most, sum(bool(obj["spec"].get("unschedulable")) for obj in cordons))
    assert most == 1
    await world.journal.close()


def test_what_is_approved_names_the_workloads_that_lose_pods() -> None:
    other = Target("c", "Deployment", "pay", "db", "uid-db")
    residents = TWO[RESIDENTS]
    assert isinstance(residents, Residents)
    elsewhere = replace(residents, workloads={"uid-ReplicaSet": (other, whole())})
    first, second = planned(TWO), planned(TWO.saw(RESIDENTS, elsewhere))
    assert isinstance(first, Plan)
    assert isinstance(second, Plan)
    assert first.digest != second.digest
