"""One call on its way: everything is asked first, then its object is read, judged, and written with that very version."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..actions import ACTIONS
from ..errors import (
    BudgetExhausted,
    ClusterError,
    Conflict,
    Forbidden,
    Rejected,
    TargetGone,
    Unreachable,
)
from ..guards import opt_out, pipeline
from ..guards.situation import Touched, touched
from ..journal_port import AttemptChange, Claim, Move
from ..model.call import Call, Effect, Evidence, bound, effect
from ..model.facts import Facts, Unknown
from ..model.plan import Plan
from ..model.pointer import READY, said, view
from ..model.raw import meta
from ..model.remediation import Attempt
from ..model.verdict import Decision, Reason, Verdict, hold, strongest
from ..rules.ruleset import Source
from . import look as looking
from . import slices
from .doors import Doors
from .look import Outside
from .moves import MARGIN, failed, give_back, overtaken

CONFLICTS = 3
REASON_OF: dict[type[ClusterError], Reason] = {
    Forbidden: Reason.FORBIDDEN,
    Rejected: Reason.REJECTED,
    TargetGone: Reason.TARGET_GONE,
    Conflict: Reason.CONFLICT,
    Unreachable: Reason.UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Sending:
    """One call that is about to be sent."""

    claim: Claim
    source: Source
    plan: Plan
    number: int
    seen: Outside | None

    @property
    def attempt(self) -> Attempt:
        """The attempt that the call is of."""
        return self.claim.attempts[-1]

    @property
    def call(self) -> Call:
        """The call."""
        return bound(self.plan.calls[self.number], self.id)

    @property
    def id(self) -> str:
        """The call's id."""
        return call_id(self.attempt, self.number)


async def apply(doors: Doors, sending: Sending, fresh: bool) -> Evidence | Move:
    """Applies one call. Everything is asked first; then the object is read, judged, and written with that very version.

    A conflict is no answer: our own call may have landed and been sent again below us. So it is looked at before anything else.
    """
    attempt, call, plan = sending.attempt, sending.call, sending.plan
    cluster = doors.clusters[sending.claim.remediation.target.cluster]
    undeclared = _undeclared(call, plan.action)
    if undeclared:
        return failed(
            sending.claim,
            sending.source,
            attempt,
            doors.clock.now(),
            Reason.FORBIDDEN,
            undeclared,
        )
    sights = ACTIONS[plan.action].sees & pipeline.SEES
    if plan.takes:
        sights |= pipeline.DISRUPTION
    facts = await slices.observe(
        doors, sending.claim.remediation, sending.source, doors.clock.now(), sights
    )
    others: tuple[Touched, ...] = ()
    if sending.seen is not None:  # an undo's guards look at its target alone
        named = call.touch or call.target.key
        others = await looking.touched(doors, plan, facts, doors.clock.now(), named)
    for tried in range(CONFLICTS):
        obj = await object_of(doors, call)
        if (
            call.proof == "gone"
            and not isinstance(obj, Unknown)
            and effect(call, "", obj) is Effect.PROVED
        ):
            return Evidence(404, sending.id)
        if tried and isinstance(obj, Unknown):
            return _unsure(attempt, call, doors.clock.now(), obj.why)
        if tried and not isinstance(obj, Unknown):
            done = _done_already(sending, obj, doors.clock.now())
            if done is not None:
                return done
        facts = (
            replace(facts, object=obj)
            if call.target.key == facts.target.key and isinstance(obj, Mapping)
            else facts
        )
        touching = tuple(_unready(_with_object(item, call, obj), call) for item in others)
        held = _assumption_changed(call, obj) or await _guards_again(
            doors, sending, facts, touching, obj
        )
        started = doors.clock.now()
        if held is None and started > attempt.sent_by:
            held = hold("executor", Reason.UNREACHABLE, "what precedes the write took too long")
        if held is not None:
            return give_back(attempt, started, held, unsent=fresh and not tried)
        version = str(meta(obj).get("resourceVersion", "")) if isinstance(obj, Mapping) else ""
        try:
            evidence = await cluster.apply(call, sending.id, version)
        except Conflict:
            _count_call(doors, plan, call, started, Reason.CONFLICT)
            continue
        except BudgetExhausted as error:
            _count_call(doors, plan, call, started, Reason.BUDGET_EXHAUSTED)
            pause = timedelta(seconds=error.retry_after or 0)
            held = hold("executor", Reason.BUDGET_EXHAUSTED, str(error), pause)
            return give_back(attempt, started, held, unsent=fresh)
        except Unreachable as error:
            _count_call(doors, plan, call, started, Reason.UNREACHABLE)
            return _unsure(attempt, call, started, str(error))
        except ClusterError as error:
            reason = REASON_OF.get(type(error), Reason.REJECTED)
            _count_call(doors, plan, call, started, reason)
            return failed(sending.claim, sending.source, attempt, started, reason, str(error))
        _count_call(doors, plan, call, started, "ok")
        return evidence
    now, why = doors.clock.now(), f"{call.target} kept changing while it was written"
    obj = await object_of(doors, call)
    if isinstance(obj, Unknown):
        return _unsure(attempt, call, now, obj.why)
    return _done_already(sending, obj, now) or failed(
        sending.claim, sending.source, attempt, now, Reason.CONFLICT, why
    )


