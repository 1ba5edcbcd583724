"""Cordon a node and evict its pods, one per workload at a time, within their disruption budgets.

Use when: a node is unhealthy, and its pods run badly there.
Do not use when: the other nodes have no room for its pods, or something else replaces the node
(Cluster API, medik8s, Karpenter).
How it verifies: no pod that had to be evicted is left, and the node is still cordoned.
What it leaves behind: a cordoned node that still runs DaemonSet pods and static pods.
`remediator undo` uncordons it, unless it was cordoned before.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from pydantic import Field

from ..kinds import (
    DAEMON_SET,
    NODE,
    POD,
)
from ..model.annotations import against
from ..model.budget import covers, permit
from ..model.call import STAMP, Call, version_of
from ..model.facts import Facts, Unknown
from ..model.plan import (
    Bound,
    Plan,
    Refusal,
    Seen,
    Touch,
    Verified,
    gone,
    stamp_operations,
    unannotated,
)
from ..model.pointer import at, view
from ..model.raw import (
    annotations,
    controller,
    finished,
    labels,
    meta,
    ready,
    spec_of,
    status_of,
)
from ..model.sight import Object
from ..model.target import REPLACED, Target, Unresolved
from ..model.verdict import Reason
from ..sights.residents import RESIDENTS, Residents
from .action_spec import ActionSpec, Causes, Parameters, Sent
from .workload import terminating, unseen

NAME = "drain_node"
UNSCHEDULABLE = "/spec/unschedulable"
MIRROR = "kubernetes.io/config.mirror"
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


class Params(Parameters):
    """Parameters of drain_node."""

    at_most: int = Field(
        default=50, ge=1, description="Refuse a node with more pods to evict than this."
    )
    cordoned: int = Field(
        default=1, ge=1, description="Most nodes cordoned at once, including this one."
    )
    within_minutes: int = Field(
        default=20,
        ge=1,
        description="Time limit in minutes, including waiting for disruption budgets.",
    )
    delete_local_data: bool = Field(
        default=False, description="Also evict pods with an emptyDir; their data is lost."
    )
    delete_claimed: bool = Field(
        default=False,
        description=(
            "Also evict pods with a volume claim; set it only if every node can mount the volumes."
        ),
    )
    allow_outage: bool = Field(
        default=False, description="Allow evicting the only ready pod of a workload."
    )


def leaving(residents: Residents) -> list[Object]:
    """The pods that have to go: not static ones, a DaemonSet's, or those that ended."""
    return [
        pod
        for pod in sorted(residents.pods, key=_name)
        if MIRROR not in annotations(pod)
        and (controller(pod) or {}).get("kind") != DAEMON_SET.name
        and not finished(pod)
    ]


def _name(pod: Object) -> str:
    return f"{meta(pod).get('namespace')}/{meta(pod).get('name')}"


def plan(facts: Facts, params: Params, _causes: Causes) -> Plan | Refusal:
    """The cordon; the evictions follow, each by what is seen then."""
    refused = unseen(facts)
    if refused or not isinstance(facts.object, Mapping):
        return refused or Refusal(Reason.UNKNOWN_FACT, f"cannot read {facts.target}")
    residents, node = facts[RESIDENTS], facts.object
    if facts.target.kind != NODE.name:
        return Refusal(Reason.UNSUPPORTED_TARGET, f"{facts.target} is not a Node")
    if isinstance(residents, Unknown):
        why = f"cannot list the pods on {facts.target}: {residents.why}"
        return Refusal(Reason.UNKNOWN_FACT, why)
    pods = leaving(residents)
    refused = _unfit(facts.target, node, residents, params) or _stuck(pods, residents, params)
    if refused:
        return refused
    if len(pods) > params.at_most:
        why = f"{facts.target} has {len(pods)} pods to evict; `at_most` is {params.at_most}"
        return Refusal(Reason.AT_CEILING, why)
    touches = [Touch(facts.target, facts.root, (UNSCHEDULABLE,))]
    touches += _touches(facts.target, pods, residents, params)
    return Plan(
        action=NAME,
        target=facts.target,
        parameters=params.model_dump(mode="json"),
        calls=(_cordon(facts.target, node, True),),
        assumptions={},
        locks=tuple(sorted({drains(facts.target), *(touch.target.key for touch in touches)})),
        summary=f"drain {facts.target}: cordon it and evict {len(pods)} pods",
        previous={UNSCHEDULABLE: bool(at(node, UNSCHEDULABLE))},
        before={},
        touches=tuple(touches),
        converged_within=timedelta(minutes=params.within_minutes),
        bounds=(Bound("evict", POD.name, 2 * len(pods)),),
    )


def drains(node: Target) -> str:
    """The lock of all drains of a cluster.

    One at a time, so that each sees what the others have cordoned.
    """
    return f"{node.cluster}/drain"


