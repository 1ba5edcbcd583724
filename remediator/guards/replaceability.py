"""replaceability: a serving pod is only taken down if a replacement can start.

A full quota, a missing image or Secret, a failing admission webhook, or a lack of nodes turns a
repair into an outage. The guard tries nothing out: it looks at the namespace's quotas, at the
nodes, at pods that could not be created recently, and at pods of the same template that cannot
start.

Verdicts: hold `not_replaceable`, or `unknown_fact` if one of these cannot be read.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ..kinds import DAEMON_SET, POD
from ..model.facts import Facts, Unknown
from ..model.plan import Touch
from ..model.quantity import Amounts, asked
from ..model.quota import lacks
from ..model.raw import (
    CANNOT_PULL,
    condition,
    container_statuses,
    controller,
    labels,
    meta,
    ready,
    selected,
    spec_of,
    waiting_reason,
)
from ..model.template import bare_template, template_of
from ..model.verdict import Reason, Verdict, allow, hold
from ..sights.pods import PEERS, Pods
from ..sights.revisions import REVISIONS
from ..sights.room import ROOM, Room
from .guard import Guard
from .situation import Situation

CANNOT_START = CANNOT_PULL | {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
Template = Mapping[str, Any]
KEEPS_AWAY = {"NoSchedule", "NoExecute"}


def check(situation: Situation) -> Verdict:
    """Holds where something speaks against the replacement, or cannot be seen."""
    for item in situation.touched if situation.plan is not None else ():
        replaced = item.touch.takes and not item.touch.stays
        verdict = _check(item.touch, item.facts) if replaced else None
        if verdict is not None:
            return verdict
    return allow("replaceability")


def _check(touch: Touch, facts: Facts) -> Verdict | None:
    successor = touch.successor or _own_template(facts)
    if successor is None:
        why = f"cannot tell what would replace the pods of {facts.root}"
        return hold("replaceability", Reason.UNKNOWN_FACT, why)
    room, peers = facts[ROOM], facts[PEERS]
    if isinstance(room, Unknown):
        why = f"cannot tell whether a replacement can start: {room.why}"
        return hold("replaceability", Reason.UNKNOWN_FACT, why)
    if isinstance(peers, Unknown):
        why = f"cannot list its sibling pods: {peers.why}"
        return hold("replaceability", Reason.UNKNOWN_FACT, why)
    against = [
        *_refused(room, facts, successor),
        *_full(room, peers, facts, successor),
        *_unable(peers, facts, successor),
        *_nodes(room, facts, touch, successor),
    ]
    if not against:
        return None
    why = f"a replacement may not start: {against[0]}"
    return hold("replaceability", Reason.NOT_REPLACEABLE, why)


def _own_template(facts: Facts) -> Template | None:
    """What replaces a pod where a plan does not say: what its workload runs now.

    A stored plan does not keep it.
    """
    obj = facts.object
    if not isinstance(obj, Mapping):
        return None
    if facts.target.kind == POD.name:
        return {"metadata": {"labels": labels(obj)}, "spec": spec_of(obj)}
    template: Template | None = spec_of(obj).get("template")
    return template


def _refused(room: Room, facts: Facts, successor: Template) -> Iterable[str]:
    """Pods of the workload that could not be created of late."""
    owners = _owners(facts, successor)
    for event in room.failed:
        if str((event.get("involvedObject") or {}).get("uid")) in owners:
            yield str(event.get("message") or "a pod could not be created")
    pod = facts.target.kind == POD.name
    workload = facts.beside if pod else facts.object
    if not isinstance(workload, Mapping) or not (pod or _runs(workload, successor)):
        return  # another template is put in place of the one that cannot be created
    failure = condition(workload, "ReplicaFailure")
    if failure is not None:
        yield str(failure.get("message") or "its ReplicaSet is failing to create pods")


def _owners(facts: Facts, successor: Template) -> set[str]:
    """The uids of what would create the replacement."""
    owners = {facts.target.uid, facts.root.uid, *_revisions(facts, successor)}
    if facts.target.kind == POD.name and isinstance(facts.object, Mapping):
        owners.add(str((controller(facts.object) or {}).get("uid")))
    return owners


def _runs(workload: Mapping[str, Any], successor: Template) -> bool:
    """Whether the successor is what the workload runs now."""
    return template_of(workload) == bare_template(successor)


def _revisions(facts: Facts, successor: Template) -> set[str]:
    """The uids of the revisions whose template the replacement will have."""
    seen = facts[REVISIONS]
    revisions = seen if isinstance(seen, tuple) else ()
    wanted = bare_template(successor)
    return {revision.uid for revision in revisions if bare_template(revision.template) == wanted}


def _full(room: Room, peers: Pods, facts: Facts, successor: Template) -> Iterable[str]:
    """Quotas that have no room for the replacement once the pod is gone."""
    leaving = asked(successor) | _leaving(peers, facts)
    for quota in room.quotas:
        for key, used, most in lacks(quota, successor, leaving):
            yield f"quota {meta(quota).get('name')}: {used} of {most} {key} used"


def _leaving(peers: Pods, facts: Facts) -> Amounts:
    """What the pod that goes counts for: the least of those that could go."""
    pods = (facts.object,) if facts.target.kind == POD.name else peers
    counts = [asked(pod) for pod in pods if isinstance(pod, Mapping) and ready(pod)]
    keys = set().union(*counts)
    return {key: min(count.get(key, Decimal()) for count in counts) for key in keys}


def _unable(peers: Pods, facts: Facts, successor: Template) -> Iterable[str]:
    """Pods of the very template that cannot start, or find no node.

    They speak for what is missing.
    """
    owners = _revisions(facts, successor)
    for pod in peers:
        owner = str((controller(pod) or {}).get("uid"))
        if owner not in owners and not _alike(pod, successor):
            continue
        name = f"{meta(pod).get('name')} of the same template"
        for container in container_statuses(pod):
            reason = waiting_reason(container)
            if reason in CANNOT_START:
                yield f"{name} is in {reason}"
        homeless = condition(pod, "PodScheduled", "False")
        if homeless is not None:
            yield f"{name} is unschedulable: {homeless.get('message') or 'no node fits'}"


def _alike(pod: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    """Whether a pod shows the template's containers, their images and sources of configuration.

    It may have been given more.
    """
    wanted, there = _shown(template), _shown(pod)
    return all(there.get(name) == what for name, what in wanted.items())


def _shown(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the containers of two pods apart, by name."""
    containers = spec_of(obj).get("containers") or []
    keys = ("image", "envFrom", "command", "args")
    return {c.get("name"): [c.get(key) for key in keys] for c in containers}


