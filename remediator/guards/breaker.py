"""breaker: a rule whose last remediations did not help needs approval, whatever its mode.

The circuit breaker opens when `breaker.bad` of the rule's last `breaker.of` remediations failed or
did not help. It closes after `breaker.quiet` without a bad outcome, or by `remediator reset RULE`.

Verdicts: ask `breaker_open`.
"""

from collections.abc import Sequence
from datetime import datetime

from ..model.duration import format_duration
from ..model.limit import BreakerLimit
from ..model.usage import Ended, Usage
from ..model.verdict import Decision, Reason, Verdict, allow
from .guard import Guard
from .situation import Situation


def open_since(limit: BreakerLimit, ends: Sequence[Ended], now: datetime) -> datetime | None:
    """Since when it is open: the newest bad end, where there are too many among the last.

    None while it is closed.
    """
    last = sorted(
        (end for end in ends if end.good is not None), key=lambda end: end.at, reverse=True
    )[: limit.of]
    bad = [end.at for end in last if not end.good]
    if not limit.bad or len(bad) < limit.bad or now - bad[0] >= limit.quiet:
        return None
    return bad[0]


def why(limit: BreakerLimit, rule: str) -> str:
    """In words."""
    return (
        f"{limit.bad} or more of the last {limit.of} remediations of {rule} did not help or failed"
    )


def check(situation: Situation, usage: Usage) -> Verdict:
    """Asks for an approval of the plan while the breaker is open."""
    limit, plan = situation.process.breaker, situation.plan
    since = open_since(limit, usage.ends, situation.now)
    if since is None or (plan is not None and situation.approved_digest == plan.digest):
        return allow("breaker")
    left = format_duration(since + limit.quiet - situation.now)
    text = (
        f"{why(limit, situation.rule)}; approval is required (until `remediator reset"
        f" {situation.rule}`, or {left} without a bad outcome)"
    )
    return Verdict("breaker", Decision.APPROVE, Reason.BREAKER_OPEN, text)


GUARD = Guard(
    name="breaker",
    manual=__doc__,
    set_by="settings `breaker`",
    order=270,
    begin=lambda situation, usage: [check(situation, usage)],
)
