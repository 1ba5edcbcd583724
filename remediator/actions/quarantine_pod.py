"""Take one pod out of service and off the network, but keep it running for inspection.

Use when: a pod may be compromised, or should be inspected while a replacement serves.
Do not use when: the pod belongs to a StatefulSet or has its own volume, because nothing could
replace it.
How it verifies: no Service lists the pod, its replacement is ready, and the pod is still running.
What it leaves behind: the pod with only the quarantine label (its other labels are stored in an
annotation), a deny-all NetworkPolicy for it, and, in the journal, its events and the last lines of
its logs. `remediator undo` releases it. After its alert has been quiet for `restore.after`, the pod
and its policy are deleted.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import Field

from ..kinds import NETWORK_POLICY, POD
from ..model.call import CALL_ID, STAMP, Call, version_of
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Refusal, Seen, Touch, Verified, gone, stamp_operations, unannotated
from ..model.pointer import LABELS, escaped
from ..model.raw import annotations, controller, finished, labels, meta, ready, spec_of
from ..model.target import Target, Unresolved
from ..model.template import PREFIX
from ..model.verdict import Reason
from ..sights.isolation import ISOLATION, QUARANTINE, Isolation, policy_name
from .action_spec import ActionSpec, Causes, Parameters, Sent
from .workload import converged, unseen

NAME = "quarantine_pod"
KEPT = f"{PREFIX}/labels"
REPLACED_BY = {"ReplicaSet", "DaemonSet"}
WITHIN = timedelta(minutes=5)
CALLS = frozenset(
    {
        ("collect", POD, ""),
        ("patch", POD, ""),
        ("delete", POD, ""),
        ("create", NETWORK_POLICY, ""),
        ("delete", NETWORK_POLICY, ""),
    }
)


class Params(Parameters):
    """Parameters of quarantine_pod."""

    log_lines: int = Field(
        default=200,
        ge=0,
        le=2000,
        description="Log lines kept per container in the journal.",
    )
    at_most: int = Field(
        default=5, ge=1, description="Most pods of one namespace in quarantine at once."
    )
    allow_outage: bool = Field(
        default=False, description="Allow quarantining the only replica of a workload."
    )


def plan(facts: Facts, params: Params, _causes: Causes) -> Plan | Refusal:
    """Evidence first, then the deny-all policy, then one patch that replaces the pod's labels."""
    refused = _refusal(facts, params)
    if refused:
        return refused
    isolation = facts[ISOLATION]
    assert isinstance(facts.object, Mapping)
    assert isinstance(isolation, Isolation)
    pod, mine = facts.object, {QUARANTINE: facts.target.uid}
    operations = [
        *stamp_operations(pod),
        {
            "op": "add",
            "path": f"/metadata/annotations/{escaped(KEPT)}",
            "value": json.dumps(labels(pod), sort_keys=True),
        },
        {"op": "replace", "path": LABELS, "value": mine},
    ]
    collect = Call("collect", facts.target, {"log_lines": params.log_lines}, proof="read")
    calls = [collect]
    if isolation.policy is None:
        calls.append(Call("create", _policy_target(facts), _policy(facts)))
    relabel = Call(
        "patch",
        facts.target,
        tuple(operations),
        "",
        {LABELS: labels(pod)} | unannotated(pod),
        {LABELS: mine},
        version_of(pod),
    )
    return Plan(
        action=NAME,
        target=facts.target,
        parameters=params.model_dump(mode="json"),
        calls=(*calls, relabel),
        assumptions={LABELS: labels(pod)},
        locks=tuple(sorted({facts.target.key, facts.root.key})),
        summary=f"quarantine {facts.target}; {facts.root} will replace it",
        previous={LABELS: labels(pod)},
        before={},
        touches=(
            Touch(
                facts.target,
                facts.root,
                (LABELS,),
                takes=int(ready(pod)),
                successor={"metadata": {"labels": labels(pod)}, "spec": pod["spec"]},
                outage=params.allow_outage,
            ),
        ),
        converged_within=WITHIN,
        beside=facts.root,
        brief=(facts.root.key,) if facts.root.key != facts.target.key else (),
    )


