"""scale_workload: steps and caps, the HPA, what others own, and the way back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from remediator.actions import ACTIONS
from remediator.model.call import MAX_REPLICAS, STAMP, Effect, effect
from remediator.model.facts import Facts, Unknown
from remediator.model.past import Past, PastAct
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.pointer import ANNOTATIONS, MIN_REPLICAS, REPLICAS
from remediator.model.remediation import Outcome
from remediator.model.verdict import Reason
from remediator.sights.autoscaler import AUTOSCALER
from tests.unit import objects
from tests.unit.actions.samples import Sample, autoscaler
from tests.unit.objects import T, facts, pod

SCALE = ACTIONS["scale_workload"]


def alone(obj: dict[str, Any] | None = None, **more: Any) -> Facts:
    """Deployment web without an HPA."""
    return facts(obj, **{"autoscaler": None, **more})


def counted(seen: Facts) -> Callable[[Plan], Facts]:
    """The facts once the plan's count is set: the workload's own, or its HPA's least one."""

    def after(plan: Plan) -> Facts:
        (count,) = plan.calls[0].leaves.values()
        if seen[AUTOSCALER]:
            return seen.saw(AUTOSCALER, autoscaler(count))
        assert isinstance(seen.object, dict)
        obj = {**seen.object, "spec": {**seen.object["spec"], "replicas": count}}
        return replace(seen, object=obj)

    return after


SEEN = [
    alone(objects.workload("Deployment")),
    alone(objects.workload("StatefulSet")),
    facts(autoscaler=autoscaler()),
]
SAMPLES = [Sample(seen, after=counted(seen)) for seen in SEEN]


def planned(seen: Facts, **parameters: Any) -> Plan:
    answer = SCALE.plan(seen, SCALE.params(**parameters), ())
    assert isinstance(answer, Plan), answer
    return answer


def refused(seen: Facts, **parameters: Any) -> Refusal:
    answer = SCALE.plan(seen, SCALE.params(**parameters), ())
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize(
    ("present", "parameters", "wanted"),
    [
        (3, {}, 5), (1, {}, 2), (4, {"by": 2}, 6), (3, {"by": "100%"}, 6), (3, {"to": 8}, 8),
        (8, {"by": 5}, 10), (8, {"by": 5, "at_most": 20}, 13),
    ],
)  # fmt: skip
def test_scale_workload_takes_a_step_within_its_cap(
    present: int, parameters: dict[str, Any], wanted: int
) -> None:
    plan = planned(alone(objects.workload(replicas=present)), **parameters)
    (call,) = plan.calls
    assert (call.subresource, dict(call.leaves)) == ("scale", {REPLICAS: wanted})
    assert call.body == ({"op": "replace", "path": "/spec/replicas", "value": wanted},)
    assert plan.previous == {REPLICAS: present}
    assert plan.summary == f"scale Deployment/shop/web from {present} to {wanted} replicas"


def test_an_hpa_is_given_a_higher_least_count_instead() -> None:
    plan = planned(facts(autoscaler=autoscaler(least=2, most=8)), by=2)
    (call,) = plan.calls
    assert (call.target.kind, call.subresource, dict(call.assumes), dict(call.leaves)) == (
        "HorizontalPodAutoscaler", "", {MIN_REPLICAS: 2, ANNOTATIONS: None}, {MIN_REPLICAS: 5},
    )  # fmt: skip
    assert (plan.previous, call.seen) == ({MIN_REPLICAS: 2}, 50)
    assert [touch.paths for touch in plan.touches] == [(), (MIN_REPLICAS,)]
    assert call.target.key in plan.locks
    assert plan.target.key in plan.locks


@pytest.mark.parametrize(
    ("seen", "parameters", "reason", "words"),
    [
        (alone(objects.workload(replicas=10)), {}, Reason.AT_CEILING, "`at_most` allows 10"),
        (alone(objects.workload(replicas=5)), {"to": 4}, Reason.AT_CEILING, "`to` allows 4"),
        (
            facts(objects.workload(replicas=8), autoscaler=autoscaler(most=8)),
            {},
            Reason.AT_CEILING,
            "maxReplicas of its HPA",
        ),
        (alone(objects.workload(replicas=0)), {}, Reason.SCALED_TO_ZERO, "scaled to zero"),
        (
            alone(objects.workload("DaemonSet")),
            {},
            Reason.UNSUPPORTED_TARGET,
            "is not a Deployment or StatefulSet",
        ),
        (facts(autoscaler=Unknown("RBAC")), {}, Reason.UNKNOWN_FACT, "whether an HPA scales"),
    ],
)
def test_what_is_not_scaled(
    seen: Facts, parameters: dict[str, Any], reason: Reason, words: str
) -> None:
    answer = refused(seen, **parameters)
    assert answer.reason is reason
    assert words in answer.why


def test_an_annotation_caps_it_and_an_unreadable_one_refuses() -> None:
    obj = objects.workload()
    obj["metadata"]["annotations"] = {MAX_REPLICAS: "4"}
    assert planned(alone(obj), by=5).calls[0].leaves == {REPLICAS: 4}
    obj["metadata"]["annotations"] = {MAX_REPLICAS: "many"}
    assert refused(alone(obj)).reason is Reason.OPTED_OUT
    namespace = {"metadata": {"name": "shop", "annotations": {MAX_REPLICAS: "3"}}}
    assert refused(replace(alone(), namespace=namespace)).reason is Reason.AT_CEILING


