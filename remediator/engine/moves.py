"""How an attempt goes on or ends, as moves: given back, applied, failed, overtaken, or on to the next rung. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from ..journal_port import AttemptChange, Claim, Move
from ..model.call import Call
from ..model.plan import Plan
from ..model.remediation import Attempt, Event, Outcome
from ..model.verdict import Reason, Verdict
from ..rules.ruleset import Source

MARGIN = timedelta(seconds=1)
LOOK_AGAIN = timedelta(seconds=30)


def give_back(attempt: Attempt, now: datetime, verdict: Verdict, unsent: bool = False) -> Move:
    """Nothing more was written: the rung is looked at again from the start; further calls, at the next check.

    An approval stays: the next plan needs no other where it has the same digest. Where no call was sent, the charge goes.
    """
    if attempt.applied_at is not None:
        answered = attempt.plan.calls[: len(attempt.evidence)]
        shorter = replace(attempt.plan, calls=answered)
        change = AttemptChange(plan=(shorter, attempt.times), evidence=attempt.evidence)
        due = now + (verdict.retry_after or LOOK_AGAIN)
        return Move(
            Event.APPLIED,
            now,
            due=due,
            reason=verdict.reason,
            why=verdict.why,
            attempt=attempt.id,
            change=change,
        )
    return Move(
        Event.CLIMB,
        now,
        due=now + max(MARGIN, verdict.retry_after or MARGIN),
        reason=verdict.reason,
        why=verdict.why,
        attempt=attempt.id,
        change=AttemptChange(outcome=Outcome.CANCELLED),
        unsent=unsent,
    )


def applied(attempt: Attempt, now: datetime, plan: Plan, how: str = "") -> Move:
    change = AttemptChange(applied_at=attempt.applied_at or now, evidence=attempt.evidence)
    why = f"done: {plan.summary}{how}; verifying"
    return Move(
        Event.APPLIED,
        now,
        due=now + MARGIN,
        why=why,
        attempt=attempt.id,
        change=change,
        unlock=plan.brief,
    )


def failed(
    claim: Claim,
    source: Source | None,
    attempt: Attempt,
    now: datetime,
    reason: Reason,
    why: str,
    outcome: Outcome = Outcome.FAILED,
) -> Move:
    """The attempt failed, or nobody can know: the next rung, where there is one, else the end."""
    return next_rung(claim, source, attempt, now, outcome, reason, why)


def next_rung(
    claim: Claim,
    source: Source | None,
    attempt: Attempt,
    now: datetime,
    outcome: Outcome,
    reason: Reason,
    why: str,
) -> Move:
    """Climbs, or ends as the attempt did; a ladder whose rule is gone or changed is not climbed."""
    change = AttemptChange(outcome=outcome)
    loaded = (
        source is not None
        and source.digest == claim.remediation.rule_digest
        and not claim.remediation.undo_of
    )
    if loaded and source is not None and attempt.step + 1 < len(source.rule.steps):
        return Move(
            Event.CLIMB,
            now,
            due=now + MARGIN,
            reason=reason,
            why=why,
            rung=attempt.step + 1,
            attempt=attempt.id,
            change=change,
            clear_approval=True,
        )
    event = {Outcome.INEFFECTIVE: Event.UNPROVED, Outcome.UNKNOWN: Event.LOSE_SIGHT}.get(
        outcome, Event.FAIL
    )
    return Move(event, now, reason=reason, why=why, attempt=attempt.id, change=change)


def overtaken(attempt: Attempt, call: Call, now: datetime) -> Move:
    why = f"our call took effect, and {call.target} was modified after it; leaving it alone"
    change = AttemptChange(outcome=Outcome.OVERTAKEN)
    return Move(
        Event.FAIL,
        now,
        reason=Reason.ASSUMPTION_CHANGED,
        why=why,
        attempt=attempt.id,
        change=change,
    )
