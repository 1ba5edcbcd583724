"""The only code that applies calls: intent durable, assumptions read again, apply, evidence durable; and recovery."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..actions import ACTIONS
from ..errors import ClusterError, Conflict, Forbidden, Rejected, TargetGone, Unreachable
from ..guards import limits as limit_guards
from ..guards import pipeline
from ..journal_port import AttemptChange, Claim, Intent, Move
from ..model.call import Call, Effect, Evidence, effect, version_of, view
from ..model.facts import DECIDING, Facts, Sight, Unknown
from ..model.plan import Plan, call_to_json, from_json, redacted, to_json
from ..model.raw import meta
from ..model.remediation import Attempt, Event, Outcome, State
from ..model.target import Unresolved
from ..model.usage import Usage
from ..model.verdict import Decision, Reason, Verdict, hold, strongest
from ..rules.lookback import resolved_within
from ..rules.ruleset import Source
from ..telemetry import log
from . import look as looking
from . import slices
from .doors import Doors
from .look import Look

CONFLICTS = 3
MARGIN = timedelta(seconds=1)
BEFORE_A_WRITE = frozenset({Sight.TARGET, Sight.AUTOSCALER})
PODS_TOO = DECIDING | {Sight.PODS, Sight.REVISIONS}
SEND_WITHIN = timedelta(seconds=5)
REASON_OF: dict[type[ClusterError], Reason] = {
    Forbidden: Reason.FORBIDDEN,
    Rejected: Reason.REJECTED,
    TargetGone: Reason.TARGET_GONE,
    Conflict: Reason.CONFLICT,
    Unreachable: Reason.UNREACHABLE,
}


async def begin(doors: Doors, claim: Claim, source: Source, seen: Look) -> Verdict | None:
    """Begins the attempt and executes it; the verdict that kept it from beginning, else None."""
    plan = seen.planned.plan
    assert plan is not None
    times = await _times(doors, claim, source, seen)
    attempt = new_attempt(claim, plan, seen.planned.step, times, doors.clock.now())
    causes = tuple(redacted({"name": c.name, "why": c.why, "evidence": dict(c.evidence)}) for c in seen.planned.causes)
    intent = Intent(
        replace(attempt, causes=causes),
        looking.reading(doors, seen.situation, source.rule, plan),
        source.rule.name,
        seen.facts.root.key,
        plan.target,
        seen.as_json(),
    )
    return await start(doors, claim, source, plan, intent, lambda usage: limit_guards.decide(seen.situation, usage))


def new_attempt(claim: Claim, plan: Plan, step: int, times: Mapping[str, float], now: datetime) -> Attempt:
    """The attempt that a plan is for, with how long its verification may take (seconds)."""
    number = len(claim.attempts) + 1
    return Attempt(
        id=f"{claim.remediation.id}.{number}",
        remediation=claim.remediation.id,
        number=number,
        step=step,
        action=plan.action,
        plan=to_json(plan) | dict(times),
        digest=plan.digest,
        causes=(),
        begun_at=now,
        sent_by=now + SEND_WITHIN,
    )


async def start(
    doors: Doors, claim: Claim, source: Source, plan: Plan, intent: Intent, decide: Callable[[Usage], list[Verdict]]
) -> Verdict | None:
    """Makes the intent durable, with its locks and charge, and executes it; the verdict that kept it from beginning, else None."""
    remediation, attempt = claim.remediation, intent.attempt
    verdicts = await doors.journal.begin(remediation, intent, decide)
    denied = strongest(verdicts)
    if denied.decision is not Decision.ALLOW:
        doors.count_verdicts(source.rule.name, verdicts)
        return denied
    log().info("attempt_begun", remediation_id=remediation.id, rule=source.rule.name, action=plan.action, plan=plan.summary)
    begun = replace(claim, remediation=replace(remediation, state=State.EXECUTING), attempts=(*claim.attempts, attempt))
    await slices.finish(doors, begun, await execute(doors, begun, source, plan, attempt.begun_at))
    return None


async def _times(doors: Doors, claim: Claim, source: Source, seen: Look) -> dict[str, float]:
    """How long verification may take, fixed when the attempt begins."""
    plan = seen.planned.plan
    assert plan is not None
    step = source.rule.steps[seen.planned.step]
    verify = step.verify
    within = verify.resolved_within
    if within is None:
        alert = claim.episodes[0].alert
        found = await doors.prometheus.alerting_rule(alert.name)
        within = resolved_within(None if isinstance(found, Unknown) else found, alert.generator_url)
    converged = verify.converged_within or plan.converged_within
    quiet = doors.quiet_for if doors.quiet_for is not None else verify.quiet_for
    restore = step.restore.after if step.restore.after is not None else ACTIONS[plan.action].restore_after
    return {
        "resolved_within": within.total_seconds(),
        "converged_within": converged.total_seconds(),
        "quiet_for": quiet.total_seconds(),
        "restore_after": restore.total_seconds() if restore else 0.0,
    }


async def execute(doors: Doors, claim: Claim, source: Source, plan: Plan, now: datetime) -> Move:
    """Applies the plan's calls that were not answered yet, one after the other; each is durable before the next is sent."""
    attempt = claim.attempts[-1]
    for number in range(len(attempt.evidence), len(plan.calls)):
        if number > len(claim.attempts[-1].evidence):
            attempt = replace(attempt, sent_by=doors.clock.now() + SEND_WITHIN)
            await doors.journal.send(claim.remediation, attempt)
        answer = await _apply(doors, replace(claim, attempts=(*claim.attempts[:-1], attempt)), source, plan, number, now)
        if isinstance(answer, Move):
            return answer
        attempt = replace(attempt, evidence=(*attempt.evidence, answer))
    doors.metrics.set("last_act_timestamp_seconds", now.timestamp(), plan.action)
    await slices.announce(doors, claim.remediation, "RemediationApplied", plan.summary)
    return _applied(attempt, doors.clock.now(), plan.summary)