def _unfit(target: Target, node: Object, residents: Residents, params: Params) -> Refusal | None:
    """Why the node itself is not drained."""
    going = terminating(target, node)
    if going:
        return going
    if any(key in labels(node) for key in CONTROL_PLANE):
        return Refusal(Reason.PROTECTED_TARGET, f"{target} runs the control plane")
    cordoned = [
        n for n in residents.nodes if at(n, UNSCHEDULABLE) and meta(n)["name"] != target.name
    ]
    if len(cordoned) >= params.cordoned:
        names = ", ".join(str(meta(n)["name"]) for n in cordoned[:3])
        return Refusal(
            Reason.AT_CEILING, f"{len(cordoned)} other nodes are already cordoned: {names}"
        )
    return None


def _stuck(pods: list[Object], residents: Residents, params: Params) -> Refusal | None:
    """The first pod that would not come back, would lose something, or says no itself."""
    for pod in pods:
        reason = _kept(pod, residents, params)
        if reason is not None:
            return reason
    return None


def _kept(pod: Object, residents: Residents, params: Params) -> Refusal | None:
    """Why a pod is not evicted."""
    owner, name = controller(pod), _name(pod)
    if owner is None:
        why = f"pod {name} has no controller to recreate it"
        return Refusal(Reason.UNMANAGED_TARGET, why)
    if residents.workload_of(pod) is None:
        why = f"pod {name} is a {owner['kind']}'s, which may not recreate it on another node"
        return Refusal(Reason.NOT_REPLACEABLE, why)
    says = against(pod, NAME)
    if says:
        return Refusal(Reason.OPTED_OUT, f"pod {name} {says}")
    tied = _tied(pod, params)
    if tied:
        return Refusal(Reason.NOT_REPLACEABLE, f"pod {name} has {tied}")
    if len(_budgets_of(pod, residents)) > 1:
        why = f"pod {name} matches several disruption budgets; the API server refuses to evict it"
        return Refusal(Reason.BUDGET_EXHAUSTED, why)
    return None


def _tied(pod: Object, params: Params) -> str:
    """The volume that ties a pod to its node, and the parameter that gives it up; empty where
    there is none.
    """
    volumes = spec_of(pod).get("volumes") or []
    if any("emptyDir" in volume for volume in volumes) and not params.delete_local_data:
        return "data in an emptyDir; set `delete_local_data` to lose it"
    claimed = any("persistentVolumeClaim" in volume for volume in volumes)
    if claimed and not params.delete_claimed:
        return "a volume claim that another node may be unable to mount; see `delete_claimed`"
    return ""


def _touches(
    node: Target, pods: list[Object], residents: Residents, params: Params
) -> Iterator[Touch]:
    """Every workload that loses pods, of which one goes at a time."""
    found = [(residents.workload_of(pod), pod) for pod in pods]
    workloads = {item[0].key: item for item, _ in found if item is not None}
    serving = {item[0].key for item, pod in found if item is not None and ready(pod)}
    for key, (target, obj) in workloads.items():
        yield Touch(
            target,
            target,
            takes=int(key in serving),
            successor=at(obj, "/spec/template"),
            away_from=node.name,
            waits=True,
            outage=params.allow_outage,
        )


def _cordon(target: Target, node: Object, wanted: bool) -> Call:
    """The patch that keeps new pods from the node, or lets them come again.

    False is left out, not written.
    """
    change: Mapping[str, object] = {"op": "remove", "path": UNSCHEDULABLE}
    if wanted:
        change = {"op": "add", "path": UNSCHEDULABLE, "value": True}
    operations = (*stamp_operations(node), change)
    leaves = {UNSCHEDULABLE: True if wanted else None}
    assumes = view(node, dict.fromkeys((UNSCHEDULABLE,))) | unannotated(node)
    return Call("patch", target, operations, "", assumes, leaves, version_of(node))


def evict(plan: Plan, _sent: Sent, facts: Facts) -> tuple[Call, ...]:
    """One pod: of a workload that is whole, while none is whole no more that has given one up.

    Where the cordon was taken back meanwhile, somebody has called the drain off.
    """
    residents = facts[RESIDENTS]
    if isinstance(residents, Unknown) or not isinstance(facts.object, Mapping):
        return ()
    if not at(facts.object, UNSCHEDULABLE):
        return ()
    pods = leaving(residents)
    if not _recovered(plan, pods, residents):
        return ()
    for pod in sorted(pods, key=lambda pod: (ready(pod), _name(pod))):  # what serves goes last
        going = _may_go(pod, plan, residents, pods)
        if going is not None:
            return (_eviction(facts.target.cluster, pod, going),)
    return ()


