"""The cluster port over HTTP: what is sent for each call, and what each answer is taken for."""

from pathlib import Path
from typing import Any

import pytest

from remediator.cluster.client import MANY_BUDGETS, KubernetesCluster, connect
from remediator.errors import (
    BudgetExhausted,
    ClusterError,
    ConfigurationError,
    Conflict,
    Forbidden,
    Rejected,
    TargetGone,
    Unreachable,
    Unsupported,
)
from remediator.kinds import POD
from remediator.model.call import CALL_ID, Call
from remediator.model.facts import Unknown
from remediator.model.target import Target
from remediator.sights.disruption_budgets import BUDGETS
from tests.unit.cluster.stand_ins import (
    DONE,
    NOT_FOUND,
    Server,
    made,
    names,
    reference,
    selecting,
)
from tests.unit.objects import WEB, T

PODS_PATH = "/api/v1/namespaces/shop/pods"
POD_PATH = f"{PODS_PATH}/web-1"
WEB_PATH = "/apis/apps/v1/namespaces/shop/deployments/web"
WEB_1 = Target("c", "Pod", "shop", "web-1", "uid-web-1")
PATCH = Call("patch", WEB, ({"op": "add", "path": "/metadata/annotations/a", "value": CALL_ID},))
DELETE, EVICT = Call("delete", WEB_1), Call("evict", WEB_1)
MANY = f"This pod has {MANY_BUDGETS}, which the eviction subresource does not support."
BUDGET = {"details": {"causes": [{"reason": "DisruptionBudget"}]}}
LOGIN = "<html>log in</html>"


def page(*items: str, more: str = "") -> dict[str, Any]:
    return {"metadata": {"continue": more}, "items": [made("Pod", name) for name in items]}


