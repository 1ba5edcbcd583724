"""One look at one remediation: facts, causes, plan and verdicts; nothing is changed. `explain` and dry runs use it too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ...actions import ACTIONS
from ...guards import pipeline, storm
from ...guards.situation import Situation, Touched
from ...guards.situation import touched as touched_by
from ...model.alert import Episode
from ...model.facts import Facts, Unknown
from ...model.look import Look
from ...model.plan import Plan, Refusal
from ...model.pointer import TEMPLATE, at
from ...model.remediation import Remediation
from ...model.target import Unresolved
from ...model.verdict import REASONS, Reason, Verdict, deny, hold
from ...rules import planner
from ...rules.ruleset import Source
from ...rules.schema import Rule
from ..doors import Doors
from . import ground
from .outside import Outside, ask, began, unmet

LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was seen and judged, before any write."""

    facts: Facts
    planned: planner.Planned
    situation: Situation
    verdicts: list[Verdict]
    outside: Outside
    storming: bool

    @property
    def look(self) -> Look:
        """As it is kept and shown."""
        facts, planned = self.facts, self.planned
        return Look(
            at=facts.at,
            verdicts=tuple(self.verdicts),
            target=facts.target,
            root=facts.root,
            causes=tuple(planned.causes),
            plan=planned.plan,
        )


async def look(
    doors: Doors,
    remediation: Remediation,
    episodes: tuple[Episode, ...],
    source: Source,
    facts: Facts,
    now: datetime,
) -> Judged:
    """Plans the next step and asks every guard, the limits included (they are asked again inside begin)."""
    rule, remediation = source.rule, replace(remediation, target=facts.target)
    past = await doors.journal.past(rule.name, facts.target.key)
    facts = replace(facts, past=past, began=await began(doors, episodes))
    tried = facts.past.ineffective(rule.name, template_now(facts), ineffective_window(rule), now)
    skipped, unknown = await _skipped(doors, rule, remediation.rung, episodes, facts)
    planned = planner.plan(rule, facts, remediation.rung, tried, skipped)
    step = rule.steps[planned.step if planned.step < len(rule.steps) else -1]
    touching = await touched(doors, planned.plan, facts, now)
    seen = await ask(doors, rule, episodes, facts)
    # after what may be slow: a pause counts at once
    before = await ground.before(doors, remediation, episodes, source, now)
    cluster = facts.target.cluster
    counted = planned.plan is not None
    situation = before.planned(
        facts=facts,
        touched=touching,
        plan=planned.plan,
        action=step.action,
        mode=ground.strictest(rule.mode, step.mode),
        approved_digest=remediation.approved_digest,
        outside=ground.outside_scope(doors, source, touching),
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
        used = await doors.journal.usage(remediation, reading, now)
        verdicts += pipeline.begin(situation, used)
        storming = storm.on(situation, used)
    return Judged(facts, planned, situation, verdicts, seen, storming)


async def touched(
    doors: Doors, plan: Plan | None, facts: Facts, now: datetime, only: str = ""
) -> tuple[Touched, ...]:
    """Everything that a plan touches as it is now, or what `only` (a key) names of it; the target always."""
    touches = plan.touches if plan is not None else ()
    if plan is not None and only:
        touches = tuple(touch for touch in touches if touch.target.key in (only, facts.target.key))
        plan = replace(plan, touches=touches)
    others = [touch.target for touch in touches if touch.target.key != facts.target.key]
    if not others:
        return touched_by(plan, facts, {})
    sights = pipeline.DISRUPTION if any(touch.takes for touch in touches) else frozenset()
    seen = await doors.clusters[facts.target.cluster].observe_all(others, sights, now)
    by_key = {target.key: found for target, found in zip(others, seen, strict=True)}
    return touched_by(plan, facts, by_key)


def unseen(facts: Facts) -> Verdict | None:
    """The verdict where there is no one object to look at, or it cannot be read."""
    match facts.object:
        case Unknown(why):
            return hold("facts", Reason.UNKNOWN_FACT, why, LOOK_AGAIN)
        case Unresolved(reason, why):
            return deny("facts", reason, why)
        case None:  # a replaced pod, say: its alert resolves soon, or the object comes back
            why = f"{facts.target} does not exist, or another has its name now"
            return hold("facts", Reason.TARGET_GONE, why, LOOK_AGAIN)
    return None


def template_now(facts: Facts) -> str:
    """The hash of the target's template, empty where it has none or it could not be read."""
    return str(at(facts.object, TEMPLATE)) if isinstance(facts.object, Mapping) else ""


def _refused(refusal: Refusal) -> Verdict:
    if REASONS[refusal.reason].holds:
        return hold("plan", refusal.reason, refusal.why, LOOK_AGAIN)
    return deny("plan", refusal.reason, refusal.why)


def ineffective_window(rule: Rule) -> timedelta:
    """How long an ineffective step is not repeated: the longest of the rule's attempts windows."""
    return max((rate.window for rate in rule.limits.attempts), default=timedelta(hours=6))


async def _skipped(
    doors: Doors, rule: Rule, rung: int, episodes: tuple[Episode, ...], facts: Facts
) -> tuple[frozenset[int], str]:
    """The steps whose own `when` does not hold, and why one could not be asked."""
    skipped: set[int] = set()
    for index in range(rung, len(rule.steps)):
        for query, unknown in await unmet(doors, rule.steps[index].when, episodes, facts):
            if unknown is not None:
                return frozenset(skipped), f"cannot ask `{query}`: {unknown.why}"
            skipped.add(index)
    return frozenset(skipped), ""
