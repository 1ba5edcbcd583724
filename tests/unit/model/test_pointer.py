"""Pointers into objects, who set what they name, and what selectors select.

A pointer that leads nowhere names nothing; it never raises, whatever the object holds.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.managed import managed
from remediator.model.pointer import (
    READY,
    REPLICAS,
    RESTARTED,
    TEMPLATE,
    at,
    escaped,
    parts,
    put,
    renamed,
    said,
    view,
)
from remediator.model.raw import selected
from remediator.model.selectors import selector_text, selects
from tests.unit.objects import hash_of, pod, workload

SHELF: dict[str, Any] = {
    "a/b": {"m~n": 1},
    "": "no name",
    "a:b": "with a colon",
    "list": [10, {"deep": 11}],
    "zero": 0,
    "null": None,
}


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        pytest.param("", SHELF, id="whole"),
        pytest.param("/a~1b/m~0n", 1, id="escaped"),
        pytest.param("/", "no name", id="an empty key"),
        pytest.param("/a:b", "with a colon", id="a colon"),
        pytest.param("/list/0", 10, id="an item"),
        pytest.param("/list/1/deep", 11, id="below an item"),
        pytest.param("/zero", 0, id="zero"),
    ],
)
def test_a_pointer_names_a_value_as_rfc_6901_says(pointer: str, expected: Any) -> None:
    assert at(SHELF, pointer) == expected


@pytest.mark.parametrize(
    "pointer",
    [
        "/absent",
        "/absent/deeper",
        "/list/2",
        "/list/-",
        "/list/-1",
        "/list/deep",
        "/zero/x",
        "/null/x",
        "/null",
        "condition:Ready",
    ],
)
def test_a_pointer_that_leads_nowhere_names_nothing(pointer: str) -> None:
    assert at(SHELF, pointer) is None


@given(st.lists(st.text(), max_size=4))
def test_any_keys_come_back_from_a_pointer(keys: list[str]) -> None:
    assert parts("".join(f"/{escaped(key)}" for key in keys)) == keys


def test_tilde_one_in_a_key_is_not_read_as_a_slash() -> None:
    assert parts(f"/{escaped('~1')}") == ["~1"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.data())
def test_every_value_of_an_object_has_a_pointer(obj: dict[str, Any], data: st.DataObject) -> None:
    place: Any = obj
    pointer = ""
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        pointer, place = f"{pointer}/{escaped(str(key))}", place[key]
    assert at(obj, pointer) == place


def test_the_status_of_a_condition_is_named_by_its_type() -> None:
    obj = {
        "status": {
            "conditions": [{"type": "A", "status": "Unknown"}, {"type": "B", "status": "True"}]
        }
    }
    assert (at(obj, "condition:A"), at(obj, "condition:B")) == ("Unknown", "True")


def test_a_template_is_compared_by_its_hash_and_a_pod_by_its_readiness() -> None:
    assert at(workload(image="web:1"), TEMPLATE) == hash_of("web:1")
    assert at(workload(image="web:2"), TEMPLATE) != hash_of("web:1")
    assert (at(pod(), READY), at(pod(ready=False), READY)) == (True, False)
    assert at({}, TEMPLATE) == at({"spec": {"template": None}}, TEMPLATE)


def test_a_view_shows_what_is_absent_as_none() -> None:
    obj = {"spec": {"replicas": 0}}
    assert view(obj, {REPLICAS: 9, "/spec/paused": True}) == {REPLICAS: 0, "/spec/paused": None}


def test_put_changes_a_copy_and_nothing_else() -> None:
    obj = workload()
    path = "/spec/template/spec/containers/0/image"
    made = put(obj, {path: "web:9", REPLICAS: 5, "/spec/paused": True})
    assert (at(made, path), at(made, REPLICAS), at(made, "/spec/paused")) == ("web:9", 5, True)
    assert obj == workload()
    assert put(made, {path: "web:2", REPLICAS: 3})["metadata"] == obj["metadata"]


def test_put_replaces_an_item_of_a_list() -> None:
    assert put({"spec": {"args": ["a", "b"]}}, {"/spec/args/1": "c"}) == {
        "spec": {"args": ["a", "c"]}
    }


def test_pointers_of_older_journals_are_read_by_their_names_of_today() -> None:
    old = {"template": "h", "restartedAt": "t", "replicas": 3, "ready": True, "/spec/paused": False}
    assert renamed(old) == {
        TEMPLATE: "h",
        RESTARTED: "t",
        REPLICAS: 3,
        READY: True,
        "/spec/paused": False,
    }
    assert renamed(renamed(old)) == renamed(old)


def test_people_read_plain_words_for_pointers() -> None:
    assert said(READY) == "readiness"
    assert said(TEMPLATE) == "/spec/template"
    assert said(REPLICAS) == REPLICAS


def ours(name: str) -> bool:
    return name == "remediator"


def set_by(fields: Any, manager: str = "remediator") -> dict[str, Any]:
    """A Deployment with two containers, whose fields were set by one manager, after kubectl."""
    obj = workload()
    containers = [{"name": "app", "image": "web:2"}, {"name": "log", "image": "log:1"}]
    obj["spec"]["template"]["spec"]["containers"] = containers
    kubectl = {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:paused": {}}}}
    obj["metadata"]["managedFields"] = [kubectl, {"manager": manager, "fieldsV1": fields}]
    return obj


def in_container(key: str) -> dict[str, Any]:
    """The field set of the image of one container."""
    return {"f:spec": {"f:template": {"f:spec": {"f:containers": {key: {".": {}, "f:image": {}}}}}}}


FIRST_IMAGE = "/spec/template/spec/containers/0/image"


@pytest.mark.parametrize(
    ("fields", "pointer", "expected"),
    [
        ({"f:spec": {"f:replicas": {}}}, REPLICAS, True),
        ({"f:spec": {"f:replicas": {}}}, "/spec", True),
        ({"f:spec": {"f:replicas": {}}}, "/spec/paused", False),
        ({"f:spec": {"f:replicas": {}}}, "/metadata/labels", False),
        ({}, REPLICAS, False),
        (None, REPLICAS, False),
        (in_container('k:{"name":"app"}'), FIRST_IMAGE, True),
        (in_container('k:{"name":"app"}'), TEMPLATE, True),
        (in_container('k:{"name":"log"}'), FIRST_IMAGE, False),
        (in_container('k:{"name":"app"}'), "/spec/template/spec/containers/1/image", False),
        (in_container('k:{"name":"app"}'), "/spec/template/spec/containers/7/image", False),
        (in_container('k:{"name":"app"}'), "/spec/template/spec/containers/0/args", False),
        (
            {"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}}},
            "/metadata/annotations/kubectl.kubernetes.io~1restartedAt",
            True,
        ),
    ],
    ids=[
        "the field itself",
        "something in it",
        "a sibling",
        "elsewhere",
        "no fields",
        "null fields",
        "an item by its key",
        "above the item",
        "another item",
        "the item beside",
        "an item that is not there",
        "another field of the item",
        "a name with a slash",
    ],
)
def test_who_set_a_field_is_read_from_managed_fields(
    fields: Any, pointer: str, expected: bool
) -> None:
    assert managed(set_by(fields), pointer, ours) is expected
    assert not managed(set_by(fields, "helm"), pointer, ours)


def test_an_item_with_a_key_of_two_fields_must_match_both() -> None:
    both = 'k:{"containerPort":80,"protocol":"TCP"}'
    fields: dict[str, Any] = {"f:spec": {"f:ports": {both: {"f:name": {}}}}}
    ports = [{"containerPort": 80, "protocol": "UDP"}, {"containerPort": 80, "protocol": "TCP"}]
    entry = {"manager": "remediator", "fieldsV1": fields}
    obj = {"metadata": {"managedFields": [entry]}, "spec": {"ports": ports}}
    assert not managed(obj, "/spec/ports/0/name", ours)
    assert managed(obj, "/spec/ports/1/name", ours)


def test_nobody_set_a_field_where_no_managers_are_recorded() -> None:
    assert not managed({}, REPLICAS, ours)
    assert not managed({"metadata": {"managedFields": None}}, REPLICAS, ours)


@pytest.mark.parametrize("pointer", ["condition:Issuing", READY])
def test_a_condition_is_not_set_by_a_manager_of_other_fields(pointer: str) -> None:
    assert not managed(set_by({"f:metadata": {"f:labels": {}}}), pointer, ours)


KEYS = st.sampled_from(["app", "tier", "example.com/track"])
VALUES = st.sampled_from(["", "web", "api", "web-1.x_y"])
EXPRESSION = st.one_of(
    st.fixed_dictionaries(
        {
            "key": KEYS,
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(VALUES, min_size=1, max_size=3),
        }
    ),
    st.fixed_dictionaries({"key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)
SELECTOR = st.fixed_dictionaries(
    {
        "matchLabels": st.dictionaries(KEYS, VALUES, max_size=2),
        "matchExpressions": st.lists(EXPRESSION, max_size=3),
    }
).filter(lambda selector: any(selector.values()))


@given(SELECTOR, st.dictionaries(KEYS, VALUES))
def test_a_selector_selects_the_same_as_a_query_and_as_an_object(
    selector: dict[str, Any], labels: dict[str, str]
) -> None:
    assert selects(selector_text(selector), labels) is selected(selector, labels)


def test_a_selector_is_written_in_the_api_s_own_form() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "zone", "operator": "NotIn", "values": ["x"]},
        {"key": "live", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    given_ = {"matchLabels": {"app": "web"}, "matchExpressions": expressions}
    assert selector_text(given_) == "app=web,tier in (a,b),zone notin (x),live,!old"
