"""What follows from what was seen of an attempt: pure functions, from proof to undo."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ...actions import ACTIONS
from ...model.decision import AttemptChange, Climb, Decided, End, TakeBack, Wait
from ...model.duration import format_duration
from ...model.facts import Facts, Unknown
from ...model.plan import Plan, Seen, Verified, gone
from ...model.remediation import Attempt, Event, Outcome
from ...model.verdict import Reason
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ...rules.stored import StoredRule, StoredStep
from ...sights.pods import PODS, pods_before
from ..act.ladder import cancelled, next_rung
from ..see.observe import template_now

SOON, LATER = timedelta(seconds=3), timedelta(seconds=15)  # until something is looked at again
LONGEST = timedelta(minutes=1)
JUST_AFTER = timedelta(seconds=1)


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
    # a delivery, or a withdrawn alert that is noticed, wakes it; the last check is just after the
    # deadline, or what came just in time would count as late
    last = check.since + check.within + JUST_AFTER
    until = min(check.now + _pause(lasted, LONGEST), last)
    why = "converged; waiting for proof that it helped"
    return check.wait(why, until, converged_at=check.since, clear_proof=True)


def _proved(check: Check) -> Decided:
    attempt, now, quiet = check.attempt, check.now, check.attempt.times.quiet_for
    proved = max(attempt.proved_since or now, _last_end(check.claim))
    if proved != attempt.proved_since and now - check.since > check.within + SOON:
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


def with_after(decided: Decided, facts: Facts) -> Decided:
    """Stores what was observed at the end of an attempt beside what was observed before it."""
    if not isinstance(decided, Climb | End) or decided.change is None or PODS not in facts:
        return decided
    after = {"at": facts.at.isoformat(), **pods_before(facts)}
    return replace(decided, change=replace(decided.change, after=after))


def needs_proof(check: Check) -> bool:
    """Whether it converged and is not just a step before the next."""
    return check.seen.how is Verified.CONVERGED and not _leads_on(check)


def _leads_on(check: Check) -> bool:
    last = check.attempt.step + 1 >= len(check.rule.steps)
    return check.step.then == "next" and not last


def settles(decided: Decided, attempt: Attempt) -> bool:
    """Whether it ends the wait, or stores of the attempt what was not known before."""
    if not isinstance(decided, Wait):
        return True
    return decided.change is not None and decided.change.alters(attempt)
