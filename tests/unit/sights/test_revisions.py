"""revisions: the order of a workload's templates, which one runs, and which was seen healthy."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.errors import Unreachable
from remediator.model.facts import Unknown
from remediator.model.template import RESTARTED_AT
from remediator.sights.revisions import NUMBER, REVISIONS, Revision, current_revision
from tests.unit.cluster.stand_ins import Shelf, made
from tests.unit.cluster.test_observing import look
from tests.unit.objects import T, pod, template

SELECTOR = {"matchLabels": {"app": "web"}}
DEPLOYMENT = made("Deployment", "web", spec={"selector": SELECTOR, "template": template("web:2")})


def stamped(image: str, at: str) -> dict[str, Any]:
    """A template as a restart leaves it."""
    restarted = template(image)
    restarted["metadata"]["annotations"] = {RESTARTED_AT: at}
    return restarted


def replica_set(
    number: int, image: str, owner: dict[str, Any] = DEPLOYMENT, **more: Any
) -> dict[str, Any]:
    counts = {"replicas": more.pop("replicas", 0)}
    given = more.pop("template", template(image))
    labelled = {**given, "metadata": {**given["metadata"]}}
    labelled["metadata"]["labels"] = {"app": "web", "pod-template-hash": f"h{number}"}
    status = {"readyReplicas": more.pop("ready")} if "ready" in more else {}
    obj = made("ReplicaSet", f"web-{number}", owner, spec={**counts, "template": labelled})
    obj["metadata"]["annotations"] = {NUMBER: str(number)}
    return {**obj, "status": status, **more}


async def seen(workload: dict[str, Any], *there: dict[str, Any]) -> tuple[Revision, ...]:
    facts = await look(Shelf(workload, *there), workload, REVISIONS)
    revisions = facts[REVISIONS]
    assert isinstance(revisions, tuple), revisions
    assert current_revision(facts) in (*revisions, None)
    return revisions


def current(revisions: tuple[Revision, ...]) -> list[int]:
    return [revision.number for revision in revisions if revision.current]


@given(st.permutations([1, 2, 9, 10, 11]))
async def test_revisions_are_ordered_by_number_and_not_as_texts(numbers: list[int]) -> None:
    sets = [replica_set(number, f"web:{number}") for number in numbers]
    assert [revision.number for revision in await seen(DEPLOYMENT, *sets)] == [1, 2, 9, 10, 11]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([(1, "web:1"), (2, "web:2")], [2]),
        ([(3, "web:2"), (2, "web:1")], [3]),  # gone back to
        ([(1, "web:1")], []),  # the controller has not made it yet
        ([(1, "web:2"), (2, "web:2")], [2]),  # a template changed and changed back by a restart
        ([], []),
    ],
)
async def test_the_current_one_is_the_newest_that_has_the_template(
    sets: list[tuple[int, str]], expected: list[int]
) -> None:
    there = [replica_set(number, image) for number, image in sets]
    assert current(await seen(DEPLOYMENT, *there)) == expected


async def test_a_restart_makes_the_newer_one_current() -> None:
    web = {**DEPLOYMENT, "spec": {"selector": SELECTOR, "template": stamped("web:2", "later")}}
    sets = [replica_set(1, "web:2"), replica_set(2, "", template=stamped("web:2", "later"))]
    assert current(await seen(web, *sets)) == [2]


@pytest.mark.parametrize(
    ("replicas", "ready", "healthy"),
    [(3, 3, True), (3, 2, False), (0, 0, False), (3, None, False), (None, None, False)],
)
async def test_a_replica_set_is_healthy_while_it_has_pods_and_all_serve(
    replicas: int | None, ready: int | None, healthy: bool
) -> None:
    """A status without a count has none: that is how an API server writes zero."""
    given: dict[str, Any] = {} if ready is None else {"ready": ready}
    (revision,) = await seen(DEPLOYMENT, replica_set(1, "web:1", replicas=replicas, **given))
    assert revision.seen_healthy is healthy
    assert (revision.replicas, revision.ready) == (replicas or 0, ready or 0)


async def test_a_replica_set_of_another_owner_is_no_revision() -> None:
    canary = made("Deployment", "canary")
    older = {**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], "uid": "older"}}
    others = [replica_set(7, "web:2", canary), replica_set(8, "web:2", older)]
    assert [r.number for r in await seen(DEPLOYMENT, replica_set(1, "web:1"), *others)] == [1]


async def test_what_has_no_number_yet_comes_first() -> None:
    fresh = replica_set(0, "web:2")
    fresh["metadata"]["annotations"] = None
    assert [r.number for r in await seen(DEPLOYMENT, replica_set(1, "web:1"), fresh)] == [0, 1]


def controlled(kind: str) -> dict[str, Any]:
    return made(kind, "db", spec={"selector": SELECTOR, "template": template("db:2")})


def revision_of(owner: dict[str, Any], number: int, image: str, **labels: str) -> dict[str, Any]:
    data = {"spec": {"template": {**template(image), "$patch": "replace"}}}
    obj = made("ControllerRevision", f"db-{number}", owner, data=data, revision=number)
    obj["metadata"]["labels"] |= labels
    return obj


def pod_of(owner: dict[str, Any], name: str, hashed: str, ready: bool = True) -> dict[str, Any]:
    labelled = made("Pod", name, owner, status=pod(ready=ready)["status"])
    labelled["metadata"]["labels"]["controller-revision-hash"] = hashed
    return labelled


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
async def test_a_controller_revision_s_template_is_one_that_can_be_put_back(kind: str) -> None:
    owner = controlled(kind)
    versions = [revision_of(owner, 1, "db:1"), revision_of(owner, 2, "db:2")]
    older, newer = await seen(owner, *versions)
    assert (older.template, newer.template) == (template("db:1"), template("db:2"))
    assert (older.current, newer.current) == (False, True)
    assert older.created_at == T - timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "hashed"), [("StatefulSet", "db-1"), ("DaemonSet", "7f9c")], ids=["by name", "by hash"]
)
async def test_a_controller_revision_is_as_healthy_as_the_pods_that_run_it(
    kind: str, hashed: str
) -> None:
    owner = controlled(kind)
    versions = [
        revision_of(owner, 1, "db:1", **{"controller-revision-hash": "7f9c"}),
        revision_of(owner, 2, "db:2", **{"controller-revision-hash": "abcd"}),
    ]
    pods = [pod_of(owner, "db-a", hashed), pod_of(owner, "db-b", hashed)]
    older, newer = await seen(owner, *versions, *pods)
    assert (older.replicas, older.ready, older.seen_healthy) == (2, 2, True)
    assert (newer.replicas, newer.ready, newer.seen_healthy) == (0, 0, False)
    worse = pod_of(owner, "db-c", hashed, ready=False)
    stranger = pod_of(made("StatefulSet", "other"), "other-0", hashed)
    older, _ = await seen(owner, *versions, *pods, worse, stranger)
    assert (older.replicas, older.ready, older.seen_healthy) == (3, 2, False)


@pytest.mark.parametrize("kind", ["ReplicaSet", "Pod"])
async def test_revisions_that_cannot_be_read_are_unknown(kind: str) -> None:
    there = Shelf(DEPLOYMENT, replica_set(1, "web:2"))
    there.failing[kind] = Unreachable("because")
    facts = await look(there, DEPLOYMENT, REVISIONS)
    assert facts[REVISIONS] == Unknown("because")
    assert current_revision(facts) is None
