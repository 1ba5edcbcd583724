"""Sends one call: ask everything, then read the object, judge it, and write with exactly that
version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ...actions import ACTIONS
from ...errors import (
    BudgetExhausted,
    ClusterError,
    Conflict,
    Forbidden,
    Rejected,
    TargetGone,
    Unreachable,
)
from ...guards import opt_out, pipeline
from ...guards.situation import Touched
from ...guards.situation import touched as touched_by
from ...model.call import Call, Effect, Evidence, bound, effect
from ...model.decision import AttemptChange, Decided, Wait
from ...model.facts import Facts, Unknown
from ...model.plan import Plan
from ...model.pointer import READY, Object, said, view
from ...model.raw import meta
from ...model.remediation import Attempt, Outcome
from ...model.target import REPLACED
from ...model.verdict import Decision, Reason, Verdict, hold, strongest
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ..doors import Doors
from ..see import ground
from ..see.observe import observe, see, touched
from ..see.outside import Outside
from .ladder import LOOK_AGAIN, MARGIN, give_back, next_rung, overtaken

CONFLICTS = 3
REASON_OF: dict[type[ClusterError], Reason] = {
    Forbidden: Reason.FORBIDDEN,
    Rejected: Reason.REJECTED,
    TargetGone: Reason.TARGET_GONE,
    Conflict: Reason.CONFLICT,
    Unreachable: Reason.UNREACHABLE,
}
Read = Object | Unknown | None


@dataclass(frozen=True, slots=True)
class Sending:
    """One call that is about to be sent. `fresh`: no call of its attempt was ever sent."""

    claim: Claim
    loaded: LoadedRule
    plan: Plan
    number: int
    seen: Outside | None
    fresh: bool

    @property
    def attempt(self) -> Attempt:
        """The attempt of the call."""
        return self.claim.attempts[-1]

    @property
    def call(self) -> Call:
        """The call."""
        return bound(self.plan.calls[self.number], self.id)

    @property
    def id(self) -> str:
        """The call's id."""
        return call_id(self.attempt, self.number)

    def failed(self, now: datetime, reason: Reason, why: str) -> Decided:
        """The attempt fails by this call."""
        failed = Outcome.FAILED
        return next_rung(self.claim, self.loaded, now, failed, reason=reason, why=why)


async def apply(doors: Doors, sending: Sending) -> Evidence | Decided:
    """Makes one call.

    A conflict proves nothing: our own call may have taken effect and been repeated by a lower
    layer. So the object is read again before anything else.
    """
    call, plan = sending.call, sending.plan
    undeclared = _undeclared(call, plan.action)
    if undeclared:
        return sending.failed(doors.clock.now(), Reason.FORBIDDEN, undeclared)
    # everything around it first, the object itself last: at the write it must be the newest fact
    facts, others = await _around(doors, sending)
    for tried in range(CONFLICTS):
        obj = await object_of(doors, call)
        # before the guards: what has been done needs no permission any more
        done = _done_before(sending, obj, doors.clock.now(), again=tried > 0)
        if done is not None:
            return done
        if call.target.key == facts.target.key and isinstance(obj, Mapping):
            facts = replace(facts, object=obj)
        held = await _held_back(doors, sending, facts, others, obj=obj)
        if held is not None:
            # a conflict can hide that our own call took effect: from then on nothing is surely
            # unsent
            unsent = sending.fresh and not tried
            return give_back(sending.attempt, doors.clock.now(), held, unsent=unsent)
        answer = await _write(doors, sending, obj)
        if answer is not None:
            return answer
    now, obj = doors.clock.now(), await object_of(doors, call)
    why = f"{call.target} kept changing while we tried to write it"
    return _done_before(sending, obj, now, again=True) or sending.failed(now, Reason.CONFLICT, why)


async def _held_back(
    doors: Doors, sending: Sending, facts: Facts, others: tuple[Touched, ...], *, obj: Read
) -> Verdict | None:
    """What speaks against the call now: the object has changed, a guard, or the time."""
    call = sending.call
    touching = tuple(_unready(_with_object(item, call, obj), call) for item in others)
    held = _assumption_changed(call, obj) or await _guards_again(
        doors, sending, facts, touching, obj=obj
    )
    # the clock is read after everything that may take long
    if held is None and doors.clock.now() > sending.attempt.sent_by:
        return hold("executor", Reason.UNREACHABLE, "the checks before the write took too long")
    return held


