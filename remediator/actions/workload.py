"""What actions on workloads share: common refusals, and whether a rollout has converged.

Source: kubectl rollout status (polymorphichelpers/rollout_status.go).
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..kinds import NATIVE, POD, STATEFUL_SET, WORKLOADS
from ..model.call import STAMP, Call, version_of
from ..model.facts import Facts, Unknown
from ..model.kind import Kind, among
from ..model.owner import by_hand
from ..model.plan import Bound, Plan, Refusal, Seen, Touch, Verified, gone, unannotated
from ..model.pointer import READY, REPLICAS, RESTARTED, TEMPLATE, at, view
from ..model.quantity import share
from ..model.raw import annotations, condition, labels, meta, ready, restarts, spec_of, status_of
from ..model.target import Target, Unresolved
from ..model.verdict import Reason
from ..sights.pods import PODS, pods_before, pods_of
from .action_spec import Sent

GIVING_UP = timedelta(minutes=2)
ROLLING = frozenset({("patch", kind, "") for kind in WORKLOADS} | {("delete", POD, "")})


def owned(action: str, facts: Facts, what: str) -> Refusal:
    """The refusal where a custom resource owns what is to be changed."""
    command = by_hand(action, facts.root)
    return Refusal(
        Reason.OWNED_ELSEWHERE,
        f"{facts.root} owns {what} and would revert the change; to do it by hand: `{command}`",
    )


def unseen(facts: Facts) -> Refusal | None:
    """The refusal where there is no one object to act on, or it cannot be read."""
    match facts.object:
        case Unknown(why):
            return Refusal(Reason.UNKNOWN_FACT, f"cannot read {facts.target}: {why}")
        case Unresolved(reason, why):
            return Refusal(reason, why)
        case None:
            return Refusal(Reason.TARGET_GONE, f"{facts.target} does not exist")
    return None


def terminating(target: Target, obj: Mapping[str, Any]) -> Refusal | None:
    """The refusal of an object that is being deleted."""
    if not meta(obj).get("deletionTimestamp"):
        return None
    return Refusal(Reason.TERMINATING, f"{target} is being deleted")


def refusal(
    facts: Facts, action: str, targets: frozenset[Kind], waives: frozenset[Reason]
) -> Refusal | None:
    """The refusals that every workload action has by default, less what it waives."""
    obj = facts.object
    refused = unseen(facts) or _unsupported(facts, action, targets)
    if refused or not isinstance(obj, Mapping):
        return refused
    going = terminating(facts.target, obj)
    if going:
        return going
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        why = f"cannot list the pods of {facts.target}: {pods.why}"
        return Refusal(Reason.UNKNOWN_FACT, why)
    return _not_rolled_out_now(facts.target, obj, waives)


def _unsupported(facts: Facts, action: str, targets: frozenset[Kind]) -> Refusal | None:
    """The refusal of a target of another kind; an operator that owns it would undo the change."""
    if among(facts.target.kind, targets):
        return None
    if facts.root.kind not in NATIVE and facts.root != facts.target:
        return owned(action, facts, str(facts.target))
    kinds = " or ".join(sorted(map(str, targets)))
    return Refusal(Reason.UNSUPPORTED_TARGET, f"{facts.target} is not a {kinds}")


def _not_rolled_out_now(
    target: Target, obj: Mapping[str, Any], waives: frozenset[Reason]
) -> Refusal | None:
    """The refusal where a new template would do nothing, or disturb a rollout."""
    spec = spec_of(obj)
    if spec.get("paused"):
        return Refusal(Reason.PAUSED_ROLLOUT, f"the rollout of {target} is paused")
    if target.kind != "DaemonSet" and spec.get("replicas", 1) == 0:
        return Refusal(Reason.SCALED_TO_ZERO, f"{target} is scaled to zero")
    if Reason.ROLLOUT_RUNNING not in waives and rollout_running(obj):
        return Refusal(Reason.ROLLOUT_RUNNING, f"a rollout of {target} is in progress")
    return None


def template_call(
    facts: Facts, operations: list[Mapping[str, Any]], leaves: Mapping[str, Any]
) -> Call:
    """The JSON Patch of a workload's template, on the template and the replicas that were seen."""
    assert isinstance(facts.object, Mapping)
    obj = facts.object
    assumes = view(obj, dict.fromkeys((TEMPLATE, REPLICAS))) | unannotated(obj)
    return Call(
        "patch",
        facts.target,
        tuple(operations),
        assumes=assumes,
        leaves=leaves,
        seen=version_of(obj),
    )


def interrupts(obj: Mapping[str, Any], facts: Facts) -> str | None:
    """How a rollout would interrupt the service or come to nothing, or None."""
    kind, up = obj["kind"], sum(map(ready, pods_of(facts)))
    if kind == "StatefulSet" and obj["spec"].get("replicas", 1) == 1:
        return "stops its only pod before a new one starts (one replica)"
    by_strategy = _deployment_stops(obj["spec"]) if kind == "Deployment" else halfway(obj)
    if by_strategy:
        return by_strategy
    # a DaemonSet's pods do not stand in for each other
    if kind != "DaemonSet" and 0 < up <= taken(obj, facts):
        return f"may stop all {up} ready pods before a new one is ready (maxUnavailable)"
    return None


