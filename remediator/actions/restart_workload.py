"""Restart a workload's pods, a few at a time, as `kubectl rollout restart` does.

Use when: pods leak, hang or hold stale state, and a fresh process helps.
Do not use when: a new release is broken (roll it back), or a dependency is failing.
How it verifies: the rollout completes with every replica available, and the alert resolves.
What it leaves behind: the annotation `kubectl.kubernetes.io/restartedAt` on the pod template. It
cannot be undone. Pods of a StatefulSet that are stuck on the previous revision are deleted, since
nothing else would replace them (kubernetes#67250).
"""

from pydantic import Field

from ..kinds import WORKLOADS
from ..model.facts import Facts
from ..model.plan import Plan, Refusal, stamp_operations
from ..model.pointer import RESTARTED
from ..model.raw import annotations
from ..model.verdict import Reason
from ..sights.pods import PODS, pods_before
from .action_spec import ActionSpec, Causes, Parameters
from .workload import (
    ROLLING,
    interrupts,
    patience,
    refusal,
    rolled,
    stuck_at_most,
    template_call,
    template_state,
    unblock,
    verify,
)

NAME = "restart_workload"
WAIVES: frozenset[Reason] = frozenset()


class Params(Parameters):
    """Parameters of restart_workload."""

    allow_outage: bool = Field(
        default=False, description="Allow a restart that takes down every ready pod at once."
    )


def plan(facts: Facts, params: Params, _causes: Causes) -> Plan | Refusal:
    """One JSON Patch that sets restartedAt in the pod template."""
    refused = refusal(facts, NAME, WORKLOADS, WAIVES)
    if refused or not isinstance(facts.object, dict):
        return refused or Refusal(Reason.UNKNOWN_FACT, f"cannot read {facts.target}")
    obj = facts.object
    interruption = interrupts(obj, facts)
    if interruption and not params.allow_outage:
        return Refusal(Reason.WOULD_INTERRUPT, f"restarting {facts.target} {interruption}")
    template = obj["spec"]["template"]
    operations = stamp_operations(obj)
    if "metadata" not in template:
        operations.append({"op": "add", "path": "/spec/template/metadata", "value": {}})
    if not annotations(template):
        operations.append({"op": "add", "path": "/spec/template/metadata/annotations", "value": {}})
    restarted_at, state = facts.at.isoformat(timespec="seconds"), template_state(template)
    operations.append({"op": "add", "path": RESTARTED, "value": restarted_at})
    call = template_call(facts, operations, {**state, RESTARTED: restarted_at})
    return Plan(
        action=NAME,
        target=facts.target,
        parameters=params.model_dump(mode="json"),
        calls=(call,),
        assumptions=call.assumes,
        locks=tuple(sorted({facts.target.key, facts.root.key})),
        summary=f"restart {facts.target}",
        previous={RESTARTED: state[RESTARTED]},
        before=pods_before(facts),
        touches=(rolled(facts, (), template, params.allow_outage),),
        converged_within=patience(obj),
        bounds=stuck_at_most(facts),
    )


ACTION = ActionSpec(
    name=NAME,
    summary="Restart a Deployment, StatefulSet or DaemonSet, a few pods at a time.",
    manual=__doc__,
    params=Params,
    targets=WORKLOADS,
    calls=ROLLING,
    disruption=(
        "each pod once, within the workload's maxUnavailable; a StatefulSet's stuck pods"
        " immediately"
    ),
    causes=frozenset({"oom_killed", "crash_loop"}),
    sees=frozenset({PODS}),
    watches=frozenset({PODS}),
    waives=WAIVES,
    plan=plan,
    next=unblock,
    verify=verify,
    example="{action: restart_workload, if: oom_killed}",
)
