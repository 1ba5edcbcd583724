"""What actions on workloads share, on workloads as API servers show them.

How many pods a rollout takes away, whether it runs, is done or went wrong, and what is left alone.
"""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.actions import ACTIONS, workload
from remediator.model.call import STAMP, Evidence
from remediator.model.facts import Facts, Unknown
from remediator.model.past import Past, PastAct
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.remediation import Outcome
from remediator.model.template import RESTARTED_AT
from remediator.model.verdict import Reason
from remediator.sights.pods import PODS
from tests.unit import objects
from tests.unit.actions.test_actions import (
    applied,
    evidence,
    given_up,
    planned,
    refused,
    whole,
)
from tests.unit.objects import HOUR, MINUTE, T, facts, hash_of, pod, revision, template

FEW = settings(deadline=None, max_examples=50)
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
Bound = int | str


def pods(up: int, of: int) -> tuple[dict[str, Any], ...]:
    return tuple(pod(f"web-{number}", ready=number < up) for number in range(of))


def rolling(unavailable: Any = None, surge: Any = None) -> dict[str, Any]:
    bounds = {"maxUnavailable": unavailable, "maxSurge": surge}
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {name: value for name, value in bounds.items() if value is not None},
    }


def daemons(count: int, **spec: Any) -> dict[str, Any]:
    """A DaemonSet as it is: without a replica count in its spec."""
    made = objects.workload("DaemonSet", **spec)
    del made["spec"]["replicas"]
    made["status"] |= dict.fromkeys(
        ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"), count
    )
    return made


