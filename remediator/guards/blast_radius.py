"""blast_radius: how many of a workload's ready pods an act may take away at once."""

from ..model.facts import Unknown
from ..model.raw import ready
from ..model.verdict import Reason, Verdict, allow, deny, hold
from .situation import Situation


def check(situation: Situation) -> Verdict:
    """Denies a plan that takes more; unready pods do not count."""
    plan, facts = situation.plan, situation.facts
    if plan is None or plan.takes == 0:
        return allow("blast_radius")
    pods = facts.peers
    if isinstance(pods, Unknown):
        return hold("blast_radius", Reason.UNKNOWN_FACT, f"cannot count the ready pods: {pods.why}")
    count, radius = sum(map(ready, pods)), situation.limits.blast_radius
    if plan.takes > radius.of(count):
        why = f"it would take {plan.takes} of {count} ready pods at once; blast_radius {radius} permits {radius.of(count)}"
        return deny("blast_radius", Reason.BLAST_RADIUS, why)
    return allow("blast_radius")
