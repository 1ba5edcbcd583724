"""One call: what an object shows of it afterwards, and what an approval of it covers.

Where nothing proves that a call took effect, it did not: a wrong proof loses a write, a missed one
only sends it again.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.call import (
    CALL_ID,
    PROOFS,
    STAMP,
    Call,
    Effect,
    Evidence,
    bound,
    effect,
    evidence_from_json,
    evidence_of,
    evidence_to_json,
    ours,
    version_of,
)
from remediator.model.pointer import REPLICAS, RESTARTED
from remediator.model.target import Target
from tests.unit.objects import WEB

ID = "r-1.1.0"
SCALE = Call("patch", WEB, assumes={REPLICAS: 3}, leaves={REPLICAS: 5})
OURS = {"manager": "remediator", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
HPA = {"manager": "kube-controller-manager", "fieldsV1": {"f:spec": {"f:replicas": {}}}}


def deployment(replicas: int | None = 5, stamp: str | None = ID, **metadata: Any) -> dict[str, Any]:
    """The Deployment as it is read after a call."""
    notes = {} if stamp is None else {STAMP: stamp}
    return {
        "metadata": {"uid": WEB.uid, "annotations": notes, **metadata},
        "spec": {"replicas": replicas},
    }


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(deployment(), Effect.PROVED, id="stamped, and as it was left"),
        pytest.param(deployment(replicas=4), Effect.OVERTAKEN, id="stamped, and changed since"),
        pytest.param(deployment(replicas=None), Effect.OVERTAKEN, id="stamped, and removed since"),
        pytest.param(deployment(stamp="r-1.2.0"), Effect.ABSENT, id="another attempt's stamp"),
        pytest.param(deployment(stamp="r-1.1.01"), Effect.ABSENT, id="a longer stamp"),
        pytest.param(deployment(stamp=None), Effect.ABSENT, id="the values alone prove nothing"),
        pytest.param(deployment(annotations=None), Effect.ABSENT, id="null annotations"),
        pytest.param(None, Effect.ABSENT, id="no object"),
    ],
)
def test_a_stamp_proves_a_call(obj: dict[str, Any] | None, expected: Effect) -> None:
    assert effect(SCALE, ID, obj) is expected


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (deployment(managedFields=[HPA, OURS]), Effect.PROVED),
        (deployment(managedFields=[HPA]), Effect.ABSENT),
        (deployment(managedFields=[]), Effect.ABSENT),
        (deployment(replicas=4, managedFields=[OURS]), Effect.ABSENT),
        (None, Effect.ABSENT),
    ],
    ids=["set by us", "set by an autoscaler", "by nobody", "another value", "no object"],
)
def test_managed_fields_prove_a_call_that_keeps_no_stamp(
    obj: dict[str, Any] | None, expected: Effect
) -> None:
    assert effect(replace(SCALE, proof="managed"), ID, obj) is expected


def test_every_field_that_a_call_left_must_be_ours() -> None:
    call = replace(SCALE, proof="managed", leaves={REPLICAS: 5, "/spec/paused": True})
    obj = deployment(managedFields=[OURS])
    obj["spec"]["paused"] = True
    assert effect(call, ID, obj) is Effect.ABSENT


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (None, Effect.PROVED),
        (deployment(uid="uid-other"), Effect.PROVED),
        (deployment(uid=None), Effect.PROVED),
        (deployment(deletionTimestamp="2026-05-01T12:00:00Z"), Effect.PROVED),
        (deployment(deletionTimestamp=None), Effect.ABSENT),
        (deployment(stamp=None), Effect.ABSENT),
    ],
)
def test_what_was_to_go_is_gone(obj: dict[str, Any] | None, expected: Effect) -> None:
    assert effect(Call("delete", WEB, proof="gone"), ID, obj) is expected


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(deployment(replicas=3), Effect.ABSENT, id="as assumed"),
        pytest.param(deployment(replicas=5), Effect.PROVED, id="as we left it"),
        pytest.param(deployment(replicas=9), Effect.PROVED, id="otherwise, by anybody"),
        pytest.param(deployment(replicas=None), Effect.PROVED, id="removed"),
        pytest.param(None, Effect.ABSENT, id="no object"),
    ],
)
def test_what_has_moved_is_not_sent_again(obj: dict[str, Any] | None, expected: Effect) -> None:
    assert effect(replace(SCALE, proof="moved"), ID, obj) is expected


def test_reading_leaves_no_trace_and_is_done_again() -> None:
    call = Call("collect", WEB, proof="read")
    assert {effect(call, ID, obj) for obj in (None, deployment())} == {Effect.ABSENT}


@pytest.mark.parametrize("proof", sorted(set(PROOFS) - {"gone"}))
def test_an_object_that_is_not_there_proves_only_a_deletion(proof: str) -> None:
    assert effect(replace(SCALE, proof=proof), ID, None) is Effect.ABSENT


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("remediator", True),
        ("Remediator", False),
        ("remediator-2", False),
        ("kubectl-remediator", False),
        ("", False),
    ],
)
def test_only_our_own_field_manager_is_ours(name: str, expected: bool) -> None:
    assert ours(name) is expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({"generation": 4, "resourceVersion": "900"}, 4, id="generation"),
        pytest.param({"generation": 0, "resourceVersion": "900"}, 0, id="zero"),
        pytest.param({"generation": None, "resourceVersion": "900"}, 900, id="null"),
        pytest.param({"resourceVersion": "18446744073709551615"}, 2**64 - 1, id="an HPA's"),
        pytest.param({"resourceVersion": ""}, 0, id="empty"),
        pytest.param({}, 0, id="neither"),
        pytest.param(None, 0, id="no metadata"),
    ],
)
def test_a_version_is_the_generation_or_else_the_resource_version(
    metadata: Any, expected: int
) -> None:
    assert version_of({"metadata": metadata}) == expected


def test_a_created_object_bears_the_id_of_its_call() -> None:
    call = Call("create", Target("c", "Job", "shop", f"report-{CALL_ID}"))
    assert bound(call, ID).target.name == "report-r-1-1-0"
    assert bound(call, ID).target.key == "c/Job/shop/report-r-1-1-0"
    assert bound(bound(call, ID), "r-9.9.9") == bound(call, ID)
    assert bound(SCALE, ID) is SCALE


def patch(path: str, value: Any, op: str = "replace") -> Call:
    return Call("patch", WEB, ({"op": op, "path": path, "value": value},))


CONDITION = {"type": "Issuing", "status": "True"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (patch(RESTARTED, "2026-05-01T12:00:00Z"), patch(RESTARTED, "2026-05-01T12:09:00Z")),
        (
            patch("/metadata/annotations/remediator.io~1stamp", "r-1.1.0"),
            patch("/metadata/annotations/remediator.io~1stamp", "r-2.1.0"),
        ),
        (
            patch("/status/conditions/0", {**CONDITION, "lastTransitionTime": "a"}),
            patch("/status/conditions/0", {**CONDITION, "lastTransitionTime": "b"}),
        ),
        (patch(REPLICAS, 5), replace(patch(REPLICAS, 5), seen=9, assumes={REPLICAS: 1})),
        (patch(REPLICAS, 5), replace(patch(REPLICAS, 5), target=WEB.seen("uid-new"))),
    ],
    ids=[
        "a restart's time",
        "a stamp",
        "a condition's time",
        "versions",
        "the uid, told elsewhere",
    ],
)
def test_an_approval_stays_valid_while_only_times_and_versions_change(
    one: Call, other: Call
) -> None:
    assert one.identity == other.identity


@pytest.mark.parametrize(
    "other",
    [
        patch(REPLICAS, 6),
        patch(REPLICAS, 5, "add"),
        patch("/spec/minReplicas", 5),
        replace(patch(REPLICAS, 5), subresource="scale"),
        replace(patch(REPLICAS, 5), verb="delete"),
        replace(patch(REPLICAS, 5), target=replace(WEB, name="api")),
        replace(patch(REPLICAS, 5), target=replace(WEB, cluster="d")),
        replace(patch(REPLICAS, 5), body=patch(REPLICAS, 5).body * 2),
    ],
    ids=["value", "op", "path", "subresource", "verb", "name", "cluster", "operations"],
)
def test_an_approval_is_void_once_the_call_does_something_else(other: Call) -> None:
    assert other.identity != patch(REPLICAS, 5).identity


def test_an_approval_covers_what_a_condition_says() -> None:
    timed = {"lastTransitionTime": "a"}
    one = patch("/status/conditions/0", {**CONDITION, **timed})
    other = patch("/status/conditions/0", {**CONDITION, **timed, "status": "False"})
    assert one.identity != other.identity


@pytest.mark.parametrize("path", ["/metadata/labels/timestamp", "/data/lastrestartedAt"])
def test_an_approval_covers_a_field_that_only_ends_like_a_stamp(path: str) -> None:
    assert patch(path, "1").identity != patch(path, "2").identity


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (patch(REPLICAS, 5), "PATCH Deployment/shop/web (/spec/replicas)"),
        (
            replace(patch(REPLICAS, 5), subresource="scale"),
            "PATCH Deployment/shop/web/scale (/spec/replicas)",
        ),
        (Call("evict", Target("c", "Pod", "shop", "web-1")), "EVICT Pod/shop/web-1"),
        (Call("patch", Target("c", "Node", "", "n1")), "PATCH Node/n1 ()"),
    ],
    ids=["a patch", "of a subresource", "an eviction", "without a namespace"],
)
def test_people_read_a_call_as_one_line(call: Call, expected: str) -> None:
    assert call.describe() == expected


def test_evidence_keeps_what_the_call_left_and_nothing_more() -> None:
    made = evidence_of(SCALE, ID, deployment(replicas=7))
    assert made == Evidence(200, ID, {REPLICAS: 7})
    assert evidence_of(SCALE, ID, {}, 201) == Evidence(201, ID, {REPLICAS: None})


EVIDENCE = st.builds(
    Evidence,
    st.integers(100, 599),
    st.text(),
    st.dictionaries(st.sampled_from([REPLICAS, RESTARTED, "/x"]), st.integers()),
)


@given(st.lists(EVIDENCE, max_size=4).map(tuple))
def test_evidence_comes_back_from_the_journal_as_it_was(evidence: tuple[Evidence, ...]) -> None:
    assert evidence_from_json(evidence_to_json(evidence)) == evidence


def test_evidence_of_older_journals_is_read() -> None:
    assert evidence_from_json(None) == ()
    old = [{"status": 200, "stamp": ID, "left": {"replicas": 5}}]
    assert evidence_from_json(old) == (Evidence(200, ID, {REPLICAS: 5}),)
