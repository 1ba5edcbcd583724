"""What wrong acts and burnt limits came from, each by the promise that it broke."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from remediator.actions import ACTIONS
from remediator.actions.action_spec import ActionSpec
from remediator.engine.act import execute, send
from remediator.errors import Conflict, Unreachable
from remediator.journal.tables import attempt, episode, remediation
from remediator.kinds import NETWORK_POLICY
from remediator.model.alert import Activity
from remediator.model.call import Call
from remediator.model.decision import End
from remediator.model.facts import Unknown
from remediator.model.plan import call_from_json, call_to_json, from_json
from remediator.model.target import Target
from remediator.sights import SIGHTS
from tests.integration.world import RESTART, START, World, rules

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
STEP = timedelta(seconds=15)
ASK = RESTART.replace("limits:", "mode: approve, limits:")
ISOLATE = (
    "name: isolate, match: ['alertname=\"Suspect\"'], target: object, limits: {in_flight: 3},"
    " steps: [{action: quarantine_pod, if: always}]"
)
ALWAYS = RESTART.replace("{action: restart_workload}", "{action: restart_workload, if: always}")


async def world_of(*rule: str) -> World:
    return await World(rules(*rule)).start()


async def charges(world: World) -> int:
    return len(await world.journal.charges(START - HOUR))


def slowly(world: World, takes: timedelta) -> Callable[[str], Any]:
    """Prometheus holds everything, and takes its time."""

    async def holds(_query: str) -> bool:
        world.clock.time += takes
        return True

    return holds


async def test_slow_queries_before_an_act_use_up_no_attempts() -> None:
    world = await world_of(RESTART.replace("limits:", "when: ['a > 0', 'b > 0', 'c > 0'], limits:"))
    world.prometheus.holds = slowly(world, 2 * SECOND)  # type: ignore[assignment, method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert (len(world.cluster.calls), await charges(world)) == (1, 1)
    assert (await world.only())["state"] == "verifying"
    await world.journal.close()


async def given_back(world: World) -> None:
    """The first time that something begins, reading its object takes too long to write it."""
    observe, begin = world.cluster.observe, world.journal.begin
    slow = [True]

    async def begun(*arguments: Any) -> Any:
        answer = await begin(*arguments)
        if slow.pop() if slow else False:
            world.cluster.observe = too_long  # type: ignore[assignment, method-assign]
        return answer

    async def too_long(*arguments: Any) -> Any:
        world.cluster.observe = observe  # type: ignore[method-assign]
        world.clock.time += 6 * SECOND
        return await observe(*arguments)

    world.journal.begin = begun  # type: ignore[assignment, method-assign]


async def test_an_attempt_of_which_no_call_was_sent_is_not_charged() -> None:
    world = await world_of(RESTART)
    await given_back(world)
    world.leak()
    await world.deliver("Leak")
    await world.run(12 * SECOND)
    row = await world.only()
    assert (row["state"], row["acted"], await charges(world), world.cluster.calls) == (
        "queued",
        False,
        0,
        [],
    )
    await world.run(MINUTE)
    assert (len(world.cluster.calls), await charges(world)) == (1, 1)
    await world.journal.close()


async def test_an_approval_outlives_an_attempt_that_was_given_back() -> None:
    world = await world_of(ASK)
    await given_back(world)
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    row = await world.only()
    assert await world.journal.decide(row["id"], "", "ann", True, now=world.clock.now()) is None
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1
    assert [message["state"] for message in world.told.messages] == ["awaiting_approval"]
    await world.journal.close()


async def test_a_storm_of_many_workloads_is_one_message_and_one_end() -> None:
    world = await world_of(
        RESTART.replace(
            "limits: {attempts: 2/6h}",
            "limits: {attempts: 2/6h, in_flight: 50}, escalate: {to: [log], after: 5m}",
        )
    )
    names = [f"app{number}" for number in range(15)]
    for name in names:
        world.cluster.create_workload("Deployment", "shop", name, f"{name}:1", replicas=1)
        world.leak(name)
        await world.deliver("Leak", name)
    await world.run(75 * MINUTE, MINUTE)  # longer than any of them is held
    assert [message["state"] for message in world.told.messages] == ["storm"]
    assert world.told.messages[0]["members"][:2] == ["shop/app0", "shop/app1"]
    assert world.cluster.calls == []
    for name in names:
        await world.deliver("Leak", name, firing=False)
    await world.run(15 * MINUTE, MINUTE)
    (over,) = world.told.closed
    assert "storm over" in over["why"]
    assert "expired without acting" in over["why"]
    await world.journal.close()


async def test_the_proof_waits_for_the_alert_that_lasts_longest() -> None:
    heal = (
        "name: heal, match: ['alertname=~\"PodCrashLooping|PodRestartingOften\"'], steps: [{action:"
        " rollback_workload}]"
    )
    world = await world_of(heal)
    known = {
        "PodCrashLooping": {"query": "max_over_time(x[5m]) >= 1", "duration": 60},
        "PodRestartingOften": {"query": "increase(restarts[1h]) > 5", "duration": 0},
    }

    async def alerting_rule(name: str) -> Any:
        return known[name]

    world.prometheus.alerting_rule = alerting_rule  # type: ignore[assignment, method-assign]
    world.crash()
    await world.deliver("PodCrashLooping")
    await world.run(MINUTE)
    await world.deliver("PodRestartingOften")  # it joins later, and its look-back is an hour
    await world.run(MINUTE)
    await world.deliver("PodCrashLooping", firing=False)
    await world.run(50 * MINUTE, STEP)
    assert (await world.only())["state"] == "verifying"
    await world.deliver("PodRestartingOften", firing=False)
    await world.run(10 * MINUTE, STEP)
    assert (await world.only())["state"] == "succeeded"
    await world.journal.close()


SCALE = (
    "name: more, match: ['alertname=\"Slow\"'], steps: [{action: scale_workload, if: always, with:"
    " {by: 2}}]"
)


@pytest.mark.parametrize(
    ("rule", "alert", "writes"), [(RESTART, "Leak", 1), (SCALE, "Slow", 1), (ISOLATE, "Suspect", 2)]
)
async def test_a_conflict_that_answers_our_own_landed_write_is_no_reason_to_write_again(
    rule: str, alert: str, writes: int
) -> None:
    world = await world_of(rule)
    apply = world.cluster.apply

    async def sent_twice(call: Call, call_id: str, version: str, *more: Any) -> Any:
        answer = await apply(call, call_id, version, *more)
        if call.verb == "patch":
            # by the first of the two requests
            raise Conflict("cannot patch: it changed in the meantime")
        return answer

    world.cluster.apply = sent_twice  # type: ignore[assignment, method-assign]
    pod = (
        {"deployment": "", "pod": world.cluster.pods("shop", "web")[0]["metadata"]["name"]}
        if alert == "Suspect"
        else {}
    )
    world.leak()
    await world.deliver(alert, **pod)
    await world.run(MINUTE)
    assert ((await world.only())["state"], len(world.cluster.calls)) == ("verifying", writes)
    await world.journal.close()


async def test_an_object_whose_status_changes_all_the_time_can_be_written() -> None:
    world = await world_of(RESTART.replace("limits:", "when: ['a > 0'], limits:"))
    world.prometheus.holds = slowly(world, timedelta())  # type: ignore[assignment, method-assign]
    activity = world.alertmanager.activity

    async def meanwhile(*arguments: Any) -> Any:
        world.cluster.edit(
            "Deployment",
            "shop",
            "web",
            lambda obj: obj["status"].update(probed=str(world.clock.now())),
        )
        return await activity(*arguments)

    world.alertmanager.activity = meanwhile  # type: ignore[assignment, method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert ((await world.only())["state"], len(world.cluster.calls)) == ("verifying", 1)
    await world.journal.close()


async def test_a_restarted_statefulset_gets_rid_of_the_pod_that_is_stuck() -> None:
    text = (
        "name: restart, match: ['alertname=\"Leak\"'], steps: [{action: restart_workload, if:"
        " crash_loop, with: {allow_outage: true}}]"
    )
    world = World(rules(text))
    world.cluster.create_workload("StatefulSet", "shop", "db", "db:1")
    await world.start()
    stuck = world.cluster.pods("shop", "db")[2]["metadata"]
    live = world.cluster._controllers._live

    def broken(pods: Any, now: Any) -> None:
        live(pods, now)
        for pod in (pod for pod in pods if pod["metadata"]["uid"] == stuck["uid"]):
            pod["lively"] = False
            pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
            pod["status"]["containerStatuses"][0]["state"] = {
                "waiting": {"reason": "CrashLoopBackOff"}
            }

    world.cluster._controllers._live = broken  # type: ignore[method-assign]
    await world.run(5 * SECOND)
    await world.deliver("Leak", deployment="", statefulset="db")
    await world.run(2 * MINUTE)
    await world.deliver("Leak", deployment="", statefulset="db", firing=False)
    await world.run(10 * MINUTE)
    assert (await world.only())["state"] == "succeeded"
    assert [call.split(" ")[:2] for _, call in world.cluster.calls] == [
        ["PATCH", "StatefulSet/shop/db"],
        ["DELETE", f"Pod/shop/{stuck['name']}"],
    ]
    await world.journal.close()


async def test_three_suspected_pods_of_one_workload_are_isolated_at_once() -> None:
    world = World(rules(ISOLATE))
    world.cluster.create_workload("Deployment", "shop", "big", "big:1", replicas=12)
    await world.start()
    for pod in world.cluster.pods("shop", "big")[:3]:
        name = pod["metadata"]["name"]
        await world.deliver("Suspect", deployment="", pod=name, fingerprint=name)
    await world.run(MINUTE)
    patched = [call for _, call in world.cluster.calls if call.startswith("PATCH Pod")]
    assert len(patched) == 3
    await world.journal.close()


async def test_a_deployment_that_waits_for_decades_is_verified_no_longer_than_the_deadline() -> (
    None
):
    world = await world_of(ALWAYS)
    world.cluster.edit(
        "Deployment",
        "shop",
        "web",
        lambda obj: obj["spec"].update(progressDeadlineSeconds=2147483647),
    )
    await world.run(5 * SECOND)
    await world.deliver("Leak")
    await world.run(timedelta(seconds=10.5))
    world.cluster.crashing.add("web:1")  # the new pods do not come up
    await world.run(2 * HOUR, MINUTE)
    assert ((await world.only())["state"], (await world.only())["reason"]) == ("failed", "deadline")
    await world.journal.close()


async def test_a_pod_is_not_left_in_quarantine_for_ever_by_who_cancels() -> None:
    world = await world_of(ISOLATE)
    pod = world.cluster.pods("shop", "web")[0]["metadata"]["name"]
    await world.deliver("Suspect", deployment="", pod=pod)
    await world.run(MINUTE)
    row = await world.only()
    assert await world.journal.cancel(row["id"], "ann", world.clock.now()) is None
    await world.deliver("Suspect", deployment="", pod=pod, firing=False)
    await world.run(MINUTE)
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert (shown["state"], shown["undo_due_at"] is not None) == ("cancelled", True)
    await world.run(25 * HOUR, 10 * MINUTE)
    assert ("Pod", "shop", pod) not in world.cluster.objects
    await world.journal.close()


async def test_approval_of_one_plan_is_requested_once_however_the_replicas_change() -> None:
    world = await world_of(
        ALWAYS.replace("limits:", "mode: approve, escalate: {to: [log], after: 2h}, limits:")
    )
    await world.deliver("Leak")
    for minute in range(30):
        count = 5 + minute % 2
        counted = {"replicas": count}
        world.cluster.edit("Deployment", "shop", "web", lambda obj: obj["spec"].update(counted))
        await world.run(MINUTE, 5 * SECOND)
    assert Counter(message["state"] for message in world.told.messages) == {"awaiting_approval": 1}
    digest = world.told.messages[0]["digest"]
    assert (
        await world.journal.decide(
            (await world.only())["id"], digest, "ann", True, now=world.clock.now()
        )
        is None
    )
    await world.run(MINUTE, SECOND)
    assert len(world.cluster.calls) == 1
    await world.journal.close()


async def test_approval_of_one_plan_is_requested_once_even_if_alertmanager_answers_badly() -> None:
    world = await world_of(ASK.replace("limits:", "escalate: {to: [log], after: 2h}, limits:"))
    activity, asked = world.alertmanager.activity, [0]

    async def flapping(*arguments: Any) -> Activity:
        asked[0] += 1
        return Activity.UNKNOWN if asked[0] % 2 else await activity(*arguments)

    world.alertmanager.activity = flapping  # type: ignore[assignment, method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(30 * MINUTE, 5 * SECOND)
    assert len(world.told.messages) == 1
    await world.journal.close()


async def test_until_knows_the_root_and_not_the_pod() -> None:
    asked: list[str] = []
    text = (
        "name: isolate, match: ['alertname=\"Suspect\"'], target: object, steps: [{action:"
        " quarantine_pod, if: always, verify: {until: ['up{name=\"{{ root.name }}\"} > 0']}}]"
    )
    world = await world_of(text)

    async def holds(query: str) -> bool:
        asked.append(query)
        return True

    world.prometheus.holds = holds  # type: ignore[method-assign]
    await world.deliver(
        "Suspect", deployment="", pod=world.cluster.pods("shop", "web")[0]["metadata"]["name"]
    )
    await world.run(5 * MINUTE)
    assert set(asked) == {'up{name="web"} > 0'}
    await world.journal.close()


async def test_an_attempt_that_an_alert_joined_at_its_end_is_counted_once() -> None:
    world = await world_of(RESTART)
    write = world.journal.write
    joined = [False]

    async def late(remediation_: Any, decided: Any, tell: Any) -> Any:
        if isinstance(decided, End) and decided.unless_firing and not joined[0]:
            joined[0] = True
            await world.deliver("Leak", fingerprint="another")
            episodes = await world.journal.pending(world.clock.now())
            await world.engine.run_due.__self__._triage()  # type: ignore[attr-defined]
            assert episodes
        return await write(remediation_, decided, tell)

    world.journal.write = late  # type: ignore[assignment, method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    await world.deliver("Leak", firing=False)
    await world.run(8 * MINUTE)
    assert joined[0]
    await world.deliver("Leak", firing=False, fingerprint="another")
    await world.run(10 * MINUTE)
    assert (await world.only())["state"] == "succeeded"
    text = world.doors.metrics.render().decode()
    labels = 'action="restart_workload",outcome="succeeded",rule="restart"'
    assert f"remediator_attempts_total{{{labels}}} 1.0" in text
    assert 'remediator_verifications_total{result="succeeded",rule="restart"} 1.0' in text
    await world.journal.close()


async def test_an_alert_that_resolves_five_minutes_after_the_act_costs_few_looks() -> None:
    world = await world_of(RESTART)
    observe, looks = world.cluster.observe, [0]

    async def counted(*arguments: Any) -> Any:
        looks[0] += 1
        return await observe(*arguments)

    world.cluster.observe = counted  # type: ignore[assignment, method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(5 * MINUTE)
    await world.deliver("Leak", firing=False)
    await world.run(6 * MINUTE)
    assert ((await world.only())["state"], looks[0] <= 30) == ("succeeded", True), looks
    await world.journal.close()


@pytest.mark.parametrize(
    "broken",
    [
        {"rule_text": '{"escalate": {"to": ["log"]}, "steps": [{"if": ["gone"]}]}'},
        {"rule_text": '{"escalate": {"to": ["log"]}, "match": ["weird name=1"]}'},
    ],
)
async def test_people_hear_of_what_takes_too_long_whatever_cannot_be_read(
    broken: dict[str, str],
) -> None:
    world = await world_of(RESTART)
    await world.journal.pause("all", "a person looks", "me", None, now=world.clock.now())
    await world.deliver("Leak", "web")
    await world.deliver("Leak", "api")
    await world.run(MINUTE)
    with world.journal._engine.begin() as c:
        c.execute(sa.update(remediation).where(remediation.c.name == "api").values(**broken))
    await world.run(15 * MINUTE)
    told = {message["target"] for message in world.told.messages}
    assert told == {"Deployment/shop/web", "Deployment/shop/api"}
    await world.journal.close()


async def test_a_rule_whose_cause_is_no_longer_installed_is_still_read() -> None:
    world = await world_of(RESTART)
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    with world.journal._engine.begin() as c:
        text = (
            '{"escalate": {"to": ["log"]}, "steps": [{"action": "restart_workload", "if": ["x"]}]}'
        )
        c.execute(sa.update(remediation).values(rule_text=text))
    ident = (await world.only())["id"]
    assert await world.journal.cancel(ident, "me", world.clock.now()) is None
    await world.run(MINUTE)
    assert await world.states() == [("cancelled", "operator")]
    await world.journal.close()


async def test_a_row_that_cannot_be_read_is_put_aside_and_keeps_nobody_waiting() -> None:
    world = await world_of(RESTART)
    world.leak("api")
    await world.deliver("Leak", "api")
    await world.run(5 * SECOND)
    with world.journal._engine.begin() as c:
        c.execute(sa.update(remediation).values(rule_text="{not json"))
    broken = (await world.only())["id"]
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1
    shown = await world.journal._read(
        lambda c: c.execute(
            sa.text("SELECT remediation, kind FROM entry WHERE kind = 'unreadable'")
        ).all()
    )
    assert [tuple(row) for row in shown] == [(broken, "unreadable")]
    await world.journal.close()


@pytest.mark.parametrize("mode", ["observe", "act"])
async def test_an_alert_whose_end_nobody_delivers_does_not_stay_open(mode: str) -> None:
    world = await world_of(RESTART.replace("limits:", f"mode: {mode}, limits:"))
    world.leak()
    await world.deliver("Leak")
    world.alertmanager.silenced.add("Leak-web")
    await world.run(5 * MINUTE)
    world.alertmanager.silenced.clear()
    world.alertmanager._active.clear()  # it resolved while it was silenced: nothing is sent
    await world.run(10 * MINUTE)
    with world.journal._engine.connect() as c:
        assert [row.open for row in c.execute(sa.select(episode.c.open))] == [False]
    await world.journal.close()


@pytest.mark.parametrize(
    "answer",
    [Unreachable("the API server answered 429"), Unreachable("the API server answered 503")],
)
async def test_an_attempt_ends_although_every_write_is_refused(answer: Unreachable) -> None:
    world = await world_of(RESTART)

    async def busy(*_: Any) -> Any:
        raise answer

    world.cluster.apply = busy  # type: ignore[assignment, method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(3 * HOUR, MINUTE)
    row = await world.only()
    assert (row["state"], row["reason"]) == ("failed", "deadline")
    assert str(answer) in row["why"]
    await world.journal.close()


def secretive(plan: Any) -> Any:
    """The plan with a second call that carries a secret."""
    body = {"spec": {"env": [{"name": "DATABASE_URL", "value": "hunter2"}]}}
    return replace(
        plan,
        calls=(*plan.calls, Call("create", Target("default", "NetworkPolicy", "shop", "x"), body)),
    )


def with_a_secret(declared: bool) -> ActionSpec:
    """A restart that makes one call more, which it declares or not."""
    made = ACTIONS["restart_workload"]
    more = {("create", NETWORK_POLICY, "")} if declared else set()
    return replace(
        made,
        plan=lambda *given: secretive(made.plan(*given)),
        calls=made.calls | more,
    )


async def test_a_call_that_its_action_does_not_declare_is_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ACTIONS, "restart_workload", with_a_secret(False))
    world = await world_of(ALWAYS)
    await world.deliver("Leak")
    await world.run(5 * MINUTE)
    assert not [call for _, call in world.cluster.calls if "NetworkPolicy" in call]
    row = await world.only()
    assert (row["state"], row["reason"]) == ("failed", "forbidden")
    assert row["why"] == "restart_workload does not declare the right to create a NetworkPolicy"
    await world.journal.close()


def test_what_was_stored_without_its_secrets_is_known_not_to_be_whole() -> None:
    pod = Target("c", "Deployment", "shop", "web", "u")
    plain = Call("patch", pod, ({"op": "add", "path": "/x", "value": 1},))
    hidden = Call(
        "patch", pod, ({"op": "add", "path": "/env", "value": [{"name": "A", "value": "hunter2"}]},)
    )
    assert call_from_json(call_to_json(plain)).whole
    again = call_from_json(call_to_json(hidden))
    assert not again.whole
    assert not call_from_json(call_to_json(again)).whole


async def test_a_call_that_was_stored_without_its_secrets_is_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ACTIONS, "restart_workload", with_a_secret(True))
    world = await world_of(ALWAYS)
    apply, sent = world.cluster.apply, []

    async def lost(call: Call, *more: Any) -> Any:
        sent.append(str(call.body))
        if "DATABASE_URL" in sent[-1]:
            raise Unreachable("no answer")
        return await apply(call, *more)

    world.cluster.apply = lost  # type: ignore[assignment, method-assign]
    await world.deliver("Leak")
    await world.run(5 * MINUTE)
    assert not any("(redacted)" in body for body in sent)
    row = await world.only()
    assert (row["state"], "without its secret values" in row["why"]) == ("unknown", True)
    await world.journal.close()


def test_a_further_call_that_no_bound_names_is_refused() -> None:
    world_plan = from_json(
        {
            "action": "restart_workload",
            "target": {
                "cluster": "c",
                "kind": "StatefulSet",
                "namespace": "shop",
                "name": "db",
                "uid": "u",
            },
            "parameters": {},
            "calls": [],
            "assumptions": {},
            "locks": [],
            "summary": "",
            "previous": {},
            "before": {},
            "writes": [],
            "converged_within": 1,
            "bounds": {"delete Pod": 1},
            "beside": None,
        }
    )
    pod = Call("delete", Target("c", "Pod", "shop", "db-0", "p"))
    policy = Call("delete", Target("c", "NetworkPolicy", "shop", "deny", "n"))
    assert execute._beyond(world_plan, (pod,)) == ""
    assert "delete Pod at most 1 times" in execute._beyond(world_plan, (pod, pod))
    assert "delete NetworkPolicy" in execute._beyond(world_plan, (policy,))
    assert "delete Pod" in execute._beyond(replace(world_plan, bounds=()), (pod,))


@pytest.mark.parametrize(
    ("kind", "namespace", "name"), [("Service", "shop", "front"), ("Node", "", "node-1")]
)
async def test_what_a_kind_has_not_is_unknown_and_not_empty(
    kind: str, namespace: str, name: str
) -> None:
    world = await world_of(RESTART)
    world.cluster.create_service("shop", "front", {"app": "web"})
    facts = await world.cluster.observe(
        Target("default", kind, namespace, name),
        False,
        frozenset(SIGHTS.values()),
        world.clock.now(),
    )
    for name in ("pods", "revisions", "peers", "isolation"):
        assert isinstance(facts[SIGHTS[name]], Unknown)
    await world.journal.close()


async def test_a_service_is_no_workload_and_not_its_own_owner() -> None:
    world = await world_of(
        "name: q, match: ['alertname=\"X\"'], target: object, steps: [{action: restart_workload,"
        " if: always}]"
    )
    world.cluster.create_service("shop", "front", {"app": "web"})
    await world.deliver("X", deployment="", service="front")
    await world.run(30 * SECOND)
    row = await world.only()
    assert (row["state"], row["reason"]) == ("blocked", "unsupported_target")
    assert "Service/shop/front is not a " in row["why"]
    await world.journal.close()


async def test_a_literal_pod_is_this_one_and_not_its_workload() -> None:
    world = await world_of(
        "name: r, match: ['alertname=\"X\"'], target: {kind: Pod, namespace: shop, name: '{{"
        " labels.pod }}'}, steps: [{action: quarantine_pod, if: always}]"
    )
    name = world.cluster.pods("shop", "web")[0]["metadata"]["name"]
    await world.deliver("X", pod=name)
    await world.run(MINUTE)
    row = await world.only()
    assert (row["state"], row["target"]) == ("verifying", f"Pod/shop/{name}")
    await world.journal.close()


async def test_a_silence_that_comes_while_it_is_looked_at_still_holds() -> None:
    world = await world_of(RESTART)
    observe = world.cluster.observe

    async def meanwhile(*arguments: Any) -> Any:
        world.alertmanager.silenced.add("Leak-web")
        return await observe(*arguments)

    world.leak()
    await world.deliver("Leak")
    world.cluster.observe = meanwhile  # type: ignore[assignment, method-assign]
    await world.run(MINUTE)
    assert (await world.states(), world.cluster.calls) == ([("held", "silenced")], [])
    await world.journal.close()


async def test_nobody_is_paged_for_a_rule_that_only_observes() -> None:
    world = await world_of(RESTART.replace("limits:", "mode: observe, expire: 10m, limits:"))
    await world.deliver("Leak", "nowhere")  # a target that does not exist is waited for
    await world.run(3 * HOUR, MINUTE)
    assert (await world.only())["state"] == "expired"
    assert world.told.messages == []
    await world.journal.close()


async def test_why_not_is_counted_once_and_not_at_every_look() -> None:
    world = await world_of(ASK)
    world.leak()
    await world.deliver("Leak")
    await world.run(20 * MINUTE, STEP)
    text = world.doors.metrics.render().decode()
    line = next(
        line
        for line in text.splitlines()
        if line.startswith("remediator_verdicts_total{") and "approval_required" in line
    )
    assert line.endswith(" 1.0")
    await world.journal.close()


async def test_messages_say_which_cluster() -> None:
    world = await world_of(ASK)
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert world.told.messages[0]["cluster"] == "default"
    await world.journal.close()


async def test_an_observing_rule_says_whether_it_would_have_acted() -> None:
    world = await world_of(RESTART.replace("limits:", "mode: observe, limits:"))
    world.leak()
    await world.deliver("Leak")
    await world.deliver("Leak", "api")  # which is well: there is nothing to do
    await world.run(MINUTE)
    assert sorted(await world.states(), key=str) == [
        ("observed", "no_cause"),
        ("observed", "observe_mode"),
    ]
    record = (await world.journal.record(["restart"]))["restart"]
    assert (record["would"], record["idle"], record["against"]) == (1, 1, {"no_cause": 1})
    await world.journal.close()


async def test_a_window_is_counted_from_when_the_trouble_began() -> None:
    """KubeContainerWaiting waits for an hour before it fires, and its
    rule blames releases of the last hour.
    """
    text = (
        "name: back, match: ['alertname=\"Waiting\"'], steps: [{action: rollback_workload, with:"
        " {changed_within: 1h}}]"
    )
    world = await world_of(text)

    async def alerting_rule(_name: str) -> Any:
        return {"query": "x > 0", "duration": 3600}

    world.prometheus.alerting_rule = alerting_rule  # type: ignore[assignment, method-assign]
    world.crash()
    await world.run(61 * MINUTE, MINUTE)
    await world.deliver("Waiting")
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1
    await world.journal.close()


def test_the_sending_of_a_call_reads_its_object_last() -> None:
    """What is asked of others comes before the read whose version the write carries."""
    names = send.apply.__code__.co_names
    assert names.index("object_of") < names.index("_write")


async def test_the_lease_is_kept_while_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from remediator.engine import worker

    monkeypatch.setattr(worker, "LEASE", timedelta(seconds=0.3))
    world = await world_of(RESTART)
    observe, renewed = world.cluster.observe, [0]
    renew = world.journal.renew

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(0.5)
        return await observe(*arguments)

    async def kept(*arguments: Any) -> None:
        renewed[0] += 1
        await renew(*arguments)

    world.leak()
    await world.deliver("Leak")
    world.clock.time += 11 * SECOND
    world.cluster.observe, world.journal.renew = slow, kept  # type: ignore[assignment, method-assign]
    await world.engine._triage()
    assert await worker.run_one(world.doors, world.clock.now())
    assert renewed[0] >= 2
    await world.journal.close()


async def test_the_attempt_of_an_unsent_write_is_kept_in_the_history() -> None:
    world = await world_of(RESTART)
    await given_back(world)
    world.leak()
    await world.deliver("Leak")
    await world.run(12 * SECOND)
    with world.journal._engine.connect() as c:
        assert [row.outcome for row in c.execute(sa.select(attempt.c.outcome))] == ["cancelled"]
    await world.journal.close()
