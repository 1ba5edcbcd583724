"""Undo: a remediation of its own that takes back what an attempt did: it made things worse, its time is over, or somebody asks.

It is planned afresh by comparing and restoring, passes the pause, scope and protection guards but no rate, and is
verified by the cluster's state alone. It has the locks of a parent that waits for it and then goes on; where the parent
has ended it takes its own.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ..actions import ACTIONS
from ..actions.spec import Sent
from ..guards import limits, pipeline
from ..guards.situation import Before, touched
from ..journal_port import AttemptChange, Claim, Intent, Move
from ..model.call import Effect, Evidence, bound, effect
from ..model.duration import format_duration
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Refusal, Times, Verified, to_json
from ..model.pointer import view
from ..model.remediation import LIVE, Attempt, Event, Outcome, State
from ..model.target import Unresolved
from ..model.usage import Reading, Usage
from ..model.verdict import Decision, Reason, Verdict, hold, strongest
from ..rules.ruleset import Source
from ..telemetry import log
from . import executor, slices
from . import look as looking
from .doors import Doors, as_json
from .moves import next_rung
from .sending import call_id
from .slices import LATER, SOON


async def work(doors: Doors, claim: Claim, source: Source | None, now: datetime) -> None:
    """One slice of an undo."""
    match claim.remediation.state:
        case State.EXECUTING:

            def again(facts: Facts) -> Plan | None:
                answer = _plan(claim, facts)
                return answer if isinstance(answer, Plan) else None

            await slices.finish(
                doors, claim, await executor.recover(doors, claim, source, now, again)
            )
        case State.VERIFYING:
            await slices.finish(doors, claim, await _verify(doors, claim, now))
        case _:
            await _begin(doors, claim, source, now)


def wait(claim: Claim, source: Source | None, now: datetime) -> Move:
    """What the parent does: waits, then climbs where the undo succeeded, else fails."""
    undo, attempt = claim.undo, claim.attempts[-1]
    assert undo is not None
    if undo.state in LIVE:
        return Move(
            None,
            now,
            due=now + LATER,
            reason=Reason.WORSE,
            why=f"made things worse; {undo.id} takes it back",
        )
    done = undo.state is State.SUCCEEDED
    how = f"{undo.id} took it back" if done else f"{undo.id} could not take it back: {undo.why}"
    return next_rung(
        claim,
        source if done else None,
        attempt,
        now,
        Outcome.WORSE,
        Reason.WORSE,
        f"made things worse; {how}",
    )


def _undone(claim: Claim) -> Attempt:
    assert claim.undone is not None
    return claim.undone


def _plan(claim: Claim, facts: Facts) -> Plan | Refusal:
    undone, action = _undone(claim), ACTIONS[_undone(claim).action]
    planned = (action.ending if claim.remediation.undo_why == "timed" else None) or action.undo
    assert planned is not None
    sent = _sent(undone, facts)
    return sent if isinstance(sent, Refusal) else planned(undone.plan, sent, facts)


def _sent(undone: Attempt, facts: Facts) -> Sent | Refusal:
    """What its calls were answered; where the last answer was lost, what the object shows of that call."""
    if undone.applied_at is not None:
        return undone.evidence
    calls = undone.plan.calls
    call, number = calls[-1], len(calls) - 1
    if isinstance(facts.object, Unknown | Unresolved):
        return Refusal(Reason.UNKNOWN_FACT, f"cannot read {facts.target}")
    ident = call_id(undone, number)
    call = bound(call, ident)
    if (
        call.target.key != facts.target.key
        or effect(call, ident, facts.object) is not Effect.PROVED
    ):
        return Refusal(
            Reason.ASSUMPTION_CHANGED,
            f"nothing shows that {call.describe()} took effect; leaving it alone",
        )
    left = view(facts.object, call.leaves) if facts.object is not None else {}
    return (*undone.evidence[:number], Evidence(200, ident, left))


async def ask(
    doors: Doors, remediation: str, operator: str, now: datetime, why: str = ""
) -> str | None:
    """Takes back the last act of a remediation that has ended; None where that begins, else why not."""
    made = _last_act(remediation, await doors.journal.show(remediation))
    if isinstance(made, str):
        return made
    asked = f"{operator} asked for it{why and f': {why}'}"
    refused = await doors.journal.undo(remediation, made["id"], "asked", now, asked)
    if refused is None:
        log().info("undo_born", remediation_id=remediation, operator=operator)
    return refused


async def _begin(doors: Doors, claim: Claim, source: Source | None, now: datetime) -> None:
    remediation, undone = claim.remediation, _undone(claim)
    if remediation.cancel_by:
        await slices.finish(
            doors, claim, Move(Event.CANCEL, now, reason=Reason.OPERATOR, why=remediation.cancel_by)
        )
        return
    if source is None:  # nobody says any more where we may act: people are told that it stays
        why = f"rule {remediation.rule} was withdrawn, so what it did stays: {undone.plan.summary}"
        await slices.finish(
            doors, claim, Move(Event.BLOCK, now, reason=Reason.RULE_CHANGED, why=why)
        )
        return
    held = now - remediation.born_at
    if held > source.rule.expire:
        why = f"held for {format_duration(held)}: {remediation.why}"
        await slices.finish(
            doors,
            claim,
            Move(Event.EXPIRE, now, reason=remediation.reason or Reason.DEADLINE, why=why),
        )
        return
    answer, verdicts, facts, ground = await _would(doors, claim, source, now)
    verdict = strongest(verdicts)
    if isinstance(answer, Refusal):
        again = answer.reason is Reason.UNKNOWN_FACT
        verdict = (
            hold("plan", answer.reason, answer.why)
            if again
            else Verdict("plan", Decision.DENY, answer.reason, answer.why)
        )
    elif verdict.decision is Decision.ALLOW:
        times = Times(answer.converged_within, timedelta(), timedelta(), None)
        attempt = executor.new_attempt(claim, answer, undone.step, times, doors.clock.now())
        look = {
            "plan": to_json(answer),
            "digest": answer.digest,
            "verdicts": as_json(verdicts),
            "calls": [],
            "causes": [],
        }
        reading = Reading(answer.locks)
        intent = Intent(
            attempt, reading, source.rule.name, facts.root.key, answer.target, look, charged=False
        )
        locked = partial(_locked, ground)
        refused = await executor.start(doors, claim, source, answer, intent, locked, None)
        if refused is None:
            return
        verdict = refused
    event = Event.BLOCK if verdict.decision is Decision.DENY else Event.HOLD
    due = now + (verdict.retry_after or LATER)
    await slices.finish(
        doors, claim, Move(event, now, due=due, reason=verdict.reason, why=verdict.why)
    )


def _locked(ground: Before, usage: Usage) -> list[Verdict]:
    return [limits.target_lock(ground, usage)]


async def _would(
    doors: Doors, claim: Claim, source: Source, now: datetime
) -> tuple[Plan | Refusal, list[Verdict], Facts, Before]:
    """The plan of an undo as the world is now, and what the guards say of it."""
    facts = await slices.observe(
        doors, claim.remediation, source, now, ACTIONS[_undone(claim).action].watches
    )
    answer = _plan(claim, facts)
    ground = await looking.before(doors, claim.remediation, claim.episodes, source, now)
    outside = looking.outside_scope(doors, source, touched(None, facts, {}))
    undoing = ground.undoing(facts=facts, outside=outside)
    return answer, pipeline.ask(pipeline.UNDO, undoing), facts, ground


async def preview(doors: Doors, remediation: str, now: datetime) -> Mapping[str, Any] | str:
    """What an undo that is asked for now would do; a text where it cannot be asked for."""
    row = await doors.journal.show(remediation)
    made = _last_act(remediation, row)
    if isinstance(made, str):
        return made
    claim = await doors.journal.looked_at(remediation, made["id"])
    source = doors.rules.find(str(row["rule"])) if row and claim else None
    if claim is None or source is None:
        return f"rule {row['rule'] if row else ''} is not loaded any more, so it would not be taken back"
    answer, verdicts, _, _ = await _would(doors, claim, source, now)
    if isinstance(answer, Refusal):
        return {
            "plan": "",
            "refused": f"{answer.reason}: {answer.why}",
            "verdicts": as_json(verdicts),
            "calls": [],
        }
    calls = [call.describe() for call in answer.calls]
    return {
        "plan": answer.summary,
        "digest": answer.digest,
        "verdicts": as_json(verdicts),
        "calls": calls,
    }


def _last_act(remediation: str, row: Mapping[str, Any] | None) -> Mapping[str, Any] | str:
    """The attempt that an undo would take back, else why there is none."""
    if row is None:
        return f"there is no remediation {remediation}"
    if row["undo_of"]:
        return f"{remediation} is an undo itself; it cannot be taken back"
    tried = [
        made for made in row["attempts"] if made["applied_at"] or made["outcome"] == Outcome.UNKNOWN
    ]
    done = [made for made in tried if made["outcome"] != Outcome.WORSE]
    if not done:
        return f"{remediation} has done nothing that could be taken back"
    if done[-1]["action"] not in ACTIONS:
        return f"no action `{done[-1]['action']}` is installed any more; what it did stays"
    if ACTIONS[done[-1]["action"]].undo is None:
        return f"{done[-1]['action']} cannot be taken back"
    last: Mapping[str, Any] = done[-1]
    for one in (one for one in row["undos"] if one["undoes"] == last["id"]):
        if one["state"] == State.SUCCEEDED:
            return f"{remediation} was taken back already, by {one['id']}"
        if one["state"] in LIVE:
            return f"{one['id']} is taking {remediation} back now"
    return last


async def _verify(doors: Doors, claim: Claim, now: datetime) -> Move:
    attempt, remediation = claim.attempts[-1], claim.remediation
    action = ACTIONS[attempt.action]
    assert action.restored is not None
    facts = await slices.see(doors, remediation.target, False, action.watches, now)
    seen = action.restored(attempt.plan, attempt.evidence, facts)
    within = attempt.times.converged_within
    if seen.how is Verified.CONVERGED:
        change = AttemptChange(converged_at=now, outcome=Outcome.SUCCEEDED)
        return Move(Event.PROVED, now, why=attempt.plan.summary, attempt=attempt.id, change=change)
    if seen.how is Verified.OVERTAKEN:
        reason, why = slices.taken_over(attempt.plan, facts)
        return next_rung(claim, None, attempt, now, Outcome.OVERTAKEN, reason, why)
    if now - attempt.done_at > within:
        why = f"not as before within {format_duration(within)}"
        return next_rung(claim, None, attempt, now, Outcome.FAILED, Reason.DEADLINE, why)
    return Move(None, now, due=now + SOON, why="waiting until it is as before", attempt=attempt.id)
