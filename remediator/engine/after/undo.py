"""Undo: a remediation of its own that restores what an attempt changed.

It starts because the change made things worse, its time is over, or an operator asks. It is planned
by comparing and restoring, passes the guards for pause, scope and protection but no rate limit, and
is verified by the state of the cluster alone. It shares the locks of a parent that waits for it; if
the parent has ended, it takes its own.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from ...actions import ACTIONS
from ...actions.action_spec import Sent
from ...guards import limits, pipeline
from ...guards.situation import Before, touched
from ...model.call import Effect, Evidence, bound, effect
from ...model.decision import AttemptChange, Decided, End, Hold, Wait
from ...model.duration import format_duration
from ...model.facts import Facts, Unknown
from ...model.look import Look
from ...model.plan import Plan, Refusal, Times, Verified
from ...model.pointer import view
from ...model.remediation import LIVE, Attempt, Event, Outcome, State
from ...model.target import Unresolved
from ...model.usage import Reading, Usage
from ...model.verdict import Decision, Reason, Verdict, hold, strongest
from ...ports.records import Claim, Intent, RemediationRecord
from ...rules.ruleset import LoadedRule
from ...telemetry import log
from ..act.begin import new_attempt, start
from ..act.ladder import cancelled, next_rung
from ..act.recover import recover
from ..act.send import call_id
from ..doors import Doors
from ..see import ground
from ..see.observe import observe, see
from .judging import LATER, SOON, taken_over


async def slice_of(
    doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime
) -> tuple[Claim, Decided]:
    """One slice of an undo."""
    match claim.remediation.state:
        case State.EXECUTING:
            again = partial(_planned_again, claim)
            return claim, await recover(doors, claim, loaded, now, again=again)
        case State.VERIFYING:
            return claim, await _verify(doors, claim, now)
    return await _begin(doors, claim, loaded, now)


def _planned_again(claim: Claim, facts: Facts) -> Plan | None:
    """What it would write now; None if nothing is to be undone any more."""
    answer = _plan(claim, facts)
    return answer if isinstance(answer, Plan) else None


def wait(claim: Claim, loaded: LoadedRule | None, now: datetime) -> Decided:
    """The parent waits for its undo, then continues its ladder if that succeeded, or fails."""
    undo = claim.undo
    assert undo is not None
    if undo.state in LIVE:
        why = f"made things worse; {undo.id} will undo it"
        return Wait(at=now, reason=Reason.WORSE, why=why, until=now + LATER)
    done = undo.state is State.SUCCEEDED
    how = f"{undo.id} undid it" if done else f"{undo.id} could not undo it: {undo.why}"
    why = f"made things worse; {how}"
    climbing = loaded if done else None
    return next_rung(claim, climbing, now, Outcome.WORSE, reason=Reason.WORSE, why=why)


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
    """The answers to its calls. If the last answer was lost, what the object shows of that call."""
    if undone.applied_at is not None:
        return undone.evidence
    calls = undone.plan.calls
    call, number = calls[-1], len(calls) - 1
    if isinstance(facts.object, Unknown | Unresolved):
        return Refusal(Reason.UNKNOWN_FACT, f"cannot read {facts.target}")
    ident = call_id(undone, number)
    call = bound(call, ident)
    shown = call.target.key == facts.target.key
    if not shown or effect(call, ident, facts.object) is not Effect.PROVED:
        why = f"cannot confirm that {call.describe()} took effect; leaving it alone"
        return Refusal(Reason.ASSUMPTION_CHANGED, why)
    left = view(facts.object, call.leaves) if facts.object is not None else {}
    return (*undone.evidence[:number], Evidence(200, ident, left))


async def _begin(
    doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime
) -> tuple[Claim, Decided]:
    """Starts the undo if it may. `loaded` is None if the rule is gone, so that nothing says where
    we may act.
    """
    ended = _ended(claim, loaded, now)
    if ended is not None or loaded is None:
        assert ended is not None
        return claim, ended
    would = await _would(doors, claim, loaded, now)
    verdict = would.verdict
    if verdict.decision is Decision.ALLOW and isinstance(would.answer, Plan):
        begun = await _start(doors, claim, loaded, would, plan=would.answer)
        if not isinstance(begun, Verdict):
            return begun
        verdict = begun
    if verdict.decision is Decision.DENY:
        return claim, End(event=Event.BLOCK, at=now, reason=verdict.reason, why=verdict.why)
    until = now + (verdict.retry_after or LATER)
    return claim, Hold(at=now, reason=verdict.reason, why=verdict.why, until=until, look=None)


def _ended(claim: Claim, loaded: LoadedRule | None, now: datetime) -> End | None:
    """What ends it before anything is observed. Receivers are notified that the change stays."""
    remediation, undone = claim.remediation, _undone(claim)
    if remediation.cancel_by:
        return End(event=Event.CANCEL, at=now, reason=Reason.OPERATOR, why=remediation.cancel_by)
    if loaded is None:
        why = f"rule {remediation.rule} was removed, so its change stays: {undone.plan.summary}"
        return End(event=Event.BLOCK, at=now, reason=Reason.RULE_CHANGED, why=why)
    held = now - remediation.created_at
    if held <= loaded.rule.expire:
        return None
    why = f"held for {format_duration(held)}: {remediation.why}"
    reason = remediation.reason or Reason.DEADLINE
    return End(event=Event.EXPIRE, at=now, reason=reason, why=why)


async def _start(
    doors: Doors, claim: Claim, loaded: LoadedRule, would: "Would", *, plan: Plan
) -> tuple[Claim, Decided] | Verdict:
    """Makes the undo's attempt durable, with its locks, and executes it."""
    within = min(plan.converged_within, loaded.rule.deadline)  # a Deployment may say 68 years
    times = Times(within, timedelta(), timedelta(), None)
    intent = Intent(
        attempt=new_attempt(claim, plan, _undone(claim).step, times, now=doors.clock.now()),
        reading=Reading(plan.locks, troubled=()),
        rule=loaded.rule.name,
        root_key=would.facts.root.key,
        target=plan.target,
        look=Look(would.facts.at, tuple(would.verdicts), plan=plan),
        charged=False,
    )

    def decide(usage: Usage) -> list[Verdict]:
        return [limits.target_lock(would.ground, usage)]

    return await start(doors, claim, loaded, intent, decide=decide, seen=None)


