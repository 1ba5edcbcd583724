"""Verification: the change converged, *and* the proof holds for a while.

`check` gathers the facts until a deadline; pure functions decide what follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ...actions import ACTIONS
from ...model.alert import Activity
from ...model.decision import AttemptChange, Climb, Decided, End, TakeBack, Wait
from ...model.duration import format_duration
from ...model.facts import Facts, Unknown
from ...model.plan import Plan, Seen, Verified, gone
from ...model.remediation import Attempt, Event, Outcome
from ...model.target import Unresolved, target_of
from ...model.verdict import Reason
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ...rules.stored import StoredRule, StoredStep
from ...sights.pods import PODS, pods_before
from ..act.execute import extend
from ..act.ladder import cancelled, next_rung
from ..doors import Doors
from ..see.observe import see, template_now
from ..see.outside import proof_within, unmet
from . import harm

SOON, LATER = timedelta(seconds=3), timedelta(seconds=15)  # until something is looked at again
LONGEST = timedelta(minutes=1)


class Proven(NamedTuple):
    """How people are told that a proof was not given, came and went, or held."""

    lacks: str
    unsteady: str
    held: str


BY_QUERIES = Proven(
    "the queries of `verify.until` do not hold",
    "the queries of `verify.until` never held for long enough",
    "the queries of `verify.until` held",
)
PROVEN: Mapping[str | tuple[str, ...], Proven] = {
    "resolved": Proven(
        "the alert still fires",
        "the alert is flapping: it was never quiet for long enough",
        "the alert stayed quiet",
    ),
    "converged": Proven("it is not complete", "it never stayed so for long enough", "stayed so"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the last attempt.

    `proof`: whether the step's proof holds; None if that was not asked. `within`: how long after
    convergence the proof may take. `rule` is as it was when the remediation was created; a reload
    does not change the proof.
    """

    claim: Claim
    loaded: LoadedRule | None
    rule: StoredRule
    facts: Facts
    seen: Seen
    harm: str
    proof: bool | Unknown | None
    within: timedelta
    now: datetime

    @property
    def attempt(self) -> Attempt:
        """The attempt that is verified."""
        return self.claim.attempts[-1]

    @property
    def step(self) -> StoredStep:
        """Its step."""
        return self.rule.steps[self.attempt.step]

    @property
    def until(self) -> str | tuple[str, ...]:
        """What proves that it helped."""
        return self.step.verify.until or ACTIONS[self.step.action].proof

    @property
    def told(self) -> Proven:
        """How people are told of its proof."""
        return PROVEN.get(self.until, BY_QUERIES)

    @property
    def since(self) -> datetime:
        """When it converged."""
        return self.attempt.converged_at or self.now

    def wait(self, why: str, until: datetime, **change: Any) -> Wait:
        """Nothing is decided yet."""
        changed = AttemptChange(self.attempt.id, **change) if change else None
        return Wait(at=self.now, reason=None, why=why, until=until, change=changed)

    def next_rung(self, outcome: Outcome, reason: Reason | None, why: str) -> Climb | End:
        """The attempt ended like this."""
        return next_rung(self.claim, self.loaded, self.now, outcome, reason=reason, why=why)


async def check(
    doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime
) -> tuple[Claim, Decided]:
    """Checks the last attempt, and makes its further calls if it needs any."""
    attempt, rule = claim.attempts[-1], claim.rule
    facts = await _see(doors, claim, now)
    seen = ACTIONS[attempt.action].verify(attempt.plan, attempt.evidence, facts)
    further = ACTIONS[attempt.action].next
    # calls that are still needed come before any judgement: without them it is not complete
    if further is not None and loaded is not None and _goes_on(claim, seen, now):
        calls = further(attempt.plan, attempt.evidence, facts)
        if calls:
            return await extend(doors, claim, loaded, calls)
    harmed = ""
    # before the proof: what harms others is undone even if its own alert resolves
    if seen.how in (Verified.WAITING, Verified.CONVERGED):
        harmed = await harm.by(doors, claim, facts)
    within = attempt.times.resolved_within
    checked = Check(claim, loaded, rule, facts, seen, harmed, None, within, now)
    if not harmed and not claim.remediation.cancel_by and _needs_proof(checked):
        checked = await _with_proof(doors, checked)
    return claim, _with_after(judge(checked), facts)


def _goes_on(claim: Claim, seen: Seen, now: datetime) -> bool:
    """Whether further calls may be made: until it was judged complete, while an alert fires."""
    attempt = claim.attempts[-1]
    complete = seen.how is Verified.CONVERGED and attempt.converged_at is None
    wanted = not claim.remediation.cancel_by and any(episode.open for episode in claim.episodes)
    return wanted and (complete or seen.how is Verified.WAITING) and not too_late(attempt, now)


