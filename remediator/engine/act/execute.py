"""Makes a plan's calls, one after the other. Each is durable before it is sent."""

from dataclasses import replace
from datetime import timedelta

from ...model.call import Call, Evidence
from ...model.decision import Decided
from ...model.facts import Facts
from ...model.plan import Plan
from ...model.remediation import Outcome, State
from ...model.target import target_of
from ...model.verdict import Reason
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ..doors import Doors
from ..see import outside
from ..see.outside import Outside
from .ladder import applied, cancelled, next_rung
from .send import Sending, apply

SEND_WITHIN = timedelta(seconds=5)
UNSENDABLE = (
    "the journal stores this call without its secret values, so it cannot be sent again; earlier"
    " calls stay in effect"
)


async def execute(
    doors: Doors,
    claim: Claim,
    loaded: LoadedRule,
    plan: Plan,
    *,
    seen: Outside | None,
    fresh: bool = False,
) -> Decided:
    """Makes the calls that have not been answered yet.

    `seen` is what Alertmanager and Prometheus said before the first call was made durable; None for
    an undo, which does not ask them. `fresh`: no call of the attempt was ever sent.
    """
    attempt = claim.attempts[-1]
    first = len(attempt.evidence)
    for number in range(first, len(plan.calls)):
        # checked for each call, since earlier ones may have been answered before a restart
        if not plan.calls[number].whole:
            now, lost = doors.clock.now(), Outcome.UNKNOWN
            return next_rung(claim, None, now, lost, reason=Reason.UNKNOWN_FACT, why=UNSENDABLE)
        # the first one was made durable when the attempt was started, extended or recovered
        if number > first:
            seen = await ask_outside(doors, claim, loaded)
            attempt = replace(attempt, sent_by=doors.clock.now() + SEND_WITHIN)
            cancelled_by = await doors.journal.send(claim.remediation, attempt)
            if cancelled_by:
                return cancelled(attempt, doors.clock.now(), cancelled_by)
        claim = replace(claim, attempts=(*claim.attempts[:-1], attempt))
        sending = Sending(claim, loaded, plan, number, seen, fresh and number == 0)
        answer = await apply(doors, sending)
        if not isinstance(answer, Evidence):
            return answer
        attempt = replace(attempt, evidence=(*attempt.evidence, answer))
    now = doors.clock.now()
    doors.metrics.set("last_act_timestamp_seconds", now.timestamp(), plan.action)
    return applied(attempt, now, plan)


async def ask_outside(doors: Doors, claim: Claim, loaded: LoadedRule) -> Outside | None:
    """What Alertmanager and Prometheus say now, for the rule as it is loaded. Not asked for an
    undo.
    """
    if claim.remediation.undo_of:
        return None
    current = doors.rule_of(claim) or loaded
    target = claim.remediation.target
    root = target_of(claim.remediation.root_key) or target
    facts = Facts(doors.clock.now(), target, target, root, None)
    return await outside.ask(doors, current.rule, claim.episodes, facts)


async def extend(
    doors: Doors, claim: Claim, loaded: LoadedRule, calls: tuple[Call, ...]
) -> tuple[Claim, Decided]:
    """Makes calls that depend on the result of the first ones: durable first, within the plan's
    bounds.
    """
    attempt, now = claim.attempts[-1], doors.clock.now()
    plan = attempt.plan
    beyond = _beyond(plan, calls)
    if beyond:
        failed = Outcome.FAILED
        return claim, next_rung(claim, loaded, now, failed, reason=Reason.AT_CEILING, why=beyond)
    # the bounds were part of the plan that was judged and approved
    longer = replace(plan, calls=(*plan.calls, *calls))
    seen = await ask_outside(doors, claim, loaded)
    attempt = replace(attempt, plan=longer, sent_by=doors.clock.now() + SEND_WITHIN)
    await doors.journal.extend(claim.remediation, attempt, now)
    acting = replace(claim.remediation, state=State.EXECUTING)
    begun = replace(claim, remediation=acting, attempts=(*claim.attempts[:-1], attempt))
    return begun, await execute(doors, begun, loaded, longer, seen=seen)


def _beyond(plan: Plan, calls: tuple[Call, ...]) -> str:
    """How further calls would exceed the plan's bounds; empty if they do not. Calls without a bound
    are refused.
    """
    for call in calls:
        kind = f"{call.verb} {call.target.kind}"
        bound = next((bound for bound in plan.bounds if bound.covers(call)), None)
        if bound is None:
            return f"the plan does not allow {kind}"
        if sum(map(bound.covers, (*plan.calls, *calls))) > bound.most:
            return f"the plan allows {kind} at most {bound.most} times"
    return ""
