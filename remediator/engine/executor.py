"""The only code that applies calls: intent durable, assumptions read again, apply, evidence durable; and recovery."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from ..errors import ClusterError, Conflict, Forbidden, Rejected, TargetGone, Unreachable
from ..guards import limits as limit_guards
from ..guards import pipeline
from ..journal_port import AttemptChange, Claim, Intent, Move
from ..model.facts import Facts, Sight, Unknown, annotations, meta
from ..model.plan import STAMP, Evidence, Plan, redacted, template_hash, template_of, template_state, to_json
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
    attempt = new_attempt(claim, plan, seen.planned.step, times, seen.facts, doors.clock.now())
    causes = tuple(redacted({"name": c.name, "why": c.why, "evidence": dict(c.evidence)}) for c in seen.planned.causes)
    intent = Intent(
        replace(attempt, causes=causes),
        plan.locks,
        source.rule.name,
        seen.facts.root.key,
        plan.target,
        looking.longest_window(source.rule, doors),
        seen.as_json(),
    )
    return await start(doors, claim, source, plan, intent, lambda usage: limit_guards.decide(seen.situation, usage))


def new_attempt(claim: Claim, plan: Plan, step: int, times: Mapping[str, float], facts: Facts, now: datetime) -> Attempt:
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
        intended_generation=_generation(facts),
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
    verify = source.rule.steps[seen.planned.step].verify
    within = verify.resolved_within
    if within is None:
        alert = claim.episodes[0].alert
        found = await doors.prometheus.alerting_rule(alert.name)
        within = resolved_within(None if isinstance(found, Unknown) else found, alert.generator_url)
    converged = verify.converged_within or plan.converged_within
    quiet = doors.quiet_for if doors.quiet_for is not None else verify.quiet_for
    return {
        "resolved_within": within.total_seconds(),
        "converged_within": converged.total_seconds(),
        "quiet_for": quiet.total_seconds(),
    }


async def execute(doors: Doors, claim: Claim, source: Source, plan: Plan, now: datetime) -> Move:
    """Applies the plan's one call; up to three conflicts are read and judged again."""
    attempt, cluster = claim.attempts[-1], doors.clusters[claim.remediation.target.cluster]
    call = plan.calls[0]
    for _ in range(CONFLICTS):
        facts = await slices.observe(doors, claim.remediation, source, doors.clock.now(), frozenset({Sight.TARGET}))
        changed = _assumption_changed(facts, plan)
        if changed is not None:
            return _give_back(attempt, now, changed)
        held = await _guards_again(doors, claim, source, plan, facts)
        if held is not None:
            return _give_back(attempt, now, held)
        assert isinstance(facts.object, dict)
        started = doors.clock.now()
        if started > attempt.sent_by:
            return _give_back(attempt, now, hold("executor", Reason.UNREACHABLE, "what precedes the write took too long"))
        try:
            evidence = await cluster.apply(call, attempt.id, str(meta(facts.object)["resourceVersion"]))
        except Conflict:
            _count_call(doors, plan, started, Reason.CONFLICT)
            continue
        except Unreachable as error:
            _count_call(doors, plan, started, Reason.UNREACHABLE)
            due = attempt.sent_by + call.timeout + MARGIN
            return Move(None, now, due=due, reason=Reason.UNREACHABLE, why=f"{error}; looking at what became of it")
        except ClusterError as error:
            reason = REASON_OF.get(type(error), Reason.REJECTED)
            _count_call(doors, plan, started, reason)
            return _failed(claim, source, attempt, now, reason, str(error))
        _count_call(doors, plan, started, "ok")
        doors.metrics.set("last_act_timestamp_seconds", now.timestamp(), plan.action)
        await slices.announce(doors, claim.remediation, "RemediationApplied", plan.summary)
        return _applied(attempt, evidence, doors.clock.now(), plan.summary)
    return _failed(claim, source, attempt, now, Reason.CONFLICT, f"{plan.target} kept changing while it was written")


def _count_call(doors: Doors, plan: Plan, started: datetime, answer: str) -> None:
    verb = plan.calls[0].verb
    doors.metrics.count("calls_total", plan.action, verb, answer)
    doors.metrics.observe("call_duration_seconds", (doors.clock.now() - started).total_seconds(), verb)


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
    situation = replace(
        situation,
        plan=plan,
        mode=looking.strictest(current.rule.mode, steps[min(claim.attempts[-1].step, len(steps) - 1)].mode),
        activity=await looking.activity(doors, episodes),
        inhibitor=await looking.inhibitor(doors, current.rule, episodes),
        unmet=await looking.unmet(doors, current.rule.when, episodes, facts),
    )
    verdict = strongest(pipeline.ask(pipeline.SECOND, situation))
    return None if verdict.decision is Decision.ALLOW else verdict


