"""How an attempt goes on or ends: given back, applied, cancelled, failed, or on to the next step.

Pure.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from ...model.call import Call
from ...model.decision import Applied, AttemptChange, Climb, Decided, End, Retry
from ...model.plan import Plan
from ...model.remediation import Attempt, Event, Outcome
from ...model.verdict import Reason, Verdict
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule

MARGIN = timedelta(seconds=1)
LOOK_AGAIN = timedelta(seconds=30)
ENDED_BY = {Outcome.INEFFECTIVE: Event.UNPROVED, Outcome.UNKNOWN: Event.LOSE_SIGHT}


def give_back(attempt: Attempt, now: datetime, verdict: Verdict, unsent: bool = False) -> Decided:
    """Nothing more was written: the step is looked at again from the start.

    Further calls, at the next check.

    An approval stays: the next plan needs no other where it has the same digest. Where no call was
    sent, the charge goes.
    """
    if attempt.applied_at is not None:
        answered = attempt.plan.calls[: len(attempt.evidence)]
        shorter = replace(attempt.plan, calls=answered)
        return Applied(
            at=now,
            reason=verdict.reason,
            why=verdict.why,
            until=now + (verdict.retry_after or LOOK_AGAIN),
            change=AttemptChange(
                attempt.id, plan=(shorter, attempt.times), evidence=attempt.evidence
            ),
            unlock=(),
        )
    return Retry(
        at=now,
        reason=verdict.reason,
        why=verdict.why,
        until=now + max(MARGIN, verdict.retry_after or MARGIN),
        change=AttemptChange(attempt.id, outcome=Outcome.CANCELLED),
        unsent=unsent,
    )


def applied(attempt: Attempt, now: datetime, plan: Plan, how: str = "") -> Applied:
    """Every call was answered."""
    return Applied(
        at=now,
        reason=None,
        why=f"done: {plan.summary}{how}; verifying",
        until=now + MARGIN,
        change=AttemptChange(
            attempt.id, applied_at=attempt.applied_at or now, evidence=attempt.evidence
        ),
        unlock=plan.brief,
    )


def cancelled(attempt: Attempt, now: datetime, operator: str) -> End:
    """Somebody said stop: what was done stays, and no further call is sent."""
    change = AttemptChange(attempt.id, outcome=Outcome.CANCELLED, evidence=attempt.evidence)
    return End(event=Event.CANCEL, at=now, reason=Reason.OPERATOR, why=operator, change=change)


def overtaken(attempt: Attempt, call: Call, now: datetime) -> End:
    """Our call took effect, and somebody wrote after it."""
    why = f"our call took effect, and {call.target} was modified after it; leaving it alone"
    change = AttemptChange(attempt.id, outcome=Outcome.OVERTAKEN)
    return End(event=Event.FAIL, at=now, reason=Reason.ASSUMPTION_CHANGED, why=why, change=change)


def next_rung(
    claim: Claim,
    loaded: LoadedRule | None,
    now: datetime,
    outcome: Outcome,
    *,
    reason: Reason,
    why: str,
) -> Climb | End:
    """The last attempt ended so: climbs, or ends as it did.

    A ladder whose rule is gone (None) or changed is not climbed.
    """
    attempt = claim.attempts[-1]
    change = AttemptChange(attempt.id, outcome=outcome)
    rung = attempt.step + 1
    if _has_step(claim, loaded, rung):
        until = now + MARGIN
        return Climb(at=now, reason=reason, why=why, until=until, rung=rung, change=change)
    event = ENDED_BY.get(outcome, Event.FAIL)
    return End(event=event, at=now, reason=reason, why=why, change=change)


def _has_step(claim: Claim, loaded: LoadedRule | None, rung: int) -> bool:
    """Whether the rule, unchanged, has a step there; an undo has one alone."""
    if loaded is None or claim.remediation.undo_of:
        return False
    return loaded.digest == claim.remediation.rule_digest and rung < len(loaded.rule.steps)
