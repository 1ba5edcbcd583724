"""Verification: the cluster converged *and* the proof holds for a while; asked at every timer until a deadline."""

from dataclasses import replace
from datetime import datetime, timedelta

from ..actions import ACTIONS
from ..journal_port import AttemptChange, Claim, Move
from ..model.alert import Activity
from ..model.duration import format_duration
from ..model.facts import Facts, Unknown
from ..model.plan import Seen, Verified
from ..model.remediation import Attempt, Event, Outcome
from ..model.target import Unresolved, target_of
from ..model.verdict import Reason
from ..rules.ruleset import Source
from ..rules.schema import Rule, Step
from ..sights.pods import PODS, pods_before
from . import executor, harmed, slices
from . import look as looking
from .doors import Doors
from .moves import next_rung
from .slices import LATER, SOON

LONGEST = timedelta(minutes=1)


async def check(
    doors: Doors, claim: Claim, source: Source | None, now: datetime
) -> tuple[Claim, Move]:
    """One look at what became of the last attempt; its further calls, where it needs some, are applied."""
    attempt, action = claim.attempts[-1], ACTIONS[claim.attempts[-1].action]
    plan = attempt.plan
    facts = await slices.see(doors, claim.remediation.target, False, action.watches, now)
    if plan.beside is not None:
        beside = (await slices.see(doors, plan.beside, False, frozenset(), now)).object
        facts = replace(
            facts, beside=Unknown(beside.why) if isinstance(beside, Unresolved) else beside
        )
    seen = action.verify(plan, attempt.evidence, facts)
    goes_on = source is not None and not claim.remediation.cancel_by and not _too_late(attempt, now)
    if action.next is not None and seen.how is Verified.WAITING and source is not None and goes_on:
        calls = action.next(plan, attempt.evidence, facts)
        if calls:
            return await executor.extend(doors, claim, source, calls, now)
    if seen.how in (Verified.WAITING, Verified.CONVERGED):
        harm = await harmed.by(doors, claim, facts)
        if harm:
            return claim, _with_after(_worse(claim, source, harm, now), facts)
    return claim, _with_after(await _judge(doors, claim, source, facts, seen, now), facts)


def _with_after(move: Move, facts: Facts) -> Move:
    """Keeps what was seen at the end of an attempt beside what was seen before it."""
    if move.change is None or move.change.outcome is None or PODS not in facts:
        return move
    return replace(
        move, change=replace(move.change, after={"at": facts.at.isoformat(), **pods_before(facts)})
    )


def _worse(claim: Claim, source: Source | None, why: str, now: datetime) -> Move:
    """Taken back where that can be, else the next rung."""
    attempt = claim.attempts[-1]
    if ACTIONS[attempt.action].undo is not None:
        return Move(
            Event.UNDO, now, due=now + LATER, reason=Reason.WORSE, why=f"{why}; taking it back"
        )
    return next_rung(claim, source, attempt, now, Outcome.WORSE, Reason.WORSE, why)


async def _judge(
    doors: Doors,
    claim: Claim,
    source: Source | None,
    facts: Facts,
    seen: Seen,
    now: datetime,
) -> Move:
    """What follows from what was seen."""
    attempt = claim.attempts[-1]
    remediation = claim.remediation
    if remediation.cancel_by:
        change = AttemptChange(outcome=Outcome.CANCELLED)
        return Move(
            Event.CANCEL,
            now,
            reason=Reason.OPERATOR,
            why=remediation.cancel_by,
            attempt=attempt.id,
            change=change,
        )
    rule = Rule.model_validate(
        claim.rule_text
    )  # as it was when the attempt began: a reload does not change the proof
    step = rule.steps[attempt.step]
    match seen.how:
        case Verified.OVERTAKEN:
            reason, why = slices.taken_over(attempt.plan, facts)
            move = next_rung(
                claim, None, attempt, now, Outcome.OVERTAKEN, reason, f"{why}; nothing is undone"
            )
            return replace(move, template=looking.template_now(facts))
        case Verified.WORSE:
            return _worse(claim, source, seen.why, now)
        case Verified.FAILED:
            return next_rung(
                claim, source, attempt, now, Outcome.FAILED, Reason.UNSUCCESSFUL, seen.why
            )
        case Verified.UNKNOWN:
            return _lost_sight(claim, attempt, rule, now)
        case Verified.WAITING:
            return _not_converged(claim, source, attempt, facts, seen, now)
    return await _converged(doors, claim, source, rule, step, attempt, now)


def _pause(lasted: timedelta, longest: timedelta) -> timedelta:
    """Until the next look at what has lasted so long already: what takes minutes is not asked for each few seconds."""
    return min(longest, max(SOON, lasted / 4))


def _too_late(attempt: Attempt, now: datetime) -> bool:
    """Whether it should have converged by now."""
    return now - attempt.done_at > attempt.times.converged_within


def _not_converged(
    claim: Claim,
    source: Source | None,
    attempt: Attempt,
    facts: Facts,
    seen: Seen,
    now: datetime,
) -> Move:
    within = attempt.times.converged_within
    if _too_late(attempt, now):
        why = f"not converged within {format_duration(within)}"
        if ACTIONS[attempt.action].undo and pods_before(facts)["ready"] < attempt.plan.before.get(
            "ready", 0
        ):
            why = f"{why}, with fewer ready pods than before; taking it back"
            return Move(Event.UNDO, now, due=now + LATER, reason=Reason.WORSE, why=why)
        return next_rung(claim, source, attempt, now, Outcome.FAILED, Reason.DEADLINE, why)
    change = AttemptChange(clear_proof=True) if attempt.proved_since else None
    pause = _pause(now - attempt.done_at, LATER)
    return Move(
        None,
        now,
        due=now + pause,
        why=seen.why or "waiting until it is complete",
        attempt=attempt.id,
        change=change,
    )


