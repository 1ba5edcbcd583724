"""A patch in the sandbox: what it leaves, what is refused, and who set which field afterwards."""

from typing import Any

import pytest

from remediator.cluster.patching import patched
from remediator.errors import Rejected
from remediator.model.call import CALL_ID, Call, ours
from remediator.model.managed import managed
from tests.unit.objects import WEB, workload

REPLICAS, IMAGE = "/spec/replicas", "/spec/template/spec/containers/0/image"
PAUSED = "/spec/paused"


def sets(path: str, value: Any, subresource: str = "", proof: str = "managed") -> Call:
    """A call that sets one field."""
    body = ({"op": "add", "path": path, "value": value},)
    return Call("patch", WEB, body, subresource, leaves={path: value}, proof=proof)


def test_the_object_that_is_patched_stays_as_it_was() -> None:
    before = workload()
    after = patched(before, sets(REPLICAS, 5, "scale"), "r-1.1")
    assert (before, after["spec"]["replicas"]) == (workload(), 5)


def test_the_call_s_id_stands_wherever_it_is_asked_for() -> None:
    value = {"a": CALL_ID, "b": [CALL_ID, {"c": CALL_ID}], "d": f"not {CALL_ID}"}
    after = patched(workload(), sets("/metadata/annotations", value), "r-1.1")
    wanted = {"a": "r-1.1", "b": ["r-1.1", {"c": "r-1.1"}], "d": f"not {CALL_ID}"}
    assert after["metadata"]["annotations"] == wanted


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/metadata/annotations/a", "value": "x"},
        {"op": "replace", "path": "/spec/nothing", "value": 1},
        {"op": "remove", "path": "/spec/nothing"},
        {"op": "replace", "path": "/spec/template/spec/containers/1/image", "value": "x"},
        {"op": "test", "path": REPLICAS, "value": 4},
        {"op": "move", "from": "/spec/nothing", "path": "/spec/paused"},
    ],
    ids=lambda operation: f"{operation['op']} {operation['path']}",
)
def test_a_patch_that_does_not_fit_the_object_is_refused_and_changes_nothing(
    operation: dict[str, Any],
) -> None:
    before, good = workload(), {"op": "add", "path": PAUSED, "value": True}
    with pytest.raises(Rejected, match="cannot patch Deployment/shop/web"):
        patched(before, Call("patch", WEB, (good, operation)), "r-1.1")
    assert before == workload()


@pytest.mark.parametrize("path", [REPLICAS, IMAGE])
def test_who_set_a_field_is_known_of_that_field_alone(path: str) -> None:
    value = 5 if path == REPLICAS else "web:3"
    after = patched(workload(), sets(path, value), "r-1.1")
    assert [name for name in (REPLICAS, IMAGE, PAUSED) if managed(after, name, ours)] == [path]


def test_what_others_set_stays_their_own() -> None:
    before = workload()
    entry = {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:paused": {}}}}
    before["metadata"]["managedFields"] = [entry]
    after = patched(before, sets(REPLICAS, 5, "scale"), "r-1.1")
    assert managed(after, PAUSED, lambda name: name == "kubectl")
    assert not managed(after, PAUSED, ours)


@pytest.mark.parametrize("subresource", ["", "scale"])
def test_what_we_set_before_stays_ours(subresource: str) -> None:
    once = patched(workload(), sets(REPLICAS, 5, subresource), "r-1.1")
    twice = patched(once, sets(IMAGE, "web:3"), "r-1.2")
    assert managed(twice, REPLICAS, ours)
    assert managed(twice, IMAGE, ours)


def theirs(name: str) -> bool:
    return name == "kubectl"


def test_what_we_set_is_no_other_s_any_more() -> None:
    before = workload()
    container: dict[str, Any] = {'k:{"name":"app"}': {".": {}, "f:image": {}, "f:name": {}}}
    spec = {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": container}}}
    entry = {"manager": "kubectl", "fieldsV1": {"f:spec": spec}}
    before["metadata"]["managedFields"] = [entry]
    scaled = patched(before, sets(REPLICAS, 5, "scale"), "r-1.1")
    released = patched(scaled, sets(IMAGE, "web:3"), "r-1.2")
    assert managed(scaled, IMAGE, theirs)
    assert not managed(scaled, REPLICAS, theirs)
    assert not managed(released, IMAGE, theirs)
    assert managed(released, IMAGE.replace("image", "name"), theirs)
    assert all(managed(released, field, ours) for field in (REPLICAS, IMAGE))


@pytest.mark.parametrize("proof", ["stamp", "moved"])
def test_a_call_that_is_proved_otherwise_notes_no_manager(proof: str) -> None:
    assert (
        "managedFields" not in patched(workload(), sets(REPLICAS, 5, proof=proof), "x")["metadata"]
    )
