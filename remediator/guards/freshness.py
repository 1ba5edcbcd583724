"""freshness: the alert was confirmed active recently, and has been firing for long enough.

An alert that nothing has confirmed within `max_age` is not acted on: webhooks may be late, and
resolved notifications may be lost. `pending` adds a minimum firing time on top of the alert's own
`for`.

Verdicts: hold `not_active` if every alert has resolved, or none was confirmed recently enough; hold
`too_recent` if the alert has not been firing for long enough.
"""

from datetime import timedelta

from ..model.alert import Activity
from ..model.duration import format_duration
from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Situation


def check(situation: Situation) -> Verdict:
    """Holds while nothing confirms the alert, or while it is younger than `pending`."""
    still_open = [episode for episode in situation.episodes if episode.open]
    if not still_open:
        return hold("freshness", Reason.NOT_ACTIVE, "every alert of this remediation has resolved")
    active_now = situation.activity is Activity.ACTIVE  # its Alertmanager has just confirmed it
    age = (
        timedelta()
        if active_now
        else situation.now - max(episode.confirmed_at for episode in still_open)
    )
    if age > situation.max_age:
        return hold(
            "freshness", Reason.NOT_ACTIVE, f"last confirmed active {format_duration(age)} ago"
        )
    started = min(episode.alert.starts_at for episode in still_open)
    firing = max(timedelta(), situation.now - started)  # its clock may be ahead of ours
    if firing < situation.pending:
        left = situation.pending - firing
        why = (
            f"firing for {format_duration(firing)}; the rule requires"
            f" {format_duration(situation.pending)}"
        )
        return hold("freshness", Reason.TOO_RECENT, why, max(left, timedelta(seconds=1)))
    return allow("freshness")


GUARD = Guard(
    name="freshness",
    manual=__doc__,
    set_by="`max_age`, `pending`",
    order=30,
    planned=check,
)
