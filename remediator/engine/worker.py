"""The worker: claims a due remediation, does one slice of work, writes the decision, releases the
claim.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from ..actions import ACTIONS
from ..errors import JournalError, LeaseLost
from ..model.decision import AttemptChange, Decided, End
from ..model.facts import Facts
from ..model.look import Look
from ..model.plan import Plan
from ..model.remediation import WAITING, Event, Outcome, State, only_waits
from ..model.verdict import Decision, Reason, Verdict, strongest
from ..ports.records import Claim
from ..rules import planner
from ..rules.ruleset import LoadedRule
from ..telemetry import log
from .act.begin import begin
from .act.recover import recover
from .after import undo, verify
from .decide import waiting
from .decide.assess import Assessment, assess, cannot_see
from .doors import Doors
from .finish import finish
from .lanes import leave
from .see import ground
from .see.observe import observe
from .tell import incidents

LEASE = timedelta(seconds=60)
NOT_LISTED = "Alertmanager no longer lists the alert"


async def run_one(doors: Doors, now: datetime) -> bool:
    """One slice for the most overdue remediation. False if none is due, or what is gives way."""
    with doors.lanes.slice() as mine:
        claim = await doors.journal.claim(now, LEASE, waits=mine.may_wait)
        if claim is None:
            return False
        if not only_waits(claim.remediation):
            mine.urgent()
        await _under_lease(doors, claim)
    return True


async def _under_lease(doors: Doors, claim: Claim) -> None:
    """The work, and the lease renewed meanwhile. Raises: JournalError."""
    try:
        async with asyncio.TaskGroup() as group:
            # a slow dependency must not cost us the lease: another worker would start over
            keeping = group.create_task(_keep(doors, claim))
            await work(doors, claim)
            keeping.cancel()
    # nothing is lost: the worker that has the lease now continues from what the journal says
    except* LeaseLost as lost:
        log().info("lease_lost", remediation_id=claim.remediation.id, why=str(lost.exceptions[0]))
    except* JournalError as failed:
        raise failed.exceptions[0] from None


async def _keep(doors: Doors, claim: Claim) -> None:
    """Renews the lease during the work; stops the work if another worker has taken over. Raises:
    LeaseLost.
    """
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        await doors.journal.renew(claim.remediation, doors.clock.now(), LEASE)


async def work(doors: Doors, claim: Claim) -> None:
    """One slice, and its end."""
    # before anything is looked at: what happens from now on wakes it again
    doors.news.expect(claim.remediation, doors.clock.now())
    done = await _slice(doors, claim)
    if done is not None:
        await finish(doors, *done)


async def _slice(doors: Doors, claim: Claim) -> tuple[Claim, Decided] | None:
    """What the state requires; None if another remediation took this one over."""
    now, remediation = doors.clock.now(), claim.remediation
    loaded = doors.rule_of(claim)
    # first of all: verifying, undoing and recovering all need the action
    blind = _without_action(claim, now)
    if blind is not None:
        return claim, blind
    if remediation.undo_of:
        leave()
        return await undo.slice_of(doors, claim, loaded, now)
    match remediation.state:
        case State.EXECUTING:
            return claim, await _go_on(doors, claim, loaded, now)
        case State.VERIFYING:
            return await verify.check(doors, claim, loaded, now)
        case State.UNDOING:
            return claim, undo.wait(claim, loaded, now)
    return await _waiting(doors, claim, loaded, now)


def _without_action(claim: Claim, now: datetime) -> End | None:
    """The end of a remediation whose action is no longer installed."""
    remediation = claim.remediation
    if remediation.state not in (State.EXECUTING, State.VERIFYING) and not remediation.undo_of:
        return None
    made = [*claim.attempts[-1:], *([claim.undone] if claim.undone is not None else [])]
    name = next((attempt.action for attempt in made if attempt.action not in ACTIONS), None)
    if name is None:
        return None
    lost = [AttemptChange(attempt.id, outcome=Outcome.UNKNOWN) for attempt in claim.attempts[-1:]]
    return End(
        event=Event.BLOCK if remediation.state in WAITING else Event.LOSE_SIGHT,
        at=now,
        reason=Reason.UNKNOWN_FACT,
        why=f"action `{name}` is no longer installed; its change stays",
        change=lost[0] if lost else None,
    )


async def _go_on(doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime) -> Decided:
    """Continues an attempt that was interrupted while its calls were sent."""

    def again(facts: Facts) -> Plan | None:
        if loaded is None:
            return None
        return planner.plan(loaded.rule, facts, claim.attempts[-1].step).plan

    return await recover(doors, claim, loaded, now, again=again)


async def _waiting(
    doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime
) -> tuple[Claim, Decided] | None:
    """A remediation that has not started its next step. What is cheap to know is checked first."""
    ended = waiting.ended(claim, loaded, now)
    if ended is not None:
        return claim, ended
    assert loaded is not None
    # guards that need no facts come first, so that what is paused costs no requests
    verdicts = await ground.first_pass(doors, claim, loaded, now)
    decisive = doors.count_verdicts(claim.remediation, verdicts)
    # a rule that observes shows all verdicts, so it goes on
    against = decisive.decision in (Decision.DENY, Decision.HOLD)
    if against and loaded.rule.mode != "observe":
        return claim, waiting.by_verdict(
            claim, loaded, decisive, Look(now, tuple(verdicts)), link=doors.link
        )
    return await _observe_and_act(doors, claim, loaded, now)


async def _looked(
    doors: Doors, claim: Claim, loaded: LoadedRule, now: datetime, *, live: bool
) -> tuple[Claim, Assessment | Verdict] | None:
    """The claim at its target, and the assessment, or the verdict if nothing can be seen; None if
    another remediation took this one over.
    """
    facts = await observe(doors, claim.remediation, loaded, now, live=live)
    # what an alert leads to is found in what there is now: it may be acted on from then on
    if not live and facts.target.key != claim.remediation.target.key:
        return await _looked(doors, claim, loaded, now, live=True)
    verdict = cannot_see(facts)
    if verdict is not None:
        return claim, verdict
    # limits and locks go by the target, so it must be the final one before guards judge
    there = await _at_its_target(doors, claim, facts, now)
    if there is None:
        return None
    remediation, episodes = there.remediation, there.episodes
    return there, await assess(
        doors, remediation, episodes, loaded, facts=facts, now=now, live=live
    )


def _holds(judged: Assessment | Verdict) -> bool:
    verdicts = [judged] if isinstance(judged, Verdict) else judged.verdicts
    return strongest(verdicts).decision is Decision.HOLD


async def _observe_and_act(
    doors: Doors, claim: Claim, loaded: LoadedRule, now: datetime
) -> tuple[Claim, Decided] | None:
    """What was seen a moment ago is enough to hold. Whatever else follows, an act first of all, is
    planned and judged by what there is now.
    """
    if doors.only_live:
        leave()
    looked = await _looked(doors, claim, loaded, now, live=doors.only_live)
    if looked is not None and not _holds(looked[1]) and not doors.only_live:
        leave()
        looked = await _looked(doors, looked[0], loaded, now, live=True)
    if looked is None:
        return None
    claim, judged = looked
    if isinstance(judged, Verdict):
        look = Look(now, (judged,))
        return claim, waiting.by_verdict(claim, loaded, judged, look, link=doors.link)
    return await _act(doors, claim, loaded, judged, now=now)


async def _act(
    doors: Doors, claim: Claim, loaded: LoadedRule, judged: Assessment, *, now: datetime
) -> tuple[Claim, Decided]:
    """The attempt, if the guards allow it."""
    # announced first: its notification speaks for all that are held by it
    if judged.storming and loaded.rule.mode != "observe":
        why = next(verdict.why for verdict in judged.verdicts if verdict.reason is Reason.STORM)
        await incidents.storm(doors, loaded, judged.situation, why, now=now)
    # whatever the guards say, there is nothing left to do
    if await _resolved_unseen(doors, claim, judged, now):
        return claim, waiting.resolved(now, NOT_LISTED)
    decisive = doors.count_verdicts(claim.remediation, judged.verdicts)
    if decisive.decision is Decision.ALLOW and judged.planned.plan is not None:
        begun = await begin(doors, claim, loaded, judged)
        if not isinstance(begun, Verdict):
            return begun
        # others may have acted since the guards judged: the transaction knows better
        decisive = begun
    return claim, waiting.by_verdict(claim, loaded, decisive, judged.look, link=doors.link)


async def _at_its_target(doors: Doors, claim: Claim, facts: Facts, now: datetime) -> Claim | None:
    """The claim with the target that limits and locks use; None if another of the same rule and
    target took it over.
    """
    remediation, root = claim.remediation, facts.root.key
    moved = (facts.target, root) != (remediation.target, remediation.root_key)
    if moved and not await doors.journal.retarget(remediation, facts.target, root, now):
        return None
    return replace(claim, remediation=replace(remediation, target=facts.target, root_key=root))


async def _resolved_unseen(doors: Doors, claim: Claim, judged: Assessment, now: datetime) -> bool:
    """Whether settled Alertmanagers list none of its alerts: they resolved without a delivery."""
    if judged.situation.activity != "not_listed":
        return False
    for episode in claim.episodes:
        if episode.open:
            await doors.journal.close_episode(episode, now)
    return True