async def _apply(doors: Doors, claim: Claim, source: Source, plan: Plan, number: int, now: datetime) -> Evidence | Move:
    """Applies one call; up to three conflicts are read and judged again."""
    attempt, call = claim.attempts[-1], plan.calls[number]
    cluster = doors.clusters[claim.remediation.target.cluster]
    for _ in range(CONFLICTS):
        sights = ACTIONS[plan.action].sights & (BEFORE_A_WRITE | (PODS_TOO if plan.takes else frozenset()))
        facts = await slices.observe(doors, claim.remediation, source, doors.clock.now(), sights)
        obj = await _object_of(doors, call, facts)
        if call.verb == "delete" and not isinstance(obj, Unknown) and effect(call, "", obj) is Effect.PROVED:
            return Evidence(404, call_id(attempt, number))
        held = _assumption_changed(call, obj) or await _guards_again(doors, claim, source, plan, facts)
        if held is not None:
            return _give_back(attempt, now, held)
        started = doors.clock.now()
        if started > attempt.sent_by:
            return _give_back(attempt, now, hold("executor", Reason.UNREACHABLE, "what precedes the write took too long"))
        version = str(meta(obj).get("resourceVersion", "")) if isinstance(obj, Mapping) else ""
        try:
            evidence = await cluster.apply(call, call_id(attempt, number), version)
        except Conflict:
            _count_call(doors, plan, call, started, Reason.CONFLICT)
            continue
        except Unreachable as error:
            _count_call(doors, plan, call, started, Reason.UNREACHABLE)
            due = attempt.sent_by + call.timeout + MARGIN
            why, change = f"{error}; looking at what became of it", AttemptChange(evidence=attempt.evidence)
            return Move(None, now, due=due, reason=Reason.UNREACHABLE, why=why, attempt=attempt.id, change=change)
        except ClusterError as error:
            reason = REASON_OF.get(type(error), Reason.REJECTED)
            _count_call(doors, plan, call, started, reason)
            return _failed(claim, source, attempt, now, reason, str(error))
        _count_call(doors, plan, call, started, "ok")
        return evidence
    return _failed(claim, source, attempt, now, Reason.CONFLICT, f"{call.target} kept changing while it was written")


