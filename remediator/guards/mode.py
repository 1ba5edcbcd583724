"""mode: a rule in mode `observe` never acts.

Asked last, so that the verdicts of all other guards are recorded too: `remediator show` tells what
the rule would have done, and what would have stopped it.

Verdicts: deny `observe_mode`.
"""

from ..model.verdict import Reason, Verdict, allow, deny
from .guard import Guard
from .situation import Situation


def check(situation: Situation) -> Verdict:
    """Denies in observe mode, last of all, so that every other verdict is seen too."""
    if situation.mode == "observe":
        would = f"; it would {situation.plan.summary}" if situation.plan else ""
        return deny("mode", Reason.OBSERVE_MODE, f"rule {situation.rule} is in observe mode{would}")
    return allow("mode")


GUARD = Guard(
    name="mode",
    manual=__doc__,
    set_by="`mode`",
    order=170,
    planned=check,
)
