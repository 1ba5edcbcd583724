"""Raw objects read as an API server sends them: with nulls, without fields, half written.

What is missing is empty, never an error, and never taken for something that is there.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model import annotations as notes
from remediator.model import raw
from remediator.model.raw import condition, controller, finished, ready, restarts, selected
from remediator.model.template import RESTARTED_AT, bare_template, template_hash, template_of
from tests.unit.objects import MINUTE, T, hash_of, pod, template, workload

Reader = Callable[[dict[str, Any]], Any]
PARTS: list[Reader] = [raw.meta, raw.spec_of, raw.status_of]
FIELDS: list[tuple[Reader, Any]] = [
    (raw.conditions_of, []),
    (raw.annotations, {}),
    (raw.labels, {}),
    (raw.controller, None),
    (raw.finished, False),
    (raw.ready, False),
    (raw.container_statuses, []),
    (raw.restarts, 0),
]
NULLS: dict[str, Any] = {
    "metadata": dict.fromkeys(("annotations", "labels", "ownerReferences", "deletionTimestamp")),
    "status": dict.fromkeys(("conditions", "containerStatuses", "initContainerStatuses", "phase")),
}
HOLLOW: list[dict[str, Any]] = [{}, dict.fromkeys(NULLS), {"metadata": {}, "status": {}}]


@pytest.mark.parametrize("obj", [{}, {"metadata": None, "spec": None, "status": None}])
@pytest.mark.parametrize("read", PARTS)
def test_a_part_that_an_object_does_not_have_is_empty(read: Reader, obj: dict[str, Any]) -> None:
    assert read(obj) == {}


@pytest.mark.parametrize("obj", [*HOLLOW, NULLS], ids=["none", "null", "empty", "null fields"])
@pytest.mark.parametrize(("read", "empty"), FIELDS, ids=[read.__name__ for read, _ in FIELDS])
def test_a_field_that_an_object_does_not_have_is_empty(
    read: Reader, empty: Any, obj: dict[str, Any]
) -> None:
    assert read(obj) == empty


def test_reading_labels_gives_a_copy_that_may_be_changed() -> None:
    obj = pod()
    raw.labels(obj)["app"] = "other"
    assert raw.labels(obj) == {"app": "web"}


@pytest.mark.parametrize(
    ("phase", "ended"),
    [
        ("Succeeded", True),
        ("Failed", True),
        ("Running", False),
        ("Pending", False),
        ("Unknown", False),
    ],
)
def test_a_pod_has_finished_only_when_its_containers_ended_for_good(
    phase: str, ended: bool
) -> None:
    assert finished({"status": {"phase": phase}}) is ended


@pytest.mark.parametrize(
    ("conditions", "deleted", "expected"),
    [
        pytest.param([{"type": "Ready", "status": "True"}], None, True, id="ready"),
        pytest.param([{"type": "Ready", "status": "False"}], None, False, id="unready"),
        pytest.param([{"type": "Ready", "status": "Unknown"}], None, False, id="its node is lost"),
        pytest.param(
            [{"type": "ContainersReady", "status": "True"}], None, False, id="another condition"
        ),
        pytest.param([{"type": "Ready", "status": True}], None, False, id="a status is a word"),
        pytest.param(
            [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "True"}],
            None,
            True,
            id="among others",
        ),
        pytest.param(
            [{"type": "Ready", "status": "True"}], "2026-05-01T12:00:00Z", False, id="going away"
        ),
    ],
)
def test_a_pod_is_ready_while_its_condition_says_so_and_it_stays(
    conditions: list[dict[str, Any]], deleted: str | None, expected: bool
) -> None:
    obj = {"metadata": {"deletionTimestamp": deleted}, "status": {"conditions": conditions}}
    assert ready(obj) is expected


def test_a_condition_is_found_by_its_type_and_its_status() -> None:
    failing = {"type": "ReplicaFailure", "status": "True", "message": "quota"}
    obj = {"status": {"conditions": [{"type": "Available", "status": "False"}, failing]}}
    assert condition(obj, "ReplicaFailure") is failing
    assert condition(obj, "ReplicaFailure", "False") is None
    assert condition(obj, "Available") is None
    assert condition(obj, "Available", "False") is not None


def test_only_the_owner_that_controls_is_the_controller() -> None:
    watcher = {"kind": "ConfigMap", "name": "watcher", "controller": False}
    unsaid = {"kind": "Node", "name": "n1"}
    replica_set = {"kind": "ReplicaSet", "name": "web-1", "controller": True}
    assert controller({"metadata": {"ownerReferences": [watcher, unsaid]}}) is None
    assert controller({"metadata": {"ownerReferences": [watcher, replica_set]}}) is replica_set


def test_restarts_of_init_containers_count_too() -> None:
    obj = pod(restarts=2)
    obj["status"]["initContainerStatuses"] = [
        {"name": "migrate", "restartCount": 3},
        {"name": "wait", "restartCount": None},
    ]
    assert restarts(obj) == 5
    assert [name for name, _ in raw.named_statuses([obj, pod("web-2")])] == [
        "web-1/migrate",
        "web-1/wait",
        "web-1/app",
        "web-2/app",
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({"waiting": {"reason": "CrashLoopBackOff"}}, "CrashLoopBackOff", id="waits"),
        pytest.param({"waiting": {}}, "", id="without a reason"),
        pytest.param({"waiting": None}, "", id="null"),
        pytest.param({"running": {"startedAt": "2026-05-01T12:00:00Z"}}, "", id="runs"),
        pytest.param(None, "", id="no state yet"),
    ],
)
def test_why_a_container_waits(state: dict[str, Any] | None, expected: str) -> None:
    assert raw.waiting_reason({"state": state}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T12:00:00Z", T),
        ("2026-05-01T12:00:00.250000Z", T + timedelta(milliseconds=250)),
        ("2026-05-01T14:00:00+02:00", T),
        ("2026-05-01T12:00:00.123456789Z", T + timedelta(microseconds=123456)),
        (None, None),
        ("", None),
    ],
    ids=["seconds", "MicroTime", "an offset", "nanoseconds", "null", "empty"],
)
def test_a_time_of_the_api_server_is_read(text: str | None, expected: datetime | None) -> None:
    assert raw.timestamp(text) == expected


WEB = {"app": "web", "tier": ""}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": None, "matchExpressions": None}, True),
        ({"matchLabels": {"tier": ""}}, True),
        ({"matchLabels": {"absent": ""}}, False),
        ({"matchLabels": {"app": "Web"}}, False),
        ({"matchLabels": {"app": "web", "absent": "x"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}, True),
        ({"matchExpressions": [{"key": "absent", "operator": "In", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "in", "values": ["web"]}]}, False),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "app", "operator": "DoesNotExist", "values": None}],
            },
            False,
        ),
    ],
    ids=[
        "empty selects all",
        "null parts select all",
        "an empty value",
        "an empty value is no absent label",
        "case counts",
        "every label must be there",
        "in",
        "in, of an absent label",
        "in, of others",
        "not in, of an absent label",
        "not in",
        "exists with an empty value",
        "does not exist",
        "an unknown operator selects nothing",
        "labels and expressions must both hold",
    ],
)
def test_a_label_selector_selects_as_kubernetes_does(
    selector: dict[str, Any], expected: bool
) -> None:
    assert selected(selector, WEB) is expected


def noted(**given: str) -> dict[str, Any]:
    """An object with annotations of ours; `_` stands for `-`."""
    named = {f"remediator.io/{key.replace('_', '-')}": value for key, value in given.items()}
    return {"metadata": {"annotations": named}}


@pytest.mark.parametrize(
    ("obj", "forbidden"),
    [
        pytest.param({"metadata": {"annotations": None}}, False, id="none"),
        pytest.param(noted(disabled="true"), True, id="disabled"),
        pytest.param(noted(disabled="True"), True, id="disabled in another case"),
        pytest.param(noted(disabled="false"), False, id="not disabled"),
        pytest.param(
            noted(disabled="true", allow="restart_workload"), True, id="disabled beats allow"
        ),
        pytest.param(noted(deny="restart_workload"), True, id="denied"),
        pytest.param(noted(deny="drain_node, restart_workload"), True, id="denied among others"),
        pytest.param(noted(deny="restart_workloads"), False, id="a longer name is denied"),
        pytest.param(noted(deny=""), False, id="nothing is denied"),
        pytest.param(noted(allow="restart_workload"), False, id="allowed"),
        pytest.param(
            noted(allow=" scale_workload ,restart_workload "), False, id="allowed among others"
        ),
        pytest.param(noted(allow="scale_workload"), True, id="others are allowed"),
        pytest.param(noted(allow=""), True, id="none is allowed"),
        pytest.param(
            noted(allow="restart_workload", deny="restart_workload"), True, id="deny beats allow"
        ),
    ],
)
def test_annotations_can_only_forbid(obj: dict[str, Any], forbidden: bool) -> None:
    assert bool(notes.against(obj, "restart_workload")) is forbidden


def test_the_annotation_that_forbids_is_named() -> None:
    assert notes.against(noted(disabled="true"), "x") == "has annotation remediator.io/disabled"
    assert notes.against(noted(deny="a,b"), "b") == "has annotation remediator.io/deny: b"
    assert notes.against(noted(allow="a,b"), "c") == "has annotation remediator.io/allow: a,b"


BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("until", "paused"),
    [
        pytest.param("2026-05-01T12:00:01Z", True, id="a second before"),
        pytest.param("2026-05-01T12:00:00Z", False, id="at that moment"),
        pytest.param("2026-05-01T11:59:59Z", False, id="a second later"),
        pytest.param("2026-05-01T14:00:01+02:00", True, id="before, elsewhere"),
        pytest.param("2026-05-01T13:59:59+02:00", False, id="later, elsewhere"),
        pytest.param("2026-05-01", True, id="a day alone"),
        pytest.param("2026-05-01T00:00:00", True, id="without a time zone"),
        pytest.param("tomorrow", True, id="no time"),
        pytest.param("", True, id="empty"),
    ],
)
def test_an_object_is_paused_until_its_time_and_while_the_time_cannot_be_read(
    until: str, paused: bool
) -> None:
    assert bool(notes.paused(noted(paused_until=until), T)) is paused
    assert bool(notes.paused(noted(paused_until=until), T.astimezone(BERLIN))) is paused


def test_an_object_that_nobody_paused_is_not_paused() -> None:
    assert notes.paused({}, T) == ""
    assert notes.paused(noted(disabled="true"), T) == ""


@given(st.text(max_size=30))
def test_no_text_of_a_pause_raises_or_lifts_it_by_accident(text: str) -> None:
    try:
        over = datetime.fromisoformat(text.replace("Z", "+00:00"))
        lifted = over.tzinfo is not None and over <= T
    except ValueError:
        lifted = False
    assert (notes.paused(noted(paused_until=text), T) == "") is lifted


def annotated(**more: str) -> dict[str, Any]:
    made = template()
    made["metadata"]["annotations"] = more
    return made


@pytest.mark.parametrize(
    "changed",
    [
        annotated(),
        {**template(), "metadata": {"labels": {"app": "web"}, "annotations": None}},
        {**template(), "metadata": {"labels": {"app": "web"}, "creationTimestamp": None}},
        {**template(), "metadata": {"labels": {"pod-template-hash": "6d5", "app": "web"}}},
        annotated(**{RESTARTED_AT: "2026-05-01T12:00:00Z"}),
        annotated(**{"remediator.io/stamp": "r-1.1.0"}),
        {**template(), "spec": {"containers": [{"image": "web:1", "name": "app"}]}},
    ],
    ids=[
        "empty annotations",
        "null annotations",
        "a null time",
        "a controller's label",
        "a restart",
        "our stamp",
        "another order",
    ],
)
def test_templates_are_one_but_for_what_restarts_controllers_and_we_write(
    changed: dict[str, Any],
) -> None:
    assert template_hash(bare_template(changed)) == template_hash(bare_template(template()))


@pytest.mark.parametrize(
    "changed",
    [
        template("web:2"),
        template(env=[{"name": "A", "value": "1"}]),
        annotated(checksum="abc"),
        {**template(), "metadata": {"labels": {"app": "web", "track": "canary"}}},
        {**template(), "spec": None},
    ],
    ids=["an image", "a variable", "somebody's annotation", "a label", "no spec"],
)
def test_any_other_change_of_a_template_is_seen(changed: dict[str, Any]) -> None:
    assert template_hash(bare_template(changed)) != template_hash(bare_template(template()))


def test_a_hash_in_the_journal_of_an_older_version_still_holds() -> None:
    assert hash_of("web:2") == "d5e948bfeb756ce0"


def test_an_annotation_of_a_domain_that_only_begins_like_ours_is_somebody_s() -> None:
    changed = annotated(**{"remediator.iota/checksum": "abc"})
    assert template_hash(bare_template(changed)) != template_hash(bare_template(template()))


def test_comparing_a_template_leaves_the_object_as_it_was() -> None:
    obj = workload()
    obj["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = "6d5"
    compared = template_of(obj)
    assert obj["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == "6d5"
    assert bare_template(compared) == compared
    assert template_of({"spec": None}) == bare_template({})


def test_a_moment_is_the_same_in_every_time_zone() -> None:
    noon = raw.timestamp("2026-05-01T14:00:00+02:00")
    assert noon is not None
    assert noon.astimezone(UTC) == T
    assert noon + MINUTE > T