def _deployment_stops(spec: Mapping[str, Any]) -> str | None:
    """How a Deployment's strategy stops its pods before new ones start, if it does."""
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return "stops all pods before new ones start (strategy Recreate)"
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge", "25%")
    if spec.get("replicas", 1) == 1 and str(surge) in {"0", "0%"}:
        return "stops its only pod before a new one starts (one replica, no surge)"
    return None


def halfway(obj: Mapping[str, Any]) -> str | None:
    """How a StatefulSet's or DaemonSet's own strategy keeps a
    rollout from reaching its pods, or None.
    """
    update = obj["spec"].get("updateStrategy") or {}
    if update.get("type") == "OnDelete":
        return "has no effect until its pods are deleted (OnDelete)"
    if (update.get("rollingUpdate") or {}).get("partition"):
        return "affects only some of its pods (partition)"
    return None


def taken(obj: Mapping[str, Any], facts: Facts) -> int:
    """How many ready pods a rollout takes away at once.

    What its maxUnavailable leaves of them, unready pods counted off.

    Source: kubernetes pkg/controller/deployment/util (ResolveFenceposts), daemon/util
    (UnavailableCount).
    """
    spec, kind = obj["spec"], obj["kind"]
    up = sum(map(ready, pods_of(facts)))
    if kind == "Deployment":
        return _taken_by_deployment(spec, up)
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    scheduled = status_of(obj).get("desiredNumberScheduled", up)
    wanted = int(scheduled if kind == "DaemonSet" else spec.get("replicas", 1))
    surge = share(rolling.get("maxSurge", 0), wanted, math.ceil)
    most = 0 if surge else max(1, share(rolling.get("maxUnavailable", 1), wanted, math.ceil))
    if spec.get("podManagementPolicy") == "Parallel":  # a pod that is down keeps it from no other
        return min(up, most)
    return _left_of(up, wanted, most)


def _taken_by_deployment(spec: Mapping[str, Any], up: int) -> int:
    """The same of a Deployment, `up` of whose pods are ready."""
    strategy, wanted = spec.get("strategy") or {}, int(spec.get("replicas", 1))
    if strategy.get("type") == "Recreate":
        return up
    rolling = strategy.get("rollingUpdate") or {}
    surge = share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
    most = share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    if not surge and not most:  # the controller then allows one, or nothing could move
        most = 1
    return _left_of(up, wanted, most)


def _left_of(up: int, wanted: int, most: int) -> int:
    """How many of `up` pods go if `most` of the `wanted` ones may be missing."""
    return max(0, up - max(0, wanted - most))


def observed(obj: Mapping[str, Any]) -> bool:
    """Whether the workload's controller has seen its newest generation."""
    return bool(status_of(obj).get("observedGeneration", 0) >= meta(obj).get("generation", 0))


def converged(obj: Mapping[str, Any]) -> bool:
    """Whether the newest generation is rolled out and every replica is available."""
    kind, spec, status = obj.get("kind"), spec_of(obj), status_of(obj)
    if not observed(obj):
        return False
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(
            status.get("updatedNumberScheduled", 0) == wanted == status.get("numberAvailable", 0)
        )
    wanted = spec.get("replicas", 1)
    whole = status.get("updatedReplicas", 0) == wanted == status.get("replicas", 0)
    if kind == "StatefulSet":
        return bool(
            whole
            and status.get("updateRevision") == status.get("currentRevision")
            and status.get("readyReplicas", 0) == wanted
        )
    return bool(whole and status.get("availableReplicas", 0) == wanted)


def rollout_running(obj: Mapping[str, Any]) -> bool:
    """Whether pods of an older revision are being replaced; unready pods alone are no rollout."""
    kind, spec, status = obj.get("kind"), spec_of(obj), status_of(obj)
    if not observed(obj):
        return True
    if kind == "DaemonSet":
        return bool(
            status.get("updatedNumberScheduled", 0) < status.get("desiredNumberScheduled", 0)
        )
    if kind == "StatefulSet":
        return bool(status.get("updateRevision") != status.get("currentRevision"))
    wanted = max(spec.get("replicas", 1), status.get("replicas", 0))
    return bool(status.get("updatedReplicas", 0) < wanted)


def progress_deadline_exceeded(obj: Mapping[str, Any]) -> bool:
    """Whether the Deployment controller has given up on the rollout."""
    progressing = condition(obj, "Progressing", "False") or {}
    return progressing.get("reason") == "ProgressDeadlineExceeded"


