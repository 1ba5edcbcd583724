"""Owners other than Kubernetes' own controllers, and the command that acts through them."""

from .target import Target

BY_HAND = {
    ("Rollout", "rollback_workload"): "kubectl argo rollouts undo {name} -n {namespace}",
    ("Rollout", "restart_workload"): "kubectl argo rollouts restart {name} -n {namespace}",
    ("Rollout", "scale_workload"): "kubectl scale rollout {name} -n {namespace} --replicas=N",
    ("ScaledObject", "scale_workload"): (
        "kubectl patch scaledobject {name} -n {namespace} --type merge -p"
        ' \'{{"spec":{{"minReplicaCount":N}}}}\''
    ),
}


def by_hand(action: str, owner: Target) -> str:
    """The command that makes the change through the owner."""
    known = BY_HAND.get((owner.kind, action), "kubectl edit {kind} {name} -n {namespace}")
    return known.format(kind=owner.kind.lower(), name=owner.name, namespace=owner.namespace)
