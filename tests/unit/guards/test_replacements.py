"""Before a serving pod goes, its replacement must be able to come, and budgets must allow it.

The facts are what a real cluster shows: null lists, missing fields, taints and affinities.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.guards import blast_radius, budgets, replaceability
from remediator.guards.situation import RuleLimits
from remediator.model.facts import Facts, Unknown
from remediator.model.limit import Radius
from remediator.model.verdict import Decision, Reason, Verdict
from remediator.sights.room import Room
from tests.unit.actions.samples import pod_facts
from tests.unit.actions.test_actions import planned
from tests.unit.guards.test_guards import situation
from tests.unit.guards.test_radius import (
    THREE,
    budget,
    event,
    quota,
    room,
    taking,
    touching,
    waiting,
    with_spec,
)
from tests.unit.objects import facts, node, pod, template, workload


def labelled(name: str = "n1", **labels: str) -> dict[str, Any]:
    made = node(name)
    made["metadata"]["labels"] |= labels
    return made


def judged(spec: dict[str, Any], *nodes: Any, **touch: Any) -> Verdict:
    """What becomes of a restart whose pods have more in their spec, on these nodes."""
    plan = touching(with_spec(planned(facts()), **spec), **touch)
    return replaceability.check(situation(facts=facts(**room(*nodes)), plan=plan))


def admits(spec: dict[str, Any], *nodes: Any, **touch: Any) -> bool:
    return judged(spec, *nodes, **touch).decision is Decision.ALLOW


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": list(terms)}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"affinity": {"nodeAffinity": {key: selector}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def named(*names: str) -> dict[str, Any]:
    """A term of node affinity that names the nodes, as a DaemonSet's controller writes it."""
    field = {"key": "metadata.name", "operator": "In", "values": list(names)}
    return {"matchFields": [field]}


@pytest.mark.parametrize(
    ("spec", "admitted"),
    [
        pytest.param({"affinity": None, "nodeSelector": None}, True, id="nulls select nothing"),
        pytest.param({"affinity": {"nodeAffinity": None}}, True, id="no node affinity"),
        pytest.param(required(expression("disk", "In", "ssd", "nvme")), True, id="In"),
        pytest.param(required(expression("disk", "In", "hdd")), False, id="not In"),
        pytest.param(required(expression("disk", "NotIn", "ssd")), False, id="NotIn"),
        pytest.param(required(expression("gpu", "NotIn", "a100")), True, id="NotIn without it"),
        pytest.param(required(expression("disk", "Exists")), True, id="Exists"),
        pytest.param(required(expression("gpu", "Exists")), False, id="Exists without it"),
        pytest.param(required(expression("gpu", "DoesNotExist")), True, id="DoesNotExist"),
        pytest.param(
            required(expression("gpu", "Exists"), expression("disk", "Exists")),
            True,
            id="one of several terms is enough",
        ),
        pytest.param(
            required({"matchExpressions": None, **named("n1")}), True, id="by the node's name"
        ),
        pytest.param(required(named("n2", "n3")), False, id="by the names of other nodes"),
        pytest.param(
            required({**expression("disk", "Exists"), **named("n2")}),
            False,
            id="all of one term must hold",
        ),
        pytest.param(
            {"nodeSelector": {"disk": "ssd"}, **required(expression("disk", "NotIn", "ssd"))},
            False,
            id="the node selector and the affinity must both hold",
        ),
        pytest.param(
            {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}},
            True,
            id="what is only preferred keeps nothing away",
        ),
    ],
)
def test_a_node_is_judged_by_selector_and_affinity(spec: dict[str, Any], admitted: bool) -> None:
    assert admits(spec, node("n1")) == admitted


@pytest.mark.parametrize(("operator", "value"), [("Gt", "3"), ("Lt", "8")])
def test_a_node_whose_number_is_in_the_range_is_admitted(operator: str, value: str) -> None:
    assert admits(required(expression("generation", operator, value)), labelled(generation="5"))


def test_an_empty_term_of_node_affinity_admits_no_node() -> None:
    assert not admits(required({}), node("n1"))


