"""quarantine_pod: evidence, policy, one relabel; what stays where it is; release and the end."""

from dataclasses import replace
from typing import Any

import jsonpatch
import pytest

from remediator.actions import ACTIONS
from remediator.actions.quarantine_pod import KEPT
from remediator.model.call import Effect, effect
from remediator.model.facts import Facts, Unknown
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.raw import annotations, labels
from remediator.model.verdict import Reason
from remediator.sights.isolation import ISOLATION, Isolation
from remediator.sights.isolation import QUARANTINE as LABEL
from tests.unit import objects
from tests.unit.actions.samples import POD, Sample, isolated, pod_facts, running

QUARANTINE = ACTIONS["quarantine_pod"]

SAMPLES = [Sample(pod_facts(), after=isolated)]


def planned(seen: Facts, **parameters: Any) -> Plan:
    answer = QUARANTINE.plan(seen, QUARANTINE.params(**parameters), ())
    assert isinstance(answer, Plan), answer
    return answer


def patched(plan: Plan, obj: Any) -> Any:
    return jsonpatch.apply_patch(obj, list(plan.calls[-1].body))


def test_quarantine_pod_collects_denies_and_relabels_in_this_order() -> None:
    plan = planned(pod_facts())
    assert [(call.verb, call.target.kind) for call in plan.calls] == [
        ("collect", "Pod"), ("create", "NetworkPolicy"), ("patch", "Pod"),
    ]  # fmt: skip
    policy = plan.calls[1].body
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {LABEL: POD.uid}},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert policy["metadata"]["ownerReferences"][0]["uid"] == POD.uid
    after = patched(plan, running())
    # not one of the old labels: no Service, no policy, no ReplicaSet selects it
    assert labels(after) == {LABEL: POD.uid}
    assert annotations(after)[KEPT] == '{"app": "web", "tier": "front"}'
    assert plan.locks == ("c/Deployment/shop/web", "c/Pod/shop/web-1")
    assert plan.beside is not None
    assert plan.beside.name == "web"


def test_a_policy_that_is_there_already_is_not_made_again() -> None:
    mine = {
        "metadata": {"name": "x", "uid": "u", "labels": {LABEL: str(running()["metadata"]["uid"])}}
    }
    assert [call.verb for call in planned(pod_facts(isolation=Isolation((), (), mine))).calls] == [
        "collect",
        "patch",
    ]


def test_somebody_else_s_policy_of_that_name_isolates_nothing_and_is_left_alone() -> None:
    theirs = Isolation((), (), {"metadata": {"name": "x", "uid": "u"}})
    refused = QUARANTINE.plan(pod_facts(isolation=theirs), QUARANTINE.params(), ())
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.CONFLICT


def with_labels(**extra: str) -> dict[str, Any]:
    obj = running()
    obj["metadata"]["labels"] = extra
    return obj


def owned_by(kind: str | None) -> dict[str, Any]:
    obj = running()
    obj["metadata"]["ownerReferences"] = (
        [{"kind": kind, "name": "x", "uid": "u", "controller": True}] if kind else []
    )
    return obj


CROWD = Isolation((), tuple(f"p-{n}" for n in range(5)))