def _nodes(room: Room, facts: Facts, touch: Touch, successor: Template) -> Iterable[str]:
    """Whether any node takes pods of the template; a DaemonSet's pods stay on their own."""
    if DAEMON_SET.name in (facts.target.kind, facts.root.kind):
        return
    others = [node for node in room.nodes if meta(node).get("name") != touch.away_from]
    if not any(_takes(node, successor) for node in others):
        other = "other " if touch.away_from else ""
        yield f"no {other}node is ready and accepts pods of this template"


def _takes(node: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    """Whether the node is ready, not cordoned, selected, and
    without a taint that is not tolerated.
    """
    spec, pod = spec_of(node), spec_of(template)
    if condition(node, "Ready") is None:
        return False
    if spec.get("unschedulable") or not _selected(node, pod):
        return False
    tolerations = pod.get("tolerations") or []
    taints = [taint for taint in spec.get("taints") or [] if taint.get("effect") in KEEPS_AWAY]
    return all(any(_tolerates(toleration, taint) for toleration in tolerations) for taint in taints)


def _selected(node: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether the pod's node selector and its required node affinity admit the node."""
    if not selected({"matchLabels": pod.get("nodeSelector") or {}}, labels(node)):
        return False
    affinity = (pod.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = (required or {}).get("nodeSelectorTerms") or []
    fields = {"metadata.name": str(meta(node).get("name"))}
    return required is None or any(_admits(term, labels(node), fields) for term in terms)


def _admits(term: Mapping[str, Any], given: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    """Whether a term of node affinity matches; an empty one matches no node."""
    by_labels, by_fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not by_labels and not by_fields:
        return False
    return selected({"matchExpressions": by_labels}, given) and selected(
        {"matchExpressions": by_fields}, fields
    )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    exists, key = toleration.get("operator") == "Exists", toleration.get("key")
    if (key != taint.get("key") and not (exists and not key)) or toleration.get("effect") not in (
        None,
        "",
        taint.get("effect"),
    ):
        return False
    return exists or toleration.get("value", "") == taint.get("value", "")


GUARD = Guard(
    name="replaceability",
    manual=__doc__,
    set_by="-",
    order=130,
    planned=check,
    sees_pods=frozenset({ROOM, PEERS, REVISIONS}),
)
