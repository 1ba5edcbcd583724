"""replaceability: no pod that serves is taken away unless everything shows that its replacement can come.

A full quota, a missing image or Secret, a refusing webhook or no node that takes pods turns a repair into an outage.
Nothing is tried: what the namespace, the nodes and the pods' siblings show decides.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..model.call import bare_template
from ..model.facts import Facts, Unknown
from ..model.plan import Plan
from ..model.quantity import asked, parse_quantity
from ..model.raw import (
    container_statuses,
    controller,
    labels,
    meta,
    ready,
    selected,
    waiting_reason,
)
from ..model.verdict import Reason, Verdict, allow, hold
from ..sights.pods import PEERS, Pods
from ..sights.revisions import REVISIONS
from ..sights.room import ROOM, Room
from .situation import Situation

CANNOT_START = {
    "CreateContainerConfigError", "CreateContainerError", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "RunContainerError",
}  # fmt: skip
KEEPS_AWAY = {"NoSchedule", "NoExecute"}

SEES = frozenset({ROOM, PEERS, REVISIONS})


def check(situation: Situation) -> Verdict:
    """Holds where something speaks against the replacement, or cannot be seen."""
    plan, facts = situation.plan, situation.facts
    if plan is None or plan.takes == 0 or plan.successor is None:
        return allow("replaceability")
    room, peers = facts[ROOM], facts[PEERS]
    if isinstance(room, Unknown):
        why = f"cannot see whether a replacement can come: {room.why}"
        return hold("replaceability", Reason.UNKNOWN_FACT, why)
    if isinstance(peers, Unknown):
        why = f"cannot see the pods beside it: {peers.why}"
        return hold("replaceability", Reason.UNKNOWN_FACT, why)
    against = [
        *_refused(room, facts, plan),
        *_full(room, peers, facts, plan),
        *_unable(peers, facts, plan),
        *_nodes(room, facts, plan),
    ]
    if against:
        return hold(
            "replaceability", Reason.NOT_REPLACEABLE, f"the replacement may not come: {against[0]}"
        )
    return allow("replaceability")


def _refused(room: Room, facts: Facts, plan: Plan) -> Iterable[str]:
    """Pods of the workload that could not be created of late."""
    workload = facts.beside if facts.target.kind == "Pod" else facts.object
    owners = {facts.target.uid, facts.root.uid, *_revisions(facts, plan)}
    for event in room.failed:
        if str((event.get("involvedObject") or {}).get("uid")) in owners:
            yield str(event.get("message") or "a pod could not be created")
    if (
        isinstance(workload, Mapping) and plan.action != "rollback_workload"
    ):  # there it is the release that is taken back
        for condition in (workload.get("status") or {}).get("conditions") or []:
            if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                yield str(condition.get("message") or "its ReplicaSet fails to create pods")


def _revisions(facts: Facts, plan: Plan) -> set[str]:
    """The uids of the revisions whose template the replacement will have."""
    wanted = bare_template(plan.successor or {})
    seen = facts[REVISIONS]
    revisions = seen if isinstance(seen, tuple) else ()
    return {revision.uid for revision in revisions if bare_template(revision.template) == wanted}


def _full(room: Room, peers: Pods, facts: Facts, plan: Plan) -> Iterable[str]:
    """Quotas that have no room for the replacement once the pod is gone."""
    gone, came = _leaving(peers, facts), asked(plan.successor or {})
    for quota in room.quotas:
        if (quota.get("spec") or {}).get("scopes") or (quota.get("spec") or {}).get(
            "scopeSelector"
        ):
            continue  # it may not count these pods; the API server judges
        status = quota.get("status") or {}
        for key, most in (status.get("hard") or {}).items():
            if key not in came:
                continue
            used = parse_quantity(str((status.get("used") or {}).get(key, "0")))
            after = used - gone.get(key, came[key]) + came[key]
            if after > parse_quantity(str(most)):
                yield f"quota {meta(quota).get('name')} allows {most} {key}, and {used.normalize():f} are used"


def _leaving(peers: Pods, facts: Facts) -> dict[str, Any]:
    """What the pod that goes counts for: the least of those that could go."""
    pods = (facts.object,) if facts.target.kind == "Pod" else peers
    counts = [asked(pod) for pod in pods if isinstance(pod, Mapping) and ready(pod)]
    keys = {key for count in counts for key in count}
    return {key: min(count.get(key, 0) for count in counts) for key in keys}


def _unable(peers: Pods, facts: Facts, plan: Plan) -> Iterable[str]:
    """Pods of the very template that cannot start, or find no node: they speak for what is missing."""
    owners = _revisions(facts, plan)
    for pod in peers:
        status = pod.get("status") or {}
        if str((controller(pod) or {}).get("uid")) not in owners and not _alike(
            pod, plan.successor or {}
        ):
            continue
        for container in container_statuses(pod):
            reason = waiting_reason(container)
            if reason in CANNOT_START:
                yield f"{meta(pod).get('name')} of the same template is in {reason}"
        for condition in status.get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                yield f"{meta(pod).get('name')} of the same template finds no node: {condition.get('message') or 'unschedulable'}"


def _alike(pod: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    """Whether a pod shows the template's containers, their images and sources of configuration; it may have been given more."""

    def shown(obj: Mapping[str, Any]) -> dict[str, Any]:
        containers = (obj.get("spec") or {}).get("containers") or []
        return {
            c.get("name"): [c.get(key) for key in ("image", "envFrom", "command", "args")]
            for c in containers
        }

    wanted, there = shown(template), shown(pod)
    return all(there.get(name) == what for name, what in wanted.items())


def _nodes(room: Room, facts: Facts, plan: Plan) -> Iterable[str]:
    """Whether any node takes pods of the template; a DaemonSet's pods stay on their own."""
    if "DaemonSet" not in (facts.target.kind, facts.root.kind) and not any(
        _takes(node, plan.successor or {}) for node in room.nodes
    ):
        yield "no node is ready and takes pods of this template"


def _takes(node: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    """Whether the node is ready, not cordoned, selected, and without a taint that is not tolerated."""
    spec, pod = node.get("spec") or {}, template.get("spec") or {}
    conditions = (node.get("status") or {}).get("conditions") or []
    up = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    if (
        not up
        or spec.get("unschedulable")
        or not selected({"matchLabels": pod.get("nodeSelector") or {}}, labels(node))
    ):
        return False
    tolerations = pod.get("tolerations") or []
    taints = [taint for taint in spec.get("taints") or [] if taint.get("effect") in KEEPS_AWAY]
    return all(any(_tolerates(toleration, taint) for toleration in tolerations) for taint in taints)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    exists, key = toleration.get("operator") == "Exists", toleration.get("key")
    if (key != taint.get("key") and not (exists and not key)) or toleration.get("effect") not in (
        None,
        "",
        taint.get("effect"),
    ):
        return False
    return exists or toleration.get("value", "") == taint.get("value", "")
