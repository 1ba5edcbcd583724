"""Actions without a cluster: plans, refusals, verification, undo.

And what every action must have.
"""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from remediator.actions import ACTIONS, workload
from remediator.actions.workload import template_state
from remediator.model.call import CALL_ID, STAMP, Evidence
from remediator.model.facts import Facts, Unknown
from remediator.model.past import Past, PastAct
from remediator.model.plan import Plan, Refusal, Seen, Verified, from_json, to_json
from remediator.model.pointer import ANNOTATIONS, REPLICAS, TEMPLATE
from remediator.model.remediation import Outcome
from remediator.model.target import Unresolved
from remediator.model.verdict import Reason
from remediator.rules.schema import Step
from tests.unit import objects
from tests.unit.actions import samples
from tests.unit.objects import MINUTE, T, facts, hash_of, pod, revision, template

RESTART, ROLLBACK = ACTIONS["restart_workload"], ACTIONS["rollback_workload"]
HERE = Path(__file__)


def planned(seen: Facts, action: str = "restart_workload", **parameters: Any) -> Plan:
    answer = ACTIONS[action].plan(seen, ACTIONS[action].params(**parameters), ())
    assert isinstance(answer, Plan), answer
    return answer


def refused(seen: Facts, action: str = "restart_workload", **parameters: Any) -> Reason:
    answer = ACTIONS[action].plan(seen, ACTIONS[action].params(**parameters), ())
    assert isinstance(answer, Refusal), answer
    assert answer.why
    return answer.reason


def applied(plan: Plan, obj: dict[str, Any]) -> dict[str, Any]:
    """The object once the call took effect."""
    body = [
        {**op, "value": "r-1.1"} if op.get("value") == CALL_ID else dict(op)
        for op in plan.calls[0].body
    ]
    patched: dict[str, Any] = jsonpatch.apply_patch(obj, body)
    patched["metadata"]["generation"] += 1
    return patched


def whole(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "status": {**obj["status"], "observedGeneration": obj["metadata"]["generation"]}}


def evidence(obj: dict[str, Any]) -> tuple[Evidence, ...]:
    return (Evidence(200, "r-1.1", template_state(obj["spec"]["template"])),)


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_an_action_has_a_manual_page_an_example_and_needs_what_it_declares(action: Any) -> None:
    for heading in ("Use when:", "Do not use when:", "How it verifies:", "What it leaves behind:"):
        assert heading in action.manual
    step = Step.model_validate(yaml.safe_load(action.example))
    assert step.action == action.name
    action.params.model_validate(dict(step.with_))
    assert {action.plan.__name__, action.verify.__name__} == {"plan", "verify"}
    assert any(
        f"def test_{action.name}" in path.read_text() for path in HERE.parent.glob("test_*.py")
    )
    assert (action.undo is None) == (action.restored is None)


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_an_action_makes_the_very_calls_that_it_declares(action: Any) -> None:
    declared = {(verb, kind.name, below) for verb, kind, below in action.calls}
    made = samples.all_calls(action.name)
    assert {(call.verb, call.target.kind, call.subresource) for call in made} == declared


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_an_action_asks_for_what_it_looks_at_and_nothing_else(action: Any) -> None:
    asked: set[str] = set()

    class Noting(dict[str, Any]):
        def __contains__(self, name: object) -> bool:
            asked.add(str(name))
            return super().__contains__(name)

    for sample in samples.samples(action.name):
        noting = replace(sample.seen, seen=Noting(sample.seen.seen))
        replace(sample, seen=noting).planned(action)
    assert asked == {sight.name for sight in action.sees}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_restart_workload_sets_one_annotation_and_a_stamp(kind: str) -> None:
    obj = objects.workload(kind)
    plan = planned(facts(obj))
    after = applied(plan, obj)
    assert after["spec"]["template"]["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/restartedAt": "2026-05-01T12:00:00+00:00"
    }
    assert after["metadata"]["annotations"] == {STAMP: "r-1.1"}
    assert after["spec"]["template"]["spec"] == obj["spec"]["template"]["spec"]
    assert template_state(after["spec"]["template"]) == plan.calls[0].leaves
    assert plan.locks == (f"c/{kind}/shop/web",)
    assert plan.before == {"ready": 3, "restarts": {"uid-web-0": 0, "uid-web-1": 0, "uid-web-2": 0}}


def test_restart_workload_of_a_template_without_metadata() -> None:
    obj = objects.workload()
    del obj["spec"]["template"]["metadata"]
    after = applied(planned(facts(obj)), obj)
    assert (
        "kubectl.kubernetes.io/restartedAt" in after["spec"]["template"]["metadata"]["annotations"]
    )


