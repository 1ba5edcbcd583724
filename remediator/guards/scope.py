"""scope: what is acted upon, after the climb, is still inside what the rule's group may act on."""

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
