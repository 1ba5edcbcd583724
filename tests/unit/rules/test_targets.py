"""The target of 63 library alerts under three scrape configurations.

Never an exporter's pod outside a protected namespace.
"""

import json
from pathlib import Path

import pytest

from remediator.guards.situation import PROTECTED
from remediator.model.target import Target, Unresolved
from remediator.model.verdict import Reason
from remediator.rules.targets import resolve

FILE = Path(__file__).parents[2] / "fixtures" / "library-alert-labels.json"
CASES: list[tuple[str, str, dict[str, str]]] = []
for alertname, by in json.loads(FILE.read_text()).items():
    CASES += [(alertname, scrape, labels) for scrape, labels in by.items()]
EXPORTER_PODS = {
    labels["pod"]
    for _, _, labels in CASES
    if any(x in labels.get("pod", "") for x in ("state-metrics", "ksm", "node-exporter", "ne-"))
}


def test_all_of_them_are_here() -> None:
    assert len({name for name, _, _ in CASES}) == 63
    assert len(EXPORTER_PODS) == 5


@pytest.mark.parametrize(
    ("name", "scrape", "labels"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_an_exporter_is_never_the_target(name: str, scrape: str, labels: dict[str, str]) -> None:
    found = resolve({"alertname": name, **labels}, "c")
    if isinstance(found, Target) and found.kind == "Pod" and found.name in EXPORTER_PODS:
        # labels alone cannot tell; the protected namespace does
        assert found.namespace in PROTECTED


@pytest.mark.parametrize(
    ("name", "scrape", "expected"),
    [
        ("KubeDeploymentReplicasMismatch", "kps", "Deployment/shop/web"),
        ("KubeDeploymentReplicasMismatch", "nohonor", "Deployment/shop/web"),
        ("KubePodCrashLooping", "kps", "Pod/shop/web-7d9c-abc"),
        ("KubePodCrashLooping", "nohonor", "Pod/shop/web-7d9c-abc"),
        ("KubeNodeNotReady", "kps", "Node/n2"),
        ("KubeHpaMaxedOut", "kps", "HorizontalPodAutoscaler/shop/api"),
        ("CertManagerCertNotReady", "kps", "Certificate/prp-system/prp-tls"),
        ("KubePersistentVolumeErrors", "kps", "PersistentVolume/pvc-1"),
    ],
)
def test_the_victim_is(name: str, scrape: str, expected: str) -> None:
    labels = next(labels for n, s, labels in CASES if (n, s) == (name, scrape))
    assert str(resolve({"alertname": name, **labels}, "c")) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"namespace": "shop", "service": "web"}, "Service/shop/web"),
        (
            {
                "namespace": "shop",
                "exported_namespace": "db",
                "deployment": "x",
                "exported_pod": "db-0",
            },
            "Pod/db/db-0",
        ),
        (
            {"namespace": "shop", "workload": "web", "workload_type": "StatefulSet", "pod": "p"},
            "StatefulSet/shop/web",
        ),
        ({"namespace": "shop", "deployment": "web", "pod": "exporter-1"}, "Deployment/shop/web"),
        ({"namespace": "shop", "job_name": "backup-1", "pod": "exporter-1"}, "Job/shop/backup-1"),
        ({"namespace": "shop", "node": "n1", "pod": "exporter-1"}, "Node/n1"),
    ],
)
def test_the_order_of_labels(labels: dict[str, str], expected: str) -> None:
    assert str(resolve(labels, "c")) == expected


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"pod": "web-1"}, Reason.NO_TARGET),
        ({"deployment": "web"}, Reason.NO_TARGET),
        ({}, Reason.NO_TARGET),
        ({"namespace": "shop", "deployment": "web; rm -rf /"}, Reason.INVALID_TARGET),
        ({"namespace": "../kube-system", "pod": "web"}, Reason.INVALID_TARGET),
        ({"namespace": "shop", "pod": "{{ labels.x }}"}, Reason.INVALID_TARGET),
        ({"namespace": "shop", "pod": "web\n"}, Reason.INVALID_TARGET),
        (
            {"namespace": "monitoring", "pod": "x-node-exporter-1", "container": "node-exporter"},
            Reason.TARGET_IS_EXPORTER,
        ),
    ],
)
def test_refused(labels: dict[str, str], reason: Reason) -> None:
    found = resolve(labels, "c")
    assert isinstance(found, Unresolved)
    assert found.reason is reason
