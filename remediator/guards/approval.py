"""approval: in mode `approve`, an operator has approved exactly this plan.

An approval is for the plan's digest. If the plan changes, a new approval is needed. With
`approval.two_person`, two different operators must approve.

Verdicts: ask `approval_required`.
"""

from ..model.verdict import Decision, Reason, Verdict, allow
from .guard import Guard
from .situation import Situation


def check(situation: Situation) -> Verdict:
    """Asks for an approval unless the plan's digest was approved."""
    if situation.mode != "approve" or situation.plan is None:
        return allow("approval")
    digest = situation.plan.digest
    if situation.approved_digest == digest:
        return allow("approval")
    changed = "; the plan changed since it was approved" if situation.approved_digest else ""
    return Verdict(
        "approval",
        Decision.APPROVE,
        Reason.APPROVAL_REQUIRED,
        f"needs approval of plan {digest}{changed}",
    )


GUARD = Guard(
    name="approval",
    manual=__doc__,
    set_by="`mode`, `approval`",
    order=160,
    planned=check,
)
