"""Roll a workload back to its last revision with a different template, preferring a healthy one.

Use when: a new release crashes or never becomes ready.
Do not use when: the release ran migrations that the older one cannot work with. Annotate such a
workload with `remediator.io/deny: rollback_workload`.
How it verifies: the rollout of the chosen revision completes, and the alert resolves.
What it leaves behind: a new revision with the older template; the broken revision stays in the
history. Pods of a StatefulSet that are stuck on the broken revision are deleted, since nothing else
would replace them (kubernetes#67250). If the rollback made things worse (fewer ready pods when its
rollout gave up), the previous template is restored.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import Field, field_validator

from ..kinds import WORKLOADS
from ..model.duration import format_duration, parse_duration
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Refusal, stamp_operations
from ..model.template import bare_template, template_hash
from ..model.verdict import Reason
from ..sights.pods import PODS, pods_before
from ..sights.revisions import REVISIONS, Revision, current_revision
from .action_spec import ActionSpec, Causes, Parameters, Sent
from .workload import (
    ROLLING,
    halfway,
    overtaken,
    patience,
    refusal,
    restored,
    rolled,
    stuck_at_most,
    template_call,
    template_state,
    unblock,
    verify,
)

NAME = "rollback_workload"
WAIVES = frozenset({Reason.ROLLOUT_RUNNING})


class Params(Parameters):
    """Parameters of rollback_workload."""

    changed_within: timedelta = Field(
        default=timedelta(hours=1),
        description="Refuse if the current revision is older than this.",
    )

    @field_validator("changed_within", mode="before")
    @classmethod
    def _duration(cls, value: object) -> object:
        return parse_duration(value) if isinstance(value, str) else value


def plan(facts: Facts, params: Params, _causes: Causes) -> Plan | Refusal:
    """One JSON Patch that replaces the pod template by the chosen revision's."""
    refused = _unseen(facts)
    if refused:
        return refused
    assert isinstance(facts.object, Mapping)
    stopped = halfway(facts.object)
    if stopped:
        return Refusal(Reason.WOULD_INTERRUPT, f"rolling {facts.target} back {stopped}")
    current = current_revision(facts)
    if current is None:
        return Refusal(Reason.NO_REVISION, f"{facts.target} has no revision history yet")
    chosen = choose(facts, current, params)
    if isinstance(chosen, Refusal):
        return chosen
    seen = ", last seen healthy" if healthy(chosen, facts) else ""
    return _replace(
        facts,
        chosen,
        parameters={"changed_within": format_duration(params.changed_within)},
        summary=f"roll {facts.target} back to revision {chosen.number}{seen}",
        previous={"revision": current.number, "uid": current.uid},
        before=pods_before(facts),
    )


def undo(done: Plan, sent: Sent, facts: Facts) -> Plan | Refusal:
    """Puts back the template that the rollback replaced, where
    the one that it left is still there.
    """
    refused = _unseen(facts)
    if refused:
        return refused
    revisions = facts[REVISIONS]
    assert isinstance(facts.object, dict)
    assert isinstance(revisions, tuple)
    if overtaken(sent, facts.object):
        return Refusal(
            Reason.ASSUMPTION_CHANGED,
            f"{facts.target} was modified after our change; leaving it alone",
        )
    before = next((r for r in revisions if r.uid == done.previous.get("uid")), None)
    if before is None:
        return Refusal(
            Reason.NO_REVISION,
            f"revision {done.previous.get('revision')} of {facts.target} no longer exists",
        )
    return _replace(
        facts,
        before,
        parameters={"undo": done.digest},
        summary=f"restore revision {before.number} of {facts.target}, which the rollback replaced",
        previous={},
        before=done.before,
    )


