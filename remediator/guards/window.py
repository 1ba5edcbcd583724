"""window: holds outside the rule's active time intervals, and inside those that mute it.

`windows.active` names intervals in which the rule may act; `windows.mute` names intervals in which
it never does, such as a change freeze. Mute wins. Intervals have the format of Alertmanager's
`time_intervals`. The verdict becomes invalid at the next boundary, so the remediation is
re-evaluated then.

Verdicts: hold `outside_window`.
"""

from datetime import timedelta

from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Before

LOOK_AGAIN = timedelta(minutes=1)  # what intervals are made of


def check(situation: Before) -> Verdict:
    """Holds outside the active intervals, and inside the muting ones."""
    now = situation.now
    for interval in situation.mute:
        if interval.contains(now):
            return hold(
                "window",
                Reason.OUTSIDE_WINDOW,
                f"time interval {interval.name} mutes the rule",
                _until_next_minute(situation),
            )
    if situation.active and not any(interval.contains(now) for interval in situation.active):
        names = ", ".join(interval.name for interval in situation.active)
        return hold(
            "window",
            Reason.OUTSIDE_WINDOW,
            f"outside the rule's active time intervals ({names})",
            _until_next_minute(situation),
        )
    return allow("window")


def _until_next_minute(situation: Before) -> timedelta:
    return LOOK_AGAIN - timedelta(
        seconds=situation.now.second, microseconds=situation.now.microsecond
    )


GUARD = Guard(
    name="window",
    manual=__doc__,
    set_by="`windows`",
    order=20,
    first=check,
    planned=check,
)
