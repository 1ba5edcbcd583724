"""set_resources: more memory for what was killed for it, in the template or in place, within a cap.

And back.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from remediator import causes
from remediator.actions import ACTIONS
from remediator.actions.resizing import RESIZED_WITHIN, resize
from remediator.actions.set_resources import verify
from remediator.cluster import controllers
from remediator.model.call import STAMP, Evidence
from remediator.model.cause import Cause
from remediator.model.facts import Facts, Unknown
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.pointer import TEMPLATE, at, put
from remediator.model.raw import ready
from remediator.model.verdict import Reason
from remediator.sights.pods import PODS
from tests.integration.world import World, rules
from tests.unit import objects
from tests.unit.actions.samples import Sample
from tests.unit.objects import HOUR, MINUTE, WEB, facts, pod

SECOND = timedelta(seconds=1)

GIVE = ACTIONS["set_resources"]
LIMIT = "/spec/template/spec/containers/0/resources/limits/memory"
REQUEST = "/spec/template/spec/containers/0/resources/requests/memory"
POD_LIMIT = "/spec/containers/0/resources/limits/memory"
KILLED = (Cause("oom_killed", "out of memory", {"containers": ["web-0/app"]}),)
IN_PLACE = {"in_place": True}


def limited(
    limit: str | None = "256Mi", request: str | None = None, kind: str = "Deployment"
) -> Any:
    made = objects.workload(kind)
    resources = {
        **({"limits": {"memory": limit}} if limit else {}),
        **({"requests": {"memory": request}} if request else {}),
    }
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    return made


def running(name: str, limit: str = "256Mi", actual: str = "", **status: Any) -> dict[str, Any]:
    made = pod(name)
    made["metadata"] |= {"namespace": "shop", "generation": 1}
    resources = {"limits": {"memory": limit}}
    made["spec"] = {"containers": [{"name": "app", "resources": resources}]}
    shown = {"limits": {"memory": actual or limit}}
    made["status"]["containerStatuses"][0]["resources"] = shown
    made["status"] |= status
    return made


def seen(obj: Any = None, pods: tuple[Any, ...] | None = None) -> Facts:
    there = (running("web-0"), running("web-1")) if pods is None else pods
    return facts(obj or limited(), pods=there)


def planned(there: Facts, found: tuple[Cause, ...] = KILLED, **parameters: Any) -> Plan | Refusal:
    return GIVE.plan(there, GIVE.params(**parameters), found)


def plan_of(there: Facts, **parameters: Any) -> Plan:
    plan = planned(there, **parameters)
    assert isinstance(plan, Plan), plan
    return plan


def refused(there: Facts, found: tuple[Cause, ...] = KILLED, **parameters: Any) -> Reason:
    answer = planned(there, found, **parameters)
    assert isinstance(answer, Refusal)
    return answer.reason


def rolled_out(plan: Plan) -> Facts:
    """The workload once its template was patched by the call `x`."""
    obj = put(limited(), {LIMIT: "320Mi"})
    obj["metadata"]["annotations"] = {STAMP: "x"}
    return seen(obj)


def resized(plan: Plan) -> Facts:
    return seen(pods=(running("web-0", "320Mi"), running("web-1", "320Mi")))


def stuck() -> dict[str, Any]:
    made = running("web-2")
    made["metadata"]["labels"] = {"controller-revision-hash": "bad"}
    made["status"]["conditions"] = []
    return made


SAMPLES = [
    *(
        Sample(seen(limited(kind=kind)), seen(limited(kind=kind), (stuck(),)), causes=KILLED)
        for kind in ("Deployment", "StatefulSet", "DaemonSet")
    ),
    Sample(seen(), after=resized, causes=KILLED, params=IN_PLACE),
]


def test_set_resources_raises_the_limit_of_what_was_killed() -> None:
    plan = plan_of(seen())
    (call,) = plan.calls
    assert {"op": "replace", "path": LIMIT, "value": "320Mi"} in call.body
    assert call.leaves[TEMPLATE] == at(put(limited(), {LIMIT: "320Mi"}), TEMPLATE)
    assert plan.previous == {LIMIT: "256Mi"}
    assert plan.summary == "raise the limits of Deployment/shop/web: app memory from 256Mi to 320Mi"
    (touch,) = plan.touches
    assert touch.paths == (LIMIT,)
    assert touch.successor == at(put(limited(), {LIMIT: "320Mi"}), "/spec/template")


def test_a_request_that_was_equal_stays_equal_and_any_other_as_it_is() -> None:
    equal = plan_of(seen(limited(request="256Mi")))
    assert equal.previous == {LIMIT: "256Mi", REQUEST: "256Mi"}
    assert plan_of(seen(limited(request="128Mi"))).previous == {LIMIT: "256Mi"}


@pytest.mark.parametrize(
    ("limit", "parameters", "expected"),
    [
        ("256Mi", {"by": "100%"}, "512Mi"),
        ("1Gi", {}, "1280Mi"),
        ("1900Mi", {}, "2Gi"),
        ("100M", {}, "120Mi"),
        ("512Ki", {}, "640Ki"),
    ],
)
def test_how_much_it_gives(limit: str, parameters: dict[str, Any], expected: str) -> None:
    (call,) = plan_of(seen(limited(limit)), **parameters).calls
    assert {"op": "replace", "path": LIMIT, "value": expected} in call.body


@pytest.mark.parametrize(
    "parameters", [{"by": "25"}, {"by": "0%"}, {"by": "+5%"}, {"at_most": "much"}]
)
def test_bad_parameters_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GIVE.params(**parameters)


def test_it_gives_nothing_where() -> None:
    assert refused(seen(limited("2Gi"))) is Reason.AT_CEILING
    assert refused(seen(limited(None))) is Reason.UNSUPPORTED_TARGET
    assert refused(seen(), ()) is Reason.NO_CAUSE
    other = (Cause("oom_killed", "", {"containers": ["web-0/sidecar"]}),)
    assert refused(seen(), other) is Reason.NO_CAUSE
    loops = (Cause("crash_loop", "", {"containers": {"web-0/app": 4}}),)
    assert refused(seen(), loops) is Reason.NO_CAUSE
    single = limited()
    single["spec"] |= {"replicas": 1, "strategy": {"type": "Recreate"}}
    assert refused(seen(single)) is Reason.WOULD_INTERRUPT
    assert plan_of(seen(single), allow_outage=True)
    assert refused(replace(seen(), object=None)) is Reason.TARGET_GONE


def next_of(plan: Plan, *pods: Any) -> list[str]:
    """The pods that are resized next, given these."""
    assert GIVE.next is not None
    return [call.target.name for call in GIVE.next(plan, (), seen(pods=pods))]


def test_in_place_every_running_pod_is_resized_and_none_taken_away() -> None:
    leaving = running("web-9")
    leaving["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    others = (running("web-1"), running("web-2"), leaving)
    plan = plan_of(seen(pods=(running("web-0"), *others)), in_place=True)
    assert [(call.target.name, call.subresource) for call in plan.calls] == [("web-0", "resize")]
    assert dict(plan.calls[0].leaves) == {POD_LIMIT: "320Mi"}
    assert not plan.takes
    assert next_of(plan, running("web-0", "320Mi", "256Mi"), *others) == []
    assert next_of(plan, running("web-0", "320Mi"), *others) == ["web-1", "web-2"]


@pytest.mark.parametrize(
    ("victim", "first", "later"), [("web-2", "web-2", ["web-1"]), ("web-0", "web-0", [])]
)
def test_in_place_what_has_what_the_killed_pod_had_is_resized(
    victim: str, first: str, later: list[str]
) -> None:
    pods = [running("web-0", "384Mi"), running("web-1"), running("web-2")]
    cause = Cause("oom_killed", "out of memory", {"containers": [f"{victim}/app"]})
    plan = planned(seen(pods=tuple(pods)), (cause,), in_place=True)
    assert isinstance(plan, Plan)
    assert [call.target.name for call in plan.calls] == [first]
    assert str(plan.bounds[0]) == f"PATCH Pod, if needed, at most {1 + len(later)} times"
    done = running(first, str(plan.calls[0].leaves[POD_LIMIT]))
    others = [made for made in pods if made["metadata"]["name"] != first]
    assert next_of(plan, done, *others) == later


def test_an_approval_is_for_one_order_whether_pods_are_ready_or_not() -> None:
    down = running("web-0", conditions=[])
    plans = [
        plan_of(seen(pods=(one, running("web-1"))), in_place=True)
        for one in (down, running("web-0"))
    ]
    assert plans[0].digest == plans[1].digest


def test_what_serves_is_resized_last() -> None:
    plan = plan_of(seen(pods=tuple(restarting(f"web-{n}") for n in range(3))), in_place=True)
    left = (restarting("web-1"), restarting("web-2", conditions=[]))
    assert next_of(plan, restarting("web-0", "320Mi"), *left) == ["web-2"]
    assert plan.converged_within == 3 * RESIZED_WITHIN


def test_undoing_a_resize_never_restarts_several_pods_at_once() -> None:
    pods = tuple(restarting(f"web-{n}") for n in range(2))
    for outage in (False, True):
        plan = plan_of(seen(pods=pods), in_place=True, allow_outage=outage)
        both = replace(plan, calls=tuple(resize(WEB, made, *changed(plan)) for made in pods))
        after = seen(pods=tuple(restarting(f"web-{n}", "320Mi") for n in range(2)))
        assert GIVE.undo is not None
        assert isinstance(GIVE.undo(both, (), after), Plan) == outage


def changed(plan: Plan) -> tuple[Any, Any]:
    """The amounts before and after."""
    return plan.calls[0].assumes, plan.calls[0].leaves


def restarting(name: str, limit: str = "256Mi", **more: Any) -> dict[str, Any]:
    made = running(name, limit, **more)
    policy = {"resourceName": "memory", "restartPolicy": "RestartContainer"}
    made["spec"]["containers"][0]["resizePolicy"] = [policy]
    return made


def test_in_place_containers_are_restarted_in_one_pod_after_the_other() -> None:
    pods = (restarting("web-0"), restarting("web-1"), restarting("web-2"))
    plan = plan_of(seen(pods=pods), in_place=True)
    assert (len(plan.calls), plan.takes) == (1, 1)
    back = restarting("web-0", "320Mi")
    down = {**back, "status": {**back["status"], "conditions": []}}
    assert next_of(plan, down, *pods[1:]) == []
    assert verify(plan, (), seen(pods=(down,))).how is Verified.WAITING
    assert next_of(plan, back, *pods[1:]) == ["web-1"]


def test_more_pods_than_were_planned_are_not_resized() -> None:
    plan = plan_of(seen(pods=(running("web-0"), running("web-1"))), in_place=True)
    more = (running("web-1"), running("web-2"), running("web-3"))
    assert next_of(plan, running("web-0", "320Mi"), *more) == ["web-1"]


def test_pods_that_have_ended_are_not_resized() -> None:
    there = seen(pods=(running("web-0"), running("web-1", phase="Failed")))
    assert [call.target.name for call in plan_of(there, in_place=True).calls] == ["web-0"]


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ((running("web-0", "320Mi"), running("web-1", "320Mi")), Verified.CONVERGED),
        ((running("web-0", "320Mi", "256Mi"), running("web-1", "320Mi")), Verified.WAITING),
        ((running("web-0", "320Mi"),), Verified.CONVERGED),  # the other was replaced since
        ((running("web-0", "512Mi"), running("web-1", "320Mi")), Verified.OVERTAKEN),
        ((), Verified.OVERTAKEN),
        (
            (
                running(
                    "web-0",
                    "320Mi",
                    "256Mi",
                    conditions=[{"type": "PodResizePending", "reason": "Infeasible"}],
                ),
            ),
            Verified.FAILED,
        ),
    ],
)
def test_the_kubelet_decides_whether_a_resize_is_done(pods: Any, expected: Verified) -> None:
    plan = plan_of(seen(), in_place=True)
    assert verify(plan, (), seen(pods=pods)).how is expected
    assert verify(plan, (), seen().saw(PODS, Unknown("timeout"))) == Seen(Verified.UNKNOWN)


def test_the_amounts_of_before_are_put_back_where_ours_still_stand() -> None:
    assert GIVE.undo is not None
    plan = plan_of(seen())
    sent = (Evidence(200, "x", dict(plan.calls[0].leaves)),)
    back = GIVE.undo(plan, sent, rolled_out(plan))
    assert isinstance(back, Plan)
    assert {"op": "replace", "path": LIMIT, "value": "256Mi"} in back.calls[0].body
    theirs = GIVE.undo(plan, sent, seen())
    assert isinstance(theirs, Refusal)
    assert theirs.reason is Reason.ASSUMPTION_CHANGED
    placed = plan_of(seen(), in_place=True)
    assert GIVE.next is not None
    more = GIVE.next(placed, (), seen(pods=(running("web-0", "320Mi"), running("web-1"))))
    both = replace(placed, calls=(*placed.calls, *more))
    smaller = GIVE.undo(both, (), resized(both))
    assert isinstance(smaller, Plan)
    assert [dict(call.leaves) for call in smaller.calls] == [{POD_LIMIT: "256Mi"}] * 2
    assert isinstance(GIVE.undo(placed, (), seen(pods=(running("new"),))), Refusal)


RULE = (
    "name: give, match: ['alertname=\"Leak\"'], limits: {blast_radius: 100%},"
    " steps: [{action: set_resources, with: {WITH}}]"
)


async def leaking(given: str, **container: Any) -> World:
    """A world whose pods are killed for their memory, and an alert of it that fires."""
    world = World(rules(RULE.replace("WITH", given)))

    def limit(obj: Any) -> None:
        made = {"resources": {"limits": {"memory": "256Mi"}}, **container}
        obj["spec"]["template"]["spec"]["containers"][0] |= made

    world.cluster.edit("Deployment", "shop", "web", limit)
    await world.start()
    await world.run(3 * HOUR, MINUTE)
    world.leak()
    await world.deliver("Leak")
    return world


async def world_of(given: str, **container: Any) -> World:
    world = await leaking(given, **container)
    await world.run(2 * MINUTE)
    await world.deliver("Leak", firing=False)
    await world.run(20 * MINUTE)
    return world


POLICY = {"resourceName": "memory", "restartPolicy": "RestartContainer"}


def limits(world: World) -> list[Any]:
    return [at(made, POD_LIMIT) for made in world.cluster.pods("shop", "web")]


async def test_a_workload_is_given_more_and_its_pods_are_replaced() -> None:
    world = await world_of("by: 50%")
    assert at(world.cluster.objects["Deployment", "shop", "web"], LIMIT) == "384Mi"
    limits = {at(made, POD_LIMIT) for made in world.cluster.pods("shop", "web")}
    assert limits == {"384Mi"}
    assert (await world.only())["state"] == "succeeded"
    await world.journal.close()


async def test_in_place_its_pods_are_given_more_and_stay() -> None:
    world = await world_of("by: 50%, in_place: true")
    assert at(world.cluster.objects["Deployment", "shop", "web"], LIMIT) == "256Mi"
    assert limits(world) == ["384Mi"] * 3
    assert len(world.cluster.calls) == 3
    assert (await world.only())["state"] == "succeeded"
    await world.journal.close()


async def test_in_place_a_restart_waits_until_the_pod_before_is_ready_again() -> None:
    world = await world_of("by: 50%, in_place: true", resizePolicy=[POLICY])
    known = await world.journal.known((await world.only())["id"])
    assert known is not None
    assert (limits(world), len(world.cluster.calls)) == (["384Mi"] * 3, 3)
    assert [attempt.number for attempt in known.claim.attempts] == [1]
    further = [line.at for line in known.history if line.text == "further calls"]
    assert len(further) == 2
    assert further[1] - further[0] >= controllers.START
    await world.journal.close()


async def test_an_alert_that_resolves_after_the_first_pod_was_helped() -> None:
    world = await leaking("by: 50%, in_place: true", resizePolicy=[POLICY])
    await world.run(11 * SECOND, SECOND)
    await world.deliver("Leak", firing=False)
    await world.run(20 * MINUTE)
    states, calls = await world.states(), len(world.cluster.calls)
    await world.journal.close()
    assert (states, calls) == ([("succeeded", None)], 1)


async def test_a_pause_between_two_pods_is_waited_for() -> None:
    world = await leaking("by: 50%, in_place: true", resizePolicy=[POLICY])
    await world.run(11 * SECOND, SECOND)
    await world.journal.pause("all", "look", "ann", None, now=world.clock.now())
    await world.run(9 * MINUTE, 10 * SECOND)
    assert limits(world) == ["384Mi", "256Mi", "256Mi"]
    await world.journal.resume("all", "ann", world.clock.now())
    await world.run(2 * MINUTE, SECOND)
    assert limits(world) == ["384Mi"] * 3
    assert await world.states() == [("verifying", None)]
    await world.journal.close()


async def test_pods_that_are_slow_to_start_are_waited_for_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controllers, "START", 4 * MINUTE)
    world = await leaking("by: 50%, in_place: true", resizePolicy=[POLICY])
    unready = []
    for _ in range(14):
        await world.run(MINUTE, 10 * SECOND)
        unready.append(sum(not ready(made) for made in world.cluster.pods("shop", "web")))
    assert (limits(world), max(unready)) == (["384Mi"] * 3, 1)
    assert await world.states() == [("verifying", None)]
    await world.journal.close()


def test_the_cause_names_its_containers_as_the_action_reads_them() -> None:
    killed = pod("web-0", lastState={"terminated": {"reason": "OOMKilled"}})
    (found,) = causes.find(facts(limited(), pods=(killed,), revisions=()))
    assert isinstance(planned(seen(), (found,)), Plan)