def test_no_more_pods_where_those_that_are_asked_for_do_not_come() -> None:
    waiting = pod("web-9", ready=False)
    waiting["status"]["conditions"].append(
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    )
    assert refused(alone(pods=(waiting,))).reason is Reason.NO_HEADROOM
    obj = objects.workload()
    obj["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    ]
    answer = refused(alone(obj))
    assert answer.reason is Reason.NO_HEADROOM
    assert "exceeded quota" in answer.why


@pytest.mark.parametrize(
    "bad", [{"by": "lots"}, {"by": 0}, {"by": "0%"}, {"by": 2, "to": 5}, {"to": 0}, {"at_most": 0}]
)
def test_a_step_that_is_none_is_refused_at_loading(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SCALE.params.model_validate(bad)


def scaled(seen: Facts, count: int, available: int | None = None) -> Facts:
    """The Deployment with another count, which we were the last to set."""
    obj = objects.workload(replicas=count)
    obj["metadata"]["managedFields"] = [
        {"manager": "remediator", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]
    obj["status"]["availableReplicas"] = count if available is None else available
    return replace(seen, object=obj)


def test_it_converges_when_so_many_are_available_and_is_overtaken_by_another_count() -> None:
    seen = alone()
    plan = planned(seen, by=2)
    assert SCALE.verify(plan, (), scaled(seen, 5)) == Seen(Verified.CONVERGED)
    assert SCALE.verify(plan, (), scaled(seen, 5, 4)) == Seen(Verified.WAITING)
    assert SCALE.verify(plan, (), scaled(seen, 4)) == Seen(Verified.OVERTAKEN)
    assert SCALE.verify(plan, (), replace(seen, object=None)) == Seen(Verified.OVERTAKEN)
    assert SCALE.verify(plan, (), replace(seen, object=Unknown("down"))) == Seen(Verified.UNKNOWN)
    through = planned(facts(autoscaler=autoscaler()), by=2)
    raised = scaled(seen, 5).saw(AUTOSCALER, autoscaler(least=5))
    assert SCALE.verify(through, (), raised) == Seen(Verified.CONVERGED)
    assert SCALE.verify(through, (), raised.saw(AUTOSCALER, None)) == Seen(Verified.OVERTAKEN)


def test_the_count_of_before_is_put_back_only_where_ours_still_stands() -> None:
    assert SCALE.undo is not None
    seen = alone()
    plan = planned(seen, by=2)
    back = SCALE.undo(plan, (), scaled(seen, 5))
    assert isinstance(back, Plan)
    assert (back.calls[0].assumes[REPLICAS], dict(back.calls[0].leaves)) == (5, {REPLICAS: 3})
    for changed, reason in (
        (scaled(seen, 6), Reason.ASSUMPTION_CHANGED),
        # the same count, set by others
        (replace(seen, object=objects.workload(replicas=5)), Reason.ASSUMPTION_CHANGED),
        (replace(seen, object=None), Reason.TARGET_GONE),
        (scaled(seen, 5).saw(AUTOSCALER, autoscaler()), Reason.OWNED_ELSEWHERE),
        (replace(seen, object=Unknown("down")), Reason.UNKNOWN_FACT),
    ):
        answer = SCALE.undo(plan, (), changed)
        assert isinstance(answer, Refusal)
        assert answer.reason is reason
    assert SCALE.restored is not None
    assert SCALE.restored(back, (), scaled(seen, 3)) == Seen(Verified.CONVERGED)
    assert SCALE.restored(back, (), scaled(seen, 5)) == Seen(Verified.OVERTAKEN)


@pytest.mark.parametrize(
    ("owed", "left", "baseline"),
    [(True, 5, 3), (False, 5, 5), (True, 4, 5)],
    ids=["to be undone yet", "undone, or never to be", "somebody else set another count since"],
)
def test_a_second_step_goes_back_to_where_the_first_began(
    owed: bool, left: int, baseline: int
) -> None:
    act = PastAct(
        "r",
        "scale_workload",
        (),
        Outcome.SUCCEEDED,
        T,
        "",
        "",
        {REPLICAS: left},
        {REPLICAS: 3},
        owed,
    )
    plan = planned(alone(objects.workload(replicas=5), past=Past((act,))), by=2)
    assert plan.previous == {REPLICAS: baseline}


def test_a_scale_is_proved_by_its_count_and_by_managed_fields_an_hpa_s_by_its_stamp() -> None:
    call = planned(alone(), by=2).calls[0]
    ours = {"manager": "remediator", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    obj = objects.workload(replicas=5)
    assert effect(call, "r-1.1", obj) is Effect.ABSENT  # a person may have set 5
    obj["metadata"]["managedFields"] = [ours]
    assert effect(call, "r-1.1", obj) is Effect.PROVED
    assert effect(call, "r-1.1", objects.workload(replicas=3)) is Effect.ABSENT
    through = planned(facts(autoscaler=autoscaler()), by=2).calls[0]
    raised = autoscaler(least=5, annotations={STAMP: "r-1.1"})
    assert effect(through, "r-1.1", raised) is Effect.PROVED
    assert (
        effect(through, "r-1.1", autoscaler(least=4, annotations={STAMP: "r-1.1"}))
        is Effect.OVERTAKEN
    )
    assert effect(through, "r-1.1", autoscaler(least=5)) is Effect.ABSENT
