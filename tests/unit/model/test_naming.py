"""Names: of targets, of the workloads behind pods, of kinds, and texts from outside.

A name that Kubernetes would refuse is refused here, and no label can write beyond its line.
"""

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator import kinds
from remediator.kinds import BUILT_IN, HORIZONTAL_POD_AUTOSCALER, NAMED, NODE, POD, SERVICE
from remediator.model import entry
from remediator.model.facts import Facts
from remediator.model.kind import Kind, among
from remediator.model.owner import by_hand
from remediator.model.seal import head_number
from remediator.model.sight import Looking, Object, Read, Sight
from remediator.model.target import Target, invalid_name, target_of, workload_name
from remediator.model.text import one_line

LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
SUBDOMAIN = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


@given(LABEL | st.just(""), SUBDOMAIN)
def test_every_name_that_kubernetes_allows_is_valid(namespace: str, name: str) -> None:
    assert invalid_name(namespace, name) is None


@pytest.mark.parametrize("length", [1, 2, 62, 63])
def test_a_namespace_has_up_to_63_characters(length: int) -> None:
    assert invalid_name("a" * length, "web") is None
    assert "namespace" in str(invalid_name("a" * 64, "web"))


def test_an_object_s_name_has_up_to_253_characters() -> None:
    assert invalid_name("", "a" * 253) is None
    assert invalid_name("", "a" * 254) is not None


BAD = ["-a", "a-", ".a", "a.", "A", "a_b", "a/b", "a b", "a\n", "ä", "..", "*", "{{ x }}", "a\0"]


@pytest.mark.parametrize("name", BAD)
def test_what_kubernetes_takes_for_no_name_is_refused_and_shown(name: str) -> None:
    for namespace, problem in ((name, invalid_name(name, "web")), ("", invalid_name("", name))):
        kind = "namespace" if namespace else "object"
        assert problem == f"{name!r} is not a valid Kubernetes {kind} name"


def test_an_object_has_a_name_and_a_namespace_has_no_dot() -> None:
    assert invalid_name("shop", "") is not None
    assert invalid_name("sh.op", "web") is not None


@pytest.mark.parametrize("name", ["a..b", "a.-b", "a-.b"])
def test_each_part_of_a_dotted_name_must_be_a_label(name: str) -> None:
    assert invalid_name("", name) is not None


@given(LABEL, LABEL | st.just(""), SUBDOMAIN)
def test_a_target_comes_back_from_its_key_without_its_uid(
    cluster: str, namespace: str, name: str
) -> None:
    target = Target(cluster, "Deployment", namespace, name)
    assert target_of(target.seen("uid-1").key) == target
    assert target.seen("uid-1").uid == "uid-1"


@pytest.mark.parametrize("key", ["", "c", "c/Node", "c/Node/"])
def test_a_key_that_is_cut_short_names_nothing(key: str) -> None:
    assert target_of(key) is None


def test_a_target_is_shown_without_its_cluster_and_without_empty_parts() -> None:
    assert str(Target("c", "Deployment", "shop", "web", "uid")) == "Deployment/shop/web"
    assert str(Target("c", "Node", "", "n1")) == "Node/n1"


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("Pod", "web-6f7c9d8b54-x7k2p", "web"),
        ("Pod", "my-web-app-6f7c9d8b5-x7k2p", "my-web-app"),
        ("Pod", "db-0", "db"),
        ("Pod", "db-10", "db"),
        ("Pod", "a-1-12", "a-1"),
        ("Pod", "fluentd-x7k2p", "fluentd"),
        ("Pod", "kube-proxy-x7k2p", "kube-proxy"),
        ("Pod", "web", "web"),
        ("Pod", "web-", "web-"),
        ("Pod", "", ""),
        ("Deployment", "web-0", "web-0"),
        ("Node", "node-12345", "node-12345"),
    ],
)
def test_a_pod_is_named_after_its_workload(kind: str, name: str, expected: str) -> None:
    assert workload_name(kind, name) == expected


@pytest.mark.parametrize("name", ["node-exporter", "ingress-controller", "csi-driver"])
def test_a_pod_of_a_daemon_set_with_a_long_last_word_keeps_it(name: str) -> None:
    assert workload_name("Pod", f"{name}-x7k2p") == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("web-1", "web-1", id="plain"),
        pytest.param("grün 🚀 سلام", "grün 🚀 سلام", id="any script"),
        pytest.param("a\nb\r\tc", "a�b��c", id="lines"),
        pytest.param("\x1b[2Jgone", "�[2Jgone", id="an escape"),
        pytest.param("a\u2028b\u2029c\x85d", "a�b�c�d", id="other lines"),
        pytest.param("abc\u202edef\u2066ghi\u2069", "abc�def�ghi�", id="bidi"),
        pytest.param("\x00\x7f\x9b", "���", id="control"),
        pytest.param(None, "None", id="none"),
        pytest.param("", "", id="-"),
    ],
)
def test_a_text_from_outside_stays_on_its_line(text: object, expected: str) -> None:
    assert one_line(text) == expected


@given(st.text())
def test_any_text_becomes_one_printable_line_of_the_same_length(text: str) -> None:
    shown = one_line(text)
    assert len(shown) == len(text)
    assert len(shown.splitlines()) <= 1
    assert one_line(shown) == shown