def call_id(attempt: Attempt, number: int) -> str:
    """The id of an attempt's call: what stamps carry."""
    return f"{attempt.id}.{number}" if number else attempt.id


async def _object_of(doors: Doors, call: Call, facts: Facts) -> Mapping[str, Any] | Unknown | None:
    """The object that a call is about, as it is now."""
    obj = facts.object
    if call.target.key != facts.target.key:
        obj = (await slices.see(doors, call.target, False, frozenset({Sight.TARGET}), doors.clock.now())).object
    return Unknown(obj.why) if isinstance(obj, Unresolved) else obj


def _count_call(doors: Doors, plan: Plan, call: Call, started: datetime, answer: str) -> None:
    doors.metrics.count("calls_total", plan.action, call.verb, answer)
    doors.metrics.observe("call_duration_seconds", (doors.clock.now() - started).total_seconds(), call.verb)


async def _guards_again(doors: Doors, claim: Claim, source: Source, plan: Plan, facts: Facts) -> Verdict | None:
    """Just before the write, by the rule as it is loaded now: what came meanwhile still holds."""
    now, remediation, episodes = doors.clock.now(), claim.remediation, claim.episodes
    current = doors.rules.find(source.rule.name, episodes[0].alert if episodes else None)
    if current is None:
        return hold("rule", Reason.RULE_CHANGED, "the rule was withdrawn")
    situation = await looking.situation_of(doors, remediation, episodes, current, now)
    in_scope = doors.rules.in_scope(current, facts.target)
    situation = replace(situation, target=facts.target, root=facts.root, action=plan.action, facts=facts, in_scope=in_scope)
    if remediation.undo_of:
        verdict = strongest(pipeline.ask(pipeline.UNDO, situation))
        return None if verdict.decision is Decision.ALLOW else verdict
    steps = current.rule.steps
    begun = claim.attempts[-1].digest  # further calls, and what the journal keeps of a plan, are within what was approved
    situation = replace(
        situation,
        plan=plan,
        approved_digest=plan.digest if remediation.approved_digest == begun else remediation.approved_digest,
        mode=looking.strictest(current.rule.mode, steps[min(claim.attempts[-1].step, len(steps) - 1)].mode),
        activity=await looking.activity(doors, episodes),
        inhibitor=await looking.inhibitor(doors, current.rule, episodes),
        unmet=await looking.unmet(doors, current.rule.when, episodes, facts),
    )
    verdict = strongest(pipeline.ask(pipeline.SECOND, situation))
    return None if verdict.decision is Decision.ALLOW else verdict


def _give_back(attempt: Attempt, now: datetime, verdict: Verdict) -> Move:
    """Nothing was written: the rung is looked at again from the start (the charge stays); further calls, at the next check."""
    if attempt.applied_at is not None:
        shorter = {**attempt.plan, "calls": attempt.plan["calls"][: len(attempt.evidence)]}
        change = AttemptChange(plan=shorter, evidence=attempt.evidence)
        due = now + (verdict.retry_after or looking.LOOK_AGAIN)
        return Move(Event.APPLIED, now, due=due, reason=verdict.reason, why=verdict.why, attempt=attempt.id, change=change)
    change = AttemptChange(outcome=Outcome.CANCELLED)
    return Move(
        Event.CLIMB,
        now,
        due=now + MARGIN,
        reason=verdict.reason,
        why=verdict.why,
        attempt=attempt.id,
        change=change,
        clear_approval=True,
    )