def _give_back(attempt: Attempt, now: datetime, verdict: Verdict) -> Move:
    """Nothing was written: the rung is looked at again from the start (the charge stays)."""
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


def _applied(attempt: Attempt, evidence: Evidence, now: datetime, summary: str) -> Move:
    data = {
        "stamp": evidence.stamp,
        "generation": evidence.generation,
        "template_hash": evidence.template_hash,
        "status": evidence.status,
    }
    change = AttemptChange(applied_at=now, evidence=data)
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


def _assumption_changed(facts: Facts, plan: Plan) -> Verdict | None:
    """Whether the object is still as the plan assumed."""
    obj = facts.object
    if isinstance(obj, Unknown | Unresolved):
        return looking.unseen(facts)
    if obj is None or str(meta(obj).get("uid")) != plan.target.uid:
        return Verdict("facts", Decision.HOLD, Reason.TARGET_GONE, f"{plan.target} is gone, or another has its name")
    seen = {"template": template_hash(template_of(obj)), "replicas": obj["spec"].get("replicas")}
    for name, value in seen.items():
        if plan.assumptions.get(name) != value:
            return Verdict(
                "facts", Decision.HOLD, Reason.ASSUMPTION_CHANGED, f"the {name} of {plan.target} changed since it was planned"
            )
    return None


def _generation(facts: Facts) -> int:
    return int(meta(facts.object).get("generation", 0)) if isinstance(facts.object, dict) else 0


async def recover(
    doors: Doors, claim: Claim, source: Source | None, now: datetime, again: Callable[[Facts], Plan | None]
) -> Move:
    """A call in flight at a crash or a timeout: looked at after its timeout, never blindly sent again.

    `again` makes the plan anew; the call is sent only where that is the very plan that was begun.
    """
    attempt = claim.attempts[-1]
    settled = attempt.sent_by + timedelta(seconds=attempt.plan["calls"][0]["timeout"]) + MARGIN
    if now < settled:
        return Move(
            None, now, due=settled, reason=claim.remediation.reason, why="waiting until a call in flight can no longer land"
        )
    if source is None:
        return next_rung(
            claim, None, attempt, now, Outcome.UNKNOWN, Reason.RULE_CHANGED, "the rule was withdrawn while a call was in flight"
        )
    facts = await slices.observe(doors, claim.remediation, source, now)
    obj = facts.object
    if isinstance(obj, Unknown | Unresolved):
        return Move(None, now, due=now + looking.LOOK_AGAIN, reason=Reason.UNKNOWN_FACT, why=obj.why)
    if obj is None:
        return _failed(claim, None, attempt, now, Reason.TARGET_GONE, f"{facts.target} is gone")
    if annotations(obj).get(STAMP) == attempt.id:
        left = template_state(obj["spec"]["template"])
        if left != attempt.plan["leaves"]:
            change = AttemptChange(outcome=Outcome.OVERTAKEN)
            why = f"our call took effect, and others changed {facts.target} since"
            return Move(Event.FAIL, now, reason=Reason.ASSUMPTION_CHANGED, why=why, attempt=attempt.id, change=change)
        log().info("call_proved", remediation_id=claim.remediation.id, action=attempt.action)
        evidence = Evidence(200, int(meta(obj)["generation"]), str(meta(obj)["resourceVersion"]), attempt.id, left["template"])
        return _applied(attempt, evidence, now, f"{attempt.plan['summary']} (found done after an interruption)")
    if claim.remediation.cancel_by:
        change = AttemptChange(outcome=Outcome.CANCELLED)
        return Move(Event.CANCEL, now, reason=Reason.OPERATOR, why=claim.remediation.cancel_by, attempt=attempt.id, change=change)
    if int(meta(obj).get("generation", 0)) != attempt.intended_generation:
        why = f"{facts.target} was changed by others while a call was in flight"
        return _failed(claim, None, attempt, now, Reason.ASSUMPTION_CHANGED, why)
    plan = again(facts)
    if plan is None or plan.digest != attempt.digest:
        return _give_back(attempt, now, Verdict("plan", Decision.HOLD, Reason.ASSUMPTION_CHANGED, "the plan is another one now"))
    log().info("call_sent_again", remediation_id=claim.remediation.id, action=attempt.action)
    attempt = replace(attempt, sent_by=doors.clock.now() + SEND_WITHIN)
    await doors.journal.send_again(claim.remediation, attempt.id, attempt.sent_by)
    return await execute(doors, replace(claim, attempts=(*claim.attempts[:-1], attempt)), source, plan, now)
