"""pods, and peers: the pods of a target, and those that stand beside a pod."""

from collections.abc import Mapping
from typing import Any

from ..kinds import DEPLOYMENT, POD, REPLICA_SET, SELECTING
from ..model.facts import Facts
from ..model.kind import Kind
from ..model.raw import controller, meta, ready, restarts
from ..model.selectors import selector_text
from ..model.sight import Looking, Object, Read, Sight
from ..model.target import Target

Pods = tuple[Object, ...]


def selected(kind: Kind, namespace: str, workload: Object) -> Read:
    """What a workload's selector selects. Raises: ClusterError where it selects nothing."""
    return Read(kind, namespace, selector=selector_text(workload["spec"]["selector"]))


def owned(obj: Object, owners: set[str]) -> bool:
    """Whether one of the uids is the object's controller."""
    owner = controller(obj)
    return owner is not None and str(owner.get("uid")) in owners


def _pods(facts: Facts, obj: Object) -> Looking[Pods]:
    """The target's pods: of a Deployment those of its ReplicaSets, of a pod the pod itself."""
    target = facts.target
    if target.kind == POD.name:
        yield ()
        return (obj,)
    return (yield from _of_workload(target, obj))


def _of_workload(workload: Target, obj: Object) -> Looking[Pods]:
    """The pods that it, or a ReplicaSet of it, controls; others may have the same labels."""
    wanted = [selected(POD, workload.namespace, obj)]
    if workload.kind == DEPLOYMENT.name:
        wanted.append(selected(REPLICA_SET, workload.namespace, obj))
    pods, *sets = yield tuple(wanted)
    owners = {workload.uid}
    for found in sets:
        owners |= {str(meta(item).get("uid")) for item in found if owned(item, {workload.uid})}
    return tuple(pod for pod in pods if owned(pod, owners))


def _peers(facts: Facts, obj: Object) -> Looking[Pods]:
    """For a pod, all pods of the workload that owns it; for a workload, its pods."""
    if facts.target.kind != POD.name:
        return (yield from _pods(facts, obj))
    selects = any(facts.root.kind == kind.name for kind in SELECTING)
    if not isinstance(facts.beside, Mapping) or not selects:
        yield ()
        return ()
    return (yield from _of_workload(facts.root, facts.beside))


PODS = Sight("pods", _pods, lists=frozenset({POD, REPLICA_SET}), of=SELECTING | {POD})
PEERS = Sight("peers", _peers, lists=frozenset({POD, REPLICA_SET}), of=SELECTING | {POD})


def pods_of(facts: Facts) -> Pods:
    """The target's pods as far as they are known: none where they are not."""
    pods = facts[PODS]
    return pods if isinstance(pods, tuple) else ()


def pods_before(facts: Facts) -> Mapping[str, Any]:
    """Ready pods, and restarts by pod uid, to tell *worse* later."""
    pods = pods_of(facts)
    return {
        "ready": sum(map(ready, pods)),
        "restarts": {str(meta(pod).get("uid")): restarts(pod) for pod in pods},
    }
