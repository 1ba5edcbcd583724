"""What a replay assumes: that everything an alert names exists and is healthy, and that what was
changed comes to its good end.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..kinds import HORIZONTAL_POD_AUTOSCALER, JOB, NETWORK_POLICY, NODE, POD, REPLICA_SET
from ..model.kind import Kind
from ..model.raw import meta, spec_of, status_of
from ..model.sight import Object
from ..model.target import POD as BY_NAME

BORN = datetime(2000, 1, 1, tzinfo=UTC)
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
REPLICAS = 3
NOT_THERE = {HORIZONTAL_POD_AUTOSCALER, JOB, NETWORK_POLICY}
READY = {"type": "Ready", "status": "True"}
RUNNING = {"phase": "Running", "conditions": [READY]}


class Healthy:
    """Every object that an alert names exists and is healthy: workloads with three ready pods, pods
    with owners.
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An assumed object; None of what actions create themselves, and no autoscaler."""
        if kind in NOT_THERE:
            return None
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": namespace,
            "uid": f"assumed-{kind.name}-{name}",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": BORN.isoformat(),
        }
        if kind == POD:
            return _pod(metadata, *_by_name(name))
        if kind == REPLICA_SET:
            metadata["ownerReferences"] = [_owner("Deployment", name.rpartition("-")[0])]
        return settled({"kind": kind.name, "metadata": metadata, **_body(kind.name, name)})

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        """Three pods of a workload, and a node; nothing else."""
        if kind == NODE:
            return [{"metadata": {"name": "assumed"}, "status": {"conditions": [READY]}}]
        chosen = dict(part.split("=") for part in selector.split(",") if "=" in part)
        if kind != POD or "app" not in chosen:
            return []
        return _pods(namespace, chosen.get("owner", "Deployment"), chosen["app"])


def settled(obj: Object) -> Object:
    """The object once its controller has done what its spec asks for."""
    match obj.get("kind"):
        case "Deployment" | "StatefulSet" | "DaemonSet":
            return _whole(obj)
        case "Job":
            return {**obj, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
        case "Certificate":
            revision = int(status_of(obj).get("revision") or 0) + 1
            status = {**status_of(obj), "revision": revision, "conditions": [READY]}
            return {**obj, "status": status}
    return obj


def _body(kind: str, name: str) -> dict[str, Any]:
    """What is assumed of an object besides its metadata."""
    match kind:
        case "Deployment" | "StatefulSet" | "DaemonSet":
            chosen = _labels(kind, name)
            template = {"metadata": {"labels": chosen}, "spec": _pod_spec(name)}
            spec = {"replicas": REPLICAS, "selector": {"matchLabels": chosen}}
            return {"spec": {**spec, "template": template}}
        case "CronJob":
            return {"spec": {"jobTemplate": {"spec": {"template": {"spec": _pod_spec(name)}}}}}
        case "Service":
            return {"spec": {"selector": {"app": name}}}
        case "Node":
            return {"spec": {}, "status": {"conditions": [READY]}}
    return {}


def _labels(kind: str, name: str) -> dict[str, str]:
    """The labels by which a workload selects its pods: none of another kind has them."""
    return {"app": name, "owner": kind}


def _pod_spec(name: str) -> dict[str, Any]:
    return {"containers": [{"name": "app", "image": f"{name}:assumed"}]}


def _pods(namespace: str, kind: str, workload: str) -> list[Object]:
    """The pods of a workload."""
    owner, labels = _owner(kind, workload), _labels(kind, workload)
    named = [f"{workload}-{number}" for number in range(REPLICAS)]
    found = [{"name": pod, "namespace": namespace, "uid": f"assumed-{pod}"} for pod in named]
    return [_pod(metadata, owner, labels) for metadata in found]


def _pod(metadata: dict[str, Any], owner: Mapping[str, Any], labels: Mapping[str, str]) -> Object:
    return {
        "kind": "Pod",
        "metadata": {**metadata, "ownerReferences": [owner], "labels": labels},
        "spec": {"containers": []},
        "status": RUNNING,
    }


def _by_name(pod: str) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """What a pod's name says of its controller, and its labels."""
    found = BY_NAME.fullmatch(pod)
    parts = found.groupdict() if found else {"deployment": pod}
    label, workload = next((key, text) for key, text in parts.items() if text)
    labels = _labels(KINDS[label], workload)
    if found and label == "deployment":
        return _owner("ReplicaSet", pod.rpartition("-")[0]), labels
    return _owner(KINDS[label], workload), labels


def _owner(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "uid": f"assumed-{kind}-{name}", "controller": True}


def _whole(obj: Object) -> Object:
    """A workload whose rollout is complete and whose pods are ready."""
    spec, generation = spec_of(obj), int(meta(obj).get("generation") or 1)
    count = spec.get("replicas", status_of(obj).get("desiredNumberScheduled", REPLICAS))
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    scheduled = (
        "desiredNumberScheduled",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberReady",
    )
    status: dict[str, Any] = {
        "observedGeneration": generation,
        **dict.fromkeys((*names, *scheduled), count),
    }
    return {**obj, "status": {**status, "updateRevision": "assumed", "currentRevision": "assumed"}}
