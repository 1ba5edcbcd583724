"""opt_out: annotations on the target, a pod's workload, or their namespace can forbid an action.

The reference page Annotations lists them. They can only restrict what rules allow, never extend it.
An annotation that cannot be parsed holds.

Verdicts: deny `opted_out`, or hold until the time of `paused-until`; hold `unknown_fact` if an
object cannot be read.
"""

from collections.abc import Mapping
from typing import Any

from ..model.annotations import against, paused
from ..model.call import MAX_REPLICAS
from ..model.facts import Unknown
from ..model.template import PREFIX
from ..model.verdict import Reason, Verdict, allow, deny, hold
from .guard import Guard
from .situation import Situation

ANNOTATIONS = {
    f"{PREFIX}/disabled": '`"true"`: never act on it',
    f"{PREFIX}/paused-until": (
        "a time (RFC 3339): do not act on it before then; an unreadable time holds"
    ),
    f"{PREFIX}/deny": "comma-separated actions that are forbidden on it",
    f"{PREFIX}/allow": "comma-separated actions; no others are allowed on it",
    MAX_REPLICAS: "a number: scale_workload never exceeds this many replicas",
}


def check(situation: Situation) -> Verdict:
    """Denies or holds as the annotations say; what cannot be read, or an unreadable time, holds."""
    for item in situation.touched:
        facts = item.facts
        looked_at = (
            (facts.object, str(facts.target)),
            (facts.beside, str(facts.root)),  # a pod's workload, where the pod is the target
            (facts.namespace, f"namespace {facts.target.namespace}"),
        )
        for obj, what in looked_at:
            if isinstance(obj, Unknown):
                return hold("opt_out", Reason.UNKNOWN_FACT, f"cannot read {what}: {obj.why}")
        for obj, what in looked_at:
            verdict = of(obj, what, situation) if isinstance(obj, Mapping) else None
            if verdict is not None:
                return verdict
    return allow("opt_out")


def of(obj: Mapping[str, Any], what: str, situation: Situation) -> Verdict | None:
    """What the annotations of one object say, where they say no."""
    why = against(obj, situation.action)
    if why:
        return deny("opt_out", Reason.OPTED_OUT, f"{what} {why}")
    why = paused(obj, situation.now)
    return hold("opt_out", Reason.OPTED_OUT, f"{what} {why}") if why else None


GUARD = Guard(
    name="opt_out",
    manual=__doc__,
    set_by="annotations",
    order=90,
    planned=check,
)
