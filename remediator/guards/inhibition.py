"""inhibition: holds while an alert that the rule's `unless` matches is firing.

If a node is down or a dependency fails, restarting the workloads that depend on it does not help.

Verdicts: hold `inhibited`, or `unknown_fact` if it cannot be determined.
"""

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
