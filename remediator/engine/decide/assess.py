"""One evaluation of a remediation: facts, causes, plan and verdicts. Nothing is changed.

Used by `explain` and dry runs too.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ...actions import ACTIONS
from ...guards import pipeline, storm
from ...guards.situation import Situation
from ...model.alert import Episode
from ...model.facts import Facts, Unknown
from ...model.look import Look
from ...model.plan import Refusal
from ...model.remediation import Remediation
from ...model.target import Unresolved
from ...model.verdict import REASONS, Reason, Verdict, deny, hold
from ...rules import planner
from ...rules.ruleset import LoadedRule
from ...rules.schema import Rule
from ..doors import Doors
from ..see import ground
from ..see.observe import template_now, touched
from ..see.outside import Outside, ask, began, unmet

LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was observed and judged, before any write."""

    facts: Facts
    planned: planner.Planned
    situation: Situation
    verdicts: list[Verdict]
    outside: Outside
    storming: bool

    @property
    def look(self) -> Look:
        """As it is stored and shown."""
        facts, planned = self.facts, self.planned
        return Look(
            at=facts.at,
            verdicts=tuple(self.verdicts),
            target=facts.target,
            root=facts.root,
            causes=tuple(planned.causes),
            plan=planned.plan,
        )


async def assess(
    doors: Doors,
    remediation: Remediation,
    episodes: tuple[Episode, ...],
    loaded: LoadedRule,
    *,
    facts: Facts,
    now: datetime,
    live: bool,
) -> Assessment:
    """Plans the next step and asks every guard. Limits are asked again in the transaction that
    starts an attempt.
    """
    rule, remediation = loaded.rule, replace(remediation, target=facts.target)
    past = await doors.journal.past(rule.name, facts.target.key)
    facts = replace(facts, past=past, began=await began(doors, episodes))
    tried = facts.past.ineffective(rule.name, template_now(facts), ineffective_window(rule), now)
    skipped, unknown = await _skipped(doors, rule, remediation.rung, episodes, facts=facts)
    planned = planner.plan(rule, facts, remediation.rung, tried, skipped=skipped)
    step = rule.steps[planned.step if planned.step < len(rule.steps) else -1]
    touching = await touched(doors, planned.plan, facts, now, live=live)
    seen = await ask(doors, rule, episodes, facts)
    # after what may be slow: a pause counts at once
    before = await ground.before(doors, remediation, episodes, loaded, now=now)
    cluster = facts.target.cluster
    counted = planned.plan is not None
    situation = before.planned(
        facts=facts,
        touched=touching,
        plan=planned.plan,
        action=step.action,
        mode=ground.strictest(rule.mode, step.mode),
        approved_digest=remediation.approved_digest,
        outside=ground.outside_scope(doors, loaded, touching),
        activity=seen.activity,
        inhibitor=seen.inhibitor,
        unmet=seen.unmet,
        step_attempts=step.limits.attempts,
        workloads=await doors.census.count(cluster, before.namespaces, now) if counted else None,
        storm_exempt=ACTIONS[step.action].storm_exempt,
    )
    verdicts = [] if planned.refusal is None else [_refused(planned.refusal)]
    verdicts += [hold("preconditions", Reason.UNKNOWN_FACT, unknown)] if unknown else []
    verdicts += pipeline.ask(pipeline.SECOND, situation)
    storming = False
    if planned.plan is not None:
        reading = ground.reading(situation, planned.plan)
        if not live and reading.troubled is None:
            reading = replace(reading, troubled=await doors.trouble.lately(cluster, now))
        used = await doors.journal.usage(remediation, reading, now)
        verdicts += pipeline.begin(situation, used)
        storming = storm.on(situation, used)
    return Assessment(facts, planned, situation, verdicts, seen, storming)


def cannot_see(facts: Facts) -> Verdict | None:
    """The verdict if there is no single object to act on, or it cannot be read."""
    match facts.object:
        case Unknown(why):
            return hold("facts", Reason.UNKNOWN_FACT, why, LOOK_AGAIN)
        case Unresolved(reason, why):
            return deny("facts", reason, why)
        case None:  # a replaced pod, say: its alert resolves soon, or the object comes back
            why = f"{facts.target} does not exist, or another object has its name now"
            return hold("facts", Reason.TARGET_GONE, why, LOOK_AGAIN)
    return None


def _refused(refusal: Refusal) -> Verdict:
    if REASONS[refusal.reason].holds:
        return hold("plan", refusal.reason, refusal.why, LOOK_AGAIN)
    return deny("plan", refusal.reason, refusal.why)


def ineffective_window(rule: Rule) -> timedelta:
    """How long an ineffective step is not repeated: the longest window of the rule's attempts."""
    return max((rate.window for rate in rule.limits.attempts), default=timedelta(hours=6))


async def _skipped(
    doors: Doors, rule: Rule, rung: int, episodes: tuple[Episode, ...], *, facts: Facts
) -> tuple[frozenset[int], str]:
    """Steps whose `when` does not hold, and why a query could not be run."""
    skipped: set[int] = set()
    for index in range(rung, len(rule.steps)):
        for query, unknown in await unmet(doors, rule.steps[index].when, episodes, facts):
            if unknown is not None:
                return frozenset(skipped), f"cannot run query `{query}`: {unknown.why}"
            skipped.add(index)
    return frozenset(skipped), ""
