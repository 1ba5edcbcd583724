"""scope: the climbed target is still inside what the rule's group may act on."""

from ..model.verdict import Reason, Verdict, allow, deny
from .situation import Undoing


def check(situation: Undoing) -> Verdict:
    """Denies a target outside."""
    if situation.in_scope:
        return allow("scope")
    return deny(
        "scope",
        Reason.OUT_OF_SCOPE,
        f"{situation.target} is outside the scope of the group of {situation.rule}",
    )