FEW = settings(deadline=None, max_examples=50)
TAINTED = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
EVICTING = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "taints", "admitted"),
    [
        pytest.param(None, None, True, id="nulls"),
        pytest.param(None, [TAINTED], False, id="no toleration"),
        pytest.param([], [EVICTING], False, id="no toleration of what evicts"),
        pytest.param([{"key": "dedicated", "value": "db"}], [TAINTED], True, id="Equal by default"),
        pytest.param(
            [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}],
            [TAINTED],
            True,
            id="the same effect",
        ),
        pytest.param(
            [{"key": "dedicated", "value": "db", "effect": ""}],
            [TAINTED],
            True,
            id="an empty effect is any",
        ),
        pytest.param(
            [{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}],
            [TAINTED, EVICTING],
            False,
            id="one of two taints is tolerated",
        ),
        pytest.param(
            [{"operator": "Exists", "effect": "NoExecute"}],
            [EVICTING],
            True,
            id="every key of that effect",
        ),
        pytest.param([{"key": "other", "operator": "Exists"}], [TAINTED], False, id="another key"),
        pytest.param([{"key": "dedicated"}], [{**TAINTED, "value": ""}], True, id="no value"),
        pytest.param(
            [{"key": "node.kubernetes.io/unreachable"}], [EVICTING], True, id="a taint of no value"
        ),
    ],
)
def test_a_taint_keeps_away_what_does_not_tolerate_it(
    tolerations: Any, taints: Any, admitted: bool
) -> None:
    assert admits({"tolerations": tolerations}, node("n1", taints=taints)) == admitted


def test_a_drain_counts_only_on_other_nodes() -> None:
    assert not admits({}, node("n1"), away_from="n1")
    assert "no other node" in judged({}, node("n1"), away_from="n1").why
    assert admits({}, node("n1"), node("n2"), away_from="n1")
    assert not admits({}, node("n1"), node("n2", unschedulable=True), away_from="n1")


@pytest.mark.parametrize("status", [None, {}, {"conditions": None}, {"conditions": []}])
def test_a_node_that_has_not_reported_takes_no_pod(status: Any) -> None:
    assert not admits({}, {**node("n1"), "status": status})


def test_a_node_whose_readiness_is_unknown_takes_no_pod() -> None:
    lost = node("n1")
    lost["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    assert not admits({}, lost)


def test_a_daemon_returns_to_its_own_node_though_every_node_is_cordoned() -> None:
    seen = facts(workload("DaemonSet"), **room(node("n1", unschedulable=True)))
    plan = touching(planned(seen), takes=1)
    assert replaceability.check(situation(facts=seen, plan=plan)).decision is Decision.ALLOW


def kept(*pods: Any, **more: Any) -> Verdict:
    return replaceability.check(situation(**taking(1, pods=(*THREE, *pods), **more)))


@pytest.mark.parametrize(
    "reason",
    [
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    ],
)
def test_a_sibling_that_cannot_start_speaks_against_taking_another(reason: str) -> None:
    verdict = kept(waiting(reason))
    assert (verdict.decision, verdict.reason) == (Decision.HOLD, Reason.NOT_REPLACEABLE)
    assert f"web-9 of the same template is in {reason}" in verdict.why


@pytest.mark.parametrize(
    "reason",
    [
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    ],
)
def test_a_sibling_whose_image_cannot_be_had_speaks_against_taking_another(reason: str) -> None:
    assert kept(waiting(reason)).reason is Reason.NOT_REPLACEABLE


def test_an_init_container_that_cannot_start_counts_too() -> None:
    stuck = pod("web-9", ready=False)
    state = {"waiting": {"reason": "ImagePullBackOff"}}
    stuck["status"]["initContainerStatuses"] = [{"name": "migrate", "state": state}]
    assert kept(stuck).reason is Reason.NOT_REPLACEABLE


@pytest.mark.parametrize(
    "status",
    [
        None,
        {"containerStatuses": None, "initContainerStatuses": None, "conditions": None},
        {"containerStatuses": [{"name": "app", "state": None}]},
        {"containerStatuses": [{"name": "app", "state": {"waiting": {}}}]},
        {"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": None}}}]},
    ],
)
def test_a_sibling_that_has_no_status_yet_says_nothing(status: Any) -> None:
    assert kept({**pod("web-9"), "status": status}).decision is Decision.ALLOW


def sized(memory: str) -> tuple[dict[str, Any], ...]:
    spec = template("web:2", resources={"requests": {"memory": memory}})["spec"]
    return tuple({**item, "spec": spec} for item in THREE)


def grown(given: str, wanted: str, *quotas: Any) -> Verdict:
    """A rollout whose pods ask for more memory than those that go."""
    plan = touching(
        planned(facts()),
        takes=1,
        successor=template("web:2", resources={"requests": {"memory": wanted}}),
    )
    seen = facts(pods=sized(given), **room(quotas=quotas))
    return replaceability.check(situation(facts=seen, plan=plan))


@pytest.mark.parametrize(
    ("used", "hard", "decision"),
    [
        ("3Gi", "4Gi", Decision.ALLOW),
        ("3Gi", "4095Mi", Decision.HOLD),
        ("3072Mi", "4294967296", Decision.ALLOW),
        ("3Gi", "4294967295", Decision.HOLD),
        ("3e9", "4073741824", Decision.ALLOW),
    ],
)
def test_a_quota_has_room_up_to_exactly_its_limit(used: str, hard: str, decision: Decision) -> None:
    assert grown("1Gi", "2Gi", quota(requests_memory=(used, hard))).decision is decision


