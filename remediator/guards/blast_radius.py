"""blast_radius: how many of a workload's ready pods an act may take away at once."""

from collections.abc import Mapping

from ..model.facts import Facts, Unknown
from ..model.raw import ready
from ..model.verdict import Reason, Verdict, allow, deny, hold
from ..sights.pods import PEERS
from .situation import Situation

SEES = frozenset({PEERS})


def check(situation: Situation) -> Verdict:
    """Denies a plan that takes more; unready pods do not count.

    A single pod is not taken while others of its workload that went before it are not replaced: that is waited for.
    """
    plan, facts = situation.plan, situation.facts
    if plan is None or plan.takes == 0:
        return allow("blast_radius")
    pods = facts[PEERS]
    if isinstance(pods, Unknown):
        return hold("blast_radius", Reason.UNKNOWN_FACT, f"cannot count the ready pods: {pods.why}")
    count, radius = sum(map(ready, pods)), situation.limits.blast_radius
    if plan.takes > radius.of(count):
        why = f"it would take {plan.takes} of {count} ready pods at once; blast_radius {radius} permits {radius.of(count)}"
        return deny("blast_radius", Reason.BLAST_RADIUS, why)
    missing = _missing(facts, count)
    if missing and plan.takes + missing > radius.of(count + missing):
        why = f"{missing} of {count + missing} pods of {facts.root} are not ready already; blast_radius {radius} permits no more"
        return hold("blast_radius", Reason.BLAST_RADIUS, why)
    return allow("blast_radius")


def _missing(facts: Facts, count: int) -> int:
    """How many pods the workload beside a pod still waits for."""
    if facts.target.kind != "Pod" or not isinstance(facts.beside, Mapping):
        return 0
    spec, status = facts.beside.get("spec") or {}, facts.beside.get("status") or {}
    return max(0, int(spec.get("replicas", status.get("desiredNumberScheduled", 0))) - count)
