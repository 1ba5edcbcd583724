"""The worker: claims a due remediation, does one slice of work, sets the next timer, lets go."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..actions import ACTIONS
from ..errors import JournalError, LeaseLost
from ..journal_port import AttemptChange, Claim, Move
from ..model.duration import format_duration
from ..model.facts import Facts
from ..model.plan import Plan
from ..model.remediation import WAITING, Event, Outcome, State
from ..model.verdict import Decision, Reason, Verdict, strongest
from ..rules import planner
from ..rules.ruleset import Source
from ..telemetry import log
from . import executor, people, trust, undo, verification
from . import look as looking
from .doors import Doors, as_json
from .look import Look
from .slices import finish, observe

LEASE = timedelta(seconds=60)
LEAST_WAIT = timedelta(seconds=1)


async def run_one(doors: Doors, now: datetime) -> bool:
    """One slice for the most overdue remediation; False where none is due."""
    claim = await doors.journal.claim(now, LEASE)
    if claim is None:
        return False
    try:
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(_keep(doors, claim))
            await work(doors, claim)
            keeping.cancel()
    except* LeaseLost as lost:
        log().info("lease_lost", remediation_id=claim.remediation.id, why=str(lost.exceptions[0]))
    except* JournalError as failed:
        raise failed.exceptions[0] from None
    return True


async def _keep(doors: Doors, claim: Claim) -> None:
    """Renews the lease while the work goes on; where somebody else has it, the work ends. Raises: LeaseLost."""
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        await doors.journal.renew(claim.remediation, doors.clock.now(), LEASE)


async def work(doors: Doors, claim: Claim) -> None:
    """The slice that the state asks for."""
    now = doors.clock.now()
    remediation = claim.remediation
    alert = claim.episodes[0].alert if claim.episodes else None
    source = doors.rules.find(remediation.rule, alert)
    blind = _without_action(claim, now)
    if blind is not None:
        await finish(doors, claim, blind)
        return
    if remediation.undo_of:
        await undo.work(doors, claim, source, now)
        return
    if remediation.state not in WAITING:
        await finish(doors, *await _acting(doors, claim, source, now))
        return
    ended = _ended_before_acting(claim, source, now)
    if ended is not None:
        await finish(doors, claim, ended)
        return
    assert source is not None
    verdicts = await looking.first_pass(doors, claim, source, now)
    decisive = doors.count_verdicts(claim.remediation, verdicts)
    if decisive.decision in (Decision.DENY, Decision.HOLD) and source.rule.mode != "observe":
        await _follow(doors, claim, decisive, {"verdicts": as_json(verdicts)}, source, now)
        return
    await _observe_and_act(doors, claim, source, now)


def _without_action(claim: Claim, now: datetime) -> Move | None:
    """The end of what cannot be looked at any more: the distribution that brought its action is gone."""
    remediation = claim.remediation
    if remediation.state not in (State.EXECUTING, State.VERIFYING) and not remediation.undo_of:
        return None
    made = [*claim.attempts[-1:], *([claim.undone] if claim.undone is not None else [])]
    name = next((attempt.action for attempt in made if attempt.action not in ACTIONS), None)
    if name is None:
        return None
    return Move(
        Event.BLOCK if remediation.state in WAITING else Event.LOSE_SIGHT,
        now,
        reason=Reason.UNKNOWN_FACT,
        why=f"no action `{name}` is installed any more; what it did stays",
        attempt=claim.attempts[-1].id if claim.attempts else None,
        change=AttemptChange(outcome=Outcome.UNKNOWN) if claim.attempts else None,
    )


async def _acting(
    doors: Doors, claim: Claim, source: Source | None, now: datetime
) -> tuple[Claim, Move]:
    """The next look of a remediation that has begun."""
    match claim.remediation.state:
        case State.EXECUTING:

            def again(facts: Facts) -> Plan | None:
                return (
                    planner.plan(source.rule, facts, claim.attempts[-1].step).plan
                    if source
                    else None
                )

            return claim, await executor.recover(doors, claim, source, now, again)
        case State.UNDOING:
            return claim, undo.wait(claim, source, now)
    return await verification.check(doors, claim, source, now)


def _ended_before_acting(claim: Claim, source: Source | None, now: datetime) -> Move | None:
    """What ends a waiting remediation before anything is looked at."""
    remediation = claim.remediation
    if remediation.cancel_by:
        return Move(Event.CANCEL, now, reason=Reason.OPERATOR, why=remediation.cancel_by)
    if source is None or source.digest != remediation.rule_digest:
        gone = "was withdrawn" if source is None else "was changed"
        return Move(
            Event.SUPERSEDE, now, reason=Reason.RULE_CHANGED, why=f"rule {remediation.rule} {gone}"
        )
    if not any(episode.open for episode in claim.episodes):
        what = "the next step began" if claim.attempts else "anything was done"
        return Move(
            Event.CANCEL, now, reason=Reason.RESOLVED, why=f"the alert resolved before {what}"
        )
    rule = source.rule
    if now - remediation.born_at > rule.deadline:
        why = f"no step may begin later than {format_duration(rule.deadline)} after its birth; at last: {remediation.why}"
        last = {
            State.HELD: remediation.reason,
            State.AWAITING_APPROVAL: Reason.APPROVAL_EXPIRED,
        }.get(remediation.state)
        return Move(
            after_attempts(claim, Event.EXPIRE), now, reason=last or Reason.DEADLINE, why=why
        )
    held = now - remediation.held_since if remediation.held_since else timedelta()
    if remediation.state is State.HELD and held > rule.expire:
        return Move(
            after_attempts(claim, Event.EXPIRE),
            now,
            reason=remediation.reason,
            why=f"held for {format_duration(held)}: {remediation.why}",
        )
    waited = now - remediation.changed_at
    if (
        remediation.state is State.AWAITING_APPROVAL
        and not remediation.approved_digest
        and waited > rule.approval.expires
    ):
        return Move(
            after_attempts(claim, Event.EXPIRE),
            now,
            reason=Reason.APPROVAL_EXPIRED,
            why=f"nobody decided within {format_duration(rule.approval.expires)}",
        )
    return None


def after_attempts(claim: Claim, otherwise: Event) -> Event:
    """A ladder that cannot go on ends as its last attempt did; one that was given back before its call does not count."""
    tried = [attempt for attempt in claim.attempts if attempt.outcome is not Outcome.CANCELLED]
    if not tried:
        return otherwise
    return Event.UNPROVED if tried[-1].outcome is Outcome.INEFFECTIVE else Event.FAIL


async def _observe_and_act(doors: Doors, claim: Claim, source: Source, now: datetime) -> None:
    remediation, rule = claim.remediation, source.rule
    facts = await observe(doors, remediation, source, now)
    verdict = looking.unseen(facts)
    if verdict is not None:
        await _follow(doors, claim, verdict, {"verdicts": as_json([verdict])}, source, now)
        return
    moved = (facts.target, facts.root.key) != (remediation.target, remediation.root_key)
    if moved and not await doors.journal.retarget(remediation, facts.target, facts.root.key, now):
        return
    remediation = replace(
        remediation, target=facts.target, root_key=facts.root.key
    )  # what limits and locks go by
    claim = replace(claim, remediation=remediation)
    seen = await looking.look(doors, remediation, claim.episodes, source, facts, now)
    if seen.storming and rule.mode != "observe":
        why = next(verdict.why for verdict in seen.verdicts if verdict.reason is Reason.STORM)
        await trust.storm(doors, source, seen.situation, why, now)
    if await _resolved_unseen(doors, claim, seen, now):
        await finish(
            doors,
            claim,
            Move(
                Event.CANCEL,
                now,
                reason=Reason.RESOLVED,
                why="Alertmanager no longer lists the alert",
            ),
        )
        return
    decisive = doors.count_verdicts(claim.remediation, seen.verdicts)
    if decisive.decision is Decision.ALLOW and seen.planned.plan is not None:
        denied = await executor.begin(doors, claim, source, seen)
        if denied is None:
            return
        decisive = denied
    await _follow(doors, claim, decisive, dict(seen.as_json()), source, now, seen)


async def _resolved_unseen(doors: Doors, claim: Claim, seen: Look, now: datetime) -> bool:
    """Where a settled Alertmanager lists none of the alerts: they resolved, though nobody delivered it."""
    if seen.situation.activity != "not_listed":
        return False
    for episode in claim.episodes:
        if episode.open:
            await doors.journal.close_episode(episode, now)
    return True


def _against(seen: Look | None) -> Verdict | None:
    """What would have kept an observing rule from acting, had it been allowed to; None where nothing would."""
    verdicts = (
        [verdict for verdict in seen.verdicts if verdict.reason is not Reason.OBSERVE_MODE]
        if seen
        else []
    )
    found = strongest(verdicts)
    return found if found.decision in (Decision.HOLD, Decision.DENY) else None


async def _follow(
    doors: Doors,
    claim: Claim,
    verdict: Verdict,
    shown: dict[str, Any],
    source: Source,
    now: datetime,
    seen: Look | None = None,
) -> None:
    """What a verdict that is not to allow leads to."""
    remediation = claim.remediation
    if verdict.reason is Reason.OBSERVE_MODE:
        against = (
            _against(seen) or verdict
        )  # what it would have done, or what would have kept it from that
        await finish(
            doors,
            claim,
            Move(Event.OBSERVE, now, reason=against.reason, why=against.why, look=shown),
        )
    elif verdict.reason is Reason.OPERATOR:
        await finish(
            doors,
            claim,
            Move(Event.CANCEL, now, reason=verdict.reason, why=verdict.why, look=shown),
        )
    elif verdict.decision is Decision.DENY:
        await finish(
            doors,
            claim,
            Move(
                after_attempts(claim, Event.BLOCK),
                now,
                reason=verdict.reason,
                why=verdict.why,
                look=shown,
            ),
        )
    elif (
        verdict.decision is Decision.APPROVE and seen is not None and seen.planned.plan is not None
    ):
        plan = seen.planned.plan
        new = remediation.asked_digest != plan.digest or bool(
            remediation.approved_digest
        )  # another plan than people were shown
        approve = f"remediator approve {remediation.id} --digest {plan.digest}"
        until = now + source.rule.approval.expires
        body = people.message(
            remediation,
            State.AWAITING_APPROVAL,
            verdict.reason or "",
            verdict.why,
            plan=plan.summary,
            digest=plan.digest,
            approve=approve,
            link=doors.link(remediation.id, plan.digest, until) if doors.link else "",
        )
        told = people.to_all(list(source.rule.escalate.to), body) if new else ()
        due = min(
            now + timedelta(seconds=30),
            remediation.changed_at + source.rule.approval.expires + LEAST_WAIT,
        )
        due = max(due, now + timedelta(seconds=15)) if not new else now + timedelta(seconds=15)
        await finish(
            doors,
            claim,
            Move(
                Event.ASK,
                now,
                due=due,
                reason=verdict.reason,
                why=verdict.why,
                look=shown,
                messages=told,
                clear_approval=True,
            ),
        )
    else:
        wait = max(verdict.retry_after or looking.LOOK_AGAIN, LEAST_WAIT)
        wait = min(wait, source.rule.expire)
        await finish(
            doors,
            claim,
            Move(
                Event.HOLD, now, due=now + wait, reason=verdict.reason, why=verdict.why, look=shown
            ),
        )
