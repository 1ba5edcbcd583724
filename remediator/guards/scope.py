"""scope: the target, and everything else the plan changes, is inside the group's scope.

A rule's group says in which `namespaces`, or on which `nodes`, it may act. The guard checks the
object that is acted on, such as the Deployment that owns the alert's pod, so a label cannot lead
outside.

Verdicts: deny `out_of_scope`.
"""

from ..model.verdict import Reason, Verdict, allow, deny
from .guard import Guard
from .situation import Undoing


def check(situation: Undoing) -> Verdict:
    """Denies what is outside."""
    if not situation.outside:
        return allow("scope")
    why = f"{situation.outside[0]} is outside the scope of the group of {situation.rule}"
    return deny("scope", Reason.OUT_OF_SCOPE, why)


GUARD = Guard(
    name="scope",
    manual=__doc__,
    set_by="`groups[].scope`",
    order=60,
    planned=check,
    undo=check,
)
