"""Starts an attempt: its intent, locks and charge are durable before anything is called."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from ...actions import ACTIONS
from ...guards import pipeline
from ...model.decision import Decided
from ...model.plan import Plan, Times, redacted
from ...model.remediation import Attempt, State
from ...model.usage import Usage
from ...model.verdict import Decision, Reason, Verdict, hold, strongest
from ...ports.records import Claim, Intent
from ...rules.ruleset import LoadedRule
from ...telemetry import log
from ..decide.assess import Assessment
from ..doors import Doors
from ..see import ground
from ..see.outside import Outside, proof_within
from .execute import SEND_WITHIN, execute
from .ladder import MARGIN

TOO_SLOW = "observing the target took too long; what was seen may be out of date"


async def begin(
    doors: Doors, claim: Claim, loaded: LoadedRule, judged: Assessment
) -> tuple[Claim, Decided] | Verdict:
    """Starts the attempt and executes it. Returns the verdict of a guard that prevented it."""
    plan = judged.planned.plan
    assert plan is not None
    # asked before the attempt gets its time: Prometheus may be slow, and the call has a deadline
    times = await _times(doors, claim, loaded, judged)
    attempt = new_attempt(claim, plan, judged.planned.step, times, now=doors.clock.now())
    # what Alertmanager said must still hold when the call is sent
    if attempt.begun_at - judged.outside.asked_at > SEND_WITHIN:
        return hold("executor", Reason.UNKNOWN_FACT, TOO_SLOW, MARGIN)
    causes = (
        replace(cause, evidence=redacted(dict(cause.evidence))) for cause in judged.planned.causes
    )
    intent = Intent(
        attempt=replace(attempt, causes=tuple(causes)),
        reading=ground.reading(judged.situation, plan),
        rule=loaded.rule.name,
        root_key=judged.facts.root.key,
        target=plan.target,
        look=judged.look,
    )

    def decide(usage: Usage) -> list[Verdict]:
        return pipeline.begin(judged.situation, usage)

    return await start(doors, claim, loaded, intent, decide=decide, seen=judged.outside)


def new_attempt(claim: Claim, plan: Plan, step: int, times: Times, *, now: datetime) -> Attempt:
    """The attempt for a plan, with the time limits of its verification."""
    number = len(claim.attempts) + 1
    return Attempt(
        id=f"{claim.remediation.id}.{number}",
        remediation=claim.remediation.id,
        number=number,
        step=step,
        action=plan.action,
        plan=plan,
        times=times,
        digest=plan.digest,
        causes=(),
        begun_at=now,
        sent_by=now + SEND_WITHIN,
    )


async def start(
    doors: Doors,
    claim: Claim,
    loaded: LoadedRule,
    intent: Intent,
    *,
    decide: Callable[[Usage], list[Verdict]],
    seen: Outside | None,
) -> tuple[Claim, Decided] | Verdict:
    """Makes the intent durable and executes it. Returns the verdict that prevented it, if any."""
    remediation, attempt = claim.remediation, intent.attempt
    # durable before the first call: after a crash it is found and checked, never repeated blindly
    verdicts = await doors.journal.begin(remediation, intent, decide)
    denied = strongest(verdicts)
    if denied.decision is not Decision.ALLOW:
        doors.count_verdicts(remediation, verdicts)
        return denied
    log().info(
        "attempt_started",
        remediation_id=remediation.id,
        rule=loaded.rule.name,
        action=attempt.action,
        plan=attempt.plan.summary,
    )
    acting = replace(remediation, state=State.EXECUTING)
    begun = replace(claim, remediation=acting, attempts=(*claim.attempts, attempt))
    return begun, await execute(doors, begun, loaded, attempt.plan, seen=seen, fresh=True)


async def _times(doors: Doors, claim: Claim, loaded: LoadedRule, judged: Assessment) -> Times:
    """The time limits of the verification, fixed when the attempt starts."""
    plan = judged.planned.plan
    assert plan is not None
    step = loaded.rule.steps[judged.planned.step]
    verify = step.verify
    within = verify.resolved_within or await proof_within(doors, claim.episodes)
    converged = verify.converged_within or plan.converged_within
    after = step.restore.after
    restore = ACTIONS[plan.action].restore_after if after is None else after
    return Times(
        converged_within=min(converged, loaded.rule.deadline),  # a Deployment may say 68 years
        resolved_within=within,
        quiet_for=verify.quiet_for if doors.quiet_for is None else doors.quiet_for,
        restore_after=restore or None,
    )