def test_one_of_several_quotas_is_enough_to_hold() -> None:
    roomy, full = quota(requests_memory=("3Gi", "9Gi")), quota(requests_memory=("3Gi", "3Gi"))
    assert grown("1Gi", "2Gi", roomy, full).reason is Reason.NOT_REPLACEABLE


@pytest.mark.parametrize(
    "status", [None, {}, {"hard": None, "used": None}, {"hard": {"requests.memory": "9Gi"}}]
)
def test_a_quota_that_its_controller_has_not_filled_in_holds_nothing(status: Any) -> None:
    given = {"metadata": {"name": "new"}, "spec": {"hard": {"pods": "1"}}, "status": status}
    assert grown("1Gi", "2Gi", given).decision is Decision.ALLOW


def scoped(quota_: dict[str, Any], *scopes: str) -> dict[str, Any]:
    return {**quota_, "spec": {**quota_["spec"], "scopes": list(scopes)}}


@pytest.mark.parametrize("scope", ["Terminating", "BestEffort"])
def test_a_quota_for_other_pods_does_not_hold(scope: str) -> None:
    full = scoped(quota(requests_memory=("3Gi", "3Gi")), scope)
    assert grown("1Gi", "2Gi", full).decision is Decision.ALLOW


@pytest.mark.parametrize("scope", ["NotTerminating", "NotBestEffort"])
def test_a_quota_for_long_running_pods_that_is_full_holds(scope: str) -> None:
    full = scoped(quota(requests_memory=("3Gi", "3Gi")), scope)
    assert grown("1Gi", "2Gi", full).reason is Reason.NOT_REPLACEABLE


def quarantined(**more: Any) -> Verdict:
    seen = pod_facts(**more)
    return replaceability.check(
        situation(facts=seen, plan=planned(pod_facts(), "quarantine_pod"), target=seen.target)
    )


def test_a_pod_whose_workload_fails_to_create_pods_is_kept() -> None:
    failing = workload()
    failing["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    ]
    verdict = quarantined(beside=failing)
    assert (verdict.decision, verdict.reason) == (Decision.HOLD, Reason.NOT_REPLACEABLE)
    assert "exceeded quota: pods" in verdict.why
    failing["status"]["conditions"][0]["status"] = "False"
    assert quarantined(beside=failing).decision is Decision.ALLOW


def test_a_pod_whose_replica_set_could_not_create_pods_of_late_is_kept() -> None:
    refused = Room((), (node(),), (event("uid-rs"),))
    assert quarantined(room=refused).reason is Reason.NOT_REPLACEABLE


@pytest.mark.parametrize("sight", ["room", "peers"])
def test_what_cannot_be_seen_holds(sight: str) -> None:
    verdict = replaceability.check(
        situation(**taking(1, facts(None, **{sight: Unknown("timeout")})))
    )
    assert (verdict.decision, verdict.reason) == (Decision.HOLD, Reason.UNKNOWN_FACT)
    assert "timeout" in verdict.why


def test_a_successor_that_a_stored_plan_does_not_keep_is_what_the_workload_runs() -> None:
    plan = touching(planned(facts()), takes=1, successor=None)
    missing = facts(pods=(*THREE, waiting("ErrImagePull")))
    assert replaceability.check(situation(facts=missing, plan=plan)).decision is Decision.HOLD
    unread = replace(facts(), object=Unknown("timeout"))
    verdict = replaceability.check(situation(facts=unread, plan=plan))
    assert (verdict.decision, verdict.reason) == (Decision.HOLD, Reason.UNKNOWN_FACT)


def budgeted(*found: Any, takes: int = 1, **more: Any) -> Verdict:
    return budgets.check(situation(**taking(takes, budgets=found, **more)))


@pytest.mark.parametrize(
    "status",
    [None, {}, {"observedGeneration": 1}, {"observedGeneration": 1, "disruptionsAllowed": None}],
)
def test_a_budget_that_says_nothing_yet_allows_nothing(status: Any) -> None:
    assert budgeted({**budget(1), "status": status}).decision is Decision.HOLD


@pytest.mark.parametrize(
    ("selector", "covers"),
    [
        pytest.param(None, False, id="no selector covers no pod"),
        pytest.param({"matchLabels": None, "matchExpressions": None}, True, id="nulls cover all"),
        pytest.param({"matchLabels": {"app": "web", "tier": "x"}}, False, id="one label missing"),
        pytest.param(
            {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True, id="absent"
        ),
        pytest.param(
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "app", "operator": "In", "values": ["db"]}],
            },
            False,
            id="labels and expressions must both hold",
        ),
    ],
)
def test_which_pods_a_budget_covers(selector: Any, covers: bool) -> None:
    given = budget(0)
    given["spec"]["selector"] = selector
    assert (budgeted(given).decision is Decision.HOLD) == covers


