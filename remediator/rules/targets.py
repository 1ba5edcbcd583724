"""Which object an alert is about, from its conventional labels.

Never the exporter that was scraped for it.

Order: an explicit target, `exported_*`, then the labels of the kinds in their order, the pod last.
Under kube-prometheus-stack `pod`, `container` and `service` may be kube-state-metrics' own, so a
pod is only believed where nothing says that it is an exporter's (the climb looks at the pod's own
labels once more). Cluster-scoped kinds ignore `namespace`. A Service stands for the workload behind
it, which the climb finds.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product

from ..catalogue import KINDS
from ..model.target import Target, Unresolved, invalid_name
from ..model.verdict import Reason

WORKLOAD_TYPES = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "daemonset": "DaemonSet",
}
# with honorLabels, `service` and `job` may be these
EXPORTERS = ("kube-state-metrics", "node-exporter", "kube-rbac-proxy")
# in the name of a job, pod, service
EXPORTING = re.compile(r"exporter|blackbox|x509|pushgateway|statsd|cadvisor|snmp", re.I)


def alert_namespace(labels: Mapping[str, str]) -> str:
    """`exported_namespace`, else `namespace`, else empty: never a default."""
    return labels.get("exported_namespace") or labels.get("namespace") or ""


def resolve(labels: Mapping[str, str], cluster: str) -> Target | Unresolved:
    """The alert's object."""
    namespace = alert_namespace(labels)
    found = _named(labels)
    if found is None:
        return _no_object(labels)
    kind, name = found
    return named(cluster, kind, namespace, name, uid=labels.get("uid", "") if kind == "Pod" else "")


def named(
    cluster: str, kind: str, namespace: str, name: str, *, uid: str = ""
) -> Target | Unresolved:
    """A target by its names, checked as Kubernetes names."""
    namespaced = kind not in KINDS or KINDS[kind].namespaced
    namespace = namespace if namespaced else ""
    if namespaced and not namespace:
        why = f"the alert names {kind} {name!r} but no namespace, and none is assumed"
        return Unresolved(Reason.NO_TARGET, why)
    problem = invalid_name(namespace, name)
    if problem:
        return Unresolved(Reason.INVALID_TARGET, problem)
    return Target(cluster, kind, namespace, name, uid)


def _by_label() -> Iterator[tuple[str, str]]:
    """The labels that name an object, in their order, with its kind."""
    for kind in KINDS.values():
        for label in kind.labels:
            yield label, kind.name


def _named(labels: Mapping[str, str]) -> tuple[str, str] | None:
    found = _exported(labels) or _by_kind(labels) or _of_library(labels)
    if found is not None:
        return found
    type_ = WORKLOAD_TYPES.get(labels.get("workload_type", "").lower())
    if type_ and labels.get("workload"):
        return type_, labels["workload"]
    if labels.get("pod"):
        return None if scraped_exporter(labels) else ("Pod", labels["pod"])
    if labels.get("service") and not labels.get("job") and not scraped_exporter(labels):
        return "Service", labels["service"]
    return None


def _exported(labels: Mapping[str, str]) -> tuple[str, str] | None:
    """What the exporter named, where Prometheus set its own labels of the same names apart."""
    prefix = "exported_"
    theirs = {key[len(prefix) :]: text for key, text in labels.items() if key.startswith(prefix)}
    found = _by_kind(theirs)
    if found is None and theirs.get("pod"):
        return "Pod", theirs["pod"]
    return found


def _by_kind(labels: Mapping[str, str]) -> tuple[str, str] | None:
    """What a label names by its kind, such as `deployment`."""
    for label, kind in _by_label():
        if labels.get(label):
            return kind, labels[label]
    return None


def _of_library(labels: Mapping[str, str]) -> tuple[str, str] | None:
    """What a library's alert names by its label `name`, such as cert-manager's."""
    name, alertname = labels.get("name"), labels.get("alertname", "")
    for item in KINDS.values():
        if name and item.alerts and alertname.startswith(item.alerts):
            return item.name, name
    return None


def scraped_exporter(labels: Mapping[str, str]) -> bool:
    """Whether `pod` and `container` are those of the exporter."""
    if any(
        EXPORTING.search(_own(labels, label)) for label in ("job", "container", "pod", "service")
    ):
        return True
    own = [label for label in ("container", "pod", "service") if not _victim(labels, label)]
    return any(name in labels.get(label, "") for label, name in product(own, EXPORTERS))


def _own(labels: Mapping[str, str], label: str) -> str:
    """A label's value where it tells what was scraped.

    The node exporter's job says so of every node, and of no pod.
    """
    value = labels.get(label, "")
    return "" if label in ("job", "service") and any(name in value for name in EXPORTERS) else value


def _victim(labels: Mapping[str, str], label: str) -> bool:
    """With honorLabels, `service` is the exporter's while pod
    and container are the victim's own.
    """
    return (
        label == "service"
        and bool(labels.get("pod"))
        and not any(name in labels["pod"] for name in EXPORTERS)
    )


def _no_object(labels: Mapping[str, str]) -> Unresolved:
    if labels.get("pod") or labels.get("service"):
        return Unresolved(
            Reason.TARGET_IS_EXPORTER,
            f"the only object named is the exporter {labels.get('pod') or labels.get('service')}",
        )
    return Unresolved(Reason.NO_TARGET, "no label names an object to act on")
