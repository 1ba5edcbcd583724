"""Temporarily add replicas to a workload, through its HPA's minReplicas if it has an HPA.

Use when: latency or load shows that there are too few pods.
Do not use when: a database or another dependency is the bottleneck, or pods crash, since more of
them make it worse.
How it verifies: the requested replicas are available, and the alert resolves.
What it leaves behind: the higher count, until the alert has been quiet for `restore.after`. Then
the previous count is restored, unless someone changed it.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from ..kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, STATEFUL_SET
from ..model.call import MAX_REPLICAS, Call, ours, version_of
from ..model.facts import Facts, Unknown
from ..model.managed import managed
from ..model.plan import Plan, Refusal, Seen, Touch, Verified, gone, stamp_operations, unannotated
from ..model.pointer import MIN_REPLICAS, REPLICAS, TEMPLATE, at, view
from ..model.raw import annotations, condition, meta, status_of
from ..model.target import REPLACED, Target, Unresolved
from ..model.verdict import Reason
from ..sights.autoscaler import AUTOSCALER
from ..sights.pods import PODS, pods_before, pods_of
from .action_spec import ActionSpec, Causes, Parameters, Sent
from .workload import observed, refusal

NAME = "scale_workload"
TARGETS = frozenset({DEPLOYMENT, STATEFUL_SET})
CALLS = frozenset(
    {("patch", kind, "scale") for kind in TARGETS} | {("patch", HORIZONTAL_POD_AUTOSCALER, "")}
)
WITHIN = timedelta(minutes=5)


class Params(Parameters):
    """Parameters of scale_workload."""

    by: int | str = Field(
        default="50%",
        description="Replicas to add: a number, or a percentage of the current count.",
    )
    to: int | None = Field(
        default=None, ge=1, description="Target number of replicas, instead of `by`."
    )
    at_most: int = Field(default=10, ge=1, description="Upper limit on the number of replicas.")

    @field_validator("by")
    @classmethod
    def _step(cls, value: int | str) -> int | str:
        number = value[:-1] if isinstance(value, str) and value.endswith("%") else value
        if not str(number).isdecimal() or int(number) < 1:
            raise ValueError(
                f"invalid step {value!r}; use a number of replicas, such as 2, or a percentage,"
                " such as 50%"
            )
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.to is not None and "by" in self.model_fields_set:
            raise ValueError("set `by` or `to`, not both")
        return self

    def wanted(self, present: int) -> int:
        """How many replicas, before any cap."""
        if self.to is not None:
            return self.to
        if isinstance(self.by, str) and self.by.endswith("%"):
            return present + math.ceil(present * int(self.by[:-1]) / 100)
        return present + int(self.by)


def _present(facts: Facts) -> int:
    """The count that is added to: what the workload has, or an HPA that has not acted yet keeps."""
    assert isinstance(facts.object, Mapping)
    count, hpa = int(facts.object["spec"].get("replicas", 1)), facts[AUTOSCALER]
    least = at(hpa, MIN_REPLICAS) if isinstance(hpa, Mapping) else None
    return max(count, int(least or 1))


def plan(facts: Facts, params: Params, _causes: Causes) -> Plan | Refusal:
    """One patch: of the HPA's minReplicas, or of the workload's scale."""
    refused = refusal(facts, NAME, TARGETS, frozenset()) or _unscalable(facts)
    if refused:
        return refused
    assert isinstance(facts.object, Mapping)
    obj, present = facts.object, _present(facts)
    cap = _cap(facts, params)
    if isinstance(cap, Refusal):
        return cap
    wanted = min(params.wanted(present), cap[0])
    if wanted <= present:
        return Refusal(
            Reason.AT_CEILING,
            f"{facts.target} has {present} replicas, and {cap[1]} allows {wanted}",
        )
    refused = no_headroom(facts)
    if refused:
        return refused
    call = _call(facts, wanted)
    name = next(iter(call.leaves))
    through = "" if call.subresource else f" through {call.target}"
    assumed = {**view(obj, {TEMPLATE: None}), REPLICAS: present, **call.assumes}
    return Plan(
        action=NAME,
        target=facts.target,
        parameters=params.model_dump(mode="json"),
        calls=(call,),
        assumptions=assumed,
        locks=tuple(sorted({facts.target.key, facts.root.key, call.target.key})),
        summary=f"scale {facts.target} from {present} to {wanted} replicas{through}",
        previous={name: _baseline(facts, name, call.assumes[name])},
        before=pods_before(facts),
        touches=_touches(facts, call),
        converged_within=WITHIN,
    )


def _unscalable(facts: Facts) -> Refusal | None:
    """Whether it cannot be known where the count is set."""
    hpa = facts[AUTOSCALER]
    if isinstance(hpa, Unknown):
        return Refusal(
            Reason.UNKNOWN_FACT, f"cannot tell whether an HPA scales {facts.target}: {hpa.why}"
        )
    return None


def _cap(facts: Facts, params: Params) -> tuple[int, str] | Refusal:
    """The lowest of the caps, and which that is."""
    assert isinstance(facts.object, Mapping)
    caps = [
        (params.to or params.at_most, "`to`" if params.to else "`at_most`"),
        (params.at_most, "`at_most`"),
    ]
    for obj, what in (
        (facts.object, facts.target),
        (facts.namespace, f"namespace {facts.target.namespace}"),
    ):
        text = annotations(obj).get(MAX_REPLICAS) if isinstance(obj, Mapping) else None
        if text is not None and not text.isdecimal():
            return Refusal(
                Reason.OPTED_OUT,
                f"{what} has annotation {MAX_REPLICAS}: {text!r}, which is not a number",
            )
        if text is not None:
            caps.append((int(text), f"the annotation {MAX_REPLICAS} of {what}"))
    hpa = facts[AUTOSCALER]
    if isinstance(hpa, Mapping):
        caps.append((int(hpa["spec"]["maxReplicas"]), "maxReplicas of its HPA"))
    return min(caps)


def no_headroom(facts: Facts) -> Refusal | None:
    """Whether pods that it already has to have do not come: for want of room, or refused."""
    assert isinstance(facts.object, Mapping)
    for pod in pods_of(facts):
        if (condition(pod, "PodScheduled", "False") or {}).get("reason") == "Unschedulable":
            why = f"pod {meta(pod).get('name')} is waiting for a node with room"
            return Refusal(Reason.NO_HEADROOM, why)
    rejected = condition(facts.object, "ReplicaFailure")
    if rejected is not None:
        why = f"new pods of {facts.target} are rejected: {rejected.get('message')}"
        return Refusal(Reason.NO_HEADROOM, why)
    return None


def _call(facts: Facts, count: int) -> Call:
    """The one patch that sets the count, wherever it is set."""
    assert isinstance(facts.object, Mapping)
    hpa, obj = facts[AUTOSCALER], facts.object
    if not isinstance(hpa, Mapping):
        return Call(
            "patch",
            facts.target,
            ({"op": "replace", "path": REPLICAS, "value": count},),
            "scale",
            assumes={**view(obj, {TEMPLATE: None}), REPLICAS: obj["spec"].get("replicas", 1)},
            leaves={REPLICAS: count},
            seen=version_of(obj),
            proof="managed",
        )
    target = Target(
        facts.target.cluster,
        "HorizontalPodAutoscaler",
        facts.target.namespace,
        meta(hpa)["name"],
        meta(hpa)["uid"],
    )
    return Call(
        "patch",
        target,
        (*stamp_operations(hpa), {"op": "add", "path": MIN_REPLICAS, "value": count}),
        assumes=view(hpa, {MIN_REPLICAS: None}) | unannotated(hpa),
        leaves={MIN_REPLICAS: count},
        seen=version_of(hpa),
    )


def _touches(facts: Facts, call: Call) -> tuple[Touch, ...]:
    """The object whose count is set; where that is the HPA, what it scales too."""
    written = Touch(call.target, facts.root, tuple(call.leaves))
    own = () if call.target.key == facts.target.key else (Touch(facts.target, facts.root),)
    return (*own, written)


def _baseline(facts: Facts, name: str, present: Any) -> Any:
    """What an undo puts back: where the last of our acts is still to be undone,
    what that one would (3 to 5 to 7 goes back to 3).
    """
    mine = [act for act in facts.past.acts if act.action == NAME and name in act.previous]
    last = mine[-1] if mine else None
    return last.previous[name] if last and last.owed and last.view.get(name) == present else present


def verify(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the count stands, and that many replicas are available."""
    seen = _count(plan, facts)
    if isinstance(seen, Seen):
        return seen
    assert isinstance(facts.object, Mapping)
    if seen != plan.calls[0].leaves:
        return Seen(Verified.OVERTAKEN)
    wanted = next(iter(seen.values()))
    status = status_of(facts.object)
    there = status.get("availableReplicas", 0) >= wanted and observed(facts.object)
    return Seen(Verified.CONVERGED if there else Verified.WAITING)


