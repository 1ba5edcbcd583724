"""inhibition: an alert that the rule's `unless` names is firing, so the trouble is elsewhere."""

from ..model.facts import Unknown
from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Situation


def check(situation: Situation) -> Verdict:
    """Holds while such an alert fires, or while that cannot be known."""
    if isinstance(situation.inhibitor, Unknown):
        return hold(
            "inhibition",
            Reason.UNKNOWN_FACT,
            f"cannot tell whether `unless` applies: {situation.inhibitor.why}",
        )
    if situation.inhibitor:
        return hold("inhibition", Reason.INHIBITED, f"{situation.inhibitor} is also firing")
    return allow("inhibition")


GUARD = Guard(
    name="inhibition",
    manual=__doc__,
    set_by="`unless`",
    order=140,
    planned=check,
)