async def test_a_list_is_all_of_its_pages_in_order(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", PODS_PATH, page("a", "b", more="t/1+"))
    server.says("GET", PODS_PATH, page(more="t2"))
    server.says("GET", PODS_PATH, page("c"))
    found = await cluster.list_objects(POD, "shop", "app=web", "spec.nodeName=n1")
    assert names(found) == ["a", "b", "c"]
    chosen = {"labelSelector": "app=web", "fieldSelector": "spec.nodeName=n1", "limit": "500"}
    asked = [request.query for request in server.asked]
    assert asked == [chosen, {**chosen, "continue": "t/1+"}, {**chosen, "continue": "t2"}]


@pytest.mark.parametrize("status", [403, 410, 429, 500])
async def test_a_list_of_which_a_page_is_missing_is_no_list(
    server: Server, cluster: KubernetesCluster, status: int
) -> None:
    server.says("GET", PODS_PATH, page("a", more="t1"))
    server.says("GET", PODS_PATH, {}, status)
    with pytest.raises(ClusterError):
        await cluster.list_objects(POD, "shop", "")


async def test_items_that_are_null_are_none_and_everything_is_asked_without_selectors(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", PODS_PATH, {"kind": "PodList", "metadata": None, "items": None})
    assert await cluster.list_objects(POD, "shop", "") == []
    assert server.asked[0].query == {"limit": "500"}


async def test_what_does_not_exist_is_none_and_a_list_of_it_is_an_error(
    cluster: KubernetesCluster,
) -> None:
    assert await cluster.get(POD, "shop", "web-1") is None
    with pytest.raises(TargetGone):  # an API that is not installed is no empty list
        await cluster.list_objects(POD, "shop", "")


async def test_a_404_of_something_before_the_api_server_does_not_mean_that_a_pod_is_gone(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", POD_PATH, "default backend - 404", 404)
    assert isinstance((await cluster.observe(WEB_1, False, frozenset(), T)).object, Unknown)


@pytest.mark.parametrize("answer", [LOGIN, {}, {"kind": "Status", "status": "Failure"}])
async def test_a_page_that_is_no_list_does_not_mean_that_there_are_no_budgets(
    server: Server, cluster: KubernetesCluster, answer: Any
) -> None:
    server.says("GET", WEB_PATH, selecting("Deployment", "web"))
    server.says("GET", "/apis/policy/v1/namespaces/shop/poddisruptionbudgets", answer)
    facts = await cluster.observe(WEB, False, frozenset({BUDGETS}), T)
    assert isinstance(facts[BUDGETS], Unknown)


async def test_a_page_that_is_no_object_does_not_mean_that_a_pod_is_gone(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", POD_PATH, LOGIN)
    assert isinstance((await cluster.observe(WEB_1, False, frozenset(), T)).object, Unknown)


async def test_a_patch_carries_the_version_that_was_read_first_and_its_own_id(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("PATCH", WEB_PATH, made("Deployment", "web"))
    await cluster.apply(PATCH, "r-1.1", "41")
    (asked,) = server.asked
    assert asked.headers["Content-Type"] == "application/json-patch+json"
    assert asked.query == {"fieldManager": "remediator"}
    assert asked.body == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "add", "path": "/metadata/annotations/a", "value": "r-1.1"},
    ]


async def test_a_dry_run_is_one_for_the_api_server_whatever_the_call(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("PATCH", WEB_PATH, made("Deployment", "web"))
    server.says("POST", PODS_PATH, made("Pod", "web-1"), 201)
    server.says("DELETE", POD_PATH, DONE)
    server.says("POST", f"{POD_PATH}/eviction", DONE, 201)
    for call in (PATCH, Call("create", WEB_1, {"metadata": {}}), DELETE, EVICT):
        await cluster.apply(call, "r-1.1", "41", dry_run=True)
    patch, create, delete, evict = server.asked
    assert (patch.query["dryRun"], create.query["dryRun"]) == ("All", "All")
    assert (delete.body["dryRun"], evict.body["deleteOptions"]["dryRun"]) == (["All"], ["All"])


async def test_what_is_created_has_the_name_and_the_namespace_of_the_target(
    server: Server, cluster: KubernetesCluster
) -> None:
    body = {"metadata": {"labels": {"by": CALL_ID}}, "spec": {"args": ["--id", CALL_ID]}}
    server.says("POST", "/apis/batch/v1/namespaces/shop/jobs", made("Job", "once"), 201)
    await cluster.apply(Call("create", Target("c", "Job", "shop", "once"), body), "r-1.1", "")
    named = {"name": "once", "namespace": "shop", "labels": {"by": "r-1.1"}}
    assert server.asked[0].body == {"metadata": named, "spec": {"args": ["--id", "r-1.1"]}}
    assert body["metadata"] == {"labels": {"by": CALL_ID}}


@pytest.mark.parametrize("call", [DELETE, EVICT], ids=lambda call: str(call.verb))
async def test_a_pod_is_taken_by_its_uid(
    server: Server, cluster: KubernetesCluster, call: Call
) -> None:
    server.says("DELETE", POD_PATH, DONE)
    server.says("POST", f"{POD_PATH}/eviction", DONE, 201)
    assert (await cluster.apply(call, "r-1.1", "")).status in (200, 201)
    options = server.asked[0].body.get("deleteOptions", server.asked[0].body)
    assert options == {"preconditions": {"uid": "uid-web-1"}}


@pytest.mark.parametrize("call", [DELETE, EVICT], ids=lambda call: str(call.verb))
@pytest.mark.parametrize(
    ("status", "there", "ends"),
    [
        (404, None, 404),
        (409, None, 404),
        (409, "another", 404),
        (409, "uid-web-1", Conflict),
        (403, "uid-web-1", Forbidden),
        (422, "uid-web-1", Rejected),
        (422, "another", TargetGone),
        (422, None, TargetGone),
        (429, "uid-web-1", Unreachable),
        (500, "uid-web-1", Unreachable),
    ],
)
async def test_a_pod_that_is_not_taken_is_gone_or_an_error_by_what_is_there(
    server: Server,
    cluster: KubernetesCluster,
    call: Call,
    status: int,
    *,
    there: str | None,
    ends: int | type[ClusterError],
) -> None:
    answer = NOT_FOUND if status == 404 else {"kind": "Status", "code": status}
    server.says("DELETE", POD_PATH, answer, status)
    server.says("POST", f"{POD_PATH}/eviction", answer, status)
    if there is not None:
        server.says("GET", POD_PATH, made("Pod", "web-1", uid=there))
    if isinstance(ends, int):
        assert (await cluster.apply(call, "r-1.1", "")).status == ends
        return
    with pytest.raises(ClusterError) as raised:
        await cluster.apply(call, "r-1.1", "")
    assert type(raised.value) is ends


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [(429, BUDGET, BudgetExhausted), (429, {}, Unreachable), (500, {"message": MANY}, Rejected)],
    ids=["its budget says wait", "the server is busy", "several budgets, for good"],
)
async def test_an_eviction_that_is_refused_says_whether_it_may_be_tried_again(
    server: Server, cluster: KubernetesCluster, status: int, *, answer: Any, error: type[Exception]
) -> None:
    server.says("POST", f"{POD_PATH}/eviction", answer, status)
    server.says("GET", POD_PATH, made("Pod", "web-1"))
    with pytest.raises(ClusterError) as raised:
        await cluster.apply(EVICT, "r-1.1", "")
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("there", "error"), [("uid-web", Rejected), ("another", TargetGone), (None, TargetGone)]
)
async def test_a_patch_that_is_refused_for_what_it_says_may_have_met_another_object(
    server: Server, cluster: KubernetesCluster, there: str | None, error: type[Exception]
) -> None:
    server.says("PATCH", WEB_PATH, {}, 422)
    if there is not None:
        server.says("GET", WEB_PATH, made("Deployment", "web", uid=there))
    with pytest.raises(ClusterError) as raised:
        await cluster.apply(PATCH, "r-1.1", "41")
    assert type(raised.value) is error


async def test_a_patch_that_met_another_object_is_no_success(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("PATCH", WEB_PATH, made("Deployment", "web", uid="another"))
    with pytest.raises(TargetGone):
        await cluster.apply(PATCH, "r-1.1", "41")


async def test_what_is_not_supported_is_not_sent(
    server: Server, cluster: KubernetesCluster
) -> None:
    for call in (Call("connect", WEB_1), Call("patch", Target("c", "Rollout", "shop", "web", "u"))):
        with pytest.raises(Unsupported):
            await cluster.apply(call, "r-1.1", "1")
    assert server.asked == []


def owned_through(name: str) -> dict[str, Any]:
    """A pod that says who controls it, by a name that it made up."""
    pod = made("Pod", "web-1")
    named = reference(made("Deployment", "coredns"), name=name)
    pod["metadata"]["ownerReferences"] = [named]
    return pod


async def test_a_pod_cannot_name_an_owner_in_another_namespace(
    server: Server, cluster: KubernetesCluster
) -> None:
    """An API server checks of an owner's name only that it is not empty."""
    path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    server.says("GET", POD_PATH, owned_through("../../kube-system/deployments/coredns"))
    server.says("GET", path, made("Deployment", "coredns"))
    server.says("PATCH", path, made("Deployment", "coredns"))
    facts = await cluster.observe(WEB_1, True, frozenset(), T)
    call = Call("patch", facts.target, PATCH.body)
    if facts.target.kind == "Deployment":
        await cluster.apply(call, "r-1.1", "41")
    assert server.asked_for("GET", path) + server.asked_for("PATCH", path) == []


EVENTS = "/api/v1/namespaces/shop/events"
COLLECT = Call("collect", WEB_1, {"log_lines": 20})


def running(uid: str = "uid-web-1") -> dict[str, Any]:
    spec = {"nodeName": "n1", "containers": [{"name": "app"}, {"name": "side"}]}
    return made("Pod", "web-1", uid=uid, spec=spec, status={"phase": "Running"})


async def test_what_cannot_be_collected_is_said_in_its_place(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", POD_PATH, running())
    server.says("GET", EVENTS, {}, 403)
    server.says("GET", f"{POD_PATH}/log", "token=abc \u00fc", 200)
    server.says("GET", f"{POD_PATH}/log", {"message": "none before"}, 400)
    left = (await cluster.apply(COLLECT, "r-1.1", "")).left
    assert (left["phase"], left["node"]) == ("Running", "n1")
    assert ["cannot list events" in said for said in left["events"]] == [True]
    assert left["logs"]["app"] == "token=(redacted) \u00fc"
    assert "none before" in left["logs"]["side"]  # a current log that cannot be read is said
    assert set(left["logs"]) == {"app", "side"}  # no log of an earlier run is nothing to tell


async def test_nothing_is_collected_from_another_pod_of_the_same_name(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", POD_PATH, running(uid="another"))
    server.says("GET", EVENTS, {"items": []})
    server.says("GET", f"{POD_PATH}/log", "of the new pod")
    with pytest.raises(TargetGone):
        await cluster.apply(COLLECT, "r-1.1", "")


async def test_an_event_on_a_node_goes_into_the_default_namespace(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("POST", "/api/v1/namespaces/default/events", DONE, 201)
    await cluster.announce(Target("c", "Node", "", "n1", "u"), "Drained", "m" * 2000, True)
    (asked,) = server.asked
    involved = {"apiVersion": "v1", "kind": "Node", "name": "n1", "namespace": "", "uid": "u"}
    assert asked.body["involvedObject"] == involved
    assert (asked.body["type"], len(asked.body["message"])) == ("Warning", 1000)


async def test_workloads_are_counted_only_where_each_kind_can_be_listed(
    server: Server, cluster: KubernetesCluster
) -> None:
    for plural in ("deployments", "daemonsets", "statefulsets"):
        server.says("GET", f"/apis/apps/v1/{plural}", page("a", "b"))
    assert await cluster.workloads() == ["shop"] * 6
    server.says("GET", "/apis/apps/v1/daemonsets", {}, 403)
    await cluster.workloads()
    found = await cluster.workloads()
    assert isinstance(found, Unknown)
    assert "cannot list daemonsets" in found.why


@pytest.mark.parametrize(("status", "allowed"), [({"allowed": True}, True), ({}, False)])
async def test_a_permission_is_asked_for_by_resource_and_subresource(
    server: Server, cluster: KubernetesCluster, status: dict[str, bool], allowed: bool
) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server.says("POST", path, {"status": status}, 201)
    assert await cluster.may("", "pods/eviction", "create", "shop") is allowed
    attributes = server.asked[0].body["spec"]["resourceAttributes"]
    assert (attributes["resource"], attributes["subresource"]) == ("pods", "eviction")


CONTEXT = "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
GOOD = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
USER = "users: [{name: u, user: {token: t}}]\n"
AUTHORITY = "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: "


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"contexts: []\ncurrent-context: x\n", id="no such context"),
        pytest.param(f"{CONTEXT}clusters: []\nusers: []\n".encode(), id="no such cluster"),
        pytest.param(b"a: [", id="no YAML"),
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="a text"),
        pytest.param(b"\xff\xfe\x00", id="binary"),
        pytest.param(f"{CONTEXT}{GOOD}users: []\n".encode(), id="no such user"),
        pytest.param(f"{CONTEXT}{USER}{AUTHORITY}aaaaa}}}}]\n".encode(), id="no base64"),
        pytest.param(f"{CONTEXT}{USER}{AUTHORITY}aGVsbG8=}}}}]\n".encode(), id="no PEM"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_an_error_of_the_settings(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "kubeconfig").write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot reach a cluster"):
        await connect(str(tmp_path / "kubeconfig"), "", 50)