def _recovered(plan: Plan, pods: list[Object], residents: Residents) -> bool:
    """Whether each workload that has given up a pod is whole again."""
    given_up = {call.touch for call in plan.calls if call.verb == "evict"}
    for target, workload in residents.workloads.values():
        if target.key in given_up and not _whole(workload, pods, residents):
            return False
    return True


def _may_go(pod: Object, plan: Plan, residents: Residents, pods: list[Object]) -> Target | None:
    """The pod's workload, where the pod may be evicted now."""
    found = residents.workload_of(pod)
    if found is None or meta(pod).get("deletionTimestamp"):
        return None
    target, workload = found
    if target.key not in {touch.target.key for touch in plan.touches}:
        return None
    if not _whole(workload, pods, residents) or not permit(_budgets_of(pod, residents), pod):
        return None
    return target if _kept(pod, residents, Params(**plan.parameters)) is None else None


def _eviction(cluster: str, pod: Object, workload: Target) -> Call:
    place, name, uid = meta(pod)["namespace"], meta(pod)["name"], meta(pod)["uid"]
    target = Target(cluster, POD.name, place, name, uid)
    return Call("evict", target, proof="gone", touch=workload.key)


def _whole(workload: Object, pods: list[Object], residents: Residents) -> bool:
    """Whether every replica is ready, but for those that are unready on this very node."""
    mine = [pod for pod in pods if (residents.workload_of(pod) or (None, None))[1] is workload]
    if any(meta(pod).get("deletionTimestamp") for pod in mine):
        return False
    wanted = spec_of(workload).get("replicas", 1)
    serving = status_of(workload).get("readyReplicas", 0)
    return bool(serving + sum(not ready(pod) for pod in mine) >= wanted)


def _budgets_of(pod: Object, residents: Residents) -> list[Object]:
    """The disruption budgets that a pod is under."""
    return [budget for budget in residents.budgets if covers(budget, pod)]


def verify(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether every pod that had to go is gone."""
    residents, node = facts[RESIDENTS], facts.object
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    if not isinstance(node, Mapping) or isinstance(residents, Unknown):
        return Seen(Verified.UNKNOWN)
    if not at(node, UNSCHEDULABLE):
        return Seen(Verified.OVERTAKEN)
    pods = leaving(residents)
    if not pods:
        return Seen(Verified.CONVERGED)
    names = ", ".join(map(_name, pods[:3]))
    return Seen(Verified.WAITING, f"{len(pods)} pods are still on the node: {names}")


def undo(done: Plan, sent: Sent, facts: Facts) -> Plan | Refusal:
    """Lets pods come again, where the cordon was ours and is as we left it."""
    node = facts.object
    if gone(done, facts):
        return Refusal(
            Reason.TARGET_GONE,
            f"{facts.target} {REPLACED}",
        )
    if not isinstance(node, Mapping):
        return Refusal(Reason.UNKNOWN_FACT, f"cannot read {facts.target}")
    if done.previous[UNSCHEDULABLE]:
        return Refusal(
            Reason.ALREADY_DONE,
            f"{facts.target} was already cordoned before our drain; leaving it cordoned",
        )
    if not sent or annotations(node).get(STAMP) != sent[0].stamp or not at(node, UNSCHEDULABLE):
        why = f"{facts.target} was modified after our change; leaving it alone"
        return Refusal(Reason.ASSUMPTION_CHANGED, why)
    return Plan(
        action=NAME,
        target=facts.target,
        parameters={"undo": done.digest},
        calls=(_cordon(facts.target, node, False),),
        assumptions={},
        locks=(facts.target.key,),
        summary=f"uncordon {facts.target}",
        previous={},
        before={},
        touches=(Touch(facts.target, facts.root, (UNSCHEDULABLE,)),),
        converged_within=timedelta(minutes=1),
    )


def restored(_plan: Plan, _sent: Sent, facts: Facts) -> Seen:
    """Whether pods may come again."""
    if isinstance(facts.object, Unknown | Unresolved):
        return Seen(Verified.UNKNOWN)
    if facts.object is None or not at(facts.object, UNSCHEDULABLE):
        return Seen(Verified.CONVERGED)
    return Seen(Verified.OVERTAKEN)


ACTION = ActionSpec(
    name=NAME,
    summary="Cordon a node and evict its pods, one per workload at a time.",
    manual=__doc__,
    params=Params,
    targets=frozenset({NODE}),
    calls=frozenset({("patch", NODE, ""), ("evict", POD, "")}),
    disruption=(
        "every pod on the node once, one per workload at a time, within disruption budgets"
    ),
    causes=frozenset(),
    sees=frozenset({RESIDENTS}),
    watches=frozenset({RESIDENTS}),
    waives=frozenset(),
    plan=plan,
    next=evict,
    verify=verify,
    undo=undo,
    restored=restored,
    proof="converged",
    example="{action: drain_node, if: always, with: {at_most: 30}}",
)
