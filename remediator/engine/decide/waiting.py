"""What follows for a waiting remediation from its age, its rule, and a verdict. Pure."""

from collections.abc import Callable
from datetime import datetime, timedelta

from ...model.decision import Ask, Decided, End, Hold
from ...model.duration import format_duration
from ...model.look import Look
from ...model.notice import Notice
from ...model.plan import Plan
from ...model.remediation import Event, Outcome, State
from ...model.verdict import Decision, Reason, Verdict, strongest
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ...rules.schema import Rule
from ..messages import message
from .assess import LOOK_AGAIN

LEAST_WAIT = timedelta(seconds=1)
RENEW = timedelta(seconds=30)  # how often a plan that waits for approval is renewed
FIRST_RENEWAL = timedelta(seconds=15)
Link = Callable[[str, str, datetime], str]


def ended(claim: Claim, loaded: LoadedRule | None, now: datetime) -> End | None:
    """What ends it before anything is observed."""
    remediation = claim.remediation
    if remediation.cancel_by:
        why = remediation.cancel_by
        return End(event=Event.CANCEL, at=now, reason=Reason.OPERATOR, why=why)
    if loaded is None or loaded.digest != remediation.rule_digest:
        gone = "was removed" if loaded is None else "was changed"
        why = f"rule {remediation.rule} {gone}"
        return End(event=Event.SUPERSEDE, at=now, reason=Reason.RULE_CHANGED, why=why)
    if not any(episode.open for episode in claim.episodes):
        what = "the next step started" if claim.attempts else "any change was made"
        return resolved(now, f"the alert resolved before {what}")
    return _too_old(claim, loaded.rule, now)


def resolved(now: datetime, why: str) -> End:
    """Nothing is left to repair, unless another of its alerts is firing."""
    return End(event=Event.CANCEL, at=now, reason=Reason.RESOLVED, why=why, unless_firing=True)


def _too_old(claim: Claim, rule: Rule, now: datetime) -> End | None:
    """It passed its deadline, was held for too long, or was not approved in time."""
    remediation = claim.remediation
    expire = _after_attempts(claim, Event.EXPIRE)
    held = remediation.state is State.HELD
    asking = remediation.state is State.AWAITING_APPROVAL
    if now - remediation.created_at > rule.deadline:
        last = remediation.reason if held else Reason.APPROVAL_EXPIRED if asking else None
        why = f"deadline of {format_duration(rule.deadline)} passed; last reason: {remediation.why}"
        return End(event=expire, at=now, reason=last or Reason.DEADLINE, why=why)
    held_for = now - remediation.held_since if remediation.held_since else timedelta()
    if held and held_for > rule.expire:
        why = f"held for {format_duration(held_for)}: {remediation.why}"
        return End(event=expire, at=now, reason=remediation.reason, why=why)
    waited = now - remediation.changed_at
    if asking and not remediation.approved_digest and waited > rule.approval.expires:
        why = f"no decision within {format_duration(rule.approval.expires)}"
        return End(event=expire, at=now, reason=Reason.APPROVAL_EXPIRED, why=why)
    return None


def _after_attempts(claim: Claim, otherwise: Event) -> Event:
    """A ladder that cannot continue ends like its last attempt. An attempt given back before its
    call does not count.
    """
    tried = [attempt for attempt in claim.attempts if attempt.outcome is not Outcome.CANCELLED]
    if not tried:
        return otherwise
    return Event.UNPROVED if tried[-1].outcome is Outcome.INEFFECTIVE else Event.FAIL


def by_verdict(
    claim: Claim,
    loaded: LoadedRule,
    verdict: Verdict,
    look: Look,
    *,
    link: Link | None,
) -> Decided:
    """What follows from a verdict other than allow."""
    now, why = look.at, verdict.why
    if verdict.reason is Reason.OBSERVE_MODE:
        # what it would have done, or what would have kept it from that
        against = _against(look) or verdict
        event = _after_attempts(claim, Event.OBSERVE)
        return End(event=event, at=now, reason=against.reason, why=against.why, look=look)
    if verdict.reason is Reason.OPERATOR:
        return End(event=Event.CANCEL, at=now, reason=verdict.reason, why=why, look=look)
    if verdict.decision is Decision.DENY:
        only_observes = _observes(loaded.rule, claim.remediation.rung)
        event = _after_attempts(claim, Event.OBSERVE if only_observes else Event.BLOCK)
        return End(event=event, at=now, reason=verdict.reason, why=why, look=look)
    if verdict.decision is Decision.APPROVE and look.plan is not None:
        return _ask(claim, loaded.rule, verdict, look, plan=look.plan, link=link)
    wait = max(verdict.retry_after or LOOK_AGAIN, LEAST_WAIT)
    until = max(now + LEAST_WAIT, min(now + wait, _over(claim, loaded.rule, now)))
    return Hold(at=now, reason=verdict.reason, why=why, until=until, look=look)


def _over(claim: Claim, rule: Rule, now: datetime) -> datetime:
    """When it ends if it is still held then."""
    remediation = claim.remediation
    return min(
        (remediation.held_since or now) + rule.expire, remediation.created_at + rule.deadline
    )


def _observes(rule: Rule, rung: int) -> bool:
    """Whether no step that is left would act."""
    return rule.mode == "observe" or all(step.mode == "observe" for step in rule.steps[rung:])


def _against(look: Look) -> Verdict | None:
    """What would have stopped an observing rule from acting; None if nothing would."""
    found = strongest([v for v in look.verdicts if v.reason is not Reason.OBSERVE_MODE])
    return found if found.decision in (Decision.HOLD, Decision.DENY) else None


def _ask(
    claim: Claim,
    rule: Rule,
    verdict: Verdict,
    look: Look,
    *,
    plan: Plan,
    link: Link | None,
) -> Ask:
    """Asks for approval once per plan, and again if the plan changed."""
    now, remediation, expires = look.at, claim.remediation, rule.approval.expires
    new = remediation.asked_digest != plan.digest or bool(remediation.approved_digest)
    until = now + FIRST_RENEWAL
    if not new:
        until = max(until, min(now + RENEW, remediation.changed_at + expires + LEAST_WAIT))
    question = _question(claim, verdict, plan, now + expires, link=link) if new else None
    return Ask(
        at=now, reason=verdict.reason, why=verdict.why, until=until, look=look, question=question
    )


def _question(
    claim: Claim, verdict: Verdict, plan: Plan, until: datetime, *, link: Link | None
) -> Notice:
    remediation = claim.remediation
    return message(
        remediation,
        State.AWAITING_APPROVAL,
        verdict.reason or "",
        verdict.why,
        plan=plan.summary,
        digest=plan.digest,
        approve=f"remediator approve {remediation.id} --digest {plan.digest}",
        link=link(remediation.id, plan.digest, until) if link else "",
    )