def _applied(attempt: Attempt, now: datetime, summary: str) -> Move:
    change = AttemptChange(applied_at=attempt.applied_at or now, evidence=attempt.evidence)
    return Move(Event.APPLIED, now, due=now + MARGIN, why=f"done: {summary}; verifying", attempt=attempt.id, change=change)


def _failed(claim: Claim, source: Source | None, attempt: Attempt, now: datetime, reason: Reason, why: str) -> Move:
    """The attempt failed: the next rung, where there is one, else the end."""
    return next_rung(claim, source, attempt, now, Outcome.FAILED, reason, why)


def next_rung(
    claim: Claim, source: Source | None, attempt: Attempt, now: datetime, outcome: Outcome, reason: Reason, why: str
) -> Move:
    """Climbs, or ends as the attempt did; a ladder whose rule is gone or changed is not climbed."""
    change = AttemptChange(outcome=outcome)
    loaded = source is not None and source.digest == claim.remediation.rule_digest and not claim.remediation.undo_of
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
    event = {Outcome.INEFFECTIVE: Event.UNPROVED, Outcome.UNKNOWN: Event.LOSE_SIGHT}.get(outcome, Event.FAIL)
    return Move(event, now, reason=reason, why=why, attempt=attempt.id, change=change)


def _assumption_changed(call: Call, obj: Mapping[str, Any] | Unknown | None) -> Verdict | None:
    """Whether the call's object is still as the plan assumed."""
    target = call.target
    if isinstance(obj, Unknown):
        return hold("facts", Reason.UNKNOWN_FACT, obj.why, looking.LOOK_AGAIN)
    if call.verb == "create":
        return None if obj is None else hold("facts", Reason.ASSUMPTION_CHANGED, f"{target} exists already")
    if obj is None or str(meta(obj).get("uid")) != target.uid:
        return hold("facts", Reason.TARGET_GONE, f"{target} is gone, or another has its name")
    for name, value in view(obj, call.assumes).items():
        if call.assumes[name] != value:
            return hold("facts", Reason.ASSUMPTION_CHANGED, f"the {name} of {target} changed since it was planned")
    return None


async def extend(doors: Doors, claim: Claim, source: Source, calls: tuple[Call, ...], now: datetime) -> tuple[Claim, Move]:
    """Applies calls that depend on what the first ones brought: durable before they are sent, and within the plan's bounds."""
    attempt = claim.attempts[-1]
    plan = from_json(attempt.plan)
    longer = replace(plan, calls=(*plan.calls, *calls))
    for kind, most in plan.bounds.items():
        if sum(f"{call.verb} {call.target.kind}" == kind for call in longer.calls) > most:
            why = f"more than {most} times {kind} would be needed"
            return claim, next_rung(claim, source, attempt, now, Outcome.FAILED, Reason.AT_CEILING, why)
    stored = {**attempt.plan, "calls": [call_to_json(call) for call in longer.calls]}
    attempt = replace(attempt, plan=stored, sent_by=doors.clock.now() + SEND_WITHIN)
    await doors.journal.extend(claim.remediation, attempt, now)
    acting = replace(claim.remediation, state=State.EXECUTING)
    begun = replace(claim, remediation=acting, attempts=(*claim.attempts[:-1], attempt))
    return begun, await execute(doors, begun, source, longer, now)