# name: group/version plural, * where it has no namespace; as `kubectl api-resources` prints them
API_RESOURCES = """
Deployment apps/v1 deployments
StatefulSet apps/v1 statefulsets
DaemonSet apps/v1 daemonsets
ReplicaSet apps/v1 replicasets
ControllerRevision apps/v1 controllerrevisions
ReplicationController v1 replicationcontrollers
Pod v1 pods
Job batch/v1 jobs
CronJob batch/v1 cronjobs
Service v1 services
EndpointSlice discovery.k8s.io/v1 endpointslices
NetworkPolicy networking.k8s.io/v1 networkpolicies
HorizontalPodAutoscaler autoscaling/v2 horizontalpodautoscalers
PodDisruptionBudget policy/v1 poddisruptionbudgets
ResourceQuota v1 resourcequotas
PersistentVolumeClaim v1 persistentvolumeclaims
PersistentVolume v1 *persistentvolumes
Event v1 events
Namespace v1 *namespaces
Node v1 *nodes
"""


def printed(kind: Kind) -> str:
    version = f"{kind.group}/{kind.version}".removeprefix("/")
    return f"{kind} {version} {'' if kind.namespaced else '*'}{kind.plural}"


def test_kinds_are_named_as_an_api_server_names_them() -> None:
    assert [printed(kind) for kind in BUILT_IN] == API_RESOURCES.split("\n")[1:-1]


def test_no_two_kinds_share_a_name_or_a_label() -> None:
    labels = [kind.labels for kind in NAMED if kind.labels]
    assert len({kind.name for kind in NAMED}) == len(NAMED)
    assert len(set(labels)) == len(labels)
    assert POD.labels == ()


def test_a_kind_is_known_by_its_exact_name() -> None:
    assert among("Node", (POD, NODE))
    assert not among("node", (POD, NODE))
    assert not among("Node", ())
    assert {"Deployment", "StatefulSet", "DaemonSet"} == kinds.WORKLOAD_NAMES
    assert "Rollout" not in kinds.NATIVE


def looked(kind: Kind, obj: dict[str, Any], *answers: Any) -> tuple[tuple[Read, ...], Any]:
    """What a kind reads to get from its object to what is above, and what it comes to."""
    assert kind.above is not None
    looking: Generator[Any, Any, Any] = kind.above(Target("c", kind.name, "shop", "web"), obj)
    reads = next(looking)
    with pytest.raises(StopIteration) as done:
        looking.send(list(answers))
    return reads, done.value.value


def test_an_autoscaler_leads_to_what_it_scales() -> None:
    scaled = {"spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "db"}}}
    reads, above = looked(HORIZONTAL_POD_AUTOSCALER, scaled)
    assert (reads, above) == ((), ((Target("c", "StatefulSet", "shop", "db"), None),))


def owned(name: str, owner: str = "") -> dict[str, Any]:
    owners = [{"uid": owner, "controller": True}] if owner else []
    return {"metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": owners}}


def test_a_service_leads_to_one_pod_of_each_controller_and_to_every_bare_pod() -> None:
    pods = [owned("a1", "a"), owned("a2", "a"), owned("b1", "b"), owned("bare"), owned("alone")]
    reads, above = looked(SERVICE, {"spec": {"selector": {"app": "web", "x": "y"}}}, pods)
    assert reads == (Read(POD, "shop", selector="app=web,x=y"),)
    names = [target.name for target, _ in above]
    assert (len(names), names[1:]) == (4, ["b1", "bare", "alone"])
    assert all(target.uid == f"uid-{target.name}" for target, _ in above)


@pytest.mark.parametrize("spec", [None, {}, {"selector": None}, {"selector": {}}])
def test_a_service_without_a_selector_leads_nowhere_and_reads_nothing(spec: Any) -> None:
    assert looked(SERVICE, {"spec": spec}) == ((), ())


def seen_nothing(_facts: Facts, _obj: Object) -> Looking[None]:
    yield ()


def test_a_sight_may_read_only_what_it_declares() -> None:
    sight = Sight("s", seen_nothing, lists=frozenset({POD}), gets=frozenset({NODE}))
    assert sight.allows(Read(POD))
    assert sight.allows(Read(NODE, name="n1"))
    assert not sight.allows(Read(POD, name="web-1"))
    assert not sight.allows(Read(NODE))


@pytest.mark.parametrize("kind", sorted(entry.ENTRY_KINDS))
def test_every_kind_of_history_line_keeps_its_name(kind: str) -> None:
    assert entry.named(kind) == kind
    assert entry.ENTRY_KINDS[entry.EntryKind(kind)]


def test_lines_of_older_journals_are_shown_in_the_words_of_today() -> None:
    assert entry.named("begin") == "started"
    assert entry.named("calm") == "storm_over"
    assert entry.named("verifying") == "verifying"
    assert set(entry.EntryKind) == set(entry.ENTRY_KINDS)


def test_the_head_of_the_history_fits_into_a_metric_exactly() -> None:
    number = head_number("f" * 64)
    assert number == 2**48 - 1 == int(float(number))
    assert head_number("000000000001" + "f" * 52) == 1


def test_a_person_is_told_the_command_that_acts_through_the_owner() -> None:
    rollout = Target("c", "Rollout", "shop", "web")
    assert by_hand("restart_workload", rollout) == "kubectl argo rollouts restart web -n shop"
    assert by_hand("set_resources", rollout) == "kubectl edit rollout web -n shop"
    scaled = by_hand("scale_workload", Target("c", "ScaledObject", "shop", "web"))
    assert """-p '{"spec":{"minReplicaCount":N}}'""" in scaled