def _unready(item: Touched, call: Call) -> Touched:
    """What is touched, where the call removes a pod that does not serve: it takes nothing away."""
    if call.assumes.get(READY) is not False:
        return item
    return replace(item, touch=replace(item.touch, outage=True))


def _with_object(item: Touched, call: Call, obj: Mapping[str, Any] | Unknown | None) -> Touched:
    """What is touched, with the object as it was just read where the call is about that."""
    if item.facts.target.key != call.target.key or not isinstance(obj, Mapping):
        return item
    return replace(item, facts=replace(item.facts, object=obj))


def _undeclared(call: Call, action: str) -> str:
    """Why a call is never sent: its action declares no such call, so nobody granted it."""
    made = (call.verb, call.target.kind, call.subresource)
    if any(made == (verb, kind.name, below) for verb, kind, below in ACTIONS[action].calls):
        return ""
    below = f"/{call.subresource}" if call.subresource else ""
    return f"{action} does not declare that it may {call.verb} a {call.target.kind}{below}"


def _unsure(attempt: Attempt, call: Call, now: datetime, why: str) -> Move:
    """It may have landed: nothing is given back, and it is looked at once it can no longer land."""
    return Move(
        None,
        now,
        due=attempt.sent_by + call.timeout + MARGIN,
        reason=Reason.UNREACHABLE,
        why=f"{why}; looking at what became of it",
        attempt=attempt.id,
        change=AttemptChange(evidence=attempt.evidence),
    )


def _done_already(
    sending: Sending, obj: Mapping[str, Any] | None, now: datetime
) -> Evidence | Move | None:
    """What our own call did, where the object shows that it landed although the answer said conflict."""
    call = sending.call
    match effect(call, sending.id, obj):
        case Effect.PROVED:
            return Evidence(200, sending.id, view(obj, call.leaves) if obj is not None else {})
        case Effect.OVERTAKEN:
            return overtaken(sending.attempt, call, now)
    return None


def call_id(attempt: Attempt, number: int) -> str:
    """The id of an attempt's call: what stamps carry."""
    return f"{attempt.id}.{number}" if number else attempt.id


async def object_of(doors: Doors, call: Call) -> Mapping[str, Any] | Unknown | None:
    """The object that a call is about, as it is now."""
    obj = (await slices.see(doors, call.target, False, frozenset(), doors.clock.now())).object
    if isinstance(obj, Mapping) or obj is None:
        return obj
    return Unknown(obj.why)


def _count_call(doors: Doors, plan: Plan, call: Call, started: datetime, answer: str) -> None:
    doors.metrics.count("calls_total", plan.action, call.verb, answer)
    doors.metrics.observe(
        "call_duration_seconds", (doors.clock.now() - started).total_seconds(), call.verb
    )


async def _guards_again(
    doors: Doors,
    sending: Sending,
    facts: Facts,
    touching: tuple[Touched, ...],
    obj: Mapping[str, Any] | Unknown | None,
) -> Verdict | None:
    """Just before the write, by the rule as it is loaded now: what came meanwhile still holds. Nothing outside is waited for."""
    now, claim, plan = doors.clock.now(), sending.claim, sending.plan
    remediation, episodes = claim.remediation, claim.episodes
    current = doors.rules.find(sending.source.rule.name, episodes[0].alert if episodes else None)
    if current is None:
        return hold("rule", Reason.RULE_CHANGED, "the rule was withdrawn")
    ground = await looking.before(doors, remediation, episodes, current, now)
    if sending.seen is None:
        outside = looking.outside_scope(doors, current, touched(None, facts, {}))
        undoing = ground.undoing(facts=facts, outside=outside)
        verdict = strongest(pipeline.ask(pipeline.UNDO, undoing))
        return None if verdict.decision is Decision.ALLOW else verdict
    step = current.rule.steps[min(sending.attempt.step, len(current.rule.steps) - 1)]
    begun = (
        sending.attempt.digest
    )  # further calls, and what the journal keeps of a plan, are within what was approved
    situation = ground.planned(
        facts=facts,
        plan=plan,
        action=plan.action,
        mode=looking.strictest(current.rule.mode, step.mode),
        approved_digest=plan.digest
        if remediation.approved_digest == begun
        else remediation.approved_digest,
        touched=touching,
        outside=looking.outside_scope(doors, current, touching),
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
    verdict = strongest(verdicts)
    return None if verdict.decision is Decision.ALLOW else verdict


def _assumption_changed(call: Call, obj: Mapping[str, Any] | Unknown | None) -> Verdict | None:
    """Whether the call's object is still as the plan assumed."""
    target = call.target
    if isinstance(obj, Unknown):
        return hold("facts", Reason.UNKNOWN_FACT, obj.why, looking.LOOK_AGAIN)
    if call.verb == "create":
        return (
            None
            if obj is None
            else hold("facts", Reason.ASSUMPTION_CHANGED, f"{target} exists already")
        )
    if obj is None or str(meta(obj).get("uid")) != target.uid:
        return hold("facts", Reason.TARGET_GONE, f"{target} is gone, or another has its name")
    for pointer, value in view(obj, call.assumes).items():
        if call.assumes[pointer] != value:
            return hold(
                "facts",
                Reason.ASSUMPTION_CHANGED,
                f"{said(pointer)} of {target} changed since it was planned",
            )
    return None
