"""One look where objects vanish, change their uids, lose their owners, or cannot be read.

What cannot be read is Unknown, and never taken to be gone.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.cluster.observing import LONGEST_CLIMB, observe, observe_all
from remediator.errors import (
    BudgetExhausted,
    ClusterError,
    Conflict,
    Forbidden,
    Rejected,
    TargetGone,
    Unreachable,
    Unsupported,
)
from remediator.model.facts import Facts, Unknown
from remediator.model.raw import meta
from remediator.model.sight import Sight
from remediator.model.target import Target, Unresolved
from remediator.model.verdict import Reason
from remediator.sights import SIGHTS
from remediator.sights.autoscaler import AUTOSCALER
from remediator.sights.disruption_budgets import BUDGETS
from remediator.sights.pods import PODS
from remediator.sights.revisions import NUMBER, REVISIONS
from tests.unit.cluster.stand_ins import Shelf, made, reference, selecting
from tests.unit.objects import T

SHOP = made("Namespace", "shop")
WEB = selecting("Deployment", "web")
SET = selecting("ReplicaSet", "web-1", WEB)
WEB_1 = made("Pod", "web-1-a", SET)
ERRORS = [
    ClusterError,
    Conflict,
    Forbidden,
    TargetGone,
    Rejected,
    BudgetExhausted,
    Unreachable,
    Unsupported,
]


def shelf(*objects: dict[str, Any]) -> Shelf:
    return Shelf(SHOP, *objects)


def named(obj: dict[str, Any], uid: str = "") -> Target:
    """An object as an alert names it."""
    return Target("c", obj["kind"], meta(obj)["namespace"], meta(obj)["name"], uid)


async def look(
    there: Shelf, obj: dict[str, Any], *sights: Sight[Any], climb: bool = True, uid: str = ""
) -> Facts:
    return await observe(there, named(obj, uid), climb, frozenset(sights), now=T)


def whereabouts(facts: Facts) -> tuple[str, str]:
    """What is acted on, and its root."""
    return str(facts.target), str(facts.root)


async def test_a_pod_climbs_through_its_controllers_to_the_top() -> None:
    facts = await look(shelf(WEB, SET, WEB_1), WEB_1)
    assert whereabouts(facts) == ("Deployment/shop/web", "Deployment/shop/web")
    assert (facts.object, facts.target.uid, facts.beside) == (WEB, "uid-web", None)
    assert facts.origin == named(WEB_1)


async def test_a_pod_that_is_looked_at_itself_has_its_root_beside_it() -> None:
    facts = await look(shelf(WEB, SET, WEB_1), WEB_1, climb=False)
    assert whereabouts(facts) == ("Pod/shop/web-1-a", "Deployment/shop/web")
    assert (facts.object, facts.beside) == (WEB_1, WEB)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.__name__))
@pytest.mark.parametrize("kind", ["Pod", "ReplicaSet", "Deployment"])
async def test_what_cannot_be_read_on_the_way_up_is_unknown(
    error: type[ClusterError], kind: str
) -> None:
    there = shelf(WEB, SET, WEB_1)
    there.failing[kind] = error("cannot get it: because")
    facts = await look(there, WEB_1)
    assert facts.object == Unknown("cannot get it: because")
    assert facts.origin == facts.target == named(WEB_1)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.__name__))
async def test_what_cannot_be_read_beside_the_target_is_unknown_and_the_rest_is_seen(
    error: type[ClusterError],
) -> None:
    there = shelf(WEB, SET, WEB_1)
    there.failing = {kind: error("because") for kind in ("Namespace", "Pod", "PodDisruptionBudget")}
    facts = await look(there, WEB, PODS, BUDGETS, AUTOSCALER)
    assert facts.object == WEB
    assert (facts.namespace, facts[PODS], facts[BUDGETS]) == (Unknown("because"),) * 3
    assert facts.seen["autoscaler"] is None  # it was read, and there is none


async def test_what_is_gone_is_none_and_its_namespace_still_known() -> None:
    facts = await look(shelf(), WEB)
    assert (facts.object, facts.namespace) == (None, SHOP)
    assert (await look(Shelf(WEB), WEB)).namespace is None


@pytest.mark.parametrize(
    ("uid", "seen"), [("", True), ("uid-web", True), ("uid-of-an-older-one", False)]
)
async def test_an_object_of_another_uid_is_not_the_one_that_was_named(uid: str, seen: bool) -> None:
    facts = await look(shelf(WEB), WEB, uid=uid)
    assert (facts.object is not None) is seen


@pytest.mark.parametrize(
    ("there", "acted_on"),
    [
        ((WEB_1,), "Pod/shop/web-1-a"),
        ((WEB_1, selecting("ReplicaSet", "web-1")), "ReplicaSet/shop/web-1"),
        ((WEB_1, SET), "ReplicaSet/shop/web-1"),
    ],
    ids=["its ReplicaSet is gone", "its ReplicaSet has no owner", "its Deployment is gone"],
)
async def test_a_climb_ends_where_nothing_more_is_there(
    there: tuple[dict[str, Any], ...], acted_on: str
) -> None:
    assert str((await look(shelf(*there), WEB_1)).target) == acted_on


@pytest.mark.parametrize("replaced", ["ReplicaSet", "Deployment"])
async def test_an_owner_that_was_replaced_under_its_name_is_gone(replaced: str) -> None:
    again = {**(SET if replaced == "ReplicaSet" else WEB)}
    again["metadata"] = {**again["metadata"], "uid": "another"}
    kept = [obj for obj in (WEB, SET, WEB_1) if obj["kind"] != replaced]
    facts = await look(shelf(*kept, again), WEB_1)
    assert facts.target.kind == ("Pod" if replaced == "ReplicaSet" else "ReplicaSet")
    assert facts.root.uid != "another"


async def test_an_owner_that_does_not_control_is_not_climbed_to() -> None:
    pod = made("Pod", "web-1-a")
    pod["metadata"]["ownerReferences"] = [reference(SET, controller=False), reference(WEB)]
    assert str((await look(shelf(WEB, SET, pod), pod)).target) == "Deployment/shop/web"
    pod["metadata"]["ownerReferences"].pop()
    assert str((await look(shelf(WEB, SET, pod), pod)).root) == "Pod/shop/web-1-a"


async def test_an_owner_of_a_kind_that_is_not_known_is_the_root_but_not_acted_on() -> None:
    rollout = made("Rollout", "web")
    owned = selecting("ReplicaSet", "web-1", rollout)
    facts = await look(shelf(rollout, owned, made("Pod", "p", owned)), made("Pod", "p"))
    assert whereabouts(facts) == ("ReplicaSet/shop/web-1", "Rollout/shop/web")


async def test_a_job_s_pod_climbs_to_its_cron_job() -> None:
    cron_job = made("CronJob", "backup")
    job = made("Job", "backup-1", cron_job)
    pod = made("Pod", "backup-1-x", job)
    assert str((await look(shelf(cron_job, job, pod), pod)).target) == "CronJob/shop/backup"


async def test_a_static_pod_does_not_lead_to_its_node() -> None:
    pod = made("Pod", "etcd-n1", made("Node", "n1"))
    facts = await look(shelf(made("Node", "n1"), pod), pod)
    assert str(facts.target) == "Pod/shop/etcd-n1"


async def test_owners_in_a_circle_are_not_followed_for_ever() -> None:
    first, second = made("ReplicaSet", "a"), made("ReplicaSet", "b")
    first["metadata"]["ownerReferences"] = [reference(second)]
    second["metadata"]["ownerReferences"] = [reference(first)]
    there = shelf(first, second)
    assert (await look(there, first)).object == first
    assert len(there.read) <= LONGEST_CLIMB + 1


EXPORTERS = ["kube-state-metrics", "node-exporter", "prometheus-node-exporter", "redis-exporter"]


@pytest.mark.parametrize("labelled", ["Pod", "ReplicaSet", "Deployment"])
@pytest.mark.parametrize("name", EXPORTERS)
async def test_an_exporter_is_known_by_the_label_of_any_object_above_its_pod(
    name: str, labelled: str
) -> None:
    there = [WEB, SET, WEB_1]
    marked = [
        {**obj, "metadata": {**obj["metadata"], "labels": {"app.kubernetes.io/name": name}}}
        if obj["kind"] == labelled
        else obj
        for obj in there
    ]
    facts = await look(shelf(*marked), WEB_1)
    assert isinstance(facts.object, Unresolved)
    assert facts.object.reason is Reason.TARGET_IS_EXPORTER


@pytest.mark.parametrize("name", ["exporter", "export", "my-exporter-web", ""])
async def test_what_only_sounds_like_an_exporter_is_none(name: str) -> None:
    pod = made("Pod", "p")
    pod["metadata"]["labels"] = {"app.kubernetes.io/name": name}
    assert (await look(shelf(pod), pod)).object == pod


def service(selector: dict[str, str] | None) -> dict[str, Any]:
    return made("Service", "front", spec={"selector": selector})


OTHER_SET = selecting("ReplicaSet", "web-2", WEB)
BARE = made("Pod", "bare")
DB = made("StatefulSet", "db")


@pytest.mark.parametrize(
    ("pods", "stands_for"),
    [
        ((WEB_1,), "Deployment/shop/web"),
        ((WEB_1, made("Pod", "web-1-b", SET)), "Deployment/shop/web"),
        ((WEB_1, made("Pod", "web-2-a", OTHER_SET)), "Deployment/shop/web"),
        ((BARE,), "Pod/shop/bare"),
        ((), None),
        ((WEB_1, BARE), None),
        ((WEB_1, made("Pod", "db-0", DB)), None),
        ((BARE, made("Pod", "bare-2")), None),
    ],
    ids=["one pod", "two of one set", "two sets while it rolls out", "a pod alone", "no pods",
         "one more pod alone", "two workloads", "two pods alone"],
)  # fmt: skip
async def test_a_service_stands_for_what_all_of_its_pods_belong_to(
    pods: tuple[dict[str, Any], ...], stands_for: str | None
) -> None:
    front = service({"app": "web"})
    facts = await look(shelf(front, WEB, SET, OTHER_SET, DB, *pods), front)
    if stands_for is not None:
        assert str(facts.target) == stands_for
        return
    assert isinstance(facts.object, Unresolved)
    assert facts.object.reason is Reason.AMBIGUOUS_TARGET


@pytest.mark.parametrize("selector", [None, {}])
async def test_a_service_that_selects_nothing_stands_for_nothing(
    selector: dict[str, str] | None,
) -> None:
    facts = await look(shelf(service(selector), WEB, SET, WEB_1), service(selector))
    assert isinstance(facts.object, Unresolved)


@pytest.mark.parametrize("kind", ["Pod", "ReplicaSet"])
async def test_a_service_whose_pods_cannot_be_told_apart_is_unknown(kind: str) -> None:
    there = shelf(service({"app": "web"}), WEB, SET, WEB_1, made("Pod", "web-2-a", OTHER_SET))
    there.failing[kind] = Unreachable("because")
    assert (await look(there, service({"app": "web"}))).object == Unknown("because")


def autoscaler(kind: str, name: str) -> dict[str, Any]:
    scaled = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return made("HorizontalPodAutoscaler", "hpa", spec={"scaleTargetRef": scaled})


async def test_an_autoscaler_stands_for_what_it_scales_or_for_nothing_else() -> None:
    web, gone = autoscaler("Deployment", "web"), autoscaler("Deployment", "gone")
    assert (await look(shelf(web, WEB), web)).object == WEB
    assert (await look(shelf(gone, WEB), gone)).object is None
    rollout = await look(shelf(autoscaler("Rollout", "web")), autoscaler("Rollout", "web"))
    assert isinstance(rollout.object, Unknown)


@given(st.sets(st.sampled_from(sorted(SIGHTS))), st.sampled_from([WEB, SET, WEB_1]))
async def test_every_sight_that_was_asked_for_has_an_answer(
    asked: set[str], obj: dict[str, Any]
) -> None:
    """A kind of object that a sight does not fit is Unknown: never nothing, never empty."""
    sights = [SIGHTS[name] for name in asked]
    seen = (await look(shelf(WEB, SET, WEB_1), obj, *sights, climb=False)).seen
    assert set(seen) == asked
    unfit = {sight.name for sight in sights if not sight.fits(obj["kind"])}
    assert all(isinstance(seen[name], Unknown) for name in unfit)


@pytest.mark.parametrize("number", ["", "latest", "1.5"])
async def test_a_revision_that_has_no_number_does_not_end_the_look(number: str) -> None:
    """Anybody who may annotate a ReplicaSet can write this."""
    metadata = {**SET["metadata"], "annotations": {NUMBER: number}}
    assert (await look(shelf(WEB, {**SET, "metadata": metadata}), WEB, REVISIONS)).object == WEB


async def test_several_are_looked_at_in_the_order_asked_and_what_they_share_is_read_once() -> None:
    pods = [made("Pod", name, SET) for name in "abc"]
    there = shelf(WEB, SET, *pods)
    targets = [named(pod) for pod in (*reversed(pods), pods[0])]
    seen = await observe_all(there, targets, frozenset({BUDGETS}), T)
    assert [facts.target.name for facts in seen] == ["c", "b", "a", "a"]
    assert {str(facts.root) for facts in seen} == {"Deployment/shop/web"}
    assert len(there.read) == len(set(there.read))
    assert await observe_all(there, [], frozenset(), T) == ()


async def test_of_several_the_one_that_cannot_be_read_blinds_no_other() -> None:
    there = shelf(WEB, SET, WEB_1, made("Job", "j"))
    there.failing["Deployment"] = Forbidden("because")
    targets = [named(WEB), named(WEB_1), named(made("Job", "j")), named(made("Pod", "gone"))]
    web, pod, job, gone = await observe_all(there, targets, frozenset(), T)
    assert (web.object, pod.object) == (Unknown("because"), Unknown("because"))
    assert (job.object, gone.object) == (made("Job", "j"), None)


async def test_what_is_above_several_is_not_climbed_to() -> None:
    (facts,) = await observe_all(shelf(WEB, SET, WEB_1), [named(SET)], frozenset(), T)
    assert whereabouts(facts) == ("ReplicaSet/shop/web-1", "Deployment/shop/web")
