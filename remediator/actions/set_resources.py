"""Raise the memory limit of containers that were OOM-killed, in the template or in place.

Use when: containers are OOM-killed, and the workload is known to need more memory than it has.
Do not use when: the workload leaks memory: a higher limit only delays the next kill.
How it verifies: the rollout completes, and the alert resolves; in place: the status of every pod
shows the new limit.
What it leaves behind: the higher limit, and a higher request if both were equal. `remediator undo`
restores the previous values. In place, only the running pods get it; new pods are created from the
unchanged template.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from ..kinds import POD, WORKLOADS
from ..model.call import Call
from ..model.facts import Facts
from ..model.plan import Plan, Refusal, Seen, stamp_operations
from ..model.pointer import at, put
from ..model.quantity import format_bytes, parse_quantity
from ..model.raw import meta
from ..model.sight import Object
from ..model.verdict import Reason
from ..sights.pods import PODS, pods_before, pods_of
from . import resizing
from .action_spec import ActionSpec, Causes, Parameters, Sent
from .resizing import in_place
from .workload import (
    ROLLING,
    interrupts,
    overtaken,
    patience,
    refusal,
    rolled,
    stuck_at_most,
    template_call,
    template_state,
    unblock,
)
from .workload import restored as rollout_restored
from .workload import verify as rollout_verify

NAME = "set_resources"
WAIVES: frozenset[Reason] = frozenset()


class Params(Parameters):
    """Parameters of set_resources."""

    by: str = Field(
        default="25%", description="Memory to add, as a percentage of the current limit."
    )
    at_most: str = Field(default="2Gi", description="Upper bound for the memory limit.")
    in_place: bool = Field(
        default=False,
        description="Resize the running pods in place instead of rolling out a new template.",
    )
    allow_outage: bool = Field(
        default=False, description="Allow taking down every ready pod, or the last one."
    )

    @field_validator("by")
    @classmethod
    def _share(cls, value: str) -> str:
        if not (value.endswith("%") and value[:-1].isdecimal() and int(value[:-1]) > 0):
            raise ValueError(f"invalid percentage {value!r}; write one such as 25%")
        return value

    @model_validator(mode="after")
    def _bytes(self) -> Self:
        if parse_quantity(self.at_most) <= 0:
            raise ValueError(f"invalid upper bound {self.at_most!r}; write one such as 2Gi")
        return self

    def wanted(self, present: Decimal) -> str:
        """The new limit: rounded up, but never above the bound."""
        more = format_bytes(present * (100 + int(self.by[:-1])) / 100)
        return min(more, self.at_most, key=parse_quantity)


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """One amount of memory of one container; `path` is below the pod's spec."""

    container: str
    path: str
    old: str
    new: str


def plan(facts: Facts, params: Params, causes: Causes) -> Plan | Refusal:
    """More memory for the containers that were killed for it."""
    refused = refusal(facts, NAME, WORKLOADS, WAIVES)
    if refused:
        return refused
    assert isinstance(facts.object, Mapping)
    named = set(chain.from_iterable(_killed(cause.evidence) for cause in causes))
    killed = {name.rpartition("/")[2] for name in named}
    if not killed:
        return Refusal(Reason.NO_CAUSE, f"no container of {facts.target} was OOM-killed")
    made: list[MemoryChange] = []
    for change in _changes(at(facts.object, "/spec/template/spec"), killed, params):
        if isinstance(change, Refusal):
            return change
        made.append(change)
    if not made:
        names = ", ".join(sorted(killed))
        return Refusal(Reason.NO_CAUSE, f"{facts.target} has no container named {names}")
    return _in_place(facts, params, named) if params.in_place else _rollout(facts, params, made)


def _killed(evidence: Mapping[str, Any]) -> list[str]:
    """The containers (pod/container) of an oom_killed cause.

    Any other cause names none in a list.
    """
    found = evidence.get("containers")
    return found if isinstance(found, list) else []


def _changes(spec: Object, killed: set[str], params: Params) -> Iterator[MemoryChange | Refusal]:
    """The new limit of each; its request too where it was the same, so that the QoS class stays."""
    for index, container in enumerate(spec.get("containers") or []):
        if container["name"] not in killed:
            continue
        name, resources = container["name"], container.get("resources") or {}
        limit = (resources.get("limits") or {}).get("memory")
        if limit is None:
            why = f"container {name} has no memory limit to raise; its node ran out of memory"
            yield Refusal(Reason.UNSUPPORTED_TARGET, why)
            continue
        new = params.wanted(parse_quantity(limit))
        if parse_quantity(new) <= parse_quantity(limit):
            why = f"container {name} already has a limit of {limit}; `at_most` is {params.at_most}"
            yield Refusal(Reason.AT_CEILING, why)
            continue
        yield MemoryChange(name, f"/containers/{index}/resources/limits/memory", limit, new)
        request = (resources.get("requests") or {}).get("memory")
        if request is not None and parse_quantity(request) == parse_quantity(limit):
            yield MemoryChange(name, f"/containers/{index}/resources/requests/memory", request, new)


def _said(changes: Sequence[MemoryChange]) -> str:
    limits = [change for change in changes if "/limits/" in change.path]
    return ", ".join(f"{one.container} memory from {one.old} to {one.new}" for one in limits)


