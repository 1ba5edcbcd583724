"""opt_in: where a group says so, only what is annotated for it is touched."""

from collections.abc import Mapping

from ..model.call import PREFIX
from ..model.facts import Unknown
from ..model.raw import annotations
from ..model.verdict import Reason, Verdict, allow, deny, hold
from .situation import Situation

ENABLED = f"{PREFIX}/enabled"
ANNOTATION = {
    ENABLED: '`"true"`: it may be touched by rules of a group that says `opt_in`; nothing else may be'
}


def check(situation: Situation) -> Verdict:
    """Denies a target that carries the annotation neither itself nor on its namespace."""
    facts = situation.facts
    if not situation.opt_in:
        return allow("opt_in")
    for obj in (facts.object, facts.namespace):
        if isinstance(obj, Mapping) and annotations(obj).get(ENABLED, "").lower() == "true":
            return allow("opt_in")
    if isinstance(facts.namespace, Unknown):
        return hold(
            "opt_in",
            Reason.UNKNOWN_FACT,
            f"cannot read namespace {situation.target.namespace}: {facts.namespace.why}",
        )
    why = f"neither {situation.target} nor its namespace is annotated {ENABLED}, which the group asks for"
    return deny("opt_in", Reason.OPTED_OUT, why)
