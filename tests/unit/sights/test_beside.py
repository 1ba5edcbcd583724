"""autoscaler, budgets, isolation and room: what stands beside a target in its namespace."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.errors import Forbidden
from remediator.model.facts import Unknown
from remediator.model.sight import Sight
from remediator.model.target import Target
from remediator.sights.autoscaler import AUTOSCALER
from remediator.sights.disruption_budgets import BUDGETS
from remediator.sights.isolation import ISOLATION, QUARANTINE, policy_name
from remediator.sights.room import LATELY, ROOM
from tests.unit.cluster.stand_ins import Shelf, made, names, selecting
from tests.unit.cluster.test_observing import look
from tests.unit.objects import T

WEB = selecting("Deployment", "web")
POD = made("Pod", "web-1")
SECOND = timedelta(seconds=1)


def elsewhere(obj: dict[str, Any]) -> dict[str, Any]:
    """The same in another namespace."""
    return {**obj, "metadata": {**obj["metadata"], "namespace": "billing"}}


async def seen(sight: Sight[Any], obj: dict[str, Any], *there: dict[str, Any]) -> Any:
    return (await look(Shelf(obj, *there), obj, sight, climb=False))[sight]


def autoscaler(name: str, kind: str, scaled: str) -> dict[str, Any]:
    reference = {"kind": kind, "name": scaled}
    return made("HorizontalPodAutoscaler", name, spec={"scaleTargetRef": reference})


async def test_an_autoscaler_is_found_by_what_it_scales_and_not_by_its_name() -> None:
    others = [
        autoscaler("web", "Deployment", "api"),
        autoscaler("db", "StatefulSet", "web"),
        elsewhere(autoscaler("far", "Deployment", "web")),
    ]
    assert await seen(AUTOSCALER, WEB, *others) is None
    mine = autoscaler("anything", "Deployment", "web")
    assert await seen(AUTOSCALER, WEB, *others, mine) == mine


async def test_every_budget_of_the_namespace_is_seen_and_none_of_another() -> None:
    budgets = [made("PodDisruptionBudget", name) for name in "ab"]
    there = [*budgets, elsewhere(made("PodDisruptionBudget", "c"))]
    assert names(await seen(BUDGETS, WEB, *there)) == ["a", "b"]
    assert await seen(BUDGETS, WEB) == ()


def endpoint_slice(name: str, *uids: str | None, service: str = "") -> dict[str, Any]:
    endpoints = [{"targetRef": {"kind": "Pod", "uid": uid}} if uid else {} for uid in uids]
    obj = made("EndpointSlice", name, endpoints=endpoints)
    obj["metadata"]["labels"] = {"kubernetes.io/service-name": service} if service else None
    return obj


async def test_each_service_that_lists_the_pod_is_named_once() -> None:
    slices = [
        endpoint_slice("front-a", "uid-web-1", "uid-other", service="front"),
        endpoint_slice("front-b", "uid-web-1", service="front"),
        endpoint_slice("api-a", None, "uid-web-1", service="api"),
        endpoint_slice("by-hand", "uid-web-1"),
        endpoint_slice("others", "uid-other", service="others"),
        {**endpoint_slice("empty", service="empty"), "endpoints": None},
        elsewhere(endpoint_slice("far", "uid-web-1", service="far")),
    ]
    assert (await seen(ISOLATION, POD, *slices)).services == ("api", "by-hand", "front")


async def test_pods_in_quarantine_and_the_pod_s_own_policy_are_seen() -> None:
    marked = made("Pod", "held")
    marked["metadata"]["labels"] = {QUARANTINE: "uid-held"}
    target = Target("c", "Pod", "shop", "web-1", "uid-web-1")
    policy = made("NetworkPolicy", policy_name(target))
    isolation = await seen(ISOLATION, POD, marked, elsewhere(marked), policy)
    assert (isolation.quarantined, isolation.policy) == (("held",), policy)
    again = made("Pod", "web-1", uid="uid-of-a-newer-one")
    assert (await seen(ISOLATION, again, policy)).policy is None


@pytest.mark.parametrize("kind", ["EndpointSlice", "NetworkPolicy"])
async def test_what_isolates_a_pod_is_unknown_where_a_part_of_it_is(kind: str) -> None:
    there = Shelf(POD)
    there.failing[kind] = Forbidden("because")
    facts = await look(there, POD, ISOLATION, climb=False)
    assert facts[ISOLATION] == Unknown("because")


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?\Z"), st.uuids())
def test_a_policy_s_name_is_short_enough_and_its_pod_s_alone(name: str, uid: Any) -> None:
    pod = Target("c", "Pod", "shop", name, str(uid))
    assert len(policy_name(pod)) <= 253
    assert policy_name(pod) != policy_name(pod.seen("0" * 36))


def event(**times: Any) -> dict[str, Any]:
    return made("Event", "e", reason="FailedCreate", **times)


def ago(span: timedelta) -> str:
    return (T - span).isoformat().replace("+00:00", "Z")


LONG_AGO = ago(timedelta(hours=3))


@pytest.mark.parametrize(
    ("times", "lately"),
    [
        ({"lastTimestamp": ago(LATELY - SECOND)}, True),
        ({"lastTimestamp": ago(LATELY)}, False),
        ({"lastTimestamp": ago(-SECOND)}, True),
        ({"firstTimestamp": LONG_AGO, "lastTimestamp": ago(SECOND)}, True),
        ({"lastTimestamp": None, "eventTime": "2026-05-01T11:59:59.123456Z"}, True),
        ({"lastTimestamp": None, "eventTime": LONG_AGO}, False),
        ({"eventTime": LONG_AGO, "series": {"lastObservedTime": ago(SECOND)}}, True),
        ({"lastTimestamp": ago(SECOND), "series": None}, True),
        ({}, True),
    ],
    ids=["just within", "just over", "of a clock that is ahead", "seen again", "of the newer API",
         "long ago", "a series that goes on", "no series", "at no time"],
)  # fmt: skip
async def test_a_pod_that_could_not_be_created_counts_for_some_minutes(
    times: dict[str, Any], lately: bool
) -> None:
    """An event that says no time counts: what is not known may be so."""
    assert bool((await seen(ROOM, WEB, event(**times))).failed) is lately


async def test_room_is_the_namespace_s_quotas_and_all_nodes_and_no_other_events() -> None:
    there = [
        made("ResourceQuota", "q"),
        elsewhere(made("ResourceQuota", "r")),
        made("Node", "n1"),
        made("Node", "n2"),
        {**event(), "reason": "Scheduled"},
        elsewhere(event()),
    ]
    room = await seen(ROOM, WEB, *there)
    assert (names(room.quotas), names(room.nodes), room.failed) == (["q"], ["n1", "n2"], ())


@pytest.mark.parametrize("kind", ["ResourceQuota", "Node", "Event"])
async def test_room_of_which_a_part_cannot_be_read_is_unknown(kind: str) -> None:
    there = Shelf(WEB)
    there.failing[kind] = Forbidden("because")
    assert (await look(there, WEB, ROOM))[ROOM] == Unknown("because")
