"""What single actions refuse, never exceed and put back, at their boundaries.

Caps of scaling and of memory, what a drain evicts, when a quarantine counts, Jobs and certificates.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import jsonpatch
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediator.actions import ACTIONS
from remediator.actions.drain_node import MIRROR
from remediator.actions.quarantine_pod import KEPT
from remediator.model.call import CALL_ID, MAX_REPLICAS, STAMP, Evidence, bound
from remediator.model.facts import Facts, Unknown
from remediator.model.plan import Plan, Refusal, Verified
from remediator.model.pointer import MIN_REPLICAS, REPLICAS
from remediator.model.quantity import format_bytes, parse_quantity
from remediator.model.raw import annotations, labels
from remediator.model.target import invalid_name
from remediator.model.verdict import Reason
from remediator.sights.autoscaler import AUTOSCALER
from remediator.sights.isolation import ISOLATION, Isolation
from tests.unit import objects
from tests.unit.actions.samples import autoscaler, isolated, pod_facts, running
from tests.unit.actions.test_drain_node import (
    N1,
    TWO,
    WEB,
    budget,
    claimed,
    control_plane,
    down,
    evicted,
    resident,
    seen,
    short,
    unready,
    with_data,
)
from tests.unit.actions.test_renew_certificate import TLS, certificate
from tests.unit.actions.test_run_cronjob import BACKUP, cronjob, job
from tests.unit.actions.test_run_cronjob import seen as cronjob_facts
from tests.unit.actions.test_scale_workload import alone
from tests.unit.actions.test_scale_workload import scaled as counted
from tests.unit.actions.test_set_resources import KILLED, LIMIT, REQUEST, limited
from tests.unit.actions.test_set_resources import running as memory
from tests.unit.actions.test_set_resources import seen as killed
from tests.unit.objects import HOUR, MINUTE, T, facts, looked_at, node, pod

FEW = settings(deadline=None, max_examples=50)
DELETED = {"deletionTimestamp": "2026-05-01T11:59:00Z"}


def answered(action: str, there: Facts, **parameters: Any) -> Plan | Refusal:
    spec = ACTIONS[action]
    causes = KILLED if action == "set_resources" else ()
    return spec.plan(there, spec.params(**parameters), causes)


def planned(action: str, there: Facts, **parameters: Any) -> Plan:
    plan = answered(action, there, **parameters)
    assert isinstance(plan, Plan), plan
    return plan


def refused(action: str, there: Facts, **parameters: Any) -> Reason:
    answer = answered(action, there, **parameters)
    assert isinstance(answer, Refusal), answer
    assert answer.why
    return answer.reason


def undone(action: str, done: Plan, sent: tuple[Evidence, ...], there: Facts) -> Plan | Refusal:
    undo = ACTIONS[action].undo
    assert undo is not None
    return undo(done, sent, there)


def going(obj: Any) -> Any:
    return {**obj, "metadata": {**obj["metadata"], **DELETED}}


@pytest.mark.parametrize(
    ("action", "there"),
    [
        ("set_resources", killed(going(limited()))),
        ("quarantine_pod", pod_facts(going(running()))),
        ("run_cronjob", cronjob_facts(obj=going(cronjob()))),
        ("drain_node", seen(resident("web-1"), obj=going(node("n1")))),
        ("renew_certificate", looked_at(TLS, TLS, going(certificate()))),
    ],
)
def test_what_is_being_deleted_is_left_alone(action: str, there: Facts) -> None:
    assert refused(action, there) is Reason.TERMINATING


@FEW
@given(
    present=st.integers(1, 40),
    step=st.integers(1, 60) | st.integers(1, 300).map(lambda share: f"{share}%"),
    at_most=st.integers(1, 50),
    most=st.none() | st.integers(1, 50),
    noted=st.none() | st.integers(0, 50),
)
def test_scaling_adds_and_stays_within_every_cap(
    present: int, step: int | str, at_most: int, *, most: int | None, noted: int | None
) -> None:
    made = objects.workload(replicas=present)
    made["metadata"]["annotations"] = {MAX_REPLICAS: str(noted)} if noted is not None else {}
    hpa = None if most is None else autoscaler(least=1, most=most)
    answer = answered("scale_workload", alone(made, autoscaler=hpa), by=step, at_most=at_most)
    least_cap = min(cap for cap in (at_most, most, noted) if cap is not None)
    if isinstance(answer, Refusal):
        assert answer.reason is Reason.AT_CEILING
        assert least_cap <= present
    else:
        (count,) = answer.calls[0].leaves.values()
        assert present < count <= least_cap


@pytest.mark.parametrize("text", ["-1", "+5", "5.0", "1e3", " 5 ", "", "many", "0x10", "5 # was 3"])
@pytest.mark.parametrize("where", ["workload", "namespace"])
def test_a_cap_that_is_no_plain_number_forbids_scaling(text: str, where: str) -> None:
    made = objects.workload()
    noted = {"metadata": {"name": "shop", "annotations": {MAX_REPLICAS: text}}}
    if where == "workload":
        made["metadata"]["annotations"] = {MAX_REPLICAS: text}
        assert refused("scale_workload", alone(made)) is Reason.OPTED_OUT
    else:
        assert refused("scale_workload", replace(alone(), namespace=noted)) is Reason.OPTED_OUT


def test_a_cap_in_other_digits_forbids_scaling() -> None:
    made = objects.workload()
    made["metadata"]["annotations"] = {MAX_REPLICAS: "5²"}
    assert refused("scale_workload", alone(made)) is Reason.OPTED_OUT


def test_a_cap_of_zero_allows_no_replica_more() -> None:
    made = objects.workload()
    made["metadata"]["annotations"] = {MAX_REPLICAS: "0"}
    assert refused("scale_workload", alone(made)) is Reason.AT_CEILING


def test_to_is_capped_by_at_most_as_well() -> None:
    plan = planned("scale_workload", alone(), to=50)
    assert dict(plan.calls[0].leaves) == {REPLICAS: 10}


def test_scaling_through_an_hpa_never_lowers_its_least_count() -> None:
    behind = facts(objects.workload(replicas=2), autoscaler=autoscaler(least=6, most=10))
    answer = answered("scale_workload", behind, by=1)
    least = answer.calls[0].leaves[MIN_REPLICAS] if isinstance(answer, Plan) else 6
    assert least >= 6


def test_a_count_that_an_hpa_was_given_is_taken_back_only_while_we_set_it() -> None:
    plan = planned("scale_workload", facts(autoscaler=autoscaler(least=2)), by=2)
    ours = [{"manager": "remediator", "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}]
    after = counted(facts(), 5).saw(AUTOSCALER, autoscaler(least=5, managedFields=ours))
    back = undone("scale_workload", plan, (), after)
    assert isinstance(back, Plan)
    assert dict(back.calls[0].leaves) == {MIN_REPLICAS: 2}
    assert back.calls[0].target.kind == "HorizontalPodAutoscaler"
    for hpa, reason in (
        (autoscaler(least=5), Reason.ASSUMPTION_CHANGED),
        (autoscaler(least=6, managedFields=ours), Reason.ASSUMPTION_CHANGED),
        (autoscaler(least=5, managedFields=ours, uid="uid-new"), Reason.ASSUMPTION_CHANGED),
        (None, Reason.ASSUMPTION_CHANGED),
        (Unknown("timeout"), Reason.UNKNOWN_FACT),
    ):
        answer = undone("scale_workload", plan, (), after.saw(AUTOSCALER, hpa))
        assert isinstance(answer, Refusal)
        assert answer.reason is reason


@FEW
@given(
    limit=st.integers(1, 1 << 34),
    share=st.integers(1, 400),
    most=st.integers(1, 1 << 20).map(lambda mebibytes: f"{mebibytes}Mi"),
)
def test_a_memory_limit_grows_and_stays_within_its_bound(limit: int, share: int, most: str) -> None:
    answer = answered("set_resources", killed(limited(str(limit))), by=f"{share}%", at_most=most)
    if isinstance(answer, Refusal):
        assert answer.reason is Reason.AT_CEILING
        assert parse_quantity(most) <= limit
    else:
        (new,) = [op["value"] for op in answer.calls[0].body if op["path"] == LIMIT]
        assert limit < parse_quantity(new) <= parse_quantity(most)


@pytest.mark.parametrize("most", ["1000M", "1G", "1000000001", "950.5Mi"])
def test_no_rounding_exceeds_the_bound_of_a_memory_limit(most: str) -> None:
    plan = planned("set_resources", killed(limited("900M")), at_most=most)
    (new,) = [op["value"] for op in plan.calls[0].body if op["path"] == LIMIT]
    assert parse_quantity(new) <= parse_quantity(most)


@FEW
@given(st.integers(0, 1 << 50))
def test_an_amount_is_written_as_the_next_whole_unit(amount: int) -> None:
    written = parse_quantity(format_bytes(Decimal(amount)))
    assert amount <= written < amount + (1 << 20)
    assert format_bytes(written) == format_bytes(Decimal(amount))


@pytest.mark.parametrize(
    ("limit", "request_", "raised"),
    [
        ("256Mi", "262144Ki", True),
        ("256Mi", "268435456", True),
        ("256Mi", "255Mi", False),
        ("0.25Gi", "256Mi", True),
    ],
)
def test_a_request_of_the_same_amount_grows_however_it_is_written(
    limit: str, request_: str, raised: bool
) -> None:
    plan = planned("set_resources", killed(limited(limit, request_)))
    assert (REQUEST in plan.previous) == raised
    assert plan.previous[LIMIT] == limit


def two_containers(**resources: Any) -> dict[str, Any]:
    made: dict[str, Any] = limited()
    sidecar = {"name": "proxy", "image": "proxy:1", "resources": resources}
    made["spec"]["template"]["spec"]["containers"].append(sidecar)
    return made


def test_a_container_that_was_not_killed_keeps_its_limit() -> None:
    plan = planned("set_resources", killed(two_containers(limits={"memory": "64Mi"})))
    assert set(plan.previous) == {LIMIT}


@pytest.mark.parametrize("resources", [None, {}, {"limits": None}, {"limits": {"cpu": "1"}}])
def test_a_container_without_a_memory_limit_has_none_to_raise(resources: Any) -> None:
    made = limited()
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    assert refused("set_resources", killed(made)) is Reason.UNSUPPORTED_TARGET


def restarting(name: str) -> dict[str, Any]:
    made = memory(name)
    policy = {"resourceName": "memory", "restartPolicy": "RestartContainer"}
    made["spec"]["containers"][0]["resizePolicy"] = [policy]
    return made


@pytest.mark.parametrize(
    ("policies", "restarted"),
    [
        (None, False),
        ([], False),
        ([{"resourceName": "memory", "restartPolicy": "NotRequired"}], False),
        ([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}], False),
        (
            [
                {"resourceName": "cpu", "restartPolicy": "NotRequired"},
                {"resourceName": "memory", "restartPolicy": "RestartContainer"},
            ],
            True,
        ),
    ],
)
def test_only_a_policy_for_memory_makes_a_resize_an_interruption(
    policies: Any, restarted: bool
) -> None:
    made = memory("web-0")
    made["spec"]["containers"][0]["resizePolicy"] = policies
    plan = planned("set_resources", killed(pods=(made,)), in_place=True)
    assert plan.takes == restarted


def test_a_resize_that_restarts_containers_takes_one_pod_at_a_time_which_stays() -> None:
    both = killed(pods=(restarting("web-0"), restarting("web-1")))
    (touch,) = planned("set_resources", both, in_place=True).touches
    assert (touch.takes, touch.stays, touch.outage) == (1, True, False)


NULLS: list[tuple[str, dict[str, Any]]] = [
    ("no volumes", {"volumes": None}),
    ("no annotations", {"annotations": None}),
    ("a config map", {"volumes": [{"name": "c", "configMap": {"name": "c"}}]}),
    ("a projected token", {"volumes": [{"name": "t", "projected": {"sources": []}}]}),
]


@pytest.mark.parametrize(("name", "more"), NULLS, ids=[name for name, _ in NULLS])
def test_a_pod_that_keeps_nothing_on_its_node_is_evicted(name: str, more: Any) -> None:
    made = resident("web-1", **{k: v for k, v in more.items() if k == "annotations"})
    made["spec"] = {**made["spec"], **{k: v for k, v in more.items() if k == "volumes"}}
    assert len(planned("drain_node", seen(made)).touches) == 2


@pytest.mark.parametrize(
    ("made", "parameter"), [(with_data(), "delete_claimed"), (claimed(), "delete_local_data")]
)
def test_giving_up_one_kind_of_volume_gives_up_no_other(made: Any, parameter: str) -> None:
    assert refused("drain_node", seen(made), **{parameter: True}) is Reason.NOT_REPLACEABLE


def test_a_mirror_pod_is_known_by_its_annotation_whatever_it_says() -> None:
    static = resident("etcd-n1", ownerReferences=[], annotations={MIRROR: ""})
    assert planned("drain_node", seen(static)).bounds[0].most == 0


@pytest.mark.parametrize(("count", "allowed"), [(49, True), (50, True), (51, False)], ids=str)
def test_a_node_with_as_many_pods_as_at_most_is_drained(count: int, allowed: bool) -> None:
    there = seen(*(resident(f"web-{number}") for number in range(count)))
    assert isinstance(answered("drain_node", there), Plan) == allowed


def test_as_many_nodes_as_allowed_are_cordoned_at_once_this_one_included() -> None:
    others = (node("n2", unschedulable=True), node("n3"))
    mine = seen(resident("web-1"), others=others)
    assert refused("drain_node", mine, cordoned=1) is Reason.AT_CEILING
    assert planned("drain_node", mine, cordoned=2)
    again = seen(obj=node("n1", unschedulable=True), others=(node("n2"),))
    assert planned("drain_node", again)  # it may have been cordoned by a person


def test_an_older_control_plane_is_known_by_its_label_too() -> None:
    made = control_plane()
    made["metadata"]["labels"] = {"node-role.kubernetes.io/master": ""}
    assert refused("drain_node", seen(obj=made)) is Reason.PROTECTED_TARGET


@pytest.mark.parametrize("kind", ["Job", "ReplicationController", "CloneSet", "Node"])
def test_a_pod_of_another_owner_keeps_its_node(kind: str) -> None:
    assert refused("drain_node", seen(resident("x-1", owner=kind))) is Reason.NOT_REPLACEABLE


def test_one_pod_that_must_stay_keeps_every_other_too() -> None:
    there = seen(resident("a-1"), resident("b-1", ownerReferences=None), resident("c-1"))
    assert refused("drain_node", there) is Reason.UNMANAGED_TARGET


@pytest.mark.parametrize(
    ("selector", "many"),
    [({"matchLabels": {"app": "db"}}, False), (None, False), ({}, True)],
    ids=["of other pods", "none", "of every pod"],
)
def test_two_budgets_count_only_where_both_cover_the_pod(selector: Any, many: bool) -> None:
    second = {**budget(1), "spec": {"selector": selector}}
    there = seen(resident("web-1"), budgets=(budget(1), second))
    assert isinstance(answered("drain_node", there), Refusal) == many
    elsewhere = {**second, "metadata": {"name": "x", "namespace": "billing"}}
    assert planned("drain_node", seen(resident("web-1"), budgets=(budget(1), elsewhere)))


@pytest.mark.parametrize(
    "status", [None, {}, {"disruptionsAllowed": None}, {"disruptionsAllowed": 0}]
)
def test_a_serving_pod_waits_for_a_budget_that_allows_none(status: Any) -> None:
    there = down(resident("web-1"), budgets=({**budget(0), "status": status},))
    assert evicted(there) == []


def exhausted(policy: str | None, healthy: int) -> dict[str, Any]:
    """maxUnavailable 1 of three pods, one of which is unready."""
    made = budget(0)
    made["status"] |= {"expectedPods": 3, "desiredHealthy": 2, "currentHealthy": healthy}
    made["spec"] |= {"maxUnavailable": 1}
    made["spec"] |= {"unhealthyPodEvictionPolicy": policy} if policy else {}
    return made


def pending(name: str) -> dict[str, Any]:
    made = unready(name)
    made["status"]["phase"] = "Pending"
    return made


def unwell(name: str) -> dict[str, Any]:
    made = unready(name)
    made["status"]["phase"] = "Running"
    return made


@pytest.mark.parametrize(
    ("made", "policy", "healthy"),
    [
        pytest.param(pending("web-1"), None, 1, id="a pending pod bypasses budgets"),
        pytest.param(unwell("web-1"), None, 2, id="enough others are healthy"),
        pytest.param(unwell("web-1"), "IfHealthyBudget", 2, id="the same, said so"),
        pytest.param(unwell("web-1"), "AlwaysAllow", 1, id="unhealthy pods always go"),
    ],
)
def test_a_pod_that_does_not_serve_leaves_a_sick_node(
    made: dict[str, Any], policy: str | None, healthy: int
) -> None:
    there = down(made, budgets=(exhausted(policy, healthy),), app=short())
    assert evicted(there) == ["web-1"]


def test_an_unready_pod_waits_where_too_few_others_are_healthy() -> None:
    there = down(unwell("web-1"), budgets=(exhausted(None, 1),), app=short())
    assert evicted(there) == []


def test_a_drain_is_called_off_by_uncordoning_or_by_another_node_of_that_name() -> None:
    plan = planned("drain_node", TWO)
    drain = ACTIONS["drain_node"]
    assert drain.verify(plan, (), seen()).how is Verified.OVERTAKEN
    other = down()
    assert isinstance(other.object, dict)
    renewed = {**other.object, "metadata": {**other.object["metadata"], "uid": "uid-new"}}
    assert drain.verify(plan, (), replace(other, object=renewed)).how is Verified.OVERTAKEN
    answer = undone("drain_node", plan, (Evidence(200, "x"),), replace(other, object=renewed))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.TARGET_GONE


def test_a_drain_locks_every_workload_and_all_other_drains_of_its_cluster() -> None:
    plan = planned("drain_node", TWO)
    assert set(plan.locks) == {WEB.key, N1.key, "c/drain"}
    elsewhere = replace(TWO, target=replace(N1, cluster="d"))
    assert "d/drain" in planned("drain_node", elsewhere).locks


def after_quarantine(**status: Any) -> Facts:
    done = isolated(planned("quarantine_pod", pod_facts()))
    assert isinstance(done.object, dict)
    return replace(done, object={**done.object, "status": {**done.object["status"], **status}})


def quarantine_seen(there: Facts) -> Verified:
    plan = planned("quarantine_pod", pod_facts())
    return ACTIONS["quarantine_pod"].verify(plan, (), there).how


def test_a_quarantine_counts_while_the_pod_runs_unlisted_under_its_policy() -> None:
    assert quarantine_seen(after_quarantine()) is Verified.CONVERGED
    bare = after_quarantine().saw(ISOLATION, Isolation((), ("web-1",), None))
    assert quarantine_seen(bare) is Verified.WAITING


@pytest.mark.parametrize("ended", ["Failed", "Succeeded", "deleted"])
def test_a_quarantine_of_a_pod_that_no_longer_runs_does_not_count(ended: str) -> None:
    there = after_quarantine(phase=ended) if ended != "deleted" else after_quarantine()
    obj = going(there.object) if ended == "deleted" else there.object
    assert quarantine_seen(replace(there, object=obj)) is not Verified.CONVERGED


@pytest.mark.parametrize("volumes", [None, [], [{"name": "tmp", "emptyDir": {}}]])
def test_a_pod_without_a_claim_is_quarantined(volumes: Any) -> None:
    assert planned("quarantine_pod", pod_facts(running(volumes=volumes)))


@FEW
@given(
    st.dictionaries(
        st.sampled_from(["app", "tier", "kubernetes.io/name", "a~b/c"]), st.text(max_size=5)
    )
)
def test_a_release_gives_back_exactly_the_labels_of_before(given_: dict[str, str]) -> None:
    made = running()
    made["metadata"]["labels"] = given_
    done = planned("quarantine_pod", pod_facts(made))
    hidden = jsonpatch.apply_patch(made, list(done.calls[-1].body))
    assert set(labels(hidden)).isdisjoint(given_)
    after = replace(isolated(done), object=hidden)
    back = undone("quarantine_pod", done, (), after)
    assert isinstance(back, Plan)
    released = jsonpatch.apply_patch(hidden, list(back.calls[-1].body))
    assert labels(released) == given_
    assert KEPT not in annotations(released)


def test_a_quarantined_pod_that_a_person_relabelled_is_left_alone() -> None:
    done = planned("quarantine_pod", pod_facts())
    obj = isolated(done).object
    assert isinstance(obj, dict)
    obj["metadata"]["labels"]["app"] = "web"
    answer = undone("quarantine_pod", done, (), replace(isolated(done), object=obj))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.ASSUMPTION_CHANGED


@pytest.mark.parametrize(
    ("policy", "ours", "starts"),
    [
        ("Allow", False, True),
        ("Allow", True, False),
        ("Forbid", False, False),
        ("Replace", False, False),
    ],
)
def test_no_second_job_runs_beside_one_that_it_would_harm(
    policy: str, ours: bool, starts: bool
) -> None:
    beside = job(stamp="r-0.1" if ours else "")
    there = cronjob_facts(beside, obj=cronjob(concurrencyPolicy=policy))
    assert isinstance(answered("run_cronjob", there), Plan) == starts


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        [],
        [{"type": "Suspended", "status": "True"}],
        [{"type": "Complete", "status": "False"}],
        [{"type": "FailureTarget", "status": "True"}],
    ],
)
def test_a_job_runs_until_it_is_complete_or_failed(conditions: Any) -> None:
    unfinished = {**job(), "status": {"conditions": conditions}}
    there = cronjob_facts(unfinished, obj=cronjob(concurrencyPolicy="Forbid"))
    assert refused("run_cronjob", there) is Reason.ROLLOUT_RUNNING


def test_a_run_that_succeeded_exactly_when_the_alert_started_is_no_later_success() -> None:
    made = cronjob()
    made["status"] = {"lastSuccessfulTime": (T - HOUR).isoformat()}
    assert planned("run_cronjob", replace(cronjob_facts(obj=made), began=T - HOUR))
    earlier = replace(cronjob_facts(obj=made), began=T - HOUR - MINUTE)
    assert refused("run_cronjob", earlier) is Reason.ALREADY_DONE


@pytest.mark.parametrize("metadata", [None, {}, {"labels": None, "annotations": None}])
def test_a_job_template_without_metadata_makes_a_job_with_our_marks_only(metadata: Any) -> None:
    made = cronjob()
    made["spec"]["jobTemplate"]["metadata"] = metadata
    body = planned("run_cronjob", cronjob_facts(obj=made)).calls[0].body
    assert body["metadata"]["labels"] == {}
    assert body["metadata"]["annotations"] == {
        "cronjob.kubernetes.io/instantiate": "manual",
        STAMP: CALL_ID,
    }


def named(name: str) -> str:
    """The name of the Job of a CronJob of that name."""
    there = replace(cronjob_facts(), target=replace(BACKUP, name=name))
    return bound(planned("run_cronjob", there).calls[0], "r-0123456789.10").target.name


@FEW
@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True))
@example("b" * 52)
def test_the_job_of_any_cronjob_has_a_valid_name(name: str) -> None:
    made = named(name)
    assert invalid_name("", made) is None
    assert len(made) <= 63


def test_a_name_that_is_cut_after_a_dot_is_still_valid() -> None:
    assert ".-" not in named("nightly-backup-of-the-warehouse-of-the-eastern." + "db")


@pytest.mark.parametrize("status", [None, {}, {"revision": 3}, {"conditions": None}])
def test_a_certificate_that_was_never_issued_is_patched_or_refused(status: Any) -> None:
    made = {**certificate(), "status": status}
    answer = answered("renew_certificate", looked_at(TLS, TLS, made))
    if isinstance(answer, Plan):
        after = jsonpatch.apply_patch(made, list(answer.calls[0].body))
        assert [one["type"] for one in after["status"]["conditions"]] == ["Issuing"]


@pytest.mark.parametrize(
    ("failures", "ago", "renewed"),
    [
        (1, HOUR - MINUTE, False),
        (1, HOUR, True),
        (3, 4 * HOUR - MINUTE, False),
        (3, 4 * HOUR, True),
        (40, 32 * HOUR - MINUTE, False),
        (40, 32 * HOUR, True),
        (1, -MINUTE, False),
    ],
)
def test_a_certificate_is_left_to_its_own_back_off(failures: int, ago: Any, renewed: bool) -> None:
    made = certificate(failed=(T - ago).isoformat(), Ready="False")
    made["status"]["failedIssuanceAttempts"] = failures
    answer = answered("renew_certificate", looked_at(TLS, TLS, made))
    assert isinstance(answer, Plan) == renewed


def test_an_older_failure_is_not_taken_for_the_outcome_of_a_renewal() -> None:
    failed = (T - 9 * HOUR).isoformat()
    there = looked_at(TLS, TLS, certificate(failed=failed, Ready="True"))
    plan = planned("renew_certificate", there)
    renew = ACTIONS["renew_certificate"]
    assert renew.verify(plan, (), there).how is Verified.WAITING
    unready_ = looked_at(TLS, TLS, certificate(4, failed=failed, Ready="False"))
    assert renew.verify(plan, (), unready_).how is Verified.WAITING
    again = looked_at(TLS, TLS, certificate(failed=T.isoformat(), Ready="True"))
    assert renew.verify(plan, (), again).how is Verified.FAILED
    issued = looked_at(TLS, TLS, certificate(4, failed=failed, Ready="True"))
    assert renew.verify(plan, (), issued).how is Verified.CONVERGED


def test_only_a_pod_that_fits_on_no_node_means_that_there_is_no_room() -> None:
    for reason, held in (("Unschedulable", True), ("SchedulingGated", False), (None, False)):
        waiting = pod("web-9", ready=False)
        waiting["status"]["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": reason}
        ]
        answer = answered("scale_workload", alone(pods=(waiting,)))
        assert isinstance(answer, Refusal) == held
