"""Causes on what clusters really show: half-filled statuses, several containers, old and new ends.

A cause that is not there is not found, and one that cannot be known is never taken for absent.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator import causes
from remediator.causes.cause_spec import Found
from remediator.causes.no_endpoints import ENDPOINTS
from remediator.causes.quota_exceeded import find as quota_exceeded
from remediator.causes.rollout_changed import differences
from remediator.model.cause import Cause
from remediator.model.facts import Facts, Unknown
from remediator.sights.room import Room
from tests.unit.objects import HOUR, MINUTE, WEB, T, facts, looked_at, node, pod, revision, workload

SECOND = timedelta(seconds=1)


def found(there: Facts, within: timedelta = HOUR) -> dict[str, Cause]:
    return {cause.name: cause for cause in causes.find(there, within)}


def ended(reason: str = "OOMKilled", ago: timedelta | None = MINUTE) -> dict[str, Any]:
    finished = {} if ago is None else {"finishedAt": (T - ago).isoformat()}
    return {"terminated": {"reason": reason, **finished}}


@pytest.mark.parametrize(
    ("status", "killed"),
    [
        pytest.param({"lastState": ended()}, True, id="before its restart"),
        pytest.param({"state": ended()}, True, id="and not restarted yet"),
        pytest.param({"lastState": ended(ago=None)}, True, id="at an unknown time"),
        pytest.param({"lastState": ended("Error")}, False, id="of another reason"),
        pytest.param({"lastState": ended("Completed"), "state": ended()}, True, id="this time"),
        pytest.param({"lastState": ended(ago=HOUR)}, True, id="exactly in the window"),
        pytest.param({"lastState": ended(ago=HOUR + SECOND)}, False, id="before the window"),
        pytest.param({"lastState": ended(ago=-MINUTE)}, True, id="by a clock that is ahead"),
        pytest.param({"lastState": None, "state": None}, False, id="nulls"),
        pytest.param({"lastState": {}, "state": {"running": {}}}, False, id="running"),
        pytest.param({"lastState": {"terminated": None}}, False, id="never ended"),
    ],
)
def test_a_container_was_killed_for_its_memory(status: dict[str, Any], killed: bool) -> None:
    assert ("oom_killed" in found(facts(pods=(pod("web-0", **status),)))) == killed


def test_the_window_of_a_kill_reaches_back_from_when_the_trouble_began() -> None:
    there = facts(pods=(pod("web-0", lastState=ended(ago=2 * HOUR)),))
    assert "oom_killed" not in found(there)
    assert "oom_killed" in found(replace(there, began=T - HOUR))
    assert "oom_killed" in found(there, 2 * HOUR)


def test_each_killed_container_of_each_pod_is_named_once() -> None:
    many = [pod(f"web-{number}", lastState=ended(), state=ended()) for number in range(7)]
    many[0]["status"]["initContainerStatuses"] = [{"name": "migrate", "lastState": ended()}]
    cause = found(facts(pods=tuple(many)))["oom_killed"]
    names = ["web-0/app", "web-0/migrate", *(f"web-{number}/app" for number in range(1, 7))]
    assert cause.evidence == {"containers": names}
    assert cause.why == f"out of memory: {', '.join(names[:5])}"


def test_a_sidecar_that_loops_is_found_beside_an_app_that_runs() -> None:
    made = pod("web-0")
    looping = {"name": "proxy", "restartCount": 9}
    looping["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    made["status"]["initContainerStatuses"] = [looping]  # one that restarts always
    cause = found(facts(pods=(made,)))["crash_loop"]
    assert cause.evidence == {"containers": {"web-0/proxy": 9}}


@pytest.mark.parametrize("count", [None, 0])
def test_a_loop_without_a_count_is_still_a_loop(count: Any) -> None:
    made = pod("web-0", state={"waiting": {"reason": "CrashLoopBackOff"}})
    made["status"]["containerStatuses"][0]["restartCount"] = count
    assert found(facts(pods=(made,)))["crash_loop"].evidence == {"containers": {"web-0/app": 0}}


STATUSES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "conditions": st.none() | st.just([]),
            "containerStatuses": st.none()
            | st.lists(
                st.fixed_dictionaries(
                    {"name": st.just("app")},
                    optional={
                        "state": st.sampled_from(
                            [None, {}, {"waiting": None}, {"waiting": {}}, {"terminated": {}}]
                        ),
                        "lastState": st.sampled_from([None, {}, {"terminated": None}]),
                        "restartCount": st.none() | st.integers(0, 9),
                    },
                ),
                max_size=2,
            ),
            "initContainerStatuses": st.none() | st.just([]),
            "phase": st.sampled_from(["Pending", "Running", "Unknown"]),
        },
    ),
)


@settings(deadline=None, max_examples=50)
@given(st.lists(STATUSES, max_size=3))
def test_pods_that_show_nothing_wrong_have_no_cause_of_their_own(statuses: list[Any]) -> None:
    there = [{**pod(f"web-{n}"), "status": status} for n, status in enumerate(statuses)]
    names = set(found(facts(pods=tuple(there))))
    assert names.isdisjoint({"oom_killed", "crash_loop", "image_pull", "unschedulable"})


def test_what_one_cause_cannot_know_hides_no_other() -> None:
    looping = pod("web-0", state={"waiting": {"reason": "CrashLoopBackOff"}})
    there = facts(pods=(looping,), revisions=Unknown("timeout"), room=Unknown("RBAC"))
    looked = causes.look(there, HOUR)
    assert isinstance(looked["crash_loop"], Cause)
    assert looked["rollout_changed"] == Unknown("timeout")
    assert isinstance(looked["quota_exceeded"], Unknown)
    assert set(found(there)) == {"crash_loop"}


def test_a_kind_that_has_no_revisions_is_not_asked_for_them() -> None:
    service = looked_at(replace(WEB, kind="Service"), replace(WEB, kind="Service"), {})
    assert set(causes.look(service, HOUR)) == {"no_endpoints"}


@pytest.mark.parametrize(
    ("age", "began", "there"),
    [
        pytest.param(HOUR, T, True, id="exactly in the window"),
        pytest.param(HOUR + SECOND, T, False, id="before the window"),
        pytest.param(3 * HOUR, T - 2 * HOUR, True, id="in the window before the trouble"),
        pytest.param(MINUTE, T - 9 * HOUR, True, id="after the trouble began"),
        pytest.param(HOUR, None, True, id="no alert is known"),
    ],
)
def test_a_release_is_a_cause_if_it_is_new(age: timedelta, began: Any, there: bool) -> None:
    history = (revision(1, "web:1", 99 * HOUR), revision(2, "web:2", age, current=True))
    seen = replace(facts(revisions=history), began=began)
    assert ("rollout_changed" in found(seen)) == there


def test_a_restart_of_a_new_release_leaves_it_as_new_as_it_was() -> None:
    history = (
        revision(1, "web:1", 99 * HOUR),
        revision(2, "web:2", 30 * MINUTE),
        revision(3, "web:2", MINUTE, current=True),
    )
    cause = found(facts(revisions=history))["rollout_changed"]
    assert (cause.evidence["previous"], cause.evidence["age_seconds"]) == (1, 1800)
    assert "rollout_changed" not in found(facts(revisions=history), 29 * MINUTE)


def test_the_first_release_changed_nothing() -> None:
    assert "rollout_changed" not in found(facts(revisions=(revision(1, "web:2", current=True),)))
    assert "rollout_changed" not in found(facts(revisions=()))


LEAVES = st.booleans() | st.integers() | st.text(max_size=4)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["image", "env", "name", "value"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(old=VALUES, new=VALUES)
def test_differences_are_those_of_unequal_values_and_the_same_places_both_ways(
    old: Any, new: Any
) -> None:
    there = differences(old, new)
    assert bool(there) == (old != new)
    places = [shown.partition(": ")[0] for shown in there]
    assert places == [shown.partition(": ")[0] for shown in differences(new, old)]
    assert len(set(places)) == len(places)


def test_only_images_are_shown_with_their_values() -> None:
    old = {"spec": {"containers": [{"image": "web:1", "env": [{"value": "hunter1"}]}]}}
    new = {"spec": {"containers": [{"image": "web:2", "env": [{"value": "hunter2"}]}]}}
    assert differences(old, new) == [
        "spec.containers[0].env[0].value",
        "spec.containers[0].image: web:1 -> web:2",
    ]
    grown = {"spec": {"containers": [*new["spec"]["containers"], {"image": "proxy:1"}]}}
    assert differences(old, grown) == ["spec.containers"]


def asking(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    made = workload()
    spec = made["spec"]["template"]["spec"]
    spec |= {"containers": list(containers), "initContainers": list(init)}
    return made


def container(name: str, memory: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": {"memory": memory}}, **more}


def short_of(obj: dict[str, Any], used: str, hard: str, *scopes: str) -> bool:
    """Whether a quota on memory is named for a pod that was refused."""
    keys = {"requests.memory": hard}
    quota = {
        "metadata": {"name": "q"},
        "spec": {"hard": keys, **({"scopes": list(scopes)} if scopes else {})},
        "status": {"hard": keys, "used": {"requests.memory": used}},
    }
    refused = {"reason": "FailedCreate", "involvedObject": {"uid": "uid-rs-2"}}
    there = facts(obj, room=Room((quota,), (node(),), (refused,)))
    return isinstance(quota_exceeded(there, HOUR), Found)


@pytest.mark.parametrize(
    ("used", "short"), [("0", False), ("2Gi", False), ("2147483649", True), ("3Gi", True)]
)
def test_a_quota_is_full_where_one_more_pod_does_not_fit(used: str, short: bool) -> None:
    made = asking(container("app", "1Gi"), container("proxy", "1Gi"))
    assert short_of(made, used, "4Gi") == short


@pytest.mark.parametrize(
    "init",
    [
        pytest.param((container("migrate", "4Gi"),), id="the largest init container"),
        pytest.param((container("proxy", "2Gi", restartPolicy="Always"),), id="a sidecar"),
    ],
)
def test_what_init_containers_ask_for_counts_as_the_api_server_counts_it(init: Any) -> None:
    assert short_of(asking(container("app", "1Gi"), init=init), "2Gi", "4Gi")


def test_a_small_init_container_adds_nothing() -> None:
    made = asking(container("app", "1Gi"), init=(container("migrate", "512Mi"),))
    assert not short_of(made, "3Gi", "4Gi")


@pytest.mark.parametrize("scope", ["Terminating", "BestEffort"])
def test_a_quota_for_other_pods_is_no_cause(scope: str) -> None:
    assert not short_of(asking(container("app", "1Gi")), "4Gi", "4Gi", scope)


@pytest.mark.parametrize("status", [None, {}, {"hard": None}])
def test_a_quota_without_a_status_is_no_cause(status: Any) -> None:
    quota = {"metadata": {"name": "new"}, "spec": {"hard": {"pods": "1"}}, "status": status}
    refused = {"reason": "FailedCreate", "involvedObject": {"uid": "uid-web"}}
    there = facts(room=Room((quota,), (node(),), (refused,)))
    assert quota_exceeded(there, HOUR) is None


def behind(services: list[dict[str, Any]], slices: list[dict[str, Any]], kind: str) -> Any:
    """What the sight makes of the Services and EndpointSlices of the namespace."""
    target = replace(WEB, kind=kind)
    looking = ENDPOINTS.look(looked_at(target, target, workload()), workload())
    next(looking)
    try:
        looking.send([services, slices])
    except StopIteration as done:
        return [(one.service, one.listed, one.ready) for one in done.value]
    raise AssertionError("it asks for more")


def service(name: str = "web", **selector: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"selector": selector or None}}


def endpoints(*ready: bool | None, of: str = "web") -> dict[str, Any]:
    shown = [{"conditions": {} if one is None else {"ready": one}} for one in ready]
    label = {"kubernetes.io/service-name": of}
    return {"metadata": {"name": f"{of}-x", "labels": label}, "endpoints": shown or None}


def test_endpoints_of_all_slices_of_a_service_count_and_no_others() -> None:
    slices = [endpoints(True, False), endpoints(False), endpoints(), endpoints(True, of="db")]
    assert behind([service(app="web")], slices, "Deployment") == [("web", 3, 1)]


def test_an_endpoint_that_does_not_say_is_ready() -> None:
    """The API says to take it so (EndpointConditions)."""
    silent = {"metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{}]}
    slices = [endpoints(None), silent]
    assert behind([service(app="web")], slices, "Deployment") == [("web", 2, 2)]


def test_a_workload_has_the_services_whose_whole_selector_its_pods_carry() -> None:
    services = [
        service("web", app="web"),
        service("canary", app="web", track="canary"),
        service("db", app="db"),
        service("external"),
    ]
    assert [name for name, *_ in behind(services, [], "Deployment")] == ["web"]
    assert [name for name, *_ in behind(services, [], "Service")] == ["web"]
