"""opt_in: in a group with `scope.opt_in: true`, only annotated objects are changed.

The annotation is `remediator.io/enabled: "true"`, on the object or on its namespace.

Verdicts: deny `opted_out`; hold `unknown_fact` if the namespace cannot be read.
"""

from collections.abc import Mapping

from ..model.facts import Facts, Unknown
from ..model.raw import annotations
from ..model.template import PREFIX
from ..model.verdict import Reason, Verdict, allow, deny, hold
from .guard import Guard
from .situation import Situation

ENABLED = f"{PREFIX}/enabled"
ANNOTATION = {
    ENABLED: (
        '`"true"`: rules of a group with `opt_in: true` may act on it (and on nothing without it)'
    )
}


def check(situation: Situation) -> Verdict:
    """Denies what carries the annotation neither itself nor on its namespace."""
    for item in situation.apart if situation.opt_in else ():
        verdict = _check(item.facts)
        if verdict is not None:
            return verdict
    return allow("opt_in")


def _check(facts: Facts) -> Verdict | None:
    for obj in (facts.object, facts.namespace):
        if isinstance(obj, Mapping) and annotations(obj).get(ENABLED, "").lower() == "true":
            return None
    for obj, what in (
        (facts.object, str(facts.target)),
        (facts.namespace, f"namespace {facts.target.namespace}"),
    ):
        if isinstance(obj, Unknown):
            return hold("opt_in", Reason.UNKNOWN_FACT, f"cannot read {what}: {obj.why}")
    why = (
        f"neither {facts.target} nor its namespace has annotation {ENABLED}, which the group"
        " requires"
    )
    return deny("opt_in", Reason.OPTED_OUT, why)


GUARD = Guard(
    name="opt_in",
    manual=__doc__,
    set_by="`scope.opt_in`",
    order=80,
    planned=check,
)