def _refusal(facts: Facts, params: Params) -> Refusal | None:
    """Why this pod stays where it is."""
    pod, target = facts.object, facts.target
    refused = unseen(facts)
    if refused or not isinstance(pod, Mapping):
        return refused
    if target.kind != "Pod":
        return Refusal(
            Reason.UNSUPPORTED_TARGET, f"{target} is not a Pod; set `target: object` in the rule"
        )
    if meta(pod).get("deletionTimestamp") or finished(pod):
        return Refusal(Reason.TERMINATING, f"{target} has finished or is being deleted")
    if QUARANTINE in labels(pod):
        return Refusal(Reason.ALREADY_DONE, f"{target} is already in quarantine")
    isolation = facts[ISOLATION]
    if isinstance(isolation, Unknown):
        why = f"cannot check the network isolation of {target}: {isolation.why}"
        return Refusal(Reason.UNKNOWN_FACT, why)
    return (
        _unisolated(target, pod, isolation)
        or _irreplaceable(facts, params)
        or _crowded(facts, isolation, params)
    )


def _unisolated(target: Target, pod: Mapping[str, Any], isolation: Isolation) -> Refusal | None:
    """The refusal where our NetworkPolicy would not isolate the pod."""
    there = isolation.policy
    if there is not None and labels(there).get(QUARANTINE) != target.uid:
        name = policy_name(target)
        why = f"NetworkPolicy {name} already exists and was not created by us; it may not isolate"
        return Refusal(Reason.CONFLICT, f"{why} {target}")
    if spec_of(pod).get("hostNetwork"):
        why = f"{target} uses its node's network (hostNetwork); a NetworkPolicy cannot isolate it"
        return Refusal(Reason.UNSUPPORTED_TARGET, why)
    return None


def _irreplaceable(facts: Facts, params: Params) -> Refusal | None:
    """Whether nothing would take the pod's place."""
    assert isinstance(facts.object, Mapping)
    owner = controller(facts.object)
    if owner is None:
        return Refusal(Reason.UNMANAGED_TARGET, f"{facts.target} has no controller to replace it")
    if owner.get("kind") not in REPLACED_BY:
        return Refusal(
            Reason.UNSUPPORTED_TARGET,
            f"{facts.target} is a {owner.get('kind')}'s, which would not create a replacement",
        )
    if any(
        "persistentVolumeClaim" in volume for volume in facts.object["spec"].get("volumes") or []
    ):
        return Refusal(
            Reason.NOT_REPLACEABLE, f"{facts.target} has a volume that its replacement may need"
        )
    if isinstance(facts.beside, Unknown) or facts.beside is None:
        return Refusal(
            Reason.NOT_REPLACEABLE, f"cannot tell whether {facts.root} would replace {facts.target}"
        )
    if spec_of(facts.beside).get("replicas") == 1 and not params.allow_outage:
        return Refusal(
            Reason.WOULD_INTERRUPT, f"{facts.target} is the only replica of {facts.root}"
        )
    return None


def _crowded(facts: Facts, isolation: Isolation, params: Params) -> Refusal | None:
    if len(isolation.quarantined) < params.at_most:
        return None
    names = ", ".join(isolation.quarantined[:5])
    return Refusal(
        Reason.AT_CEILING,
        f"{len(isolation.quarantined)} pods in {facts.target.namespace} are already in"
        f" quarantine: {names}",
    )


def _policy_target(facts: Facts) -> Target:
    return Target(
        facts.target.cluster, "NetworkPolicy", facts.target.namespace, policy_name(facts.target)
    )


