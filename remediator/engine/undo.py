"""Undo: a remediation of its own that takes back what an attempt did: it made things worse, its time is over, or somebody asks.

It is planned afresh by comparing and restoring, passes the pause, scope and protection guards but no rate, and is
verified by the cluster's state alone. It has the locks of a parent that waits for it and then goes on; where the parent
has ended it takes its own.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from ..actions import ACTIONS
from ..guards import limits, pipeline
from ..journal_port import AttemptChange, Claim, Intent, Move
from ..model.duration import format_duration
from ..model.facts import DECIDING, Facts
from ..model.plan import Plan, Refusal, Verification, from_json
from ..model.remediation import LIVE, Attempt, Event, Outcome, State
from ..model.usage import Reading
from ..model.verdict import Decision, Reason, Verdict, hold, strongest
from ..rules.ruleset import Source
from ..telemetry import log
from . import executor, slices
from . import look as looking
from .doors import Doors, as_json
from .slices import LATER, SOON

UNCOUNTED = timedelta(hours=1)  # its charges are not looked at


async def work(doors: Doors, claim: Claim, source: Source | None, now: datetime) -> None:
    """One slice of an undo."""
    match claim.remediation.state:
        case State.EXECUTING:

            def again(facts: Facts) -> Plan | None:
                answer = _plan(claim, facts)
                return answer if isinstance(answer, Plan) else None

            await slices.finish(doors, claim, await executor.recover(doors, claim, source, now, again))
        case State.VERIFYING:
            await slices.finish(doors, claim, await _verify(doors, claim, now))
        case _:
            await _begin(doors, claim, source, now)


def wait(claim: Claim, source: Source | None, now: datetime) -> Move:
    """What the parent does: waits, then climbs where the undo succeeded, else fails."""
    undo, attempt = claim.undo, claim.attempts[-1]
    assert undo is not None
    if undo.state in LIVE:
        return Move(None, now, due=now + LATER, reason=Reason.WORSE, why=f"made things worse; {undo.id} takes it back")
    done = undo.state is State.SUCCEEDED
    how = f"{undo.id} took it back" if done else f"{undo.id} could not take it back: {undo.why}"
    return executor.next_rung(
        claim, source if done else None, attempt, now, Outcome.WORSE, Reason.WORSE, f"made things worse; {how}"
    )


def _undone(claim: Claim) -> Attempt:
    assert claim.undone is not None
    return claim.undone


def _plan(claim: Claim, facts: Facts) -> Plan | Refusal:
    undone, action = _undone(claim), ACTIONS[_undone(claim).action]
    planned = (action.ending if claim.remediation.undo_why == "timed" else None) or action.undo
    assert planned is not None
    return planned(from_json(undone.plan), undone.evidence, facts)


async def ask(doors: Doors, remediation: str, operator: str, now: datetime, why: str = "") -> str | None:
    """Takes back the last act of a remediation that has ended; None where that begins, else why not."""
    row = await doors.journal.show(remediation)
    if row is None:
        return f"there is no remediation {remediation}"
    done = [made for made in row["attempts"] if made["applied_at"] and made["outcome"] != Outcome.WORSE]
    if not done:
        return f"{remediation} has done nothing that could be taken back"
    if ACTIONS[done[-1]["action"]].undo is None:
        return f"{done[-1]['action']} cannot be taken back"
    asked = f"{operator} asked for it{why and f': {why}'}"
    refused = await doors.journal.undo(remediation, done[-1]["id"], "asked", now, asked)
    if refused is None:
        log().info("undo_born", remediation_id=remediation, operator=operator)
    return refused


async def _begin(doors: Doors, claim: Claim, source: Source | None, now: datetime) -> None:
    remediation, undone = claim.remediation, _undone(claim)
    if remediation.cancel_by:
        await slices.finish(doors, claim, Move(Event.CANCEL, now, reason=Reason.OPERATOR, why=remediation.cancel_by))
        return
    if source is None:  # nobody says any more where we may act: people are told that it stays
        why = f"rule {remediation.rule} was withdrawn, so what it did stays: {undone.plan['summary']}"
        await slices.finish(doors, claim, Move(Event.BLOCK, now, reason=Reason.RULE_CHANGED, why=why))
        return
    held = now - remediation.born_at
    if held > source.rule.expire:
        why = f"held for {format_duration(held)}: {remediation.why}"
        await slices.finish(doors, claim, Move(Event.EXPIRE, now, reason=remediation.reason or Reason.DEADLINE, why=why))
        return
    facts = await slices.observe(doors, remediation, source, now, ACTIONS[undone.action].sights - DECIDING)
    answer = _plan(claim, facts)
    situation = await looking.situation_of(doors, remediation, claim.episodes, source, now)
    situation = replace(situation, root=facts.root, facts=facts, in_scope=doors.rules.in_scope(source, facts.target))
    verdicts = pipeline.ask(pipeline.UNDO, situation)
    verdict = strongest(verdicts)
    if isinstance(answer, Refusal):
        again = answer.reason is Reason.UNKNOWN_FACT
        verdict = hold("plan", answer.reason, answer.why) if again else Verdict("plan", Decision.DENY, answer.reason, answer.why)
    elif verdict.decision is Decision.ALLOW:
        times = {"converged_within": answer.converged_within.total_seconds(), "resolved_within": 0.0, "quiet_for": 0.0}
        attempt = executor.new_attempt(claim, answer, undone.step, times, doors.clock.now())
        look = {"plan": attempt.plan, "digest": answer.digest, "verdicts": as_json(verdicts), "calls": [], "causes": []}
        intent = Intent(
            attempt, Reading(answer.locks, UNCOUNTED), source.rule.name, facts.root.key, answer.target, look, charged=False
        )
        refused = await executor.start(doors, claim, source, answer, intent, lambda usage: [limits.target_lock(situation, usage)])
        if refused is None:
            return
        verdict = refused
    event = Event.BLOCK if verdict.decision is Decision.DENY else Event.HOLD
    due = now + (verdict.retry_after or LATER)
    await slices.finish(doors, claim, Move(event, now, due=due, reason=verdict.reason, why=verdict.why))


async def _verify(doors: Doors, claim: Claim, now: datetime) -> Move:
    attempt, remediation = claim.attempts[-1], claim.remediation
    action = ACTIONS[attempt.action]
    assert action.restored is not None
    facts = await slices.see(doors, remediation.target, False, action.sights - DECIDING, now)
    seen = action.restored(from_json(attempt.plan), attempt.evidence, facts)
    within = timedelta(seconds=attempt.plan["converged_within"])
    if seen is Verification.CONVERGED:
        change = AttemptChange(converged_at=now, outcome=Outcome.SUCCEEDED)
        return Move(Event.PROVED, now, why=str(attempt.plan["summary"]), attempt=attempt.id, change=change)
    if seen is Verification.OVERTAKEN:
        reason, why = slices.taken_over(from_json(attempt.plan), facts)
        return executor.next_rung(claim, None, attempt, now, Outcome.OVERTAKEN, reason, why)
    if now - (attempt.applied_at or attempt.begun_at) > within:
        why = f"not as before within {format_duration(within)}"
        return executor.next_rung(claim, None, attempt, now, Outcome.FAILED, Reason.DEADLINE, why)
    return Move(None, now, due=now + SOON, why="waiting until it is as before", attempt=attempt.id)
