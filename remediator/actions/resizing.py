"""Resizing the running pods of a workload in place, through their subresource `resize`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from ..kinds import POD
from ..model.call import Call, version_of
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Refusal, Seen, Touch, Verified, gone
from ..model.pointer import at, view
from ..model.quantity import parse_quantity
from ..model.raw import conditions_of, container_statuses, meta, ready
from ..model.sight import Object
from ..model.target import Target
from ..model.verdict import Reason
from ..sights.pods import PODS, pods_before, pods_of

RESIZED_WITHIN = timedelta(minutes=5)
Resized = Sequence[tuple[Object, Call]]


def in_place(plan: Plan) -> bool:
    """Whether it resizes pods."""
    return plan.calls[0].subresource == "resize"


def resize(workload: Target, pod: Object, old: Mapping[str, str], new: Mapping[str, str]) -> Call:
    """The patch that gives a pod these amounts, by pointers into it."""
    name, uid = str(meta(pod)["name"]), str(meta(pod)["uid"])
    return Call(
        "patch",
        Target(workload.cluster, POD.name, workload.namespace, name, uid),
        tuple({"op": "replace", "path": path, "value": value} for path, value in new.items()),
        "resize",
        assumes=old,
        leaves=new,
        seen=version_of(pod),
        proof="managed",
        touch=workload.key,
    )


def restarted(pod: Object, call: Call) -> str:
    """A container that restarts for its new memory, by its own resizePolicy; empty where none."""
    for number, container in enumerate(pod["spec"]["containers"]):
        changes = any(path.startswith(f"/spec/containers/{number}/") for path in call.leaves)
        for policy in container.get("resizePolicy") or [] if changes else []:
            if (policy.get("resourceName"), policy.get("restartPolicy")) == (
                "memory",
                "RestartContainer",
            ):
                return str(container["name"])
    return ""


def resized(facts: Facts, action: str, made: Resized, outage: bool, **more: Any) -> Plan:
    """The plan of these patches. It takes the pods whose containers restart for it, at once."""
    calls = tuple(call for _, call in made)
    paths = tuple(sorted(set(chain.from_iterable(call.leaves for call in calls))))
    taken = sum(ready(pod) and bool(restarted(pod, call)) for pod, call in made)
    return Plan(
        action=action,
        target=facts.target,
        calls=calls,
        assumptions={},
        locks=tuple(sorted({facts.target.key, facts.root.key})),
        previous={},
        before=pods_before(facts),
        touches=(Touch(facts.target, facts.root, paths, taken, outage=outage),),
        converged_within=RESIZED_WITHIN,
        **more,
    )


def verify(plan: Plan, facts: Facts) -> Seen:
    """Whether every resized pod that is left runs with its new limit."""
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return Seen(Verified.UNKNOWN)
    by_uid = {str(meta(pod).get("uid")): pod for pod in pods}
    left = [(call, by_uid[call.target.uid]) for call in plan.calls if call.target.uid in by_uid]
    if not left or any(view(pod, call.leaves) != dict(call.leaves) for call, pod in left):
        return Seen(Verified.OVERTAKEN)
    return _done([pod for _, pod in left])


def _done(pods: Sequence[Object]) -> Seen:
    """Whether each pod runs with the limits that it was given."""
    for pod in pods:
        why = _infeasible(pod)
        if why:
            return Seen(Verified.FAILED, f"pod {meta(pod).get('name')} cannot be resized: {why}")
    waiting = [str(meta(pod).get("name")) for pod in pods if not _runs_with_its_limits(pod)]
    if waiting:
        return Seen(Verified.WAITING, f"waiting for {', '.join(waiting[:3])} to be resized")
    return Seen(Verified.CONVERGED)


def _infeasible(pod: Object) -> str:
    """Why the kubelet says that a resize can never be done; empty where it does not."""
    for condition in conditions_of(pod):
        if (condition.get("type"), condition.get("reason")) == ("PodResizePending", "Infeasible"):
            return str(condition.get("message") or "infeasible")
    return ""


def _runs_with_its_limits(pod: Object) -> bool:
    """Whether the kubelet has given every container the memory limit of its spec."""
    running = {status.get("name"): status for status in container_statuses(pod)}
    for container in pod["spec"]["containers"]:
        wanted = at(container, "/resources/limits/memory")
        actual = at(running.get(container["name"]) or {}, "/resources/limits/memory")
        if wanted is not None and (
            actual is None or parse_quantity(actual) != parse_quantity(wanted)
        ):
            return False
    return True


def undo(done: Plan, facts: Facts) -> Plan | Refusal:
    """The patches of the pods that still have the limits that we set."""
    by_uid = {str(meta(pod).get("uid")): pod for pod in pods_of(facts)}
    made = [(call, by_uid.get(call.target.uid)) for call in done.calls]
    ours = [(call, pod) for call, pod in made if pod and view(pod, call.leaves) == call.leaves]
    if not ours:
        return Refusal(Reason.ALREADY_DONE, f"no pod of {facts.target} still has the limits we set")
    return resized(
        facts,
        done.action,
        [(pod, resize(facts.target, pod, call.leaves, call.assumes)) for call, pod in ours],
        outage=True,
        parameters={"undo": done.digest},
        summary=f"restore the previous memory limits of {len(ours)} pods of {facts.target}",
    )