def _policy(facts: Facts) -> Mapping[str, Any]:
    """Denies the pod all traffic; it goes when the pod goes."""
    pod = facts.target
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(pod),
            "namespace": pod.namespace,
            "labels": {"app.kubernetes.io/managed-by": "remediator", QUARANTINE: pod.uid},
            "annotations": {STAMP: CALL_ID},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
            ],
        },
        "spec": {
            "podSelector": {"matchLabels": {QUARANTINE: pod.uid}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def verify(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the pod serves nobody, runs on, and its workload is whole without it."""
    pod, beside, isolation = facts.object, facts.beside, facts[ISOLATION]
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    if isinstance(pod, Unknown | Unresolved):
        return Seen(Verified.UNKNOWN)
    if isinstance(beside, Unknown) or isinstance(isolation, Unknown):
        return Seen(Verified.UNKNOWN)
    if pod is None or beside is None or not _kept_as_left(plan, pod):
        return Seen(Verified.OVERTAKEN)
    alone = not isolation.services and isolation.policy is not None
    return Seen(Verified.CONVERGED if alone and converged(beside) else Verified.WAITING)


def _kept_as_left(plan: Plan, pod: Mapping[str, Any]) -> bool:
    """Whether the pod still runs, with the labels that we gave it."""
    if finished(pod) or meta(pod).get("deletionTimestamp"):
        return False
    return bool(labels(pod) == plan.calls[-1].leaves[LABELS])


def undo(done: Plan, sent: Sent, facts: Facts) -> Plan | Refusal:
    """Releases the pod: deletes its policy, and gives it its labels back.

    Its workload then has one pod too many, and drops one.
    """
    refused = _released(done, facts)
    if refused:
        return refused
    assert isinstance(facts.object, Mapping)
    pod, before = facts.object, dict(done.previous[LABELS])
    operations = [
        *stamp_operations(pod),
        {"op": "remove", "path": f"/metadata/annotations/{escaped(KEPT)}"},
        {"op": "replace", "path": LABELS, "value": before},
    ]
    relabel = Call(
        "patch",
        facts.target,
        tuple(operations),
        "",
        {LABELS: labels(pod)} | unannotated(pod),
        {LABELS: before},
        version_of(pod),
    )
    return _end(
        done, facts, (*_without_policy(facts), relabel), f"release {facts.target} from quarantine"
    )


def ending(done: Plan, sent: Sent, facts: Facts) -> Plan | Refusal:
    """After its time: deletes the pod, and its policy."""
    refused = _released(done, facts)
    calls = (Call("delete", facts.target, proof="gone"), *_without_policy(facts))
    return refused or _end(done, facts, calls, f"delete {facts.target}: its quarantine is over")


def _released(done: Plan, facts: Facts) -> Refusal | None:
    """Why there is nothing to undo."""
    pod = facts.object
    if pod is None:
        return Refusal(Reason.TARGET_GONE, f"{facts.target} no longer exists")
    if isinstance(pod, Unknown | Unresolved) or ISOLATION not in facts:
        return Refusal(Reason.UNKNOWN_FACT, f"cannot read {facts.target}")
    if labels(pod) != done.calls[-1].leaves[LABELS] or KEPT not in annotations(pod):
        return Refusal(
            Reason.ASSUMPTION_CHANGED,
            f"the labels of {facts.target} were modified after our change; leaving it alone",
        )
    return None


def _without_policy(facts: Facts) -> tuple[Call, ...]:
    isolation = facts[ISOLATION]
    policy = isolation.policy if isinstance(isolation, Isolation) else None
    return (
        ()
        if policy is None
        else (Call("delete", _policy_target(facts).seen(str(meta(policy)["uid"])), proof="gone"),)
    )


def _end(done: Plan, facts: Facts, calls: tuple[Call, ...], summary: str) -> Plan:
    return Plan(
        action=NAME,
        target=facts.target,
        parameters={"undo": done.digest},
        calls=calls,
        assumptions={},
        locks=tuple(sorted({facts.target.key, facts.root.key})),
        summary=summary,
        previous={},
        before={},
        touches=(Touch(facts.target, facts.root, (LABELS,)),),
        converged_within=WITHIN,
    )


def restored(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the pod has its labels back, or is gone."""
    pod = facts.object
    if isinstance(pod, Unknown | Unresolved):
        return Seen(Verified.UNKNOWN)
    if pod is None or meta(pod).get("deletionTimestamp"):
        return Seen(Verified.CONVERGED)
    return (
        Seen(Verified.CONVERGED)
        if labels(pod) == plan.calls[-1].leaves.get(LABELS)
        else Seen(Verified.WAITING)
    )


ACTION = ActionSpec(
    name=NAME,
    summary="Isolate one pod, keep it running, and let its workload replace it.",
    manual=__doc__,
    params=Params,
    targets=frozenset({POD}),
    calls=CALLS,
    disruption="one pod leaves its Services immediately; its workload replaces it",
    causes=frozenset(),
    sees=frozenset({ISOLATION}),
    watches=frozenset({ISOLATION}),
    storm_exempt=True,
    waives=frozenset(),
    plan=plan,
    verify=verify,
    undo=undo,
    restored=restored,
    ending=ending,
    restore_after=timedelta(hours=24),
    proof="converged",
    example="{action: quarantine_pod, if: always, with: {log_lines: 500}, restore: {after: 24h}}",
)
