"""residents: the pods on a node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..kinds import DEPLOYMENT, NODE, POD, POD_DISRUPTION_BUDGET, REPLICA_SET, STATEFUL_SET
from ..model.facts import Facts
from ..model.kind import Kind, among
from ..model.raw import controller, meta
from ..model.sight import Looking, Object, Read, Sight
from ..model.target import Target


@dataclass(frozen=True, slots=True)
class Residents:
    """The pods on a node, the other nodes, every disruption budget,
    and the workloads of the pods by uid.
    """

    pods: tuple[Object, ...]
    nodes: tuple[Object, ...]
    budgets: tuple[Object, ...]
    workloads: Mapping[str, tuple[Target, Object]]

    def workload_of(self, pod: Object) -> tuple[Target, Object] | None:
        """The Deployment, StatefulSet or ReplicaSet that a pod belongs to, and its object."""
        return self.workloads.get(str((controller(pod) or {}).get("uid")))


def _residents(facts: Facts, _obj: Object) -> Looking[Residents]:
    """The pods on a node with the workloads that own them, other nodes, and budgets."""
    cluster = facts.target.cluster
    pods, nodes, budgets = yield (
        Read(POD, fields=f"spec.nodeName={facts.target.name}"),
        Read(NODE),
        Read(POD_DISRUPTION_BUDGET),
    )
    owners = _controllers(cluster, pods, (STATEFUL_SET, REPLICA_SET))
    found = yield tuple(_read(owner) for owner in owners.values())
    own = _found(owners, found)
    above = _controllers(cluster, [obj for _, obj in own.values()], (DEPLOYMENT,))
    found = yield tuple(_read(owner) for owner in above.values())
    deployments = _found(above, found)
    workloads = {
        uid: deployments.get(str((controller(obj) or {}).get("uid")), (owner, obj))
        for uid, (owner, obj) in own.items()
    }
    return Residents(tuple(pods), tuple(nodes), tuple(budgets), workloads)


def _found(
    owners: Mapping[str, Target], objects: Sequence[Object]
) -> dict[str, tuple[Target, Object]]:
    """The owners that are still there, by uid: another object may have the name by now."""
    found: dict[str, tuple[Target, Object]] = {}
    for (uid, owner), obj in zip(owners.items(), objects, strict=True):
        if obj and str(meta(obj).get("uid")) == uid:
            found[uid] = (owner, obj)
    return found


def _controllers(cluster: str, objects: list[Object], kinds: tuple[Kind, ...]) -> dict[str, Target]:
    """The controllers of these kinds, by uid."""
    found = {}
    for obj in objects:
        owner = controller(obj)
        if owner is not None and among(str(owner["kind"]), kinds):
            uid, place = str(owner["uid"]), str(meta(obj)["namespace"])
            found[uid] = Target(cluster, owner["kind"], place, owner["name"], uid)
    return found


def _read(owner: Target) -> Read:
    kind = next(kind for kind in (DEPLOYMENT, STATEFUL_SET, REPLICA_SET) if kind.name == owner.kind)
    return Read(kind, owner.namespace, owner.name)


RESIDENTS = Sight(
    "residents",
    _residents,
    lists=frozenset({POD, NODE, POD_DISRUPTION_BUDGET}),
    gets=frozenset({DEPLOYMENT, STATEFUL_SET, REPLICA_SET}),
    of=frozenset({NODE}),
)