def _unseen(facts: Facts) -> Refusal | None:
    """Why nothing can be put in place of what runs.

    A default refusal, or revisions that are not known.
    """
    refused, revisions = refusal(facts, NAME, WORKLOADS, WAIVES), facts[REVISIONS]
    if refused is None and isinstance(revisions, Unknown):
        why = f"cannot list the revisions of {facts.target}: {revisions.why}"
        return Refusal(Reason.UNKNOWN_FACT, why)
    return refused


def _replace(facts: Facts, revision: Revision, parameters: Mapping[str, Any], **more: Any) -> Plan:
    """One JSON Patch that makes the revision's template the workload's."""
    assert isinstance(facts.object, Mapping)
    template = without_hash(revision)
    operations = [
        *stamp_operations(facts.object),
        {"op": "replace", "path": "/spec/template", "value": template},
    ]
    call = template_call(facts, operations, template_state(template))
    return Plan(
        action=NAME,
        target=facts.target,
        parameters=parameters,
        calls=(call,),
        assumptions={**call.assumes, "revision": revision.uid},
        locks=tuple(sorted({facts.target.key, facts.root.key})),
        touches=(rolled(facts, ("/spec/template/spec",), template, outage=True),),
        converged_within=patience(facts.object),
        bounds=stuck_at_most(facts),
        **more,
    )


def choose(facts: Facts, current: Revision, params: Params) -> Revision | Refusal:
    """The newest older revision that differs and was seen healthy, else the newest that differs."""
    revisions = facts[REVISIONS]
    assert isinstance(revisions, tuple)
    running = bare_template(current.template)
    if template_hash(running) in facts.past.chosen:
        return Refusal(
            Reason.NO_REVISION,
            f"{facts.target} already runs a template that one of our rollbacks chose",
        )
    if template_hash(running) in facts.past.replaced:
        return Refusal(
            Reason.ALREADY_DONE,
            f"{facts.target} was rolled back from this template before, and it was redeployed"
            " since",
        )
    since = min(r.created_at for r in revisions if bare_template(r.template) == running)
    if facts.since - since > params.changed_within:
        age, window = format_duration(facts.since - since), format_duration(params.changed_within)
        why = (
            f"the revision of {facts.target} was {age} old when the alert started; changed_within"
            f" is {window}"
        )
        return Refusal(Reason.NO_REVISION, why)
    others = [r for r in revisions if bare_template(r.template) != running]
    older = [r for r in others if r.number < current.number]
    if not older:
        return Refusal(
            Reason.NO_REVISION, f"{facts.target} has no older revision with a different template"
        )
    return max(older, key=lambda revision: (healthy(revision, facts), revision.number))


def healthy(revision: Revision, facts: Facts) -> bool:
    """Whether the revision was seen healthy: now, by its ReplicaSet, or before, by the journal."""
    return (
        revision.seen_healthy
        or template_hash(bare_template(revision.template)) in facts.past.proved
    )


def without_hash(revision: Revision) -> dict:  # type: ignore[type-arg]
    """The revision's template as the workload had it.

    Without the label that a ReplicaSet's controller adds.
    """
    metadata = dict(revision.template.get("metadata") or {})
    metadata["labels"] = {
        k: v for k, v in (metadata.get("labels") or {}).items() if k != "pod-template-hash"
    }
    return {**revision.template, "metadata": metadata}


ACTION = ActionSpec(
    name=NAME,
    summary=(
        "Roll a Deployment, StatefulSet or DaemonSet back to its last revision with a different"
        " template."
    ),
    manual=__doc__,
    params=Params,
    targets=WORKLOADS,
    calls=ROLLING,
    disruption=(
        "each pod once, within the workload's maxUnavailable; a StatefulSet's stuck pods"
        " immediately"
    ),
    causes=frozenset({"rollout_changed"}),
    sees=frozenset({PODS, REVISIONS}),
    watches=frozenset({PODS, REVISIONS}),
    waives=WAIVES,
    plan=plan,
    next=unblock,
    verify=verify,
    undo=undo,
    restored=restored,
    example="{action: rollback_workload, with: {changed_within: 1h}}",
)
