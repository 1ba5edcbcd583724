"""grace: for a while after a start, alerts from before the start wait.

After downtime Alertmanager delivers many alerts at once, some of them outdated. They wait for
`startup_grace`, so that those that have resolved are dropped. Alerts that start later do not wait.

Verdicts: hold `startup_grace`.
"""

from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Before


def check(situation: Before) -> Verdict:
    """Holds an alert that began before the daemon did, until the grace period is over."""
    over = situation.started_at + situation.process.grace
    old_news = any(episode.alert.starts_at < situation.started_at for episode in situation.episodes)
    if old_news and situation.now < over:
        return hold(
            "grace",
            Reason.STARTUP_GRACE,
            "the alert started before the daemon, which has just started",
            over - situation.now,
        )
    return allow("grace")


GUARD = Guard(
    name="grace",
    manual=__doc__,
    set_by="`startup_grace`",
    order=50,
    first=check,
    planned=check,
)