async def _around(doors: Doors, sending: Sending) -> tuple[Facts, tuple[Touched, ...]]:
    """What the guards look at: the target and what else the call touches. For an undo only the
    target. All of it as it is now.
    """
    plan, call, now = sending.plan, sending.call, doors.clock.now()
    sights = ACTIONS[plan.action].sees & pipeline.SEES
    if plan.takes:
        sights |= pipeline.DISRUPTION
    remediation = sending.claim.remediation
    facts = await observe(doors, remediation, sending.loaded, now, sights=sights, live=True)
    if sending.seen is None:
        return facts, ()
    named = call.touch or call.target.key
    now = doors.clock.now()
    return facts, await touched(doors, plan, facts, now, only=named, live=True)


def _done_before(
    sending: Sending, obj: Read, now: datetime, *, again: bool
) -> Evidence | Decided | None:
    """What shows that the call has already been made: its object is gone as intended, or our own
    call took effect before the conflict.
    """
    call = sending.call
    if isinstance(obj, Unknown):
        return _unsure(sending, now, obj.why) if again else None
    if call.proof == "gone" and effect(call, "", obj) is Effect.PROVED:
        return Evidence(404, sending.id)
    if not again:
        return None
    match effect(call, sending.id, obj):
        case Effect.PROVED:
            return Evidence(200, sending.id, view(obj, call.leaves) if obj is not None else {})
        case Effect.OVERTAKEN:
            return overtaken(sending.attempt, call, now)
    return None


async def _write(doors: Doors, sending: Sending, obj: Read) -> Evidence | Decided | None:
    """The write itself, with the version that was read. None after a conflict."""
    call, started = sending.call, doors.clock.now()
    cluster = doors.clusters[sending.claim.remediation.target.cluster]
    # the API server rejects the write if anything changed after this version was read
    version = str(meta(obj).get("resourceVersion", "")) if isinstance(obj, Mapping) else ""
    try:
        evidence = await cluster.apply(call, sending.id, version)
    except Conflict:
        _count_call(doors, sending, started, Reason.CONFLICT)
        return None
    except BudgetExhausted as error:
        _count_call(doors, sending, started, Reason.BUDGET_EXHAUSTED)
        pause = timedelta(seconds=error.retry_after or 0)
        held = hold("executor", Reason.BUDGET_EXHAUSTED, str(error), pause)
        return give_back(sending.attempt, started, held, unsent=sending.fresh)
    # the answer is lost; the call may have arrived
    except Unreachable as error:
        _count_call(doors, sending, started, Reason.UNREACHABLE)
        return _unsure(sending, started, str(error))
    except ClusterError as error:
        reason = REASON_OF.get(type(error), Reason.REJECTED)
        _count_call(doors, sending, started, reason)
        return sending.failed(started, reason, str(error))
    _count_call(doors, sending, started, "ok")
    return evidence


def _unready(item: Touched, call: Call) -> Touched:
    """The touch of a call that removes a pod which does not serve: nothing is taken down."""
    if call.assumes.get(READY) is not False:
        return item
    return replace(item, touch=replace(item.touch, outage=True))


def _with_object(item: Touched, call: Call, obj: Read) -> Touched:
    """What is touched, with the object as it was just read."""
    if item.facts.target.key != call.target.key or not isinstance(obj, Mapping):
        return item
    return replace(item, facts=replace(item.facts, object=obj))


def _undeclared(call: Call, action: str) -> str:
    """Why a call is never sent: its action does not declare it (a permission may be missing)."""
    made = (call.verb, call.target.kind, call.subresource)
    if any(made == (verb, kind.name, below) for verb, kind, below in ACTIONS[action].calls):
        return ""
    below = f"/{call.subresource}" if call.subresource else ""
    return f"{action} does not declare the right to {call.verb} a {call.target.kind}{below}"