def _rollout(facts: Facts, params: Params, changes: list[MemoryChange]) -> Plan | Refusal:
    """One patch of the template."""
    assert isinstance(facts.object, Mapping)
    interruption = interrupts(facts.object, facts)
    if interruption and not params.allow_outage:
        why = f"changing the template of {facts.target} {interruption}"
        return Refusal(Reason.WOULD_INTERRUPT, why)
    old, new = _values(changes, "/spec/template/spec")
    return _template_plan(
        facts,
        new,
        parameters=params.model_dump(mode="json"),
        summary=f"raise the limits of {facts.target}: {_said(changes)}",
        previous=old,
        before=pods_before(facts),
        outage=params.allow_outage,
    )


def _template_plan(facts: Facts, values: Mapping[str, str], outage: bool, **more: Any) -> Plan:
    """One patch that sets amounts in the template."""
    assert isinstance(facts.object, Mapping)
    obj = facts.object
    operations = [*stamp_operations(obj), *resizing.operations(values)]
    template = at(put(obj, values), "/spec/template")
    call = template_call(facts, operations, template_state(template))
    return Plan(
        action=NAME,
        target=facts.target,
        calls=(call,),
        assumptions=call.assumes,
        locks=tuple(sorted({facts.target.key, facts.root.key})),
        touches=(rolled(facts, tuple(values), template, outage),),
        converged_within=patience(obj),
        bounds=stuck_at_most(facts),
        **more,
    )


def _in_place(facts: Facts, params: Params, named: set[str]) -> Plan | Refusal:
    """One patch of each pod that has what a killed one (of `named`: pod/container) had: the killed
    ones first. Others have been resized before.
    """
    killed = {name.rpartition("/")[2] for name in named}
    victims = {name.partition("/")[0] for name in named}
    raised: dict[tuple[MemoryChange, ...], list[Object]] = {}
    for pod in sorted(resizing.running(pods_of(facts)), key=lambda pod: _after(pod, victims)):
        found = _changes(pod["spec"], killed, params)
        changes = tuple(change for change in found if isinstance(change, MemoryChange))
        if changes:
            raised.setdefault(changes, []).append(pod)
    if not raised:
        return Refusal(Reason.AT_CEILING, f"no pod of {facts.target} can be resized")
    changes = next(iter(raised))
    return resizing.resized(
        facts,
        NAME,
        raised[changes],
        _values(changes, "/spec"),
        outage=params.allow_outage,
        parameters=params.model_dump(mode="json"),
        summary=f"resize {len(raised[changes])} pods of {facts.target} in place: {_said(changes)}",
    )


def _after(pod: Object, victims: set[str]) -> tuple[bool, str]:
    """For sorting: the victims go first, whether they are ready or not, as approvals are for one
    order.
    """
    name = str(meta(pod)["name"])
    return name not in victims, name


def _values(changes: Sequence[MemoryChange], below: str) -> tuple[dict[str, str], dict[str, str]]:
    """The values before and after, by pointers below one into the object."""
    old = {f"{below}{change.path}": change.old for change in changes}
    return old, {f"{below}{change.path}": change.new for change in changes}


def further(plan: Plan, sent: Sent, facts: Facts) -> tuple[Call, ...]:
    """What a rollout needs where pods are stuck, or the pods that are still to be resized."""
    return resizing.further(plan, facts) if in_place(plan) else unblock(plan, sent, facts)


def verify(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the rollout converged, or every resized pod that is left runs with its new limit."""
    return resizing.verify(plan, facts) if in_place(plan) else rollout_verify(plan, sent, facts)


def undo(done: Plan, sent: Sent, facts: Facts) -> Plan | Refusal:
    """Puts the amounts of before back, where ours still stand."""
    refused = refusal(facts, NAME, WORKLOADS, frozenset({Reason.ROLLOUT_RUNNING}))
    if refused:
        return refused
    assert isinstance(facts.object, Mapping)
    if in_place(done):
        return resizing.undo(done, facts)
    if overtaken(sent, facts.object):
        why = f"{facts.target} was modified after our change; leaving it alone"
        return Refusal(Reason.ASSUMPTION_CHANGED, why)
    return _template_plan(
        facts,
        done.previous,
        parameters={"undo": done.digest},
        summary=f"restore the previous memory limits of {facts.target}",
        previous={},
        before=done.before,
        outage=True,
    )


def restored(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the amounts of before stand again."""
    return verify(plan, sent, facts) if in_place(plan) else rollout_restored(plan, sent, facts)


ACTION = ActionSpec(
    name=NAME,
    summary="Raise the memory limit of a workload's OOM-killed containers.",
    manual=__doc__,
    params=Params,
    targets=WORKLOADS,
    calls=ROLLING | {("patch", POD, "resize")},
    disruption=(
        "each pod once, within the workload's maxUnavailable; in place: one pod after the other"
        " if a container must restart for it"
    ),
    causes=frozenset({"oom_killed"}),
    sees=frozenset({PODS}),
    watches=frozenset({PODS}),
    waives=WAIVES,
    plan=plan,
    next=further,
    verify=verify,
    undo=undo,
    restored=restored,
    example="{action: set_resources, with: {by: 25%, at_most: 2Gi}}",
)
