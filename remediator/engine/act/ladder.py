"""How an attempt continues or ends: given back, applied, cancelled, failed, next step. Pure."""

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
    """Nothing more was written: the step is evaluated again, and further calls at the next check.

    An approval stays valid for a plan with the same digest. If no call was sent, the charge is
    refunded.
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
    """Every call was answered that was to be made now; bounds leave room for others."""
    made = "under way" if plan.bounds else "done"
    return Applied(
        at=now,
        reason=None,
        why=f"{made}: {plan.summary}{how}; verifying",
        until=now + MARGIN,
        change=AttemptChange(
            attempt.id, applied_at=attempt.applied_at or now, evidence=attempt.evidence
        ),
        unlock=plan.brief,
    )


def cancelled(attempt: Attempt, now: datetime, operator: str) -> End:
    """An operator cancelled it: no further call is sent, and what was done stays."""
    change = AttemptChange(attempt.id, outcome=Outcome.CANCELLED, evidence=attempt.evidence)
    return End(event=Event.CANCEL, at=now, reason=Reason.OPERATOR, why=operator, change=change)


def overtaken(attempt: Attempt, call: Call, now: datetime) -> End:
    """Our call took effect, and someone modified the object after it."""
    why = f"our call took effect, and {call.target} was modified after it; leaving it alone"
    change = AttemptChange(attempt.id, outcome=Outcome.OVERTAKEN)
    return End(event=Event.FAIL, at=now, reason=Reason.ASSUMPTION_CHANGED, why=why, change=change)


def next_rung(
    claim: Claim,
    loaded: LoadedRule | None,
    now: datetime,
    outcome: Outcome,
    *,
    reason: Reason | None,
    why: str,
) -> Climb | End:
    """The next step of the ladder, or the end if there is none. A ladder whose rule was removed
    (None) or changed does not continue.
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
    """Whether the rule, unchanged, has this step. An undo has only one."""
    if loaded is None or claim.remediation.undo_of:
        return False
    return loaded.digest == claim.remediation.rule_digest and rung < len(loaded.rule.steps)