def _unsure(sending: Sending, now: datetime, why: str) -> Wait:
    """It may have taken effect: nothing is given back, and it is checked once it can no longer take
    effect.
    """
    attempt = sending.attempt
    return Wait(
        at=now,
        reason=Reason.UNREACHABLE,
        why=f"{why}; checking whether it took effect",
        # by then no API server can still be processing it
        until=attempt.sent_by + sending.call.timeout + MARGIN,
        change=AttemptChange(attempt.id, evidence=attempt.evidence),
    )


def call_id(attempt: Attempt, number: int) -> str:
    """The ID of an attempt's call, which stamps carry."""
    return f"{attempt.id}.{number}" if number else attempt.id


async def object_of(doors: Doors, call: Call) -> Read:
    """The object that a call is about, as it is now."""
    now = doors.clock.now()
    obj = (await see(doors, call.target, False, frozenset(), now=now, live=True)).object
    if isinstance(obj, Mapping) or obj is None:
        return obj
    return Unknown(obj.why)


def _count_call(doors: Doors, sending: Sending, started: datetime, answer: str) -> None:
    verb, took = sending.call.verb, (doors.clock.now() - started).total_seconds()
    doors.metrics.count("calls_total", sending.plan.action, verb, answer)
    doors.metrics.observe("call_duration_seconds", took, verb)


async def _guards_again(
    doors: Doors, sending: Sending, facts: Facts, touching: tuple[Touched, ...], *, obj: Read
) -> Verdict | None:
    """Asks the guards again just before the write, by the rule as it is loaded now. Nothing outside
    is waited for.
    """
    now, claim, plan = doors.clock.now(), sending.claim, sending.plan
    remediation, episodes = claim.remediation, claim.episodes
    current = doors.rule_of(claim)
    if current is None:
        return hold("rule", Reason.RULE_CHANGED, "the rule was removed")
    before = await ground.before(doors, remediation, episodes, current, now=now)
    if sending.seen is None:
        outside = ground.outside_scope(doors, current, touched_by(None, facts, {}))
        undoing = before.undoing(facts=facts, outside=outside)
        return _against(pipeline.ask(pipeline.UNDO, undoing))
    step = current.rule.steps[min(sending.attempt.step, len(current.rule.steps) - 1)]
    # further calls, and what the journal keeps of a plan, are within what was approved
    approved = remediation.approved_digest
    situation = before.planned(
        facts=facts,
        plan=plan,
        action=plan.action,
        mode=ground.strictest(current.rule.mode, step.mode),
        approved_digest=plan.digest if approved == sending.attempt.digest else approved,
        touched=touching,
        outside=ground.outside_scope(doors, current, touching),
        activity=sending.seen.activity,
        inhibitor=sending.seen.inhibitor,
        unmet=sending.seen.unmet,
        step_attempts=step.limits.attempts,
        workloads=None,
        storm_exempt=ACTIONS[plan.action].storm_exempt,
    )
    verdicts = pipeline.ask(pipeline.SECOND, situation)
    if isinstance(obj, Mapping):  # a pod may say no itself, where its workload does not
        own = opt_out.of(obj, str(sending.call.target), situation)
        verdicts += [own] if own is not None else []
    return _against(verdicts)


def _against(verdicts: list[Verdict]) -> Verdict | None:
    verdict = strongest(verdicts)
    return None if verdict.decision is Decision.ALLOW else verdict


def _assumption_changed(call: Call, obj: Read) -> Verdict | None:
    """Why the call's object is no longer as the plan assumed; None if it is."""
    target = call.target
    if isinstance(obj, Unknown):
        return hold("facts", Reason.UNKNOWN_FACT, obj.why, LOOK_AGAIN)
    if call.verb == "create":
        if obj is None:
            return None
        return hold("facts", Reason.ASSUMPTION_CHANGED, f"{target} already exists")
    if obj is None or str(meta(obj).get("uid")) != target.uid:
        return hold(
            "facts",
            Reason.TARGET_GONE,
            f"{target} {REPLACED}",
        )
    for pointer, value in view(obj, call.assumes).items():
        if call.assumes[pointer] != value:
            why = f"{said(pointer)} of {target} changed since it was planned"
            return hold("facts", Reason.ASSUMPTION_CHANGED, why)
    return None