def patience(obj: Mapping[str, Any]) -> timedelta:
    """How long a rollout may take: a little longer than its controller waits before it gives up."""
    return timedelta(seconds=int(spec_of(obj).get("progressDeadlineSeconds") or 600)) + GIVING_UP


def restored(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether an undo is done: our template stands, and as many pods are
    ready as before the act that it takes back.
    """
    seen = verify(plan, sent, facts)
    if seen.how in (Verified.CONVERGED, Verified.OVERTAKEN, Verified.UNKNOWN):
        return seen
    seen_by_controller = isinstance(facts.object, Mapping) and observed(facts.object)
    as_before = seen_by_controller and pods_before(facts)["ready"] >= plan.before.get("ready", 0)
    return Seen(Verified.CONVERGED if as_before else Verified.WAITING)


def verify(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the workload converged on what the plan wrote."""
    obj = facts.object
    if isinstance(obj, Unknown | Unresolved):
        return Seen(Verified.UNKNOWN)
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    if PODS not in facts:  # as it is where the object does not exist
        return Seen(Verified.UNKNOWN)
    if obj is None or overtaken(sent, obj):
        return Seen(Verified.OVERTAKEN)
    if converged(obj):
        return Seen(Verified.CONVERGED)
    if rollout_failed(plan, obj, facts):
        return Seen(
            Verified.WORSE,
            "fewer ready pods than before, or new container restarts in the remaining pods",
        )
    return Seen(Verified.WAITING)


def overtaken(sent: Sent, obj: Mapping[str, Any]) -> bool:
    """Whether somebody changed the template after us.

    Our stamp or the template that we left is gone.
    """
    if not sent or annotations(obj).get(STAMP) != sent[0].stamp:
        return True
    return bool(at(obj, TEMPLATE) != sent[0].left.get(TEMPLATE))


def rollout_failed(plan: Plan, obj: Mapping[str, Any], facts: Facts) -> bool:
    """Whether there are fewer ready pods than before, or new restarts
    of older pods, once the rollout gave up.
    """
    now = pods_before(facts)
    known = plan.before.get("restarts", {})
    restarted = any(
        restarts(pod) > known.get(str(meta(pod).get("uid")), restarts(pod))
        for pod in pods_of(facts)
    )
    return progress_deadline_exceeded(obj) and (
        now["ready"] < plan.before.get("ready", 0) or restarted
    )


def stuck_at_most(facts: Facts) -> tuple[Bound, ...]:
    """How many stuck pods a rollout may have deleted: a StatefulSet's, each twice at most."""
    assert isinstance(facts.object, Mapping)
    if facts.target.kind != STATEFUL_SET.name:
        return ()
    return (Bound("delete", POD.name, 2 * int(facts.object["spec"].get("replicas", 1))),)


def template_state(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a patch of a pod template leaves: its hash as compared, and its restartedAt."""
    return view({"spec": {"template": template}}, dict.fromkeys((TEMPLATE, RESTARTED)))


def rolled(
    facts: Facts, paths: tuple[str, ...], successor: Mapping[str, Any], outage: bool
) -> Touch:
    """What a rollout touches: the workload, whose pods are replaced as its strategy says."""
    assert isinstance(facts.object, Mapping)
    takes = taken(facts.object, facts)
    return Touch(facts.target, facts.root, paths, takes, successor, outage=outage)


def unblock(plan: Plan, sent: Sent, facts: Facts) -> tuple[Call, ...]:
    """Deletes a StatefulSet's pods that are stuck.

    Unready, and not of the revision that is rolled out now.
    """
    obj = facts.object
    if facts.target.kind != STATEFUL_SET.name or not isinstance(obj, Mapping):
        return ()
    wanted = status_of(obj).get("updateRevision")
    if not observed(obj) or not wanted:
        return ()
    rolled_out = [pod for pod in pods_of(facts) if not _below_partition(obj, pod)]
    stuck = [pod for pod in rolled_out if _stuck(pod, wanted)]
    return tuple(_deletion(facts.target, pod) for pod in stuck)


def _below_partition(stateful_set: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether a StatefulSet leaves the pod at the older revision."""
    partition = at(stateful_set, "/spec/updateStrategy/rollingUpdate/partition") or 0
    first = at(stateful_set, "/spec/ordinals/start") or 0
    ordinal = str(meta(pod)["name"]).rpartition("-")[2]
    return ordinal.isdecimal() and int(ordinal) - first < partition


def _stuck(pod: Mapping[str, Any], revision: str) -> bool:
    """Whether an unready pod is of another revision, and nobody deletes it."""
    if meta(pod).get("deletionTimestamp") or ready(pod):
        return False
    return labels(pod).get("controller-revision-hash") != revision


def _deletion(workload: Target, pod: Mapping[str, Any]) -> Call:
    name, uid = str(meta(pod)["name"]), str(meta(pod)["uid"])
    target = Target(workload.cluster, "Pod", workload.namespace, name, uid)
    return Call("delete", target, assumes={READY: False}, proof="gone")