REFUSALS: list[tuple[str, Any, Reason]] = [
    ("unreadable", facts(pods=Unknown("RBAC")), Reason.UNKNOWN_FACT),
    ("object unknown", replace(facts(), object=Unknown("down")), Reason.UNKNOWN_FACT),
    (
        "no one object",
        replace(facts(), object=Unresolved(Reason.AMBIGUOUS_TARGET, "two")),
        Reason.AMBIGUOUS_TARGET,
    ),
    ("gone", replace(facts(), object=None), Reason.TARGET_GONE),
    ("a pod", replace(facts(), target=replace(objects.WEB, kind="Pod")), Reason.UNSUPPORTED_TARGET),
    ("paused", facts(objects.workload(paused=True)), Reason.PAUSED_ROLLOUT),
    ("scaled to zero", facts(objects.workload(replicas=0)), Reason.SCALED_TO_ZERO),
]


@pytest.mark.parametrize("action", ["restart_workload", "rollback_workload"])
@pytest.mark.parametrize(
    ("name", "seen", "reason"), REFUSALS, ids=[name for name, _, _ in REFUSALS]
)
def test_default_refusals(action: str, name: str, seen: Facts, reason: Reason) -> None:
    assert refused(seen, action) is reason


def test_what_is_going_away_is_left_alone() -> None:
    obj = objects.workload()
    obj["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    assert refused(facts(obj)) is Reason.TERMINATING


def test_a_running_rollout_refuses_a_restart_and_not_a_rollback() -> None:
    obj = objects.workload()
    obj["status"]["updatedReplicas"] = 1
    assert refused(facts(obj)) is Reason.ROLLOUT_RUNNING
    assert planned(facts(obj), "rollback_workload")


@pytest.mark.parametrize(
    ("name", "obj"),
    [
        ("Recreate", objects.workload(strategy={"type": "Recreate"})),
        (
            "one replica, no surge",
            objects.workload(replicas=1, strategy={"rollingUpdate": {"maxSurge": 0}}),
        ),
        (
            "one replica, no surge in percent",
            objects.workload(replicas=1, strategy={"rollingUpdate": {"maxSurge": "0%"}}),
        ),
        ("OnDelete", objects.workload("DaemonSet", updateStrategy={"type": "OnDelete"})),
        (
            "partition",
            objects.workload("StatefulSet", updateStrategy={"rollingUpdate": {"partition": 2}}),
        ),
        ("one replica of a StatefulSet", objects.workload("StatefulSet", replicas=1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_outage_needs_to_be_allowed(name: str, obj: dict[str, Any]) -> None:
    assert refused(facts(obj)) is Reason.WOULD_INTERRUPT
    assert planned(facts(obj), allow_outage=True)


@pytest.mark.parametrize(
    ("obj", "up", "stopped"),
    [
        (
            objects.workload(
                replicas=1, strategy={"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}
            ),
            1,
            True,
        ),
        (objects.workload(strategy={"rollingUpdate": {"maxUnavailable": "100%"}}), 1, True),
        (objects.workload(strategy={"rollingUpdate": {"maxUnavailable": "100%"}}), 0, False),
        (objects.workload(strategy={"rollingUpdate": {"maxUnavailable": 1}}), 3, False),
        (objects.workload("StatefulSet", replicas=2, podManagementPolicy="Parallel"), 1, True),
        (objects.workload("StatefulSet", replicas=2, podManagementPolicy="Parallel"), 2, False),
        (objects.workload("DaemonSet"), 1, False),
    ],
)
def test_a_restart_that_may_stop_every_ready_pod_needs_to_be_allowed(
    obj: dict[str, Any], up: int, stopped: bool
) -> None:
    total = obj["spec"].get("replicas", 1)
    seen = facts(obj, pods=tuple(objects.pod(f"web-{n}", ready=n < up) for n in range(total)))
    answer = ACTIONS["restart_workload"].plan(seen, ACTIONS["restart_workload"].params(), ())
    assert isinstance(answer, Refusal) == stopped
    assert not stopped or refused(seen) is Reason.WOULD_INTERRUPT


def test_one_replica_with_surge_is_restarted() -> None:
    assert planned(facts(objects.workload(replicas=1)))


def test_rollback_workload_puts_the_older_template_back_without_its_hash() -> None:
    obj = objects.workload()
    plan = planned(facts(obj), "rollback_workload")
    after = applied(plan, obj)
    assert after["spec"]["template"] == template("web:1")
    assert template_state(after["spec"]["template"]) == plan.calls[0].leaves
    assert plan.summary == "roll Deployment/shop/web back to revision 1, last seen healthy"
    assert plan.assumptions == {
        TEMPLATE: hash_of("web:2"),
        "revision": "uid-rs-1",
        REPLICAS: 3,
        ANNOTATIONS: None,
    }


def test_the_newest_that_was_seen_healthy_is_preferred() -> None:
    revisions = (
        revision(1, "web:0", healthy=True),
        revision(2, "web:1", healthy=True),
        revision(3, "web:1b"),
        revision(4, "web:2", current=True),
    )
    assert "revision 2" in planned(facts(revisions=revisions), "rollback_workload").summary
    proved = Past(
        (
            PastAct(
                "r",
                "restart_workload",
                (),
                Outcome.SUCCEEDED,
                T,
                hash_of("web:0"),
                hash_of("web:0"),
            ),
        )
    )
    unseen = tuple(replace(item, seen_healthy=False) for item in revisions)
    assert (
        "revision 1, last seen healthy"
        in planned(facts(revisions=unseen, past=proved), "rollback_workload").summary
    )
    none_healthy = tuple(replace(item, seen_healthy=False) for item in revisions)
    assert "revision 3" in planned(facts(revisions=none_healthy), "rollback_workload").summary


def act(before: str, left: str) -> Past:
    return Past((PastAct("r", "rollback_workload", (), None, T, hash_of(before), hash_of(left)),))


@pytest.mark.parametrize(
    ("name", "seen", "reason"),
    [
        ("revisions unknown", facts(revisions=Unknown("RBAC")), Reason.UNKNOWN_FACT),
        ("no current revision", facts(revisions=(revision(1, "web:1"),)), Reason.NO_REVISION),
        ("only itself", facts(revisions=(revision(1, "web:2", current=True),)), Reason.NO_REVISION),
        (
            "only restarts of itself",
            facts(revisions=(revision(1, "web:2"), revision(2, "web:2", current=True))),
            Reason.NO_REVISION,
        ),
        (
            "too old",
            facts(
                revisions=(
                    revision(1, "web:1", 600 * MINUTE),
                    revision(2, "web:2", 300 * MINUTE, current=True),
                )
            ),
            Reason.NO_REVISION,
        ),
        ("we chose it", facts(past=act("web:3", "web:2")), Reason.NO_REVISION),
        ("others brought it back", facts(past=act("web:2", "web:1")), Reason.ALREADY_DONE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_rolled_back(name: str, seen: Facts, reason: Reason) -> None:
    assert refused(seen, "rollback_workload") is reason


def test_changed_within_may_be_longer() -> None:
    old = (revision(1, "web:1", 600 * MINUTE), revision(2, "web:2", 300 * MINUTE, current=True))
    assert planned(facts(revisions=old), "rollback_workload", changed_within="6h")


def test_a_rollback_is_undone_only_where_it_still_stands() -> None:
    obj = objects.workload()
    plan = planned(facts(obj), "rollback_workload")
    after = applied(plan, obj)
    assert ROLLBACK.undo is not None
    back = ROLLBACK.undo(plan, evidence(after), facts(after))
    assert isinstance(back, Plan)
    assert applied(back, after)["spec"]["template"] == template("web:2")
    assert back.digest != plan.digest
    changed = {**after, "spec": {**after["spec"], "template": template("web:9")}}
    answer = ROLLBACK.undo(plan, evidence(after), facts(changed))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.ASSUMPTION_CHANGED
    gone = ROLLBACK.undo(
        plan, evidence(after), facts(after, revisions=(revision(1, "web:1", current=True),))
    )
    assert isinstance(gone, Refusal)
    assert gone.reason is Reason.NO_REVISION


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("the controller has not seen it", {}, Verified.WAITING),
        ("rolled out", {"observedGeneration": 3}, Verified.CONVERGED),
        ("not all updated", {"observedGeneration": 3, "updatedReplicas": 2}, Verified.WAITING),
        ("old pods left", {"observedGeneration": 3, "replicas": 4}, Verified.WAITING),
        (
            "not all available",
            {"observedGeneration": 3, "availableReplicas": 2},
            Verified.WAITING,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rollout_is_watched(name: str, change: dict[str, Any], expected: Verified) -> None:
    obj = objects.workload()
    plan = planned(facts(obj))
    after = applied(plan, obj)
    after["status"] = {**after["status"], **change}
    assert workload.verify(plan, evidence(after), facts(after)).how is expected


def test_others_overtake_by_template_by_stamp_or_by_uid() -> None:
    obj = objects.workload()
    plan = planned(facts(obj))
    after = whole(applied(plan, obj))
    left = evidence(after)
    template_changed = {**after, "spec": {**after["spec"], "template": template("web:9")}}
    unstamped = {**after, "metadata": {**after["metadata"], "annotations": {}}}
    another = {**after, "metadata": {**after["metadata"], "uid": "uid-other"}}
    for changed in (template_changed, unstamped, another):
        assert workload.verify(plan, left, facts(changed)) == Seen(Verified.OVERTAKEN)
    assert workload.verify(plan, left, replace(facts(after), object=None)) == Seen(
        Verified.OVERTAKEN
    )
    assert workload.verify(plan, left, replace(facts(after), object=Unknown("down"))) == Seen(
        Verified.UNKNOWN
    )


def given_up(obj: dict[str, Any]) -> dict[str, Any]:
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {
        **obj["status"],
        "observedGeneration": 3,
        "conditions": [condition],
        "availableReplicas": 1,
        "updatedReplicas": 2,
    }
    return {**obj, "status": status}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        (tuple(pod(f"n-{n}", ready=n > 0) for n in range(3)), Verified.WORSE),
        (tuple(pod(f"n-{n}") for n in range(3)), Verified.WAITING),
        ((pod("web-0", restarts=3), pod("n-1"), pod("n-2")), Verified.WORSE),
    ],
)
def test_worse_is_fewer_ready_or_new_restarts_once_the_rollout_gave_up(
    pods: Any, expected: Verified
) -> None:
    obj = objects.workload()
    plan = planned(facts(obj))
    after = given_up(applied(plan, obj))
    assert workload.verify(plan, evidence(after), facts(after, pods=pods)).how is expected


def test_an_undo_is_done_where_as_many_are_ready_as_before() -> None:
    obj = objects.workload()
    plan = replace(planned(facts(obj), "rollback_workload"), before={"ready": 2})
    after = given_up(applied(plan, obj))
    assert ROLLBACK.restored is not None
    two = tuple(pod(f"n-{n}", ready=n > 0) for n in range(3))
    assert ROLLBACK.restored(plan, evidence(after), facts(after, pods=two)) == Seen(
        Verified.CONVERGED
    )
    assert ROLLBACK.restored(plan, evidence(after), facts(after, pods=two[:2])) == Seen(
        Verified.WAITING
    )
    unseen = {**after, "status": {**after["status"], "observedGeneration": 2}}
    assert ROLLBACK.restored(plan, evidence(after), facts(unseen, pods=two)) == Seen(
        Verified.WAITING
    )


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_other_workloads_roll_out_too(kind: str) -> None:
    obj = objects.workload(kind)
    plan = planned(facts(obj))
    after = whole(applied(plan, obj))
    assert workload.verify(plan, evidence(after), facts(after)) == Seen(Verified.CONVERGED)
    behind = {"StatefulSet": {"updateRevision": "b"}, "DaemonSet": {"updatedNumberScheduled": 1}}[
        kind
    ]
    after["status"] |= behind
    assert workload.verify(plan, evidence(after), facts(after)) == Seen(Verified.WAITING)
    assert refused(facts(after)) is Reason.ROLLOUT_RUNNING


def test_a_rollout_may_take_as_long_as_its_controller_waits() -> None:
    assert workload.patience(objects.workload()) == timedelta(minutes=12)
    assert workload.patience(objects.workload(progressDeadlineSeconds=60)) == timedelta(minutes=3)


def test_a_digest_covers_the_plan_and_neither_time_nor_version() -> None:
    first = planned(facts())
    later = planned(replace(facts(), at=T + MINUTE))
    drifted = planned(
        facts(
            {
                **objects.workload(),
                "metadata": {**objects.workload()["metadata"], "resourceVersion": "9"},
            }
        )
    )
    assert first.digest == later.digest == drifted.digest
    # a restart is one, however many pods there are
    assert planned(facts(objects.workload(replicas=4))).digest == first.digest
    assert planned(facts(objects.workload(image="web:3"))).digest != first.digest
    assert planned(facts(), allow_outage=True).digest != first.digest
    assert re.fullmatch(r"sha256:[0-9a-f]{24}", first.digest)


def test_a_plan_is_stored_without_secrets_and_read_again() -> None:
    obj = objects.workload()
    secret = revision(1, "web:1", 60 * MINUTE)
    secret = replace(secret, template=template("web:1", env=[{"name": "P", "value": "hunter2"}]))
    plan = planned(
        facts(obj, revisions=(secret, revision(2, "web:2", current=True))), "rollback_workload"
    )
    assert "hunter2" in str(plan)
    stored = to_json(plan)
    assert "hunter2" not in str(stored)
    again = from_json(stored)
    assert (again.target, again.before, again.locks) == (plan.target, plan.before, plan.locks)
    assert again.calls[0].leaves == plan.calls[0].leaves
    assert from_json(to_json(again)) == again
    assert not again.calls[0].whole


def test_causes_are_declared() -> None:
    assert RESTART.causes == {"oom_killed", "crash_loop"}
    assert ROLLBACK.causes == {"rollout_changed"}
