"""Resizing the running pods of a workload in place, through their subresource `resize`.

One after the other where a container restarts for it, by its resizePolicy.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import product
from typing import Any

from ..kinds import POD
from ..model.call import Call, version_of
from ..model.facts import Facts, Unknown
from ..model.plan import Bound, Plan, Refusal, Seen, Touch, Verified, gone
from ..model.pointer import at, view
from ..model.quantity import parse_quantity
from ..model.raw import conditions_of, container_statuses, finished, meta, ready
from ..model.sight import Object
from ..model.target import Target
from ..model.verdict import Reason
from ..sights.pods import PODS, pods_before, pods_of

RESIZED_WITHIN, LONGEST = timedelta(minutes=5), timedelta(hours=2)
Values = tuple[Mapping[str, str], Mapping[str, str]]


def in_place(plan: Plan) -> bool:
    """Whether it resizes pods."""
    return plan.calls[0].subresource == "resize"


def resize(workload: Target, pod: Object, old: Mapping[str, str], new: Mapping[str, str]) -> Call:
    """The patch that gives a pod these amounts, by pointers into it."""
    name, uid = str(meta(pod)["name"]), str(meta(pod)["uid"])
    return Call(
        "patch",
        Target(workload.cluster, POD.name, workload.namespace, name, uid),
        tuple(operations(new)),
        "resize",
        assumes=old,
        leaves=new,
        seen=version_of(pod),
        proof="managed",
        touch=workload.key,
    )


def operations(values: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The operations that write these amounts, by pointers into an object."""
    return [{"op": "replace", "path": path, "value": value} for path, value in values.items()]


def restarted(pod: Object, call: Call) -> bool:
    """Whether a container restarts for its new memory, by its own resizePolicy."""
    return any(
        path.startswith(f"/spec/containers/{number}/")
        for number, path in product(_restarting(pod), call.leaves)
    )


def _restarting(pod: Object) -> list[int]:
    """The containers that a change of their memory restarts."""
    restarts = {"resourceName": "memory", "restartPolicy": "RestartContainer"}
    containers = enumerate(pod["spec"]["containers"])
    return [number for number, one in containers if restarts in (one.get("resizePolicy") or [])]


def resized(
    facts: Facts, action: str, pods: list[Object], values: Values, *, outage: bool, **more: Any
) -> Plan:
    """The plan that resizes the first of these pods; `further` resizes the others alike, those that
    serve last. `values`: before and after, by pointers into a pod.
    """
    old, new = values
    call = resize(facts.target, pods[0], old, new)
    taken = any(ready(pod) and restarted(pod, call) for pod in pods)
    return _plan(
        facts,
        action,
        (call,),
        Touch(facts.target, facts.root, tuple(new), int(taken), stays=True, outage=outage),
        bounds=(Bound("patch", POD.name, len(pods)),),
        converged_within=min(LONGEST, len(pods) * RESIZED_WITHIN),
        **more,
    )


def _plan(facts: Facts, action: str, calls: tuple[Call, ...], touch: Touch, **more: Any) -> Plan:
    return Plan(
        action=action,
        target=facts.target,
        calls=calls,
        assumptions={},
        locks=tuple(sorted({facts.target.key, facts.root.key})),
        previous={},
        before=pods_before(facts),
        touches=(touch,),
        **more,
    )


def further(plan: Plan, facts: Facts) -> tuple[Call, ...]:
    """The pods that are left, once those before run with their limits: all of them, or the next
    one where a container restarts for it.
    """
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return ()
    if any(_waits(pod) for _, pod in _there(plan, pods)):
        return ()
    old, new = plan.calls[0].assumes, plan.calls[0].leaves
    made = [(pod, resize(facts.target, pod, old, new)) for pod in _left(plan, pods)]
    if any(restarted(pod, call) for pod, call in made):
        made = made[:1]
    return tuple(call for _, call in made)


def _left(plan: Plan, pods: Sequence[Object]) -> list[Object]:
    """The pods that still have the amounts of before, as many as the plan allows; what serves is
    last.
    """
    own = {call.target.uid for call in plan.calls}
    most = plan.bounds[0].most - len(plan.calls) if plan.bounds else 0
    old = dict(plan.calls[0].assumes)
    left = [
        pod for pod in running(pods) if meta(pod).get("uid") not in own and view(pod, old) == old
    ]
    return sorted(left, key=lambda pod: (ready(pod), str(meta(pod).get("name"))))[:most]


def running(pods: Iterable[Object]) -> list[Object]:
    """Those that have not ended and are not being deleted."""
    return [pod for pod in pods if not finished(pod) and not meta(pod).get("deletionTimestamp")]


def verify(plan: Plan, facts: Facts) -> Seen:
    """Whether every pod that was resized, if it is left, runs with its new limit."""
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return Seen(Verified.UNKNOWN)
    there = _there(plan, pods)
    if not there or any(view(pod, call.leaves) != dict(call.leaves) for call, pod in there):
        return Seen(Verified.OVERTAKEN)
    return _done([pod for _, pod in there])


def _there(plan: Plan, pods: Iterable[Object]) -> list[tuple[Call, Object]]:
    """The calls of the plan whose pods are left, each with its pod."""
    by_uid = {str(meta(pod).get("uid")): pod for pod in pods}
    return [(call, by_uid[call.target.uid]) for call in plan.calls if call.target.uid in by_uid]


def _done(pods: Sequence[Object]) -> Seen:
    """Whether each pod runs with the limits that it was given."""
    for pod in pods:
        why = _infeasible(pod)
        if why:
            return Seen(Verified.FAILED, f"pod {meta(pod).get('name')} cannot be resized: {why}")
    waiting = [pod for pod in pods if _waits(pod)]
    if waiting:
        names = ", ".join(str(meta(pod).get("name")) for pod in waiting[:3])
        return Seen(Verified.WAITING, f"waiting for {names} to be resized")
    return Seen(Verified.CONVERGED)


def _waits(pod: Object) -> bool:
    """Whether it does not run with its limits yet, or not again after a restart for them."""
    return not _runs_with_its_limits(pod) or (bool(_restarting(pod)) and not ready(pod))


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
    there = _there(done, pods_of(facts))
    ours = [(call, pod) for call, pod in there if view(pod, call.leaves) == call.leaves]
    if not ours:
        return Refusal(Reason.ALREADY_DONE, f"no pod of {facts.target} still has the limits we set")
    restarting = sum(restarted(pod, call) for call, pod in ours)
    if restarting > 1 and not done.parameters.get("allow_outage"):
        why = (
            f"undoing it would restart {restarting} pods of {facts.target} at once; restart the"
            " workload instead: its new pods have the limits of the template"
        )
        return Refusal(Reason.WOULD_INTERRUPT, why)
    calls = [resize(facts.target, pod, call.leaves, call.assumes) for call, pod in ours]
    return _plan(
        facts,
        done.action,
        tuple(calls),
        Touch(facts.target, facts.root, tuple(calls[0].leaves), outage=True),
        parameters={"undo": done.digest},
        summary=f"restore the previous memory limits of {len(calls)} pods of {facts.target}",
        converged_within=RESIZED_WITHIN,
    )
