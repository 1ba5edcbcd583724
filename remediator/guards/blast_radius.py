"""blast_radius: limits how many ready pods of a workload are taken down at once.

`limits.blast_radius` is a percentage of the ready pods, a number, or both. Pods that are not ready
do not count as taken down, but they count against a plan that takes pods one by one: it waits until
earlier ones have been replaced. The last ready pod is never taken unless the action sets
`allow_outage`.

Verdicts: deny `blast_radius`; hold `blast_radius` while pods are missing; deny `would_interrupt`
for the last ready pod; hold `unknown_fact` if the pods cannot be counted.
"""

from collections.abc import Mapping

from ..kinds import DAEMON_SET, POD
from ..model.facts import Facts, Unknown
from ..model.limit import Radius
from ..model.plan import Touch
from ..model.pointer import at
from ..model.raw import ready, spec_of, status_of
from ..model.verdict import Reason, Verdict, allow, deny, hold
from ..sights.pods import PEERS, Pods
from .guard import Guard
from .situation import Situation, Touched


def check(situation: Situation) -> Verdict:
    """Denies a plan that takes more; unready pods do not count.

    A single pod is not taken while others of its workload that went before it are not replaced:
    that is waited for. The last ready pod of a workload goes only where the plan permits an outage.
    """
    for item in situation.touched if situation.plan is not None else ():
        verdict = _check(item, situation.limits.blast_radius) if item.touch.takes else None
        if verdict is not None:
            return verdict
    return allow("blast_radius")


def _check(item: Touched, radius: Radius) -> Verdict | None:
    touch, facts = item.touch, item.facts
    pods = facts[PEERS]
    if isinstance(pods, Unknown):
        why = f"cannot count the ready pods of {facts.root}: {pods.why}"
        return hold("blast_radius", Reason.UNKNOWN_FACT, why)
    count, permitted = sum(map(ready, pods)), radius.of(sum(map(ready, pods)))
    if touch.takes > permitted:
        why = f"it would take down {touch.takes} of {count} ready pods of {facts.root} at once"
        why = f"{why}; blast_radius {radius} allows {permitted}"
        return deny("blast_radius", Reason.BLAST_RADIUS, why)
    missing = _missing(touch, facts, pods, count)
    if missing and touch.takes + missing > radius.of(count + missing):
        why = f"{missing} of {count + missing} pods of {facts.root} are already not ready"
        why = f"{why}; blast_radius {radius} allows no more"
        return hold("blast_radius", Reason.BLAST_RADIUS, why)
    # they stand in for each other
    alike = DAEMON_SET.name not in (facts.target.kind, facts.root.kind)
    if touch.takes >= count and alike and not touch.outage:
        why = f"it would take down the last ready pod of {facts.root}"
        return deny("blast_radius", Reason.WOULD_INTERRUPT, why)
    return None


def _missing(touch: Touch, facts: Facts, pods: Pods, count: int) -> int:
    """How many pods a workload still waits for, where single pods
    of it are taken one after the other.

    Those that are unready on the very node that they leave are waited for elsewhere.
    """
    pod = facts.target.kind == POD.name
    workload = facts.beside if pod else facts.object
    if not (pod or touch.waits) or not isinstance(workload, Mapping):
        return 0
    spec, status = spec_of(workload), status_of(workload)
    wanted = int(spec.get("replicas", status.get("desiredNumberScheduled", 0)))
    left = [p for p in pods if touch.away_from and at(p, "/spec/nodeName") == touch.away_from]
    return max(0, wanted - count - sum(not ready(pod) for pod in left))


GUARD = Guard(
    name="blast_radius",
    manual=__doc__,
    set_by="`limits.blast_radius`",
    order=110,
    planned=check,
    sees_pods=frozenset({PEERS}),
)