@pytest.mark.parametrize(
    ("name", "seen", "reason"),
    [
        ("unreadable", replace(pod_facts(), object=Unknown("down")), Reason.UNKNOWN_FACT),
        ("gone", replace(pod_facts(), object=None), Reason.TARGET_GONE),
        ("a Deployment", replace(pod_facts(), target=objects.WEB), Reason.UNSUPPORTED_TARGET),
        (
            "finished",
            pod_facts({**running(), "status": {"phase": "Succeeded"}}),
            Reason.TERMINATING,
        ),
        ("in quarantine", pod_facts(with_labels(**{LABEL: "x"})), Reason.ALREADY_DONE),
        ("an unseen network", pod_facts(isolation=Unknown("RBAC")), Reason.UNKNOWN_FACT),
        ("hostNetwork", pod_facts(running(hostNetwork=True)), Reason.UNSUPPORTED_TARGET),
        ("bare", pod_facts(owned_by(None)), Reason.UNMANAGED_TARGET),
        ("a StatefulSet's", pod_facts(owned_by("StatefulSet")), Reason.UNSUPPORTED_TARGET),
        (
            "with a volume",
            pod_facts(running(volumes=[{"persistentVolumeClaim": {"claimName": "d"}}])),
            Reason.NOT_REPLACEABLE,
        ),
        ("of an unseen workload", pod_facts(beside=None), Reason.NOT_REPLACEABLE),
        (
            "the only replica",
            pod_facts(beside=objects.workload(replicas=1)),
            Reason.WOULD_INTERRUPT,
        ),
        ("one too many", pod_facts(isolation=CROWD), Reason.AT_CEILING),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_quarantined(name: str, seen: Facts, reason: Reason) -> None:
    answer = QUARANTINE.plan(seen, QUARANTINE.params(), ())
    assert isinstance(answer, Refusal)
    assert answer.reason is reason
    assert answer.why


def test_the_only_replica_may_be_allowed() -> None:
    assert planned(pod_facts(beside=objects.workload(replicas=1)), allow_outage=True)


def test_it_counts_once_no_service_lists_it_and_its_replacement_is_ready() -> None:
    plan = planned(pod_facts())
    after = isolated(plan)
    assert QUARANTINE.verify(plan, (), after) == Seen(Verified.CONVERGED)
    listed = after.saw(ISOLATION, Isolation(("front",), (), {"metadata": {}}))
    short = objects.workload()
    short["status"]["availableReplicas"] = 2
    for waiting in (
        listed,
        replace(after, beside=short),
        after.saw(ISOLATION, Isolation((), ())),
    ):
        assert QUARANTINE.verify(plan, (), waiting) == Seen(Verified.WAITING)
    assert QUARANTINE.verify(plan, (), replace(after, object=running())) == Seen(Verified.OVERTAKEN)
    assert QUARANTINE.verify(plan, (), replace(after, object=None)) == Seen(Verified.OVERTAKEN)
    assert QUARANTINE.verify(plan, (), replace(after, beside=Unknown("down"))) == Seen(
        Verified.UNKNOWN
    )


def test_a_release_deletes_the_policy_and_gives_the_labels_back() -> None:
    assert QUARANTINE.undo is not None
    assert QUARANTINE.restored is not None
    plan = planned(pod_facts())
    after = isolated(plan)
    back = QUARANTINE.undo(plan, (), after)
    assert isinstance(back, Plan)
    assert [(call.verb, call.target.kind, call.target.uid) for call in back.calls] == [
        ("delete", "NetworkPolicy", "uid-policy"), ("patch", "Pod", POD.uid),
    ]  # fmt: skip
    free = patched(back, after.object)
    assert labels(free) == {"app": "web", "tier": "front"}
    assert KEPT not in annotations(free)
    assert QUARANTINE.restored(back, (), pod_facts(free)) == Seen(Verified.CONVERGED)
    assert QUARANTINE.restored(back, (), after) == Seen(Verified.WAITING)
    refused = QUARANTINE.undo(plan, (), pod_facts())
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.ASSUMPTION_CHANGED


def test_at_the_end_the_pod_goes_and_its_policy() -> None:
    assert QUARANTINE.ending is not None
    assert QUARANTINE.restored is not None
    plan = planned(pod_facts())
    end = QUARANTINE.ending(plan, (), isolated(plan))
    assert isinstance(end, Plan)
    assert [(call.verb, call.target.kind, call.target.uid) for call in end.calls] == [
        ("delete", "Pod", POD.uid), ("delete", "NetworkPolicy", "uid-policy"),
    ]  # fmt: skip
    assert QUARANTINE.restored(end, (), replace(isolated(plan), object=None)) == Seen(
        Verified.CONVERGED
    )
    gone = QUARANTINE.ending(plan, (), replace(isolated(plan), object=None))
    assert isinstance(gone, Refusal)
    assert gone.reason is Reason.TARGET_GONE


def test_a_deletion_is_proved_by_another_uid_or_none() -> None:
    plan = planned(pod_facts())
    assert QUARANTINE.ending is not None
    end = QUARANTINE.ending(plan, (), isolated(plan))
    assert isinstance(end, Plan)
    call = end.calls[0]
    another = running()
    another["metadata"]["uid"] = "uid-other"
    going = running()
    going["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    assert [effect(call, "x", obj) for obj in (None, another, going)] == [Effect.PROVED] * 3
    assert effect(call, "x", running()) is Effect.ABSENT
