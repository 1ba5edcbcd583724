"""residents: the pods on a node, and which workload each of them belongs to."""

from typing import Any

import pytest

from remediator.errors import Forbidden
from remediator.model.facts import Unknown
from remediator.sights.residents import RESIDENTS, Residents
from tests.unit.cluster.stand_ins import Shelf, made, names, selecting
from tests.unit.cluster.test_observing import look

NODE = made("Node", "n1")
WEB = selecting("Deployment", "web")
OLD, NEW = selecting("ReplicaSet", "web-1", WEB), selecting("ReplicaSet", "web-2", WEB)
DB, AGENT = selecting("StatefulSet", "db"), selecting("DaemonSet", "agent")
LONE = selecting("ReplicaSet", "lone")


async def seen(*there: dict[str, Any]) -> Residents:
    facts = await look(Shelf(NODE, *there), NODE, RESIDENTS)
    residents = facts[RESIDENTS]
    assert isinstance(residents, Residents), residents
    return residents


async def workload_of(pod: dict[str, Any], *there: dict[str, Any]) -> str | None:
    found = (await seen(pod, *there)).workload_of(pod)
    return f"{found[0]} {found[0].uid}" if found else None


@pytest.mark.parametrize(
    ("owner", "there", "workload"),
    [
        (OLD, (OLD, WEB), "Deployment/shop/web uid-web"),
        (DB, (DB,), "StatefulSet/shop/db uid-db"),
        (LONE, (LONE,), "ReplicaSet/shop/lone uid-lone"),
        (OLD, (OLD,), "ReplicaSet/shop/web-1 uid-web-1"),
        (OLD, (WEB,), None),
        (AGENT, (AGENT,), None),
        (made("Job", "j"), (made("Job", "j"),), None),
        (made("Rollout", "r"), (made("Rollout", "r"),), None),
        (None, (), None),
    ],
    ids=["a Deployment's", "a StatefulSet's", "a ReplicaSet's", "its Deployment is gone",
         "its ReplicaSet is gone", "a DaemonSet's", "a Job's", "an operator's", "nobody's"],
)  # fmt: skip
async def test_a_pod_belongs_to(
    owner: dict[str, Any] | None, there: tuple[dict[str, Any], ...], workload: str | None
) -> None:
    assert await workload_of(made("Pod", "p", owner), *there) == workload


async def test_pods_of_two_replica_sets_belong_to_one_deployment() -> None:
    pods = [made("Pod", "a", OLD), made("Pod", "b", NEW)]
    residents = await seen(WEB, OLD, NEW, *pods)
    first, second = (residents.workload_of(pod) for pod in pods)
    assert first is not None
    assert second is not None
    assert first[1] is second[1]


@pytest.mark.parametrize(
    ("owner", "replaced", "expected"),
    [(OLD, OLD, None), (DB, DB, None), (OLD, WEB, "ReplicaSet/shop/web-1 uid-web-1")],
    ids=["its ReplicaSet", "its StatefulSet", "its Deployment"],
)
async def test_what_was_made_again_under_its_name_owns_no_older_pods(
    owner: dict[str, Any], replaced: dict[str, Any], expected: str | None
) -> None:
    """It is as if the older one was gone, which it is."""
    again = {**replaced, "metadata": {**replaced["metadata"], "uid": "another"}}
    kept = [obj for obj in (WEB, OLD, DB) if obj is not replaced]
    assert await workload_of(made("Pod", "p", owner), *kept, again) == expected


async def test_every_other_node_and_every_budget_of_the_cluster_is_seen() -> None:
    other = made("PodDisruptionBudget", "b")
    other["metadata"]["namespace"] = "billing"
    residents = await seen(made("Node", "n2"), other, made("PodDisruptionBudget", "a"))
    assert (names(residents.nodes), names(residents.budgets)) == (["n1", "n2"], ["b", "a"])


@pytest.mark.parametrize(
    "kind", ["Pod", "Node", "PodDisruptionBudget", "StatefulSet", "ReplicaSet", "Deployment"]
)
async def test_residents_of_which_a_part_cannot_be_read_are_unknown(kind: str) -> None:
    there = Shelf(NODE, WEB, OLD, DB, made("Pod", "p", OLD), made("Pod", "db-0", DB))
    there.failing[kind] = Forbidden("because")
    facts = await look(there, NODE, RESIDENTS)
    seen = facts[RESIDENTS] if kind != "Node" else facts.object
    assert seen == Unknown("because")
