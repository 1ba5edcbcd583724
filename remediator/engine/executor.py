"""The only code that has calls applied: intent durable, assumptions read again, apply, evidence durable; and recovery."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..actions import ACTIONS
from ..guards import pipeline
from ..journal_port import AttemptChange, Claim, Intent, Move
from ..model.call import Call, Effect, Evidence, bound, effect, version_of
from ..model.duration import format_duration
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Times, redacted
from ..model.pointer import view
from ..model.remediation import Attempt, Event, Outcome, State
from ..model.target import target_of
from ..model.usage import Usage
from ..model.verdict import Decision, Reason, Verdict, hold, strongest
from ..rules.lookback import resolved_within
from ..rules.ruleset import Source
from ..telemetry import log
from . import look as looking
from . import slices
from .doors import Doors
from .look import Look, Outside
from .moves import MARGIN, applied, failed, give_back, next_rung, overtaken
from .sending import Sending, apply, call_id, object_of

SEND_WITHIN = timedelta(seconds=5)
UNSENDABLE = "the journal keeps this call without its secret values, so it cannot be sent again; what was sent before it stays"


async def begin(doors: Doors, claim: Claim, source: Source, seen: Look) -> Verdict | None:
    """Begins the attempt and executes it; the verdict that kept it from beginning, else None."""
    plan = seen.planned.plan
    assert plan is not None
    times = await _times(doors, claim, source, seen)
    attempt = new_attempt(claim, plan, seen.planned.step, times, doors.clock.now())
    if (
        attempt.begun_at - seen.outside.asked_at > SEND_WITHIN
    ):  # nothing is begun on what was seen too long ago
        return hold(
            "executor",
            Reason.UNKNOWN_FACT,
            "looking took too long for what was seen to be still true",
            MARGIN,
        )
    causes = tuple(
        replace(cause, evidence=redacted(dict(cause.evidence))) for cause in seen.planned.causes
    )
    intent = Intent(
        replace(attempt, causes=causes),
        looking.reading(seen.situation, plan),
        source.rule.name,
        seen.facts.root.key,
        plan.target,
        seen.as_json(),
    )
    return await start(
        doors,
        claim,
        source,
        plan,
        intent,
        lambda usage: pipeline.begin(seen.situation, usage),
        seen.outside,
    )


def new_attempt(claim: Claim, plan: Plan, step: int, times: Times, now: datetime) -> Attempt:
    """The attempt that a plan is for, with how long its verification may take."""
    number = len(claim.attempts) + 1
    return Attempt(
        id=f"{claim.remediation.id}.{number}",
        remediation=claim.remediation.id,
        number=number,
        step=step,
        action=plan.action,
        plan=plan,
        times=times,
        digest=plan.digest,
        causes=(),
        begun_at=now,
        sent_by=now + SEND_WITHIN,
    )


async def start(
    doors: Doors,
    claim: Claim,
    source: Source,
    plan: Plan,
    intent: Intent,
    decide: Callable[[Usage], list[Verdict]],
    seen: Outside | None,
) -> Verdict | None:
    """Makes the intent durable, with its locks and charge, and executes it; the verdict that kept it from beginning, else None."""
    remediation, attempt = claim.remediation, intent.attempt
    verdicts = await doors.journal.begin(remediation, intent, decide)
    denied = strongest(verdicts)
    if denied.decision is not Decision.ALLOW:
        doors.count_verdicts(remediation, verdicts)
        return denied
    log().info(
        "attempt_begun",
        remediation_id=remediation.id,
        rule=source.rule.name,
        action=plan.action,
        plan=plan.summary,
    )
    begun = replace(
        claim,
        remediation=replace(remediation, state=State.EXECUTING),
        attempts=(*claim.attempts, attempt),
    )
    await slices.finish(doors, begun, await execute(doors, begun, source, plan, seen, fresh=True))
    return None


async def _times(doors: Doors, claim: Claim, source: Source, seen: Look) -> Times:
    """How long verification may take, fixed when the attempt begins."""
    plan = seen.planned.plan
    assert plan is not None
    step = source.rule.steps[seen.planned.step]
    verify = step.verify
    within = verify.resolved_within or await proof_within(doors, claim)
    converged = min(
        verify.converged_within or plan.converged_within, source.rule.deadline
    )  # a Deployment may say 68 years
    quiet = doors.quiet_for if doors.quiet_for is not None else verify.quiet_for
    restore = (
        step.restore.after if step.restore.after is not None else ACTIONS[plan.action].restore_after
    )
    return Times(
        converged_within=converged,
        resolved_within=within,
        quiet_for=quiet,
        restore_after=restore or None,
    )


async def proof_within(doors: Doors, claim: Claim) -> timedelta:
    """How long the alerts may fire on after a perfect repair: the longest of all that it is for."""
    found = []
    for alert in {episode.alert.name: episode.alert for episode in claim.episodes}.values():
        rule = await doors.prometheus.alerting_rule(alert.name)
        found.append(
            resolved_within(None if isinstance(rule, Unknown) else rule, alert.generator_url)
        )
    return max(found)


async def execute(
    doors: Doors,
    claim: Claim,
    source: Source,
    plan: Plan,
    seen: Outside | None,
    fresh: bool = False,
) -> Move:
    """Applies the plan's calls that were not answered yet, one after the other; each is durable before the next is sent.

    `seen` is what Alertmanager and Prometheus said before the first of them was promised; None for an undo, which does not
    ask them. `fresh` says that no call of the attempt was ever sent.
    """
    attempt = claim.attempts[-1]
    first = len(attempt.evidence)
    for number in range(first, len(plan.calls)):
        now = doors.clock.now()
        if not plan.calls[number].whole:
            return failed(
                claim, None, attempt, now, Reason.UNKNOWN_FACT, UNSENDABLE, Outcome.UNKNOWN
            )
        if number > first:
            seen = await _outside(doors, claim, source)
            attempt = replace(attempt, sent_by=doors.clock.now() + SEND_WITHIN)
            cancelled_by = await doors.journal.send(claim.remediation, attempt)
            if cancelled_by:
                return _cancelled(attempt, doors.clock.now(), cancelled_by)
        sending = Sending(
            replace(claim, attempts=(*claim.attempts[:-1], attempt)), source, plan, number, seen
        )
        answer = await apply(doors, sending, fresh and number == 0)
        if isinstance(answer, Move):
            return answer
        attempt = replace(attempt, evidence=(*attempt.evidence, answer))
    now = doors.clock.now()
    doors.metrics.set("last_act_timestamp_seconds", now.timestamp(), plan.action)
    await slices.announce(doors, claim.remediation, "RemediationApplied", plan.summary)
    return applied(attempt, now, plan)


async def _outside(doors: Doors, claim: Claim, source: Source) -> Outside | None:
    """What Alertmanager and Prometheus say now, by the rule as it is loaded; an undo does not ask."""
    if claim.remediation.undo_of:
        return None
    current = (
        doors.rules.find(source.rule.name, claim.episodes[0].alert if claim.episodes else None)
        or source
    )
    target = claim.remediation.target
    root = target_of(claim.remediation.root_key) or target
    return await looking.outside(
        doors, current.rule, claim.episodes, Facts(doors.clock.now(), target, target, root, None)
    )


async def extend(
    doors: Doors, claim: Claim, source: Source, calls: tuple[Call, ...], now: datetime
) -> tuple[Claim, Move]:
    """Applies calls that depend on what the first ones brought: durable before they are sent, and within the plan's bounds."""
    attempt = claim.attempts[-1]
    plan = attempt.plan
    longer = replace(plan, calls=(*plan.calls, *calls))
    beyond = _beyond(plan, calls)
    if beyond:
        return claim, next_rung(
            claim, source, attempt, now, Outcome.FAILED, Reason.AT_CEILING, beyond
        )
    seen = await _outside(doors, claim, source)
    attempt = replace(attempt, plan=longer, sent_by=doors.clock.now() + SEND_WITHIN)
    await doors.journal.extend(claim.remediation, attempt, now)
    acting = replace(claim.remediation, state=State.EXECUTING)
    begun = replace(claim, remediation=acting, attempts=(*claim.attempts[:-1], attempt))
    return begun, await execute(doors, begun, source, longer, seen)


