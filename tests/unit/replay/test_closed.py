"""A replay writes nothing, assumes that what it would send works, and shows what that leads to."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from remediator.actions import ACTIONS
from remediator.cluster.sandbox import SandboxCluster
from remediator.errors import Conflict, TargetGone
from remediator.guards.situation import ProcessLimits
from remediator.kinds import DEPLOYMENT, NETWORK_POLICY, POD
from remediator.model.alert import Alert, AlertStatus
from remediator.model.call import STAMP, Call
from remediator.model.facts import Unknown
from remediator.model.plan import Plan
from remediator.model.target import Target, Unresolved
from remediator.model.usage import Rate
from remediator.model.verdict import Reason
from remediator.replay import Report, in_mode, run
from remediator.replay.assumed import Healthy
from remediator.replay.closed import ClosedCluster, ClosedPrometheus, SnapshotFile
from remediator.replay.recorded import Recorded
from remediator.sights.pods import PODS
from remediator.sights.room import ROOM, Room
from tests.integration.world import rules
from tests.unit.objects import HOUR, MINUTE, T

ACT = "match: ['alertname=\"A\"'], steps: [{action: ACTION, if: always}]"


def rule(action: str, **more: str) -> str:
    extra = "".join(f", {key}: {value}" for key, value in more.items())
    return f"name: {action.replace('_', '-')}, {ACT.replace('ACTION', action)}{extra}"


def recorded(labels: dict[str, str], minute: int = 0, firing: bool = True) -> Recorded:
    now = T + minute * MINUTE
    status = AlertStatus.FIRING if firing else AlertStatus.RESOLVED
    given = {"alertname": "A", **labels}
    alert = Alert("f", status, given, {}, T, None if firing else now)
    return Recorded("saved.jsonl:1", now, (alert,), 0)


WEB = {"namespace": "shop", "deployment": "web"}


async def replayed(
    rule_: str, *items: Recorded, facts: Any = None, nodes: str = "", **limits: Any
) -> Report:
    given = rules(rule_, nodes=nodes)
    return await run(items, given, facts or Healthy(), ProcessLimits(**limits))


def calls(report: Report) -> list[str]:
    return [str(line["text"]) for line in report.timeline if line["what"] == "would call"]


def ends(report: Report) -> list[tuple[str, str | None]]:
    return [(row["state"], row["reason"]) for row in report.remediations]


async def test_a_replay_says_what_it_would_send_and_numbers_what_it_made() -> None:
    item, over = recorded(WEB), recorded(WEB, 5, firing=False)
    report = await replayed(rule("restart_workload"), item, over)
    (row,) = report.remediations
    assert (row["id"], row["state"]) == ("r-1", "succeeded")
    assert [text.split(" ")[:2] for text in calls(report)] == [["PATCH", "Deployment/shop/web"]]
    assert report.summary["calls"] == 1
    assert report.summary["webhooks"] == 2
    assert report.timeline == sorted(report.timeline, key=lambda line: str(line["at"]))


async def test_two_replays_of_one_recording_are_equal_to_the_byte() -> None:
    items = (recorded(WEB), recorded(WEB, 7), recorded(WEB, 9, firing=False))
    first, second = [await replayed(rule("restart_workload"), *items) for _ in range(2)]
    assert orjson.dumps(first.as_json()) == orjson.dumps(second.as_json())


async def test_without_facts_nothing_is_planned() -> None:
    report = await run((recorded(WEB),), rules(rule("restart_workload")), None, ProcessLimits())
    assert ends(report) == [("blocked", "unknown_fact")]
    assert report.summary["calls"] == 0


async def test_an_alert_that_was_over_before_anything_began_leads_to_no_act() -> None:
    item, over = recorded(WEB), recorded(WEB, 0, firing=False)
    report = await replayed(rule("restart_workload"), item, over)
    assert calls(report) == []


async def test_limits_hold_in_a_replay_as_they_do_in_the_daemon() -> None:
    report = await replayed(rule("restart_workload"), recorded(WEB), everything=(Rate(0, HOUR),))
    assert ends(report) == [("blocked", "rate_limited")]


async def test_an_alert_that_no_rule_matches_is_told_with_the_reason() -> None:
    report = await replayed(
        rule("restart_workload"), recorded({"namespace": "billing", "deployment": "pay"})
    )
    assert report.summary["unmatched"] == 1
    (line,) = [line for line in report.timeline if line["what"] == "unmatched"]
    assert line["target"] == "billing/pay"
    assert "outside the scope" in str(line["text"])


def test_a_mode_is_given_to_every_rule_and_taken_from_every_override() -> None:
    given = rules(rule("restart_workload"), rule("rollback_workload", mode="approve"))
    observed = in_mode(given, "observe")
    assert {one.rule.mode for one in observed.sources} == {"observe"}
    assert {one.rule.mode for one in given.sources} == {"act", "approve"}
    assert [one.rule.name for one in observed.sources] == [one.rule.name for one in given.sources]


async def test_an_observing_rule_shows_its_plan_and_would_call_nothing() -> None:
    given = in_mode(rules(rule("restart_workload")), "observe")
    report = await run((recorded(WEB),), given, Healthy(), ProcessLimits())
    assert report.remediations[0]["look"]["plan"]["summary"] == "restart Deployment/shop/web"
    assert calls(report) == []


async def assumed(kind: str) -> Any:
    target = Target("c", kind, "shop", "web")
    return await ClosedCluster(Healthy()).observe(target, True, frozenset({PODS, ROOM}), T)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
async def test_an_assumed_workload_has_three_ready_pods(kind: str) -> None:
    pods = (await assumed(kind))[PODS]
    assert not isinstance(pods, Unknown)
    assert len(pods) == 3


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
async def test_an_assumed_pod_that_is_deleted_is_gone(kind: str) -> None:
    cluster = ClosedCluster(Healthy())
    seen = await cluster.observe(Target("c", kind, "shop", "web"), True, frozenset({PODS}), T)
    made: Any = seen[PODS]
    name = made[0]["metadata"]["name"]
    there = await cluster.get(POD, "shop", name)
    assert there is not None
    pod = Target("c", "Pod", "shop", name, there["metadata"]["uid"])
    await cluster.apply(Call("delete", pod, proof="gone"), "r-1.1", "")
    left: Any = (await cluster.observe(seen.target, True, frozenset({PODS}), T))[PODS]
    assert [item["metadata"]["name"] for item in left] == [
        item["metadata"]["name"] for item in made[1:]
    ]


async def test_an_assumed_cluster_has_room() -> None:
    room = (await assumed("Deployment"))[ROOM]
    assert isinstance(room, Room)
    assert (len(room.nodes), room.quotas, room.failed) == (1, (), ())


@pytest.mark.parametrize(
    ("name", "kind", "owner"),
    [
        ("web-7d9c5f6b8-x7k2p", "ReplicaSet", "web-7d9c5f6b8"),
        ("db-0", "StatefulSet", "db"),
        ("db-12", "StatefulSet", "db"),
        ("agent-x7k2p", "DaemonSet", "agent"),
        ("lonely", "Deployment", "lonely"),
    ],
)
async def test_an_assumed_pod_has_the_owner_that_its_name_tells(
    name: str, kind: str, owner: str
) -> None:
    made = await Healthy().get(POD, "shop", name)
    assert made is not None
    (reference,) = made["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["name"]) == (kind, owner)


@pytest.mark.parametrize(
    ("action", "labels", "nodes"),
    [
        ("run_cronjob", {"namespace": "shop", "cronjob": "backup"}, ""),
        ("renew_certificate", {"namespace": "shop", "name": "tls"}, ""),
        ("drain_node", {"node": "n1"}, ".+"),
    ],
)
async def test_every_action_can_be_replayed_on_an_assumed_object(
    action: str, labels: dict[str, str], nodes: str
) -> None:
    target = "{kind: Certificate, namespace: shop, name: tls}"
    more = {"target": target} if action == "renew_certificate" else {}
    report = await replayed(rule(action, **more), recorded(labels), nodes=nodes)
    assert len(calls(report)) == 1
    assert ends(report) == [("succeeded", None)]


@pytest.fixture
def facts(tmp_path: Any) -> SnapshotFile:
    """A cluster of three nodes, one of which runs every pod of web."""
    cluster = SandboxCluster(lambda: T)
    cluster.create_workload("Deployment", "shop", "web", "web:1")
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    for name in ("node-2", "node-3"):
        cluster.create("Node", "", name, {}, status=ready)
    file = tmp_path / "facts.json"
    items = list(cluster.objects.values())
    file.write_bytes(orjson.dumps({"kind": "List", "items": items}, default=str))
    return SnapshotFile(file)


async def test_a_replayed_drain_evicts_the_pods_of_the_node(facts: SnapshotFile) -> None:
    report = await replayed(
        rule("drain_node"), recorded({"node": "node-1"}), facts=facts, nodes=".+"
    )
    plan = report.remediations[0]["look"]["plan"]
    assert plan["summary"] == "drain Node/node-1: cordon it and evict 3 pods"


async def closed(facts: SnapshotFile) -> tuple[ClosedCluster, Plan]:
    """The cluster of a replay, and a restart that was planned on it."""
    cluster = ClosedCluster(facts)
    target = Target("c", "Deployment", "shop", "web")
    there = await cluster.observe(target, True, frozenset({PODS}), T)
    restart = ACTIONS["restart_workload"]
    plan = restart.plan(there, restart.params(), ())
    assert isinstance(plan, Plan), plan
    return cluster, plan


async def test_a_change_is_seen_in_the_replay_and_not_in_the_facts(facts: SnapshotFile) -> None:
    before = orjson.dumps(await facts.get(DEPLOYMENT, "shop", "web"))
    cluster, plan = await closed(facts)
    evidence = await cluster.apply(plan.calls[0], "r-1.1", "")
    now = await cluster.get(DEPLOYMENT, "shop", "web")
    assert now is not None
    assert now["metadata"]["annotations"][STAMP] == "r-1.1"
    assert dict(evidence.left) == dict(plan.calls[0].leaves)
    assert orjson.dumps(await facts.get(DEPLOYMENT, "shop", "web")) == before
    assert [call_id for call_id, _ in cluster.calls] == ["r-1.1"]


async def test_what_a_replay_shows_cannot_be_changed_from_outside(facts: SnapshotFile) -> None:
    cluster, plan = await closed(facts)
    await cluster.apply(plan.calls[0], "r-1.1", "")
    shown: Any = await cluster.get(DEPLOYMENT, "shop", "web")
    shown["spec"]["replicas"] = 99
    again: Any = await cluster.get(DEPLOYMENT, "shop", "web")
    assert again["spec"]["replicas"] == 3


async def pods(cluster: ClosedCluster) -> list[Mapping[str, Any]]:
    return list(await cluster.list_objects(POD, "shop", "app=web"))


async def test_a_deleted_pod_is_gone_and_is_deleted_no_second_time(facts: SnapshotFile) -> None:
    cluster = ClosedCluster(facts)
    first, *others = [item["metadata"] for item in await pods(cluster)]
    target = Target("c", "Pod", "shop", first["name"], first["uid"])
    await cluster.apply(Call("delete", target, proof="gone"), "r-1.1", "")
    assert [item["metadata"]["name"] for item in await pods(cluster)] == [
        one["name"] for one in others
    ]
    assert await cluster.get(POD, "shop", first["name"]) is None
    with pytest.raises(TargetGone):
        await cluster.apply(Call("delete", target, proof="gone"), "r-1.2", "")


async def test_another_object_of_the_name_is_not_written(facts: SnapshotFile) -> None:
    cluster, plan = await closed(facts)
    other = Target("c", "Deployment", "shop", "web", "uid-of-another")
    with pytest.raises(TargetGone):
        await cluster.apply(Call("patch", other, plan.calls[0].body), "r-1.1", "")
    assert cluster.calls == []


async def test_what_was_created_is_there_and_is_not_created_twice(facts: SnapshotFile) -> None:
    cluster = ClosedCluster(facts)
    target = Target("c", "NetworkPolicy", "shop", "q")
    body = {"metadata": {"name": "q", "annotations": {STAMP: "{call}"}}, "spec": {}}
    await cluster.apply(Call("create", target, body), "r-1.1", "")
    made = await cluster.get(NETWORK_POLICY, "shop", "q")
    assert made is not None
    assert made["metadata"]["annotations"] == {STAMP: "r-1.1"}
    with pytest.raises(Conflict):
        await cluster.apply(Call("create", target, body), "r-1.2", "")
    assert len(cluster.calls) == 1


async def test_evidence_is_not_collected_and_says_so(facts: SnapshotFile) -> None:
    cluster = ClosedCluster(facts)
    name = (await pods(cluster))[0]["metadata"]["name"]
    target = Target("c", "Pod", "shop", name, "u")
    evidence = await cluster.apply(Call("collect", target, {"log_lines": 5}), "r-1.1", "")
    assert evidence.left == {"note": "not collected: a replay"}


async def test_pods_that_crashed_are_taken_to_be_well_once_their_workload_was_changed(
    tmp_path: Any,
) -> None:
    cluster = SandboxCluster(lambda: T)
    cluster.create_workload("Deployment", "shop", "web", "web:1")
    items = orjson.loads(orjson.dumps(list(cluster.objects.values()), default=str))
    for item in items:
        if item["kind"] == "Pod":
            item["status"]["conditions"] = []
    file = tmp_path / "facts.json"
    file.write_bytes(orjson.dumps({"kind": "List", "items": items}))
    there, plan = await closed(SnapshotFile(file))
    assert not any(item["status"]["conditions"] for item in await pods(there))
    await there.apply(plan.calls[0], "r-1.1", "")
    assert all(item["status"]["conditions"] for item in await pods(there))


@pytest.mark.parametrize("assumed_", [True, False])
async def test_queries_are_taken_to_hold_only_where_health_is_assumed(assumed_: bool) -> None:
    prometheus = ClosedPrometheus(assumed_)
    answer = await prometheus.holds("up == 1")
    assert answer is True if assumed_ else isinstance(answer, Unknown)
    assert await prometheus.alerting_rule("A") is None


async def test_without_facts_a_look_says_how_to_give_some() -> None:
    there = await ClosedCluster(None).observe(
        Target("c", "Pod", "shop", "web"), True, frozenset(), T
    )
    assert isinstance(there.object, Unresolved)
    assert there.object.reason is Reason.UNKNOWN_FACT
    assert "--facts FILE" in there.object.why


async def test_a_scale_out_is_taken_back_within_the_replay() -> None:
    begins, over = recorded(WEB), recorded(WEB, 3, firing=False)
    report = await replayed(rule("scale_workload"), begins, over)
    assert [state for state, _ in ends(report)] == ["succeeded", "succeeded"]
    assert calls(report) == ["PATCH Deployment/shop/web/scale (/spec/replicas)"] * 2
    assert timedelta(hours=1) < _span(report) < timedelta(hours=26)


def _span(report: Report) -> timedelta:
    times = [datetime.fromisoformat(str(line["at"])) for line in report.timeline]
    return max(times) - min(times)
