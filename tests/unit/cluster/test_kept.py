"""What is kept of a kind is found as the API server finds it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.cluster.kept import Kept
from remediator.kinds import DEPLOYMENT, NODE, POD
from remediator.model.raw import labels, meta, spec_of
from remediator.model.selectors import selects

NAMES = st.sampled_from(["a", "b", "c"])
PLACES = st.sampled_from(["shop", "bank"])
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y", ""]))
NODES = st.sampled_from(["", "n1", "n2"])
SELECTORS = st.sampled_from(
    ["", "app=x", "app=x,tier=y", "app in (x,y)", "app notin (x)", "!app", "app", "tier=", "app=z"]
)
CHANGES = st.lists(st.tuples(PLACES, NAMES, LABELS, NODES, st.booleans()), max_size=12)


def pod(namespace: str, name: str, given: dict[str, str], node: str) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "labels": given, "uid": f"{namespace}{name}"}
    return {"metadata": metadata, "spec": {"nodeName": node} if node else {}}


@settings(deadline=None)
@given(CHANGES, st.sampled_from(["", "shop", "bank", "none"]), SELECTORS, NODES)
def test_what_is_kept_is_found_by_namespace_label_and_node(
    changes: list[tuple[str, str, dict[str, str], str, bool]],
    namespace: str,
    selector: str,
    node: str,
) -> None:
    kept, there = Kept(POD), dict[tuple[str, str], Any]()
    for place, name, given_, where, stays in changes:
        made = pod(place, name, given_, where)
        if stays:
            kept.put(made)
            there[place, name] = made
        else:
            kept.drop(made)
            there.pop((place, name), None)
    expected = [
        obj
        for (place, _name), obj in sorted(there.items())
        if namespace in ("", place)
        and selects(selector, labels(obj))
        and node in ("", spec_of(obj).get("nodeName") or "")
    ]
    assert kept.find(namespace, selector, node) == expected
    assert len(kept) == len(there)
    for place, name in there:
        found = kept.get(place, name)
        assert found == {"kind": "Pod", "apiVersion": "v1", **there[place, name]}


def test_a_newer_state_takes_the_place_of_the_older_one() -> None:
    kept = Kept(POD)
    kept.put(pod("shop", "a", {"app": "x"}, ""))
    kept.put(pod("shop", "a", {"app": "y"}, "n1"))
    assert kept.find("shop", "app=x", "") == []
    assert [meta(obj)["name"] for obj in kept.find("shop", "app=y", "n1")] == ["a"]
    assert len(kept) == 1


def test_a_kind_is_named_as_the_api_server_names_it_whether_listed_or_told() -> None:
    kept = Kept(DEPLOYMENT)
    listed = {"metadata": {"namespace": "shop", "name": "web"}}
    kept.put(listed)
    whole = {"kind": "Deployment", "apiVersion": "apps/v1", **listed}
    assert kept.get("shop", "web") == whole
    kept.put(whole)
    assert kept.get("shop", "web") == whole
    assert kept.find("shop", "", "") == [listed]
    assert kept.get("shop", "other") is None


def test_what_was_found_can_be_changed_without_changing_what_is_kept() -> None:
    kept = Kept(POD)
    kept.put(pod("shop", "a", {"app": "x"}, ""))
    (found,) = kept.find("", "", "")
    meta(found)["labels"]["app"] = "y"
    assert kept.find("shop", "app=x", "") == [pod("shop", "a", {"app": "x"}, "")]


def test_the_images_of_a_node_are_not_kept() -> None:
    kept = Kept(NODE)
    named = {"metadata": {"name": "n1"}}
    kept.put({**named, "status": {"images": [{"names": ["a"]}] * 50, "allocatable": {"pods": "9"}}})
    kept.put({"metadata": {"name": "n2"}})
    assert [obj.get("status") for obj in kept.find("", "", "")] == [
        {"allocatable": {"pods": "9"}},
        None,
    ]


def test_a_node_is_decoded_once_until_it_changes_or_goes() -> None:
    kept, node = Kept(NODE), {"metadata": {"name": "n1"}, "spec": {}}
    kept.put(node)
    (first,) = kept.find("", "", "")
    assert kept.find("", "", "")[0] is first
    kept.put({**node, "spec": {"unschedulable": True}})
    assert kept.find("", "", "")[0]["spec"] == {"unschedulable": True}
    found = kept.get("", "n1")
    assert found is not None
    assert (found["kind"], found["spec"]) == ("Node", {"unschedulable": True})
    kept.drop(node)
    assert (kept.find("", "", ""), kept.get("", "n1"), kept._decoded) == ([], None, {})