def _beyond(plan: Plan, calls: tuple[Call, ...]) -> str:
    """How further calls would go beyond what the plan's bounds name, or nothing. What no bound names is refused."""
    for call in calls:
        kind = f"{call.verb} {call.target.kind}"
        bound = next((bound for bound in plan.bounds if bound.covers(call)), None)
        if bound is None:
            return f"{kind} is none of the further calls that the plan allows"
        if sum(map(bound.covers, (*plan.calls, *calls))) > bound.most:
            return f"more than {bound.most} times {kind} would be needed"
    return ""


async def recover(
    doors: Doors,
    claim: Claim,
    source: Source | None,
    now: datetime,
    again: Callable[[Facts], Plan | None],
) -> Move:
    """A call in flight at a crash or a timeout: looked at after its timeout, never blindly sent again.

    `again` makes the plan anew; the call is sent only where that is the very plan that was begun.
    """
    attempt = claim.attempts[-1]
    stored = attempt.plan
    number = len(attempt.evidence)
    sent = call_id(attempt, number)
    call = bound(stored.calls[number], sent)
    settled = attempt.sent_by + call.timeout + MARGIN
    if now < settled:
        why = "waiting until a call in flight can no longer land"
        return Move(None, now, due=settled, reason=claim.remediation.reason, why=why)
    obj = await object_of(doors, call)
    expire = source.rule.expire if source else timedelta()
    too_late = now - attempt.begun_at > attempt.times.converged_within + expire
    if isinstance(obj, Unknown):
        if claim.remediation.cancel_by or too_late:
            why = f"cannot confirm whether the call took effect: {obj.why}"
            return next_rung(claim, None, attempt, now, Outcome.UNKNOWN, Reason.UNKNOWN_FACT, why)
        return Move(
            None, now, due=now + looking.LOOK_AGAIN, reason=Reason.UNKNOWN_FACT, why=obj.why
        )
    match effect(call, sent, obj):
        case Effect.OVERTAKEN:
            return overtaken(attempt, call, now)
        case Effect.PROVED:
            log().info("call_proved", remediation_id=claim.remediation.id, action=attempt.action)
            left = view(obj, call.leaves) if isinstance(obj, Mapping) else {}
            attempt = replace(attempt, evidence=(*attempt.evidence, Evidence(200, sent, left)))
            if len(attempt.evidence) == len(stored.calls):
                return applied(attempt, now, stored, " (found done after an interruption)")
            if claim.remediation.cancel_by:
                return _cancelled(attempt, now, claim.remediation.cancel_by)
        case Effect.ABSENT:
            lost = _lost(claim, attempt, call, obj, now)
            if lost is not None:
                return lost
            if too_late and source is not None:
                why = f"{call.describe()} was tried for {format_duration(now - attempt.begun_at)} and did not take effect"
                return failed(
                    claim,
                    source,
                    attempt,
                    now,
                    Reason.DEADLINE,
                    f"{why}; at last: {claim.remediation.why}",
                )
    if source is None:
        why = "the rule was withdrawn while a call was in flight; no more is sent"
        return next_rung(claim, None, attempt, now, Outcome.UNKNOWN, Reason.RULE_CHANGED, why)
    return await _send_again(doors, claim, source, attempt, again)