async def recover(
    doors: Doors, claim: Claim, source: Source | None, now: datetime, again: Callable[[Facts], Plan | None]
) -> Move:
    """A call in flight at a crash or a timeout: looked at after its timeout, never blindly sent again.

    `again` makes the plan anew; the call is sent only where that is the very plan that was begun.
    """
    attempt = claim.attempts[-1]
    stored = from_json(attempt.plan)
    number = len(attempt.evidence)
    call, sent = stored.calls[number], call_id(attempt, number)
    settled = attempt.sent_by + call.timeout + MARGIN
    if now < settled:
        why = "waiting until a call in flight can no longer land"
        return Move(None, now, due=settled, reason=claim.remediation.reason, why=why)
    if source is None:
        why = "the rule was withdrawn while a call was in flight"
        return next_rung(claim, None, attempt, now, Outcome.UNKNOWN, Reason.RULE_CHANGED, why)
    facts = await slices.observe(doors, claim.remediation, source, now)
    obj = await _object_of(doors, call, facts)
    if isinstance(obj, Unknown):
        patience = timedelta(seconds=attempt.plan["converged_within"]) + source.rule.expire
        if claim.remediation.cancel_by or now - attempt.begun_at > patience:
            why = f"nobody can see whether its call took effect: {obj.why}"
            return next_rung(claim, None, attempt, now, Outcome.UNKNOWN, Reason.UNKNOWN_FACT, why)
        return Move(None, now, due=now + looking.LOOK_AGAIN, reason=Reason.UNKNOWN_FACT, why=obj.why)
    match effect(call, sent, obj):
        case Effect.OVERTAKEN:
            change = AttemptChange(outcome=Outcome.OVERTAKEN)
            why = f"our call took effect, and others changed {call.target} since"
            return Move(Event.FAIL, now, reason=Reason.ASSUMPTION_CHANGED, why=why, attempt=attempt.id, change=change)
        case Effect.PROVED:
            log().info("call_proved", remediation_id=claim.remediation.id, action=attempt.action)
            left = view(obj, call.leaves) if isinstance(obj, Mapping) else {}
            attempt = replace(attempt, evidence=(*attempt.evidence, Evidence(200, sent, left)))
            if len(attempt.evidence) == len(stored.calls):
                return _applied(attempt, now, f"{stored.summary} (found done after an interruption)")
        case Effect.ABSENT:
            lost = _lost(claim, attempt, call, obj, now)
            if lost is not None:
                return lost
    return await _send_again(doors, claim, source, attempt, facts, now, again)


def _lost(claim: Claim, attempt: Attempt, call: Call, obj: Mapping[str, Any] | None, now: datetime) -> Move | None:
    """Why a call that did not take effect is not sent again, or None."""
    if obj is None and call.verb not in ("create", "delete"):
        return _failed(claim, None, attempt, now, Reason.TARGET_GONE, f"{call.target} is gone")
    if claim.remediation.cancel_by:
        change = AttemptChange(outcome=Outcome.CANCELLED)
        return Move(Event.CANCEL, now, reason=Reason.OPERATOR, why=claim.remediation.cancel_by, attempt=attempt.id, change=change)
    if call.verb == "patch" and obj is not None and version_of(obj) != call.seen:
        why = f"{call.target} was changed by others while a call was in flight"
        return _failed(claim, None, attempt, now, Reason.ASSUMPTION_CHANGED, why)
    return None


async def _send_again(
    doors: Doors,
    claim: Claim,
    source: Source,
    attempt: Attempt,
    facts: Facts,
    now: datetime,
    again: Callable[[Facts], Plan | None],
) -> Move:
    """Goes on with the calls that are left. The first one is planned anew: what the journal keeps of it may lack secrets."""
    plan: Plan | None = from_json(attempt.plan)
    if not attempt.evidence:
        plan = again(facts)
        if plan is None or plan.digest != attempt.digest:
            why = "the plan is another one now"
            return _give_back(attempt, now, Verdict("plan", Decision.HOLD, Reason.ASSUMPTION_CHANGED, why))
    assert plan is not None
    log().info("call_sent_again", remediation_id=claim.remediation.id, action=attempt.action)
    attempt = replace(attempt, sent_by=doors.clock.now() + SEND_WITHIN)
    await doors.journal.send(claim.remediation, attempt)
    return await execute(doors, replace(claim, attempts=(*claim.attempts[:-1], attempt)), source, plan, now)