async def _see(doors: Doors, claim: Claim, now: datetime) -> Facts:
    """The target, and what else the plan names."""
    attempt = claim.attempts[-1]
    watches = ACTIONS[attempt.action].watches
    facts = await see(doors, claim.remediation.target, False, watches, now=now)
    if attempt.plan.beside is None:
        return facts
    beside = (await see(doors, attempt.plan.beside, False, frozenset(), now=now)).object
    return replace(facts, beside=Unknown(beside.why) if isinstance(beside, Unresolved) else beside)


def _needs_proof(check: Check) -> bool:
    """Whether it converged and is not just a step before the next."""
    return check.seen.how is Verified.CONVERGED and not _leads_on(check)


def _leads_on(check: Check) -> bool:
    last = check.attempt.step + 1 >= len(check.rule.steps)
    return check.step.then == "next" and not last


async def _with_proof(doors: Doors, check: Check) -> Check:
    proof = await _proof(doors, check)
    within = check.within
    late = check.now - check.since > within
    if late and not isinstance(proof, Unknown) and check.step.verify.resolved_within is None:
        # another alert, that goes on for longer, may have joined
        within = max(within, await proof_within(doors, check.claim.episodes))
    return replace(check, proof=proof, within=within)


async def _proof(doors: Doors, check: Check) -> bool | Unknown:
    """Whether the step's proof holds now."""
    claim = check.claim
    if check.until == "converged":
        return True
    if check.until == "resolved":
        return await _resolved(doors, claim, check.now)
    target = claim.remediation.target
    root = target_of(claim.remediation.root_key) or target
    facts = Facts(check.now, target, target, root, None)
    for query, unknown in await unmet(doors, tuple(check.until), claim.episodes, facts):
        return Unknown(f"cannot run query `{query}`: {unknown.why}") if unknown else False
    return True


async def _resolved(doors: Doors, claim: Claim, now: datetime) -> bool | Unknown:
    """Whether every attached alert has resolved: by a delivery, or because settled Alertmanagers no
    longer list it.
    """
    still_open = [episode for episode in claim.episodes if episode.open]
    for episode in still_open:
        answer = await doors.alertmanager.activity(episode.source, episode.alert, episode.last_seen)
        match answer:
            case Activity.NOT_LISTED:
                await doors.journal.close_episode(episode, now)
            case Activity.ACTIVE:
                return False
            case Activity.UNKNOWN:
                return Unknown("Alertmanager cannot be queried")
            case _:
                return Unknown(f"the alert is {answer}")
    return True


def judge(check: Check) -> Decided:
    """What follows from what was observed."""
    if check.harm:
        return _worse(check, check.harm)
    if check.claim.remediation.cancel_by:
        return cancelled(check.attempt, check.now, check.claim.remediation.cancel_by)
    match check.seen.how:
        case Verified.OVERTAKEN:
            return _overtaken(check)
        case Verified.WORSE:
            return _worse(check, check.seen.why)
        case Verified.FAILED:
            return check.next_rung(Outcome.FAILED, Reason.UNSUCCESSFUL, check.seen.why)
        case Verified.UNKNOWN:
            return _lost_sight(check, "what the verification needs cannot be observed now")
        case Verified.WAITING:
            return _not_converged(check)
    return _converged(check)


def taken_over(plan: Plan, facts: Facts) -> tuple[Reason, str]:
    """How someone else modified or deleted what the attempt left."""
    if gone(plan, facts):
        return Reason.TARGET_GONE, f"{plan.target} was deleted after our change"
    return Reason.ASSUMPTION_CHANGED, f"{plan.target} was modified after our change"


def _overtaken(check: Check) -> Decided:
    reason, why = taken_over(check.attempt.plan, check.facts)
    alone = replace(check, loaded=None)  # no further step is taken on what is others' now
    ended = alone.next_rung(Outcome.OVERTAKEN, reason, f"{why}; leaving it alone")
    if isinstance(ended, End):
        return replace(ended, template=template_now(check.facts))
    return ended


def _worse(check: Check, why: str) -> Decided:
    """Undo if possible, else the next step."""
    if ACTIONS[check.attempt.action].undo is None:
        return check.next_rung(Outcome.WORSE, Reason.WORSE, why)
    return _take_back(check, f"{why}; undoing our change")


def _take_back(check: Check, why: str) -> TakeBack:
    return TakeBack(at=check.now, reason=Reason.WORSE, why=why, until=check.now + LATER)


def too_late(attempt: Attempt, now: datetime) -> bool:
    """Whether it should have converged by now. What had converged has that time again from its
    relapse: a pod that is evicted while the alert is watched is no failed rollout.
    """
    since = attempt.relapsed_at if attempt.converged_at else attempt.done_at
    return since is not None and now - since > attempt.times.converged_within


