"""Plans: what an approval is for, what the journal keeps, and what no page ever shows.

A plan that was stored is read again as it was, whatever an action put into it, but for secrets.
"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.call import STAMP, Call
from remediator.model.cause import Cause
from remediator.model.facts import Facts, Unknown, unseen
from remediator.model.look import Look
from remediator.model.plan import (
    Bound,
    Plan,
    Times,
    Touch,
    call_from_json,
    call_to_json,
    from_json,
    gone,
    redacted,
    stamp_operations,
    times_from_json,
    times_to_json,
    to_json,
    unannotated,
)
from remediator.model.pointer import ANNOTATIONS, LABELS, READY, REPLICAS, RESTARTED, TEMPLATE
from remediator.model.target import Target, Unresolved
from remediator.model.verdict import Reason, allow, deny
from remediator.sights.pods import PODS
from tests.unit.objects import MINUTE, WEB, T, looked_at, workload

POD = Target("c", "Pod", "shop", "web-1", "uid-1")
SECRET = {"name": "PASSWORD", "value": "hunter2"}


def patch(value: Any = 5, path: str = REPLICAS) -> Call:
    return Call("patch", WEB, ({"op": "replace", "path": path, "value": value},))


def plan(**more: Any) -> Plan:
    """Scales Deployment web from 3 to 5."""
    given_: dict[str, Any] = {
        "action": "scale_workload",
        "target": WEB,
        "parameters": {"by": "2", "at_most": 9},
        "calls": (patch(),),
        "assumptions": {TEMPLATE: "hash", REPLICAS: 3},
        "locks": (WEB.key,),
        "summary": "scale web",
        "previous": {REPLICAS: 3},
        "before": {"uid-1": 0},
        "touches": (Touch(WEB, WEB),),
        "converged_within": 5 * MINUTE,
    }
    return Plan(**{**given_, **more})


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(plan(parameters={"at_most": 9, "by": "2"}), id="order of parameters"),
        pytest.param(
            plan(assumptions={TEMPLATE: "hash", REPLICAS: 4, READY: True, ANNOTATIONS: None}),
            id="what drifts",
        ),
        pytest.param(plan(summary="scale Deployment web"), id="words"),
        pytest.param(plan(previous={REPLICAS: 4}, before={}), id="what was before"),
        pytest.param(
            plan(converged_within=9 * MINUTE, locks=(), brief=("x",)), id="times and locks"
        ),
        pytest.param(plan(touches=(Touch(WEB, WEB, takes=2),)), id="counts"),
        pytest.param(plan(calls=(replace(patch(), seen=8, timeout=MINUTE),)), id="versions"),
    ],
)
def test_an_approval_stays_valid_while_the_plan_does_the_same(other: Plan) -> None:
    assert other.digest == plan().digest


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(plan(action="restart_workload"), id="action"),
        pytest.param(plan(target=WEB.seen("uid-new")), id="another object of its name"),
        pytest.param(plan(target=replace(WEB, name="api")), id="name"),
        pytest.param(plan(parameters={"by": "3", "at_most": 9}), id="a parameter"),
        pytest.param(plan(parameters={}), id="no parameters"),
        pytest.param(plan(calls=()), id="no calls"),
        pytest.param(plan(calls=(patch(6),)), id="another value"),
        pytest.param(plan(calls=(patch(), patch())), id="twice"),
        pytest.param(plan(assumptions={TEMPLATE: "other", REPLICAS: 3}), id="another template"),
        pytest.param(plan(assumptions={REPLICAS: 3}), id="an assumption less"),
        pytest.param(plan(bounds=(Bound("evict", "Pod", 2),)), id="later calls"),
        pytest.param(
            plan(touches=(Touch(WEB, WEB), Touch(replace(WEB, name="api"), WEB))),
            id="one more workload",
        ),
    ],
)
def test_an_approval_is_void_once_the_plan_does_something_else(other: Plan) -> None:
    assert other.digest != plan().digest


def test_the_order_of_calls_is_approved_too() -> None:
    first, second = patch(1), patch(2)
    assert plan(calls=(first, second)).digest != plan(calls=(second, first)).digest


def test_more_later_calls_than_were_approved_are_another_plan() -> None:
    two, three = Bound("evict", "Pod", 2), Bound("evict", "Pod", 3)
    assert plan(bounds=(two,)).digest != plan(bounds=(three,)).digest


def test_the_order_of_touched_workloads_changes_nothing() -> None:
    a, b = (Touch(replace(WEB, name=name), WEB, takes=1) for name in "ab")
    assert plan(touches=(a, b)).digest == plan(touches=(b, a, b)).digest
    assert plan(touches=(a, b)).digest != plan(touches=(a,)).digest


def test_a_plan_takes_pods_if_any_of_its_touches_does() -> None:
    assert not plan().takes
    assert not plan(touches=()).takes
    assert plan(touches=(Touch(WEB, WEB), Touch(POD, WEB, takes=1))).takes


def test_a_bound_covers_only_its_verb_and_kind() -> None:
    bound = Bound("evict", "Pod", 2)
    assert bound.covers(Call("evict", POD))
    assert not bound.covers(Call("delete", POD))
    assert not bound.covers(Call("evict", WEB))
    assert plan(bounds=(bound,)).later() == ["EVICT Pod, if needed, at most 2 times"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (SECRET, {"name": "PASSWORD", "value": "(redacted)"}),
        ({"value": {"deep": "hunter2"}, "name": "P"}, {"value": "(redacted)", "name": "P"}),
        ([{"env": [SECRET]}], [{"env": [{"name": "PASSWORD", "value": "(redacted)"}]}]),
        ((SECRET,), [{"name": "PASSWORD", "value": "(redacted)"}]),
        ({"name": "A", "value": ""}, {"name": "A", "value": "(redacted)"}),
        ({"name": "A", "valueFrom": {"key": "k"}}, {"name": "A", "valueFrom": {"key": "k"}}),
        ({"name": "A", "value": "x", "unit": "s"}, {"name": "A", "value": "x", "unit": "s"}),
        ({"op": "add", "value": "kept"}, {"op": "add", "value": "kept"}),
        ({"value": "kept"}, {"value": "kept"}),
        ("hunter2", "hunter2"),
        (None, None),
    ],
    ids=[
        "a variable",
        "of any shape",
        "deep inside",
        "in a tuple",
        "empty",
        "a reference",
        "more than a variable",
        "an operation",
        "a value alone",
        "text",
        "null",
    ],
)
def test_values_of_variables_are_hidden_and_nothing_else(value: Any, shown: Any) -> None:
    assert redacted(value) == shown


NAMES = st.sampled_from(["name", "value", "op", "path", "env"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_what_was_hidden_once_stays_as_it_is(value: Any) -> None:
    assert redacted(redacted(value)) == redacted(value)


def stored(call: Call) -> Call:
    """The call after a stay in the journal."""
    return call_from_json(json.loads(json.dumps(call_to_json(call))))


@given(JSON, st.sampled_from(["", "status"]), st.integers(0, 2**63), st.timedeltas())
def test_a_call_is_read_as_it_was_or_as_one_that_is_never_sent(
    value: Any, subresource: str, seen: int, timeout: timedelta
) -> None:
    call = replace(patch(value), subresource=subresource, seen=seen)
    call = replace(call, timeout=timedelta(seconds=timeout.total_seconds()), touch=WEB.key)
    again = stored(call)
    if redacted(value) == value:
        assert again == call
    else:
        assert not again.whole
        assert again == replace(call, body=again.body, whole=False)
    assert stored(again) == again


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (({"op": "add", "path": "/x", "value": [SECRET]},), False),
        ({"spec": {"containers": [{"env": [SECRET]}]}}, False),
        ({"spec": {"containers": [{"env": [{"name": "A", "valueFrom": {}}]}]}}, True),
        ((), True),
        ({}, True),
    ],
    ids=["a patch", "an object", "only a reference", "no operations", "an empty object"],
)
def test_a_call_that_lost_a_secret_in_the_journal_is_not_whole(body: Any, whole: bool) -> None:
    again = stored(Call("create", WEB, body))
    assert again.whole is whole
    assert "hunter2" not in str(again)


@pytest.mark.parametrize(
    ("verb", "subresource", "proof"),
    [
        ("delete", "", "gone"),
        ("collect", "", "read"),
        ("patch", "scale", "managed"),
        ("patch", "", "stamp"),
        ("create", "", "stamp"),
    ],
)
def test_a_call_of_an_older_journal_is_proved_as_it_was_then(
    verb: str, subresource: str, proof: str
) -> None:
    data = call_to_json(replace(patch(), verb=verb, subresource=subresource))
    del data["proof"]
    data["leaves"] = {"replicas": 5, "restartedAt": "t"}
    again = call_from_json(data)
    assert (again.proof, again.leaves) == (proof, {REPLICAS: 5, RESTARTED: "t"})


FULL = plan(
    bounds=(Bound("evict", "Pod", 2), Bound("delete", "Pod", 1)),
    beside=POD,
    brief=("c/Deployment/shop/api",),
    calls=(patch(), Call("evict", POD, proof="gone", touch=WEB.key)),
    touches=(Touch(WEB, WEB, (REPLICAS,), 2, away_from="n1", waits=True, outage=True),),
)


@pytest.mark.parametrize("made", [plan(), FULL], ids=["plain", "with everything"])
def test_a_plan_is_read_from_the_journal_as_it_was(made: Plan) -> None:
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


def test_a_stored_plan_is_approved_by_the_same_digest() -> None:
    assert from_json(json.loads(json.dumps(to_json(FULL)))).digest == FULL.digest


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(plan(parameters={"name": "x", "value": "y"}), id="parameters"),
        pytest.param(plan(previous={LABELS: {"name": "x", "value": "y"}}), id="labels"),
        pytest.param(
            plan(
                calls=(Call("create", WEB, {"metadata": {"labels": {"name": "x", "value": "y"}}}),)
            ),
            id="labels of an object",
        ),
    ],
)
def test_a_map_that_is_no_variable_is_stored_as_it_is(made: Plan) -> None:
    assert from_json(to_json(made)) == made


def test_a_stored_plan_keeps_no_pod_template_of_its_touches() -> None:
    touch = Touch(WEB, WEB, takes=1, successor={"spec": {"token": "hunter2"}})
    data = to_json(plan(touches=(touch,)))
    assert "hunter2" not in json.dumps(data)
    assert from_json(data).touches == (replace(touch, successor=None),)


def test_a_plan_of_an_older_journal_is_read_with_the_widest_meaning() -> None:
    data = to_json(plan())
    del data["touches"], data["brief"]
    data |= {"takes": 2, "bounds": {"evict Pod": 3}, "previous": {"replicas": 3}}
    again = from_json(data)
    assert again.touches == (Touch(WEB, WEB, takes=2, outage=True),)
    assert again.bounds == (Bound("evict", "Pod", 3),)
    assert (again.previous, again.brief) == ({REPLICAS: 3}, ())


SPANS = st.integers(0, 10**7).map(lambda seconds: timedelta(seconds=seconds))


@given(SPANS, SPANS, SPANS, st.none() | SPANS.filter(bool))
def test_times_are_read_from_the_journal_as_they_were(
    converged: timedelta, resolved: timedelta, quiet: timedelta, restore: timedelta | None
) -> None:
    times = Times(converged, resolved, quiet, restore)
    assert times_from_json(json.loads(json.dumps(times_to_json(times)))) == times


def test_an_undo_after_no_time_at_all_is_never_made() -> None:
    data = times_to_json(Times(MINUTE, MINUTE, MINUTE, timedelta()))
    assert times_from_json(data).restore_after is None
    del data["restore_after"]
    assert times_from_json(data).restore_after is None


def there(obj: Any) -> Facts:
    return Facts(T, WEB, WEB, WEB, obj)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(None, True, id="absent"),
        pytest.param({"metadata": {"uid": "uid-new"}}, True, id="another of its name"),
        pytest.param(workload(), False, id="there"),
        pytest.param(Unknown("no answer"), False, id="nobody knows"),
        pytest.param(Unresolved(Reason.AMBIGUOUS_TARGET, "two"), False, id="not one object"),
    ],
)
def test_an_object_is_gone_only_where_that_is_certain(obj: Any, expected: bool) -> None:
    assert gone(plan(), there(obj)) is expected


@pytest.mark.parametrize(
    ("notes", "paths", "assumed"),
    [
        pytest.param({"a": "b"}, 1, {}, id="some"),
        pytest.param({}, 2, {ANNOTATIONS: {}}, id="empty"),
        pytest.param(None, 2, {ANNOTATIONS: None}, id="null"),
    ],
)
def test_a_stamp_is_put_beside_what_is_there_and_replaces_nothing(
    notes: Any, paths: int, assumed: Any
) -> None:
    obj = {"metadata": {"annotations": notes}}
    *first, last = stamp_operations(obj)
    assert last["path"] == f"{ANNOTATIONS}/{STAMP.replace('/', '~1')}"
    assert len(first) + 1 == paths
    assert unannotated(obj) == assumed


def test_a_fact_that_was_not_asked_for_is_unknown() -> None:
    before = looked_at(WEB, WEB, workload())
    after = before.saw(PODS, ())
    assert isinstance(before[PODS], Unknown)
    assert PODS not in before
    assert after[PODS] == ()
    assert PODS in after
    assert PODS not in after.saw(PODS, Unknown("no answer"))


@pytest.mark.parametrize(
    ("began", "since"),
    [(None, T), (T - MINUTE, T - MINUTE), (T, T), (T + MINUTE, T)],
    ids=["no alert", "before", "now", "by a clock that is ahead"],
)
def test_causes_look_back_to_the_start_of_the_trouble_and_never_ahead(
    began: Any, since: Any
) -> None:
    assert replace(there(None), began=began).since == since


def test_a_look_is_stored_with_its_calls_and_without_secrets() -> None:
    cause = Cause("oom_killed", "web-1/app", {"env": [SECRET]})
    verdicts = (allow("mode"), deny("scope", Reason.OUT_OF_SCOPE, "not ours"))
    look = Look(T, verdicts, WEB, WEB, (cause,), FULL).as_json()
    assert "hunter2" not in json.dumps(look)
    assert look["calls"][-1] == "DELETE Pod, if needed, at most 1 times"
    assert len(look["calls"]) == len(FULL.calls) + len(FULL.bounds)
    assert (look["digest"], look["target"]) == (FULL.digest, "Deployment/shop/web")
    assert [verdict["reason"] for verdict in look["verdicts"]] == [None, "out_of_scope"]


def test_a_look_that_saw_nothing_says_nothing() -> None:
    look = Look(T, ()).as_json()
    assert (look["target"], look["plan"], look["calls"], look["digest"]) == ("", None, [], "")
    assert unseen(T, WEB, None).object is None