def test_a_budget_must_allow_as_many_as_go_at_once() -> None:
    assert budgeted(budget(2), takes=2).decision is Decision.ALLOW
    verdict = budgeted(budget(2), takes=3)
    assert verdict.reason is Reason.BUDGET_EXHAUSTED
    assert "allows 2 disruptions now; the plan needs 3" in verdict.why


def test_calls_that_wait_for_budgets_themselves_are_not_held_by_them() -> None:
    given = taking(1, budgets=(budget(0),))
    waits = {**given, "plan": touching(given["plan"], waits=True)}
    assert budgets.check(situation(**waits)).decision is Decision.ALLOW
    blind = {**waits, "facts": facts(budgets=Unknown("RBAC"))}
    assert budgets.check(situation(**blind)).decision is Decision.ALLOW


def permitted(seen: Facts, takes: int, radius: Radius, **touch: Any) -> Verdict:
    assert isinstance(seen.object, dict)
    plan = touching(planned(facts(seen.object)), takes=takes, **touch)
    return blast_radius.check(
        situation(facts=seen, plan=plan, limits=RuleLimits(blast_radius=radius))
    )


def ready_and_not(ready: int, unready: int) -> tuple[dict[str, Any], ...]:
    count = ready + unready
    return tuple(pod(f"web-{number}", ready=number < ready) for number in range(count))


@FEW
@given(
    ready=st.integers(0, 40),
    unready=st.integers(0, 5),
    takes=st.integers(1, 45),
    share=st.none() | st.floats(0, 1),
    count=st.none() | st.integers(0, 50),
)
def test_no_more_ready_pods_go_than_each_bound_allows(
    ready: int, unready: int, takes: int, *, share: float | None, count: int | None
) -> None:
    seen = facts(pods=ready_and_not(ready, unready))
    allowed = permitted(seen, takes, Radius(share, count)).decision is Decision.ALLOW
    if allowed:
        assert takes < ready
        assert count is None or takes <= count
        assert share is None or takes <= max(1, share * ready + 1e-6)
    elif takes < ready:
        assert not (count is None or takes <= count) or (
            share is not None and takes > max(1, int(share * ready))
        )


def test_the_last_ready_pod_goes_only_where_an_outage_is_allowed() -> None:
    seen, all_of_them = facts(pods=ready_and_not(1, 2)), Radius(1.0)
    verdict = permitted(seen, 1, all_of_them)
    assert (verdict.decision, verdict.reason) == (Decision.DENY, Reason.WOULD_INTERRUPT)
    assert permitted(seen, 1, all_of_them, outage=True).decision is Decision.ALLOW


def test_the_last_pod_of_a_daemon_goes_since_no_other_stands_in_for_it() -> None:
    seen = facts(workload("DaemonSet"), pods=ready_and_not(1, 0))
    assert permitted(seen, 1, Radius(1.0)).decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("ready", "decision", "reason"),
    [
        (10, Decision.ALLOW, None),
        (8, Decision.ALLOW, None),
        (7, Decision.HOLD, Reason.BLAST_RADIUS),
        (4, Decision.HOLD, Reason.BLAST_RADIUS),
    ],
)
def test_one_by_one_pods_that_are_missing_count_against_the_radius(
    ready: int, decision: Decision, reason: Reason | None
) -> None:
    seen = facts(workload(replicas=10), pods=ready_and_not(ready, 10 - ready))
    verdict = permitted(seen, 1, Radius(0.3), waits=True)
    assert (verdict.decision, verdict.reason) == (decision, reason)
    assert permitted(seen, 1, Radius(0.3)).decision is Decision.ALLOW  # a rollout counts them off


def test_pods_that_are_unready_on_the_node_they_leave_are_not_waited_for() -> None:
    there = [{**item, "spec": {**item["spec"]}} for item in ready_and_not(6, 4)]
    for item in there[6:]:
        item["spec"]["nodeName"] = "sick"
    seen = facts(workload(replicas=10), pods=tuple(there))
    drained = {"waits": True, "away_from": "sick"}
    assert permitted(seen, 1, Radius(0.3), **drained).decision is Decision.ALLOW
    elsewhere = {"waits": True, "away_from": "n9"}
    assert permitted(seen, 1, Radius(0.3), **elsewhere).reason is Reason.BLAST_RADIUS


def test_pods_that_are_going_away_are_neither_ready_nor_taken_twice() -> None:
    going = pod("web-2")
    going["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    seen = facts(pods=(pod("web-0"), pod("web-1"), going))
    verdict = permitted(seen, 2, Radius(None, 2))
    assert (verdict.decision, verdict.reason) == (Decision.DENY, Reason.WOULD_INTERRUPT)
