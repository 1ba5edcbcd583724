"""opt_out: annotations on the target, a pod's workload or their namespace that say no.

They only tighten; `ANNOTATIONS` is their documentation.
"""

from collections.abc import Mapping
from typing import Any

from ..model.call import MAX_REPLICAS
from ..model.facts import Unknown
from ..model.raw import annotations, timestamp
from ..model.template import PREFIX
from ..model.verdict import Reason, Verdict, allow, deny, hold
from .guard import Guard
from .situation import Situation

ANNOTATIONS = {
    f"{PREFIX}/disabled": '`"true"`: nothing is done to it',
    f"{PREFIX}/paused-until": "a time (RFC 3339): nothing is done to it before; a time that cannot be read holds",
    f"{PREFIX}/deny": "actions, separated by commas: these are not done to it",
    f"{PREFIX}/allow": "actions, separated by commas: no others are done to it",
    MAX_REPLICAS: "a number: scale_workload gives it no more replicas",
}


def check(situation: Situation) -> Verdict:
    """Denies or holds as the annotations say; an unreadable time holds."""
    for item in situation.touched:
        facts = item.facts
        if isinstance(facts.namespace, Unknown):
            why = f"cannot read namespace {facts.target.namespace}: {facts.namespace.why}"
            return hold("opt_out", Reason.UNKNOWN_FACT, why)
        looked_at = (
            (facts.object, str(facts.target)),
            (facts.beside, str(facts.root)),  # a pod's workload, where the pod is the target
            (facts.namespace, f"namespace {facts.target.namespace}"),
        )
        for obj, what in looked_at:
            verdict = _check(obj, what, situation) if isinstance(obj, Mapping) else None
            if verdict is not None:
                return verdict
    return allow("opt_out")


def _check(obj: Mapping[str, Any], what: str, situation: Situation) -> Verdict | None:
    notes = annotations(obj)
    if notes.get(f"{PREFIX}/disabled", "").lower() == "true":
        return deny("opt_out", Reason.OPTED_OUT, f"{what} is annotated {PREFIX}/disabled")
    denied = {word.strip() for word in notes.get(f"{PREFIX}/deny", "").split(",")}
    if situation.action in denied:
        return deny(
            "opt_out", Reason.OPTED_OUT, f"{what} is annotated {PREFIX}/deny: {situation.action}"
        )
    allowed = notes.get(f"{PREFIX}/allow")
    if allowed is not None and situation.action not in {
        word.strip() for word in allowed.split(",")
    }:
        return deny("opt_out", Reason.OPTED_OUT, f"{what} is annotated {PREFIX}/allow: {allowed}")
    until = notes.get(f"{PREFIX}/paused-until")
    if until is None:
        return None
    try:
        over = timestamp(until)
        paused = over is None or situation.now < over
    except (ValueError, TypeError):
        return hold(
            "opt_out",
            Reason.OPTED_OUT,
            f"{what} is annotated {PREFIX}/paused-until with an unreadable time",
        )
    return hold("opt_out", Reason.OPTED_OUT, f"{what} is paused until {until}") if paused else None


GUARD = Guard(
    name="opt_out",
    manual=__doc__,
    set_by="annotations",
    order=90,
    planned=check,
)