@dataclass(frozen=True, slots=True)
class Would:
    """The plan of an undo as things are now, and the verdicts on it."""

    answer: Plan | Refusal
    verdicts: list[Verdict]
    facts: Facts
    ground: Before

    @property
    def verdict(self) -> Verdict:
        """The decisive verdict. What cannot be planned is held only if that may change."""
        refused = self.answer
        if isinstance(refused, Plan):
            return strongest(self.verdicts)
        if refused.reason is Reason.UNKNOWN_FACT:
            return hold("plan", refused.reason, refused.why)
        return Verdict("plan", Decision.DENY, refused.reason, refused.why)


async def _would(doors: Doors, claim: Claim, loaded: LoadedRule, now: datetime) -> Would:
    watches = ACTIONS[_undone(claim).action].watches
    facts = await observe(doors, claim.remediation, loaded, now, sights=watches, live=True)
    answer = _plan(claim, facts)
    before = await ground.before(doors, claim.remediation, claim.episodes, loaded, now=now)
    outside = ground.outside_scope(doors, loaded, touched(None, facts, {}))
    undoing = before.undoing(facts=facts, outside=outside)
    return Would(answer, pipeline.ask(pipeline.UNDO, undoing), facts, before)


async def _verify(doors: Doors, claim: Claim, now: datetime) -> Decided:
    action = ACTIONS[claim.attempts[-1].action]
    facts = await see(doors, claim.remediation.target, False, action.watches, now=now, live=True)
    return _judge(claim, facts, now)


def _judge(claim: Claim, facts: Facts, now: datetime) -> Decided:
    """What follows from what was observed of the undo."""
    attempt = claim.attempts[-1]
    restored = ACTIONS[attempt.action].restored
    assert restored is not None
    seen = restored(attempt.plan, attempt.evidence, facts)
    within = attempt.times.converged_within
    if seen.how is Verified.CONVERGED:
        change = AttemptChange(attempt.id, converged_at=now, outcome=Outcome.SUCCEEDED)
        why = attempt.plan.summary
        return End(event=Event.PROVED, at=now, reason=None, why=why, change=change)
    if seen.how is Verified.OVERTAKEN:
        reason, why = taken_over(attempt.plan, facts)
        return next_rung(claim, None, now, Outcome.OVERTAKEN, reason=reason, why=why)
    if claim.remediation.cancel_by:
        return cancelled(attempt, now, claim.remediation.cancel_by)
    if now - attempt.done_at > within:
        why = f"not restored within {format_duration(within)}"
        return next_rung(claim, None, now, Outcome.FAILED, reason=Reason.DEADLINE, why=why)
    why = "waiting until the previous state is restored"
    return Wait(at=now, reason=None, why=why, until=now + SOON)


async def ask(
    doors: Doors, remediation: str, operator: str, now: datetime, *, why: str = ""
) -> str | None:
    """Undoes the last attempt of an ended remediation. Returns None, or why it cannot."""
    made = _last_act(remediation, await doors.journal.known(remediation))
    if isinstance(made, str):
        return made
    asked = f"requested by {operator}{why and f': {why}'}"
    refused = await doors.journal.undo(remediation, made.id, "asked", now, asked=asked)
    if refused is None:
        log().info("undo_created", remediation_id=remediation, operator=operator)
    return refused


async def preview(doors: Doors, remediation: str, now: datetime) -> "Would | str":
    """What an undo would do now; text if it cannot be requested."""
    known = await doors.journal.known(remediation)
    made = _last_act(remediation, known)
    if isinstance(made, str) or known is None:
        return str(made)
    claim = known.claim
    loaded = doors.rules.find(claim.remediation.rule)
    if loaded is None:
        return f"rule {claim.remediation.rule} is no longer loaded, so its change cannot be undone"
    own = replace(claim.remediation, undo_of=remediation, undoes=made.id, undo_why="asked")
    undoing = replace(claim, remediation=own, attempts=(), undone=made)
    return await _would(doors, undoing, loaded, now)


def _last_act(remediation: str, known: RemediationRecord | None) -> Attempt | str:
    """The attempt that an undo would undo, or why there is none."""
    if known is None:
        return f"no remediation {remediation}"
    if known.claim.remediation.undo_of:
        return f"{remediation} is itself an undo and cannot be undone"
    made = _standing(known.claim.attempts)
    if made is None:
        return f"{remediation} made no change that could be undone"
    if made.action not in ACTIONS:
        return f"action `{made.action}` is no longer installed; its change stays"
    if ACTIONS[made.action].undo is None:
        return f"{made.action} cannot be undone"
    for undo in (undo for undo in known.undos if undo.undoes == made.id):
        if undo.state is State.SUCCEEDED:
            return f"{remediation} was already undone by {undo.id}"
        if undo.state in LIVE:
            return f"{undo.id} is already undoing {remediation}"
    return made


def _standing(attempts: tuple[Attempt, ...]) -> Attempt | None:
    """The last attempt whose effect stands, or may stand."""
    for made in reversed(attempts):
        acted = made.applied_at is not None or made.outcome is Outcome.UNKNOWN
        if acted and made.outcome is not Outcome.WORSE:
            return made
    return None