def _lost_sight(claim: Claim, attempt: Attempt, rule: Rule, now: datetime) -> Move:
    since = attempt.converged_at or attempt.done_at
    if now - since > attempt.times.resolved_within + rule.expire:
        change = AttemptChange(outcome=Outcome.UNKNOWN)
        return Move(
            Event.LOSE_SIGHT,
            now,
            reason=Reason.UNKNOWN_FACT,
            why="could not be verified in time",
            attempt=attempt.id,
            change=change,
        )
    return Move(
        None,
        now,
        due=now + LATER,
        reason=Reason.UNKNOWN_FACT,
        why="what is needed to verify cannot be observed now",
        attempt=attempt.id,
    )


async def _converged(
    doors: Doors,
    claim: Claim,
    source: Source | None,
    rule: Rule,
    step: Step,
    attempt: Attempt,
    now: datetime,
) -> Move:
    since = attempt.converged_at or now
    change = AttemptChange(converged_at=since)
    last = attempt.step + 1 >= len(rule.steps)
    if step.then == "next" and not last:
        return next_rung(
            claim,
            source,
            attempt,
            now,
            Outcome.CONVERGED,
            Reason.RESOLVED,
            "converged; on to the next step",
        )
    proof = await _proof(doors, claim, step, now)
    if isinstance(proof, Unknown):
        move = _lost_sight(claim, attempt, rule, now)
        return (
            move
            if move.event
            else Move(
                None,
                now,
                due=move.due,
                reason=move.reason,
                why=proof.why,
                attempt=attempt.id,
                change=change,
            )
        )
    within = attempt.times.resolved_within
    if (
        now - since > within and step.verify.resolved_within is None
    ):  # another alert, that goes on for longer, may have joined
        within = max(within, await executor.proof_within(doors, claim))
    if not proof:
        if now - since > within:
            why = f"converged, but the alert still fires {format_duration(within)} later"
            return next_rung(claim, source, attempt, now, Outcome.INEFFECTIVE, Reason.DEADLINE, why)
        pause = _pause(
            now - since, LONGEST
        )  # a delivery, or a withdrawn alert that is noticed, wakes it
        change = AttemptChange(converged_at=since, clear_proof=True)
        return Move(
            None,
            now,
            due=now + pause,
            why="converged; waiting for the proof",
            attempt=attempt.id,
            change=change,
        )
    proved = max(attempt.proved_since or now, _last_end(claim))
    if proved != attempt.proved_since and now - since > within:
        why = f"converged, but the alert comes and goes: it was never quiet for long within {format_duration(within)}"
        return next_rung(claim, source, attempt, now, Outcome.INEFFECTIVE, Reason.DEADLINE, why)
    quiet = attempt.times.quiet_for
    if now - proved >= quiet:
        change = AttemptChange(converged_at=since, proved_since=proved, outcome=Outcome.SUCCEEDED)
        return Move(
            Event.PROVED,
            now,
            why=f"{attempt.plan.summary}: converged, and proved for {format_duration(quiet)}",
            attempt=attempt.id,
            change=change,
            quiet=(step.verify.until or ACTIONS[step.action].proof) == "resolved",
        )
    change = AttemptChange(converged_at=since, proved_since=proved)
    return Move(
        None,
        now,
        due=proved + quiet,
        why="proved; watching that it lasts",
        attempt=attempt.id,
        change=change,
    )


def _last_end(claim: Claim) -> datetime:
    """When the last of its alerts ended: one that fired and resolved between two looks was not quiet."""
    ends = [
        episode.alert.ends_at for episode in claim.episodes if episode.alert.ends_at is not None
    ]
    return max(ends, default=claim.remediation.born_at)


async def _proof(doors: Doors, claim: Claim, step: Step, now: datetime) -> bool | Unknown:
    """Whether the step's proof holds now."""
    until = step.verify.until or ACTIONS[step.action].proof
    if until == "converged":
        return True
    if until == "resolved":
        return await _resolved(doors, claim, now)
    target = claim.remediation.target
    facts = Facts(now, target, target, target_of(claim.remediation.root_key) or target, None)
    for query, unknown in await looking.unmet(doors, tuple(until), claim.episodes, facts):
        return Unknown(f"cannot ask `{query}`: {unknown.why}") if unknown else False
    return True


async def _resolved(doors: Doors, claim: Claim, now: datetime) -> bool | Unknown:
    """Whether every attached alert resolved: it was delivered, or its settled Alertmanager no longer lists it."""
    still_open = [episode for episode in claim.episodes if episode.open]
    for episode in still_open:
        answer = await doors.alertmanager.activity(episode.source, episode.alert, episode.last_seen)
        if answer is Activity.NOT_LISTED:
            await doors.journal.close_episode(episode, now)
        elif answer is Activity.ACTIVE:
            return False
        else:
            return Unknown(
                f"the alert is {answer}"
                if answer is not Activity.UNKNOWN
                else "Alertmanager cannot be asked"
            )
    return True