def _not_converged(check: Check) -> Decided:
    attempt = check.attempt
    if not too_late(attempt, check.now):
        return _not_yet(check)
    within = format_duration(attempt.times.converged_within)
    if attempt.converged_at is not None:  # what came after that need not be our change's fault
        why = f"converged, but has not been complete any more for {within}"
        return check.next_rung(Outcome.FAILED, Reason.DEADLINE, why)
    why = f"not converged within {within}"
    before = attempt.plan.before.get("ready", 0)
    fewer = PODS in check.facts and pods_before(check.facts)["ready"] < before
    stays = any(touch.stays for touch in attempt.plan.touches)  # and comes back by itself
    if ACTIONS[attempt.action].undo and fewer and not stays:
        return _take_back(check, f"{why}, with fewer ready pods than before; undoing our change")
    return check.next_rung(Outcome.FAILED, Reason.DEADLINE, why)


def _not_yet(check: Check) -> Wait:
    """It has time left; what had converged has it since it was first seen incomplete."""
    attempt = check.attempt
    until = check.now + _pause(check.now - attempt.done_at, LATER)
    why = check.seen.why or "waiting for it to complete"
    if attempt.converged_at is None:
        return check.wait(why, until)
    relapsed = attempt.relapsed_at or check.now
    return check.wait(why, until, relapsed_at=relapsed, clear_proof=True)


def _pause(lasted: timedelta, longest: timedelta) -> timedelta:
    """Time until the next check: longer for what takes longer."""
    return min(longest, max(SOON, lasted / 4))


def _lost_sight(check: Check, why: str, converged_at: datetime | None = None) -> Decided:
    """Checks again, and gives up once the proof is long overdue."""
    attempt, now, reason = check.attempt, check.now, Reason.UNKNOWN_FACT
    since = attempt.converged_at or attempt.done_at
    if now - since > attempt.times.resolved_within + check.rule.expire:
        change = AttemptChange(attempt.id, outcome=Outcome.UNKNOWN)
        late = "could not be verified in time"
        return End(event=Event.LOSE_SIGHT, at=now, reason=reason, why=late, change=change)
    seen = AttemptChange(attempt.id, converged_at=converged_at) if converged_at else None
    return Wait(at=now, reason=reason, why=why, until=now + LATER, change=seen)


def _converged(check: Check) -> Decided:
    if _leads_on(check):
        return _onward(check)
    if isinstance(check.proof, Unknown):
        return _lost_sight(check, check.proof.why, check.since)
    if not check.proof:
        return _unproved(check)
    return _proved(check)


def _onward(check: Check) -> Decided:
    """The next step, unless a reload took it away: the new rule would begin with the first."""
    why = "converged; continuing with the next step"
    onward = check.next_rung(Outcome.CONVERGED, None, why)
    if isinstance(onward, Climb):
        return onward
    rule = check.claim.remediation.rule
    why = f"converged; rule {rule} was changed or removed before the next step"
    return replace(onward, reason=Reason.RULE_CHANGED, why=why)


def _unproved(check: Check) -> Decided:
    lasted = check.now - check.since
    if lasted > check.within:
        why = f"converged, but {check.told.lacks} after {format_duration(check.within)}"
        return check.next_rung(Outcome.INEFFECTIVE, Reason.DEADLINE, why)
    # a delivery, or a withdrawn alert that is noticed, wakes it
    until = check.now + _pause(lasted, LONGEST)
    why = "converged; waiting for proof that it helped"
    return check.wait(why, until, converged_at=check.since, clear_proof=True)


def _proved(check: Check) -> Decided:
    attempt, now, quiet = check.attempt, check.now, check.attempt.times.quiet_for
    proved = max(attempt.proved_since or now, _last_end(check.claim))
    if proved != attempt.proved_since and now - check.since > check.within:
        why = f"converged, but {check.told.unsteady} within {format_duration(check.within)}"
        return check.next_rung(Outcome.INEFFECTIVE, Reason.DEADLINE, why)
    if now - proved < quiet:
        why = "it helped; watching whether that lasts"
        return check.wait(why, proved + quiet, converged_at=check.since, proved_since=proved)
    lasting = f"{check.told.held} for {format_duration(quiet)}"
    return End(
        event=Event.PROVED,
        at=now,
        reason=None,
        why=f"{attempt.plan.summary}: converged, and {lasting}",
        change=AttemptChange(
            attempt.id,
            converged_at=check.since,
            proved_since=proved,
            outcome=Outcome.SUCCEEDED,
        ),
        unless_firing=check.until == "resolved",
    )


def _last_end(claim: Claim) -> datetime:
    """When the last of its alerts ended. An alert that fired and resolved between two checks was
    not quiet.
    """
    given = (episode.alert.ends_at for episode in claim.episodes)
    ends = [ended for ended in given if ended is not None]
    return max(ends, default=claim.remediation.created_at)


def _with_after(decided: Decided, facts: Facts) -> Decided:
    """Stores what was observed at the end of an attempt beside what was observed before it."""
    if not isinstance(decided, Climb | End) or decided.change is None or PODS not in facts:
        return decided
    after = {"at": facts.at.isoformat(), **pods_before(facts)}
    return replace(decided, change=replace(decided.change, after=after))