def scaled(bound: Bound, count: int, up: bool) -> int:
    """A bound as Kubernetes resolves it (intstr.GetScaledValueFromIntOrPercent)."""
    if isinstance(bound, int):
        return bound
    share = int(bound.removesuffix("%")) * count
    return -(-share // 100) if up else share // 100


def left_at_least(count: int, unavailable: Bound, surge: Bound) -> int:
    """The pods that a Deployment keeps available (deployment_util.go, MaxUnavailable)."""
    most = scaled(unavailable, count, up=False)
    if most == 0 and scaled(surge, count, up=True) == 0:
        most = 1
    return count - min(most, count)


BOUNDS = st.integers(0, 12) | st.integers(0, 100).map(lambda share: f"{share}%")


@FEW
@given(count=st.integers(1, 12), down=st.integers(0, 12), unavailable=BOUNDS, surge=BOUNDS)
def test_a_deployment_loses_what_its_controller_lets_it_lose(
    count: int, down: int, unavailable: Bound, *, surge: Bound
) -> None:
    """No maxUnavailable is above the count here: that has a test of its own."""
    if scaled(unavailable, count, up=False) > count:
        return
    up = max(0, count - down)
    made = objects.workload(replicas=count, strategy=rolling(unavailable, surge))
    expected = max(0, up - left_at_least(count, unavailable, surge))
    assert workload.taken(made, facts(made, pods=pods(up, count))) == expected


@pytest.mark.parametrize(
    ("made", "up"),
    [
        pytest.param(objects.workload(strategy=rolling(5)), 3, id="a Deployment of three, 5"),
        pytest.param(daemons(3, updateStrategy=rolling(9)), 3, id="a DaemonSet on three nodes, 9"),
        pytest.param(
            objects.workload("StatefulSet", updateStrategy=rolling(9)),
            3,
            id="a StatefulSet of three, 9",
        ),
        pytest.param(daemons(0), 0, id="a DaemonSet that no node runs"),
    ],
)
def test_no_rollout_takes_more_pods_than_there_are(made: dict[str, Any], up: int) -> None:
    assert workload.taken(made, facts(made, pods=pods(up, up))) == up


@pytest.mark.parametrize(
    ("count", "up", "strategy", "expected"),
    [
        pytest.param(3, 3, None, 1, id="one at a time by default"),
        pytest.param(3, 3, {"type": "RollingUpdate"}, 1, id="no bounds"),
        pytest.param(3, 3, {"rollingUpdate": None}, 1, id="null bounds"),
        pytest.param(10, 10, rolling("25%"), 3, id="a share is rounded up"),
        pytest.param(10, 8, rolling("25%"), 1, id="what is down already counts off"),
        pytest.param(10, 7, rolling("25%"), 0, id="no more than that"),
        pytest.param(10, 10, rolling(0, 1), 0, id="a surge takes none"),
        pytest.param(10, 10, rolling(0, "10%"), 0, id="a surge in percent takes none"),
        pytest.param(10, 10, rolling("0%", 0), 1, id="nothing would move without one"),
    ],
)
def test_how_many_daemons_go_at_once(count: int, up: int, strategy: Any, *, expected: int) -> None:
    made = daemons(count, updateStrategy=strategy)
    assert workload.taken(made, facts(made, pods=pods(up, count))) == expected


def test_pods_that_run_nowhere_are_not_taken() -> None:
    for kind in KINDS:
        made = objects.workload(kind)
        assert workload.taken(made, facts(made, pods=())) == 0


STRATEGIES: list[tuple[str, dict[str, Any], bool]] = [
    ("no strategy", objects.workload(replicas=1, strategy=None), False),
    ("no bounds", objects.workload(replicas=1, strategy={"rollingUpdate": None}), False),
    ("surge as a number", objects.workload(replicas=1, strategy=rolling(0, 1)), False),
    ("surge in percent", objects.workload(replicas=1, strategy=rolling("0%", "1%")), False),
    ("no surge, one pod", objects.workload(replicas=1, strategy=rolling(1, 0)), True),
    ("all may be unavailable", objects.workload(strategy=rolling("100%", "25%")), True),
    ("OnDelete", daemons(3, updateStrategy={"type": "OnDelete"}), True),
    (
        "partition 0 reaches every pod",
        objects.workload("StatefulSet", updateStrategy={"rollingUpdate": {"partition": 0}}),
        False,
    ),
    (
        "OnDelete of a StatefulSet",
        objects.workload("StatefulSet", updateStrategy={"type": "OnDelete"}),
        True,
    ),
    ("one StatefulSet pod", objects.workload("StatefulSet", replicas=1), True),
    ("one DaemonSet pod", daemons(1), False),
]


@pytest.mark.parametrize(
    ("name", "made", "interrupted"), STRATEGIES, ids=[name for name, *_ in STRATEGIES]
)
def test_which_strategies_interrupt_the_service(
    name: str, made: dict[str, Any], interrupted: bool
) -> None:
    count = made["spec"].get("replicas", made["status"].get("desiredNumberScheduled", 1))
    seen = facts(made, pods=pods(count, count))
    assert (workload.interrupts(made, seen) is not None) == interrupted


@pytest.mark.parametrize(
    "strategy", [{"type": "OnDelete"}, {"rollingUpdate": {"partition": 1}}], ids=str
)
def test_a_rollback_that_would_not_reach_its_pods_is_refused(strategy: dict[str, Any]) -> None:
    seen = facts(objects.workload("StatefulSet", updateStrategy=strategy))
    assert refused(seen, "rollback_workload") is Reason.WOULD_INTERRUPT


STATUSES: list[tuple[str, str, dict[str, Any], bool, bool]] = [
    ("whole", "Deployment", {}, False, True),
    ("old pods left", "Deployment", {"replicas": 4, "updatedReplicas": 3}, True, False),
    ("too few updated", "Deployment", {"updatedReplicas": 2}, True, False),
    ("none updated yet", "Deployment", {"updatedReplicas": None}, True, False),
    ("unready is no rollout", "Deployment", {"availableReplicas": None}, False, False),
    ("unseen by its controller", "Deployment", {"observedGeneration": 1}, True, False),
    ("never seen by it", "Deployment", {"observedGeneration": None}, True, False),
    ("a newer one was observed", "Deployment", {"observedGeneration": 9}, False, True),
    ("whole", "StatefulSet", {}, False, True),
    ("another revision goes out", "StatefulSet", {"updateRevision": "b"}, True, False),
    ("unready is no rollout", "StatefulSet", {"readyReplicas": None}, False, False),
    ("no revision yet", "StatefulSet", {"currentRevision": None}, True, False),
    ("whole", "DaemonSet", {}, False, True),
    ("one is behind", "DaemonSet", {"updatedNumberScheduled": 2}, True, False),
    ("none is updated", "DaemonSet", {"updatedNumberScheduled": None}, True, False),
    ("unready is no rollout", "DaemonSet", {"numberAvailable": None}, False, False),
]


@pytest.mark.parametrize(
    ("name", "kind", "change", "running", "done"),
    STATUSES,
    ids=[f"{kind}: {name}" for name, kind, *_ in STATUSES],
)
def test_a_status_shows_whether_a_rollout_runs_and_whether_it_is_done(
    name: str, kind: str, change: dict[str, Any], *, running: bool, done: bool
) -> None:
    """What is zero is left out by the API server."""
    made = daemons(3) if kind == "DaemonSet" else objects.workload(kind)
    made["status"] = {
        key: value for key, value in {**made["status"], **change}.items() if value is not None
    }
    assert (workload.rollout_running(made), workload.converged(made)) == (running, done)


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_without_a_status_is_neither_done_nor_restarted(kind: str) -> None:
    made = {**objects.workload(kind), "status": None}
    assert not workload.converged(made)
    assert refused(facts(made)) is Reason.ROLLOUT_RUNNING


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(
    change=st.dictionaries(
        st.sampled_from(
            [
                "replicas",
                "updatedReplicas",
                "availableReplicas",
                "readyReplicas",
                "observedGeneration",
                "desiredNumberScheduled",
                "updatedNumberScheduled",
                "numberAvailable",
            ]
        ),
        st.integers(0, 5),
    )
)
def test_a_rollout_is_never_both_running_and_done(kind: str, change: dict[str, int]) -> None:
    made = objects.workload(kind)
    made["status"] |= change
    assert not (workload.converged(made) and workload.rollout_running(made))


@pytest.mark.parametrize(
    ("deadline", "minutes"), [(None, 12), (0, 12), (60, 3), (600, 12), (3600, 62)]
)
def test_a_rollout_is_given_a_little_longer_than_its_deadline(
    deadline: int | None, minutes: int
) -> None:
    made = objects.workload(progressDeadlineSeconds=deadline)
    assert workload.patience(made) == minutes * MINUTE


def test_a_restart_keeps_every_other_annotation_of_the_template() -> None:
    made = objects.workload()
    notes = {"prometheus.io/scrape": "true", RESTARTED_AT: "2026-04-01T00:00:00Z"}
    made["spec"]["template"]["metadata"]["annotations"] = notes
    made["metadata"]["annotations"] = {"team": "shop"}
    plan = planned(facts(made))
    after = applied(plan, made)
    assert after["spec"]["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        RESTARTED_AT: "2026-05-01T12:00:00+00:00",
    }
    assert after["metadata"]["annotations"] == {"team": "shop", STAMP: "r-1.1"}
    assert plan.previous == {
        f"/spec/template/metadata/annotations/{RESTARTED_AT.replace('/', '~1')}": (
            "2026-04-01T00:00:00Z"
        )
    }


@pytest.mark.parametrize("metadata", [{}, {"annotations": None}, {"annotations": {}}])
def test_a_restart_of_a_template_without_annotations(metadata: dict[str, Any]) -> None:
    made = objects.workload()
    made["spec"]["template"]["metadata"] = metadata
    after = applied(planned(facts(made)), made)
    assert set(after["spec"]["template"]["metadata"]["annotations"]) == {RESTARTED_AT}


DEL = {"deletionTimestamp": "2026-05-01T12:00:00Z"}


@pytest.mark.parametrize("action", ["restart_workload", "rollback_workload", "scale_workload"])
def test_a_workload_that_is_being_deleted_is_left_alone(action: str) -> None:
    made = objects.workload()
    made["metadata"] |= DEL
    assert refused(facts(made, autoscaler=None), action) is Reason.TERMINATING


def stateful(**status: Any) -> dict[str, Any]:
    made = objects.workload("StatefulSet")
    made["status"] |= {"updateRevision": "good", "currentRevision": "bad", **status}
    return made


def ordinal(
    number: int, revision_: str, ready: bool = False, *, going: bool = False
) -> dict[str, Any]:
    made = pod(f"web-{number}", ready=ready)
    made["metadata"] |= {"labels": {"controller-revision-hash": revision_}}
    made["metadata"] |= DEL if going else {}
    return made


STUCK: list[tuple[str, dict[str, Any], tuple[Any, ...], list[str]]] = [
    ("unready, of the bad revision", stateful(), (ordinal(0, "bad"),), ["web-0"]),
    ("ready, of the bad revision", stateful(), (ordinal(0, "bad", True),), []),
    ("unready, of the good revision", stateful(), (ordinal(0, "good"),), []),
    ("on its way out", stateful(), (ordinal(0, "bad", going=True),), []),
    ("not seen by its controller", stateful(observedGeneration=1), (ordinal(0, "bad"),), []),
    ("no revision goes out", stateful(updateRevision=None), (ordinal(0, "bad"),), []),
    (
        "several",
        stateful(),
        (ordinal(0, "bad"), ordinal(1, "good"), ordinal(2, "bad"), ordinal(3, "bad", True)),
        ["web-0", "web-2"],
    ),
    ("of a Deployment", objects.workload(), (ordinal(0, "bad"),), []),
    ("of a DaemonSet", daemons(3), (ordinal(0, "bad"),), []),
]


@pytest.mark.parametrize(("name", "made", "there", "gone"), STUCK, ids=[n for n, *_ in STUCK])
def test_only_stuck_pods_of_a_stateful_set_are_deleted(
    name: str, made: dict[str, Any], there: tuple[Any, ...], *, gone: list[str]
) -> None:
    plan = planned(facts(objects.workload("StatefulSet")))
    calls = workload.unblock(plan, (), facts(made, pods=there))
    assert [call.target.name for call in calls] == gone
    for call in calls:
        assert (call.verb, call.target.uid) == ("delete", f"uid-{call.target.name}")
        assert dict(call.assumes) == {"ready:": False}
        assert plan.bounds[0].covers(call)


def test_nothing_is_deleted_where_the_stateful_set_or_its_pods_are_not_seen() -> None:
    plan = planned(facts(objects.workload("StatefulSet")))
    seen = facts(stateful(), pods=(ordinal(0, "bad"),))
    assert workload.unblock(plan, (), replace(seen, object=Unknown("timeout"))) == ()
    assert workload.unblock(plan, (), seen.saw(PODS, Unknown("timeout"))) == ()


def test_pods_below_the_partition_are_not_taken_for_stuck() -> None:
    made = stateful()
    made["spec"]["updateStrategy"] = {"rollingUpdate": {"partition": 2}}
    plan = planned(
        facts(objects.workload("StatefulSet", updateStrategy=made["spec"]["updateStrategy"])),
        allow_outage=True,
    )
    assert workload.unblock(plan, (), facts(made, pods=(ordinal(0, "bad"),))) == ()


def verified(after: dict[str, Any], **more: Any) -> Verified:
    plan = planned(facts())
    return workload.verify(plan, evidence(after), facts(after, **more)).how


def restarted() -> dict[str, Any]:
    return applied(planned(facts()), objects.workload())


def test_a_rollout_that_gave_up_is_worse_only_where_pods_suffered() -> None:
    after = given_up(restarted())
    assert verified(after, pods=pods(3, 3)) is Verified.WAITING
    assert verified(after, pods=pods(2, 4)) is Verified.WORSE
    progressing = {**after, "status": {**after["status"], "conditions": None}}
    assert verified(progressing, pods=pods(0, 3)) is Verified.WAITING


def test_restarts_of_new_pods_are_not_held_against_a_rollout_that_gave_up() -> None:
    after = given_up(restarted())
    new = (pod("new-0", restarts=7), pod("new-1"), pod("new-2"))
    assert verified(after, pods=new) is Verified.WAITING


@pytest.mark.parametrize(
    "conditions",
    [
        [{"type": "Progressing", "status": "True", "reason": "ProgressDeadlineExceeded"}],
        [{"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError"}],
        [{"type": "Available", "status": "False", "reason": "ProgressDeadlineExceeded"}],
        [],
    ],
)
def test_only_an_exceeded_deadline_means_that_a_rollout_gave_up(conditions: Any) -> None:
    made = {**objects.workload(), "status": {"conditions": conditions}}
    assert not workload.progress_deadline_exceeded(made)


def test_a_rollout_is_not_seen_to_be_done_while_its_pods_are_not_seen() -> None:
    after = whole(restarted())
    plan = planned(facts())
    blind = facts(after).saw(PODS, Unknown("timeout"))
    assert workload.verify(plan, evidence(after), blind) == Seen(Verified.UNKNOWN)
    assert workload.verify(plan, (), facts(after)) == Seen(Verified.OVERTAKEN)


def test_somebody_else_s_restart_after_ours_does_not_count_as_our_template() -> None:
    again = whole(restarted())
    again["metadata"]["annotations"] = {STAMP: "r-2.1"}
    assert verified(again) is Verified.OVERTAKEN


def history(*ages: timedelta, current: str = "web:9") -> tuple[Any, ...]:
    """Older revisions from web:0 on, and the current one, five minutes old."""
    older = [revision(n + 1, f"web:{n}", age) for n, age in enumerate(ages)]
    newest = len(older) + 1
    return (*older, revision(newest, current, 5 * MINUTE, current=True))


def rolled_back(seen: Facts, **parameters: Any) -> Plan | Refusal:
    action = ACTIONS["rollback_workload"]
    return action.plan(seen, action.params(**parameters), ())


def web9(**more: Any) -> Facts:
    return facts(objects.workload(image="web:9"), **more)


@pytest.mark.parametrize(
    ("began", "within", "planned_"),
    [
        pytest.param(timedelta(), "5m", True, id="exactly as long ago"),
        pytest.param(timedelta(), "4m59s", False, id="a second longer ago"),
        pytest.param(-2 * HOUR, "1m", True, id="the change came after the trouble"),
        pytest.param(HOUR, "5m", True, id="trouble in the future is trouble now"),
    ],
)
def test_a_change_counts_from_when_the_trouble_began(
    began: timedelta, within: str, planned_: bool
) -> None:
    seen = replace(web9(revisions=history(HOUR)), began=T + began)
    assert isinstance(rolled_back(seen, changed_within=within), Plan) == planned_


def test_a_template_that_came_back_by_a_restart_is_as_old_as_its_first_revision() -> None:
    revisions = (
        revision(1, "web:1", 30 * HOUR),
        revision(2, "web:9", 20 * HOUR),
        revision(3, "web:9", MINUTE, current=True),
    )
    answer = rolled_back(web9(revisions=revisions))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.NO_REVISION
    assert "20h" in answer.why


def test_revisions_newer_than_the_current_one_are_never_chosen() -> None:
    newer = revision(7, "web:7", MINUTE, healthy=True)
    current = revision(3, "web:9", 5 * MINUTE, current=True)
    answer = rolled_back(web9(revisions=(current, newer)))
    assert isinstance(answer, Refusal)
    older = rolled_back(web9(revisions=(revision(1, "web:1", HOUR), current, newer)))
    assert isinstance(older, Plan)
    assert "revision 1" in older.summary


def test_what_we_rolled_back_from_is_not_rolled_back_again_after_a_redeployment() -> None:
    act = PastAct(
        "r", "rollback_workload", (), Outcome.SUCCEEDED, T, hash_of("web:9"), hash_of("web:0")
    )
    answer = rolled_back(web9(revisions=history(HOUR), past=Past((act,))))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.ALREADY_DONE


@FEW
@given(images=st.lists(st.sampled_from(["web:1", "web:2", "web:3"]), min_size=1, max_size=6))
def test_a_rollback_always_changes_the_image_and_is_taken_back_exactly(images: list[str]) -> None:
    """Restarts of one image make revisions that differ in nothing else."""
    last = len(images)
    revisions = tuple(
        revision(n, image, (last - n + 1) * MINUTE, current=n == last)
        for n, image in enumerate(images, 1)
    )
    made = objects.workload(image=images[-1])
    answer = rolled_back(facts(made, revisions=revisions))
    if isinstance(answer, Refusal):
        assert set(images) == {images[-1]}
        return
    after = applied(answer, made)
    assert after["spec"]["template"] in [template(image) for image in set(images[:-1])]
    assert after["spec"]["template"] != made["spec"]["template"]
    undo = ACTIONS["rollback_workload"].undo
    assert undo is not None
    back = undo(answer, evidence(after), facts(after, revisions=revisions))
    assert isinstance(back, Plan)
    assert applied(back, after)["spec"] == made["spec"]


def test_a_rollback_is_not_taken_back_while_it_cannot_be_seen() -> None:
    plan = planned(facts(), "rollback_workload")
    undo = ACTIONS["rollback_workload"].undo
    assert undo is not None
    after = applied(plan, objects.workload())
    sent = evidence(after)
    for seen, reason in (
        (facts(after, revisions=Unknown("timeout")), Reason.UNKNOWN_FACT),
        (facts(after, pods=Unknown("timeout")), Reason.UNKNOWN_FACT),
        (replace(facts(after), object=Unknown("timeout")), Reason.UNKNOWN_FACT),
        (replace(facts(after), object=None), Reason.TARGET_GONE),
        (facts({**after, "metadata": after["metadata"] | DEL}), Reason.TERMINATING),
        (facts({**after, "spec": after["spec"] | {"paused": True}}), Reason.PAUSED_ROLLOUT),
        (facts({**after, "spec": after["spec"] | {"replicas": 0}}), Reason.SCALED_TO_ZERO),
    ):
        answer = undo(plan, sent, seen)
        assert isinstance(answer, Refusal)
        assert answer.reason is reason
    other = undo(plan, (Evidence(200, "r-9.9", sent[0].left),), facts(after))
    assert isinstance(other, Refusal)
    assert other.reason is Reason.ASSUMPTION_CHANGED


def test_a_share_is_rounded_as_kubernetes_rounds_it() -> None:
    for count in range(1, 60):
        for share in (1, 7, 25, 29, 33, 57, 58, 100):
            made = daemons(count, updateStrategy=rolling(f"{share}%"))
            expected = max(1, math.ceil(count * share / 100 - 1e-12))
            assert workload.taken(made, facts(made, pods=pods(count, count))) == expected
