"""grace: for a while after a start, what was pending before is let settle:
bulk delivery is no new trouble.
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
