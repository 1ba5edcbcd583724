"""pods and peers: what belongs to a workload by its controller, not only by its labels."""

from typing import Any

import pytest

from remediator.errors import Unreachable
from remediator.model.facts import Facts, Unknown
from remediator.model.sight import Sight
from remediator.model.target import Target
from remediator.sights.pods import PEERS, PODS, pods_before, pods_of
from tests.unit.cluster.stand_ins import Shelf, made, names, selecting
from tests.unit.cluster.test_observing import look
from tests.unit.objects import facts, pod

WEB = selecting("Deployment", "web")
OLD, NEW = selecting("ReplicaSet", "web-1", WEB), selecting("ReplicaSet", "web-2", WEB)
DB = selecting("StatefulSet", "db")
CANARY = selecting("Deployment", "canary")  # of the very same labels
CANARY_SET = selecting("ReplicaSet", "canary-1", CANARY)
MINE = [made("Pod", "old", OLD), made("Pod", "new", NEW)]
OTHERS = [
    made("Pod", "canary", CANARY_SET),
    made("Pod", "job", made("Job", "migrate")),
    made("Pod", "bare"),
]
THERE = [WEB, OLD, NEW, CANARY, CANARY_SET, *OTHERS, *MINE]


async def seen(sight: Sight[Any], obj: dict[str, Any], *there: dict[str, Any]) -> Any:
    return (await look(Shelf(*(there or THERE)), obj, sight, climb=False))[sight]


@pytest.mark.parametrize("sight", [PODS, PEERS], ids=str)
async def test_a_deployment_s_pods_are_those_of_all_of_its_replica_sets(sight: Sight[Any]) -> None:
    assert names(await seen(sight, WEB)) == ["old", "new"]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "ReplicaSet"])
async def test_the_pods_of_what_owns_them_itself(kind: str) -> None:
    workload = selecting(kind, "db")
    there = [workload, made("Pod", "db-0", workload), *OTHERS]
    assert names(await seen(PODS, workload, *there)) == ["db-0"]


async def test_a_pod_of_an_owner_that_was_replaced_under_its_name_is_not_counted() -> None:
    older = made("Pod", "db-0", {**DB, "metadata": {**DB["metadata"], "uid": "older"}})
    assert await seen(PODS, DB, DB, older) == ()


async def test_a_pod_of_other_labels_has_been_released() -> None:
    released = made("Pod", "quarantined", OLD)
    released["metadata"]["labels"] = None
    assert names(await seen(PODS, WEB, *THERE, released)) == ["old", "new"]


async def test_the_pods_of_a_pod_are_itself() -> None:
    assert names(await seen(PODS, MINE[0])) == ["old"]


async def test_a_workload_whose_selector_is_empty_has_unknown_pods_and_not_all() -> None:
    """To list pods without a selector is to list every pod of the namespace."""
    web = {**WEB, "spec": {**WEB["spec"], "selector": {}}}
    assert isinstance(await seen(PODS, web, web, *MINE), Unknown)


@pytest.mark.parametrize("failing", ["Pod", "ReplicaSet"])
async def test_pods_of_which_a_part_cannot_be_told_are_unknown(failing: str) -> None:
    there = Shelf(*THERE)
    there.failing[failing] = Unreachable("because")
    facts = await look(there, WEB, PODS, climb=False)
    assert facts[PODS] == Unknown("because")
    assert pods_of(facts) == ()


@pytest.mark.parametrize("other", OTHERS, ids=lambda obj: str(obj["metadata"]["name"]))
async def test_the_peers_of_a_pod_are_pods_of_the_workload_that_owns_it(
    other: dict[str, Any],
) -> None:
    assert "old" in names(await seen(PEERS, MINE[0]))
    assert names([other])[0] not in names(await seen(PEERS, MINE[0]))


async def test_the_peers_of_a_pod_are_those_of_every_replica_set_of_its_deployment() -> None:
    there = [WEB, OLD, NEW, *MINE]
    assert names(await seen(PEERS, MINE[0], *there)) == ["old", "new"]


@pytest.mark.parametrize("owner", [None, made("Job", "migrate"), made("Rollout", "web")])
async def test_a_pod_that_no_workload_selects_has_no_peers(owner: dict[str, Any] | None) -> None:
    alone = made("Pod", "alone", owner)
    there = [alone, *MINE] if owner is None else [alone, owner, *MINE]
    assert await seen(PEERS, alone, *there) == ()


def test_what_was_before_counts_what_serves_and_every_restart() -> None:
    going = pod("web-3", restarts=4)
    going["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    waiting = pod("web-4", ready=False)
    waiting["status"]["containerStatuses"] = None  # as of a pod that waits for a node
    waiting["status"]["initContainerStatuses"] = [{"name": "init", "restartCount": 2}]
    before = pods_before(facts(pods=(pod("web-1", restarts=1), going, waiting)))
    restarts = {"uid-web-1": 1, "uid-web-3": 4, "uid-web-4": 2}
    assert before == {"ready": 1, "restarts": restarts}


def test_pods_that_are_not_known_are_none_before() -> None:
    target = Target("c", "Deployment", "shop", "web", "uid-web")
    blind = Facts(facts().at, target, target, target, None, seen={"pods": Unknown("because")})
    assert pods_before(blind) == {"ready": 0, "restarts": {}}
