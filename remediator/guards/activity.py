"""activity: Alertmanager lists the alert as active now, not silenced or inhibited.

Every instance of the source's Alertmanager is queried just before an attempt and again before each
write. If no Alertmanager is configured for the source, or none can be queried, nothing acts.

Verdicts: hold `not_active`, `silenced`, `inhibited`, or `unknown_fact` if it cannot be queried.
"""

from ..model.alert import Activity
from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Situation

HELD = {
    Activity.SILENCED: (Reason.SILENCED, "the alert is silenced in Alertmanager"),
    Activity.INHIBITED: (Reason.INHIBITED, "the alert is inhibited in Alertmanager"),
    Activity.NOT_LISTED: (Reason.NOT_ACTIVE, "Alertmanager does not list the alert as active"),
    Activity.UNKNOWN: (
        Reason.UNKNOWN_FACT,
        "cannot ask Alertmanager whether the alert is still active",
    ),
}


def check(situation: Situation) -> Verdict:
    """Holds unless the alert is active."""
    if situation.activity in HELD:
        reason, why = HELD[situation.activity]
        return hold("activity", reason, why)
    return allow("activity")


GUARD = Guard(
    name="activity",
    manual=__doc__,
    set_by="`sources[].alertmanager`",
    order=40,
    planned=check,
)
