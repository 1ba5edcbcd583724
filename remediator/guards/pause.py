"""pause: holds while everything, or the target's cluster, namespace or rule, is paused.

Set by `remediator pause SCOPE --reason TEXT [--for 2h]`; lifted by `remediator resume SCOPE`, or
when its time is up. A pause holds new attempts. An attempt in progress is finished and verified.

Verdicts: hold `paused`, with who paused what, until when and why.
"""

from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Before


def check(situation: Before) -> Verdict:
    """Holds until the pause ends or is resumed."""
    scopes = {"all", f"rule:{situation.rule}"}
    for target in situation.objects:
        scopes |= {f"cluster:{target.cluster}", f"namespace:{target.namespace}"}
    for pause in situation.pauses:
        if pause.scope in scopes and pause.lasts(situation.now):
            until = f" until {pause.until:%H:%M:%S} UTC" if pause.until else ""
            why = f"{pause.author} paused {pause.scope}{until}: {pause.reason}"
            return hold("pause", Reason.PAUSED, why)
    return allow("pause")


GUARD = Guard(
    name="pause",
    manual=__doc__,
    set_by="`remediator pause`",
    order=10,
    first=check,
    planned=check,
    undo=check,
)