def _set_by_us(obj: Mapping[str, Any], call: Call) -> bool:
    """Whether we were the last to set the count."""
    return all(managed(obj, pointer, ours) for pointer in call.leaves)


def _count(plan: Plan, facts: Facts) -> Mapping[str, Any] | Seen:
    """The count as it is set now, where the plan set it; or that it cannot be seen, or is gone."""
    obj, hpa, call = facts.object, facts[AUTOSCALER], plan.calls[0]
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    if obj is None or isinstance(obj, Unknown | Unresolved) or isinstance(hpa, Unknown):
        return Seen(Verified.UNKNOWN)
    if call.subresource:
        return view(obj, call.leaves)
    if hpa is None or str(meta(hpa).get("uid")) != call.target.uid:
        return Seen(Verified.OVERTAKEN)
    return view(hpa, call.leaves)


def undo(done: Plan, sent: Sent, facts: Facts) -> Plan | Refusal:
    """Puts the count of before back, where the one that we left still stands."""
    seen = _count(done, facts)
    if gone(done, facts):
        return Refusal(
            Reason.TARGET_GONE,
            f"{facts.target} {REPLACED}",
        )
    if seen == Seen(Verified.UNKNOWN):
        return Refusal(
            Reason.UNKNOWN_FACT, f"cannot read the desired replica count of {facts.target}"
        )
    if seen != done.calls[0].leaves:
        return Refusal(
            Reason.ASSUMPTION_CHANGED,
            f"the replica count of {facts.target} was modified after our change; leaving it alone",
        )
    hpa = facts[AUTOSCALER]
    written = facts.object if done.calls[0].subresource else hpa
    if not isinstance(written, Mapping) or not _set_by_us(written, done.calls[0]):
        return Refusal(
            Reason.ASSUMPTION_CHANGED,
            f"the replica count of {facts.target} was set again after our change; leaving it alone",
        )
    if done.calls[0].subresource and isinstance(hpa, Mapping):
        return Refusal(Reason.OWNED_ELSEWHERE, f"{facts.target} is now scaled by an HPA")
    name, count = next(iter(done.previous.items()))
    call = _call(facts, int(count))
    return Plan(
        action=NAME,
        target=facts.target,
        parameters={"undo": done.digest},
        calls=(call,),
        assumptions=call.assumes,
        locks=tuple(sorted({facts.target.key, facts.root.key, call.target.key})),
        summary=f"set {name.rpartition('/')[2]} of {call.target} back to {count}",
        previous={},
        before=done.before,
        touches=_touches(facts, call),
        converged_within=WITHIN,
    )


def restored(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the count of before stands again."""
    seen = _count(plan, facts)
    if isinstance(seen, Seen):
        return seen
    if seen != plan.calls[0].leaves:
        return Seen(Verified.OVERTAKEN)
    assert isinstance(facts.object, Mapping)
    return Seen(Verified.CONVERGED if observed(facts.object) else Verified.WAITING)


ACTION = ActionSpec(
    name=NAME,
    summary=(
        "Temporarily add replicas to a Deployment or StatefulSet, through its HPA if it has one."
    ),
    manual=__doc__,
    params=Params,
    targets=TARGETS,
    calls=CALLS,
    disruption="none; scaling back removes as many pods as were added",
    causes=frozenset(),
    sees=frozenset({PODS, AUTOSCALER}),
    watches=frozenset({PODS, AUTOSCALER}),
    waives=frozenset(),
    plan=plan,
    verify=verify,
    undo=undo,
    restored=restored,
    restore_after=timedelta(hours=1),
    storm_exempt=True,
    disruptive=False,
    example=(
        "{action: scale_workload, if: always, with: {by: 2, at_most: 12}, restore: {after: 60m}}"
    ),
)
