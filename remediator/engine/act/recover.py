"""Handles a call that was in flight at a crash or a timeout.

Its object is read once the call can no longer take effect. It is never sent again blindly.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from ...model.call import Call, Effect, Evidence, bound, effect, version_of
from ...model.decision import Decided, Wait
from ...model.duration import format_duration
from ...model.facts import Facts, Unknown
from ...model.plan import Plan
from ...model.pointer import Object, view
from ...model.remediation import Attempt, Outcome
from ...model.verdict import Decision, Reason, Verdict
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ...telemetry import log
from ..doors import Doors
from ..see.observe import observe
from .execute import SEND_WITHIN, ask_outside, execute
from .ladder import LOOK_AGAIN, MARGIN, applied, cancelled, give_back, next_rung, overtaken
from .send import call_id, object_of

IN_FLIGHT = "waiting until a call in flight can no longer take effect"
WITHDRAWN = "the rule was removed while a call was in flight; no further calls are sent"
Again = Callable[[Facts], Plan | None]


async def recover(
    doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime, *, again: Again
) -> Decided:
    """Finds out whether the call took effect, and continues with the calls that are left.

    `again` plans again; the call is only sent if that is exactly the plan of the attempt.
    """
    attempt = claim.attempts[-1]
    sent = call_id(attempt, len(attempt.evidence))
    call = bound(attempt.plan.calls[len(attempt.evidence)], sent)
    settled = attempt.sent_by + call.timeout + MARGIN
    # read any earlier, a missing effect would prove nothing
    if now < settled:
        reason = claim.remediation.reason
        return Wait(at=now, reason=reason, why=IN_FLIGHT, until=settled)
    found = _became(claim, loaded, call, sent, obj=await object_of(doors, call), now=now)
    if not isinstance(found, Attempt):
        return found
    if loaded is None:
        reason = Reason.RULE_CHANGED
        return next_rung(claim, None, now, Outcome.UNKNOWN, reason=reason, why=WITHDRAWN)
    return await _send_again(doors, claim, loaded, found, again=again)


def _became(
    claim: Claim,
    loaded: LoadedRule | None,
    call: Call,
    sent: str,
    *,
    obj: Object | Unknown | None,
    now: datetime,
) -> Decided | Attempt:
    """What follows from the object as it is now; the attempt, if calls are still to be sent."""
    attempt, remediation = claim.attempts[-1], claim.remediation
    if isinstance(obj, Unknown):
        return _cannot_see(claim, loaded, obj, now)
    match effect(call, sent, obj):
        case Effect.OVERTAKEN:
            return overtaken(attempt, call, now)
        case Effect.PROVED:
            log().info("call_confirmed", remediation_id=remediation.id, action=attempt.action)
            left = view(obj, call.leaves) if obj is not None else {}
            attempt = replace(attempt, evidence=(*attempt.evidence, Evidence(200, sent, left)))
            if len(attempt.evidence) == len(attempt.plan.calls):
                return applied(attempt, now, attempt.plan, " (found applied after an interruption)")
            if remediation.cancel_by:
                return cancelled(attempt, now, remediation.cancel_by)
        # only now: what was proved needs no decision about sending again
        case Effect.ABSENT:
            return _did_not_land(claim, loaded, call, obj, now=now) or attempt
    return attempt


def _too_late(attempt: Attempt, loaded: LoadedRule | None, now: datetime) -> bool:
    expire = loaded.rule.expire if loaded else timedelta()
    return now - attempt.begun_at > attempt.times.converged_within + expire


def _cannot_see(claim: Claim, loaded: LoadedRule | None, obj: Unknown, now: datetime) -> Decided:
    reason = Reason.UNKNOWN_FACT
    if claim.remediation.cancel_by or _too_late(claim.attempts[-1], loaded, now):
        why = f"cannot confirm whether the call took effect: {obj.why}"
        return next_rung(claim, None, now, Outcome.UNKNOWN, reason=reason, why=why)
    return Wait(at=now, reason=reason, why=obj.why, until=now + LOOK_AGAIN)


def _did_not_land(
    claim: Claim,
    loaded: LoadedRule | None,
    call: Call,
    obj: Object | None,
    *,
    now: datetime,
) -> Decided | None:
    """Why a call that did not take effect is not sent again; None if it may be."""
    attempt, remediation = claim.attempts[-1], claim.remediation
    failed = Outcome.FAILED
    if obj is None and call.verb != "create" and call.proof != "gone":
        why = f"{call.target} no longer exists"
        return next_rung(claim, None, now, failed, reason=Reason.TARGET_GONE, why=why)
    if remediation.cancel_by:
        return cancelled(attempt, now, remediation.cancel_by)
    # a patch was planned for one version of the object; it must not be sent to another
    if call.verb == "patch" and obj is not None and version_of(obj) != call.seen:
        why = f"{call.target} was modified by someone else while a call was in flight"
        return next_rung(claim, None, now, failed, reason=Reason.ASSUMPTION_CHANGED, why=why)
    if loaded is not None and _too_late(attempt, loaded, now):
        tried = format_duration(now - attempt.begun_at)
        why = (
            f"{call.describe()} was tried for {tried} and did not take effect; last reason:"
            f" {remediation.why}"
        )
        return next_rung(claim, loaded, now, failed, reason=Reason.DEADLINE, why=why)
    return None


async def _send_again(
    doors: Doors, claim: Claim, loaded: LoadedRule, attempt: Attempt, *, again: Again
) -> Decided:
    """Continues with the calls that are left. The first one is planned again, since the journal
    stores it without secrets.
    """
    plan: Plan | None = attempt.plan
    # the target is unchanged by us so far, so planning again must give the same plan
    if not attempt.evidence:
        now = doors.clock.now()
        plan = again(await observe(doors, claim.remediation, loaded, now, live=True))
        digests = (attempt.digest, attempt.plan.digest)  # an older version may count otherwise
        if plan is None or plan.digest not in digests:
            why = "the plan changed since the attempt started"
            changed = Verdict("plan", Decision.HOLD, Reason.ASSUMPTION_CHANGED, why)
            return give_back(attempt, doors.clock.now(), changed)
    assert plan is not None
    seen = await ask_outside(doors, claim, loaded)
    log().info("call_sent_again", remediation_id=claim.remediation.id, action=attempt.action)
    attempt = replace(attempt, sent_by=doors.clock.now() + SEND_WITHIN)
    cancelled_by = await doors.journal.send(claim.remediation, attempt)
    if cancelled_by:
        return cancelled(attempt, doors.clock.now(), cancelled_by)
    going_on = replace(claim, attempts=(*claim.attempts[:-1], attempt))
    return await execute(doors, going_on, loaded, plan, seen=seen)