def _cancelled(attempt: Attempt, now: datetime, operator: str) -> Move:
    """Somebody said stop: what was done stays, and no further call is sent."""
    change = AttemptChange(outcome=Outcome.CANCELLED, evidence=attempt.evidence)
    return Move(
        Event.CANCEL, now, reason=Reason.OPERATOR, why=operator, attempt=attempt.id, change=change
    )


def _lost(
    claim: Claim, attempt: Attempt, call: Call, obj: Mapping[str, Any] | None, now: datetime
) -> Move | None:
    """Why a call that did not take effect is not sent again, or None."""
    if obj is None and call.verb != "create" and call.proof != "gone":
        return failed(claim, None, attempt, now, Reason.TARGET_GONE, f"{call.target} is gone")
    if claim.remediation.cancel_by:
        return _cancelled(attempt, now, claim.remediation.cancel_by)
    if call.verb == "patch" and obj is not None and version_of(obj) != call.seen:
        why = f"{call.target} was changed by others while a call was in flight"
        return failed(claim, None, attempt, now, Reason.ASSUMPTION_CHANGED, why)
    return None


async def _send_again(
    doors: Doors,
    claim: Claim,
    source: Source,
    attempt: Attempt,
    again: Callable[[Facts], Plan | None],
) -> Move:
    """Goes on with the calls that are left. The first one is planned anew: what the journal keeps of it may lack secrets."""
    stored = attempt.plan
    plan: Plan | None = stored
    if not attempt.evidence:
        plan = again(await slices.observe(doors, claim.remediation, source, doors.clock.now()))
        if plan is None or plan.digest not in (
            attempt.digest,
            stored.digest,
        ):  # an older version may have counted otherwise
            why = "the plan changed since it was begun"
            verdict = Verdict("plan", Decision.HOLD, Reason.ASSUMPTION_CHANGED, why)
            return give_back(attempt, doors.clock.now(), verdict)
    assert plan is not None
    seen = await _outside(doors, claim, source)
    log().info("call_sent_again", remediation_id=claim.remediation.id, action=attempt.action)
    attempt = replace(attempt, sent_by=doors.clock.now() + SEND_WITHIN)
    cancelled_by = await doors.journal.send(claim.remediation, attempt)
    if cancelled_by:
        return _cancelled(attempt, doors.clock.now(), cancelled_by)
    return await execute(
        doors, replace(claim, attempts=(*claim.attempts[:-1], attempt)), source, plan, seen
    )
