"""pause: holds while somebody has paused everything, the cluster, the namespace or the rule."""

from ..model.verdict import Reason, Verdict, allow, hold
from .situation import Before


def check(situation: Before) -> Verdict:
    """Holds until the pause ends or is resumed."""
    target = situation.target
    scopes = {
        "all",
        f"cluster:{target.cluster}",
        f"namespace:{target.namespace}",
        f"rule:{situation.rule}",
    }
    for pause in situation.pauses:
        if pause.scope in scopes and (pause.until is None or pause.until > situation.now):
            until = f" until {pause.until:%H:%M:%S} UTC" if pause.until else ""
            return hold(
                "pause",
                Reason.PAUSED,
                f"{pause.author} paused {pause.scope}{until}: {pause.reason}",
            )
    return allow("pause")
