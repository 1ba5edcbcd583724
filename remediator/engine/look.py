"""One look at one remediation: facts, causes, plan and verdicts; nothing is changed. `explain` and dry runs use it too."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..actions import ACTIONS
from ..guards import limits as limit_guards
from ..guards import pipeline, storm
from ..guards.situation import Before, Pause, RuleLimits, Situation, Touched
from ..guards.situation import touched as touched_by
from ..journal_port import Claim
from ..kinds import NODE
from ..model.alert import Activity, Episode
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, to_json
from ..model.pointer import TEMPLATE, at
from ..model.remediation import Remediation
from ..model.target import Target, Unresolved
from ..model.usage import Reading
from ..model.verdict import REASONS, Reason, Verdict, deny, hold
from ..rules import planner, templates
from ..rules.ruleset import Source
from ..rules.schema import Rule
from .doors import Doors, as_json

STRICTNESS = ["act", "approve", "observe"]
LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen and decided, before any write."""

    facts: Facts
    planned: planner.Planned
    situation: Situation
    verdicts: list[Verdict]
    outside: "Outside"
    storming: bool

    def as_json(self) -> Mapping[str, Any]:
        """As `show` and `explain` print it."""
        plan = self.planned.plan
        return {
            "at": self.facts.at.isoformat(),
            "target": str(self.facts.target),
            "root": str(self.facts.root),
            "causes": [
                {"name": c.name, "why": c.why, "evidence": c.evidence} for c in self.planned.causes
            ],
            "verdicts": as_json(self.verdicts),
            "plan": to_json(plan) if plan else None,
            "calls": [*(call.describe() for call in plan.calls), *plan.later()] if plan else [],
            "digest": plan.digest if plan else "",
        }


def strictest(*modes: str | None) -> str:
    """The strictest of the modes given."""
    return max((mode for mode in modes if mode), key=STRICTNESS.index)


async def first_pass(doors: Doors, claim: Claim, source: Source, now: datetime) -> list[Verdict]:
    """The guards that need no facts."""
    return pipeline.ask(
        pipeline.FIRST, await before(doors, claim.remediation, claim.episodes, source, now)
    )


async def before(
    doors: Doors,
    remediation: Remediation,
    episodes: tuple[Episode, ...],
    source: Source,
    now: datetime,
) -> Before:
    """What guards look at, as far as it is known without facts."""
    rule = source.rule
    given = rule.limits
    limits = RuleLimits(
        given.attempts, given.cooldown, given.per_rule, given.in_flight, given.blast_radius
    )
    pauses = tuple(
        Pause(p["scope"], p["reason"], p["author"], p["until"])
        for p in await doors.journal.pauses()
    )
    return Before(
        now=now,
        remediation=remediation.id,
        rule=rule.name,
        action=rule.steps[min(remediation.rung, len(rule.steps) - 1)].action,
        mode=rule.mode,
        target=remediation.target,
        root=remediation.target,
        episodes=episodes,
        limits=limits,
        process=doors.limits,
        started_at=doors.started_at,
        pauses=pauses,
        max_age=rule.max_age,
        pending=rule.pending,
        lifted=frozenset(source.group.scope.protected),
        owners=rule.owners.model_dump(),
        own_namespace=doors.own_namespace,
        approved_digest=remediation.approved_digest,
        priority=rule.priority,
        active=doors.rules.named(rule.windows.active),
        mute=doors.rules.named(rule.windows.mute),
        opt_in=source.group.scope.opt_in,
        scope=source.scope_of(remediation.target.cluster),
        namespaces=source.group.scope.namespaces,
    )


@dataclass(frozen=True, slots=True)
class Outside:
    """What Prometheus and Alertmanager said, and when the last of them was asked."""

    unmet: tuple[tuple[str, Unknown | None], ...]
    inhibitor: str | Unknown | None
    activity: Activity
    asked_at: datetime


async def outside(doors: Doors, rule: Rule, episodes: tuple[Episode, ...], facts: Facts) -> Outside:
    """Asks them; whether the alerts are still active last, since that ages fastest."""
    queries = await unmet(doors, rule.when, episodes, facts)
    inhibiting = await inhibitor(doors, rule, episodes)
    asked_at = doors.clock.now()
    return Outside(queries, inhibiting, await activity(doors, episodes), asked_at)


async def look(
    doors: Doors,
    remediation: Remediation,
    episodes: tuple[Episode, ...],
    source: Source,
    facts: Facts,
    now: datetime,
) -> Look:
    """Plans the next rung and asks every guard, the limits included (they are asked again inside begin)."""
    rule, remediation = source.rule, replace(remediation, target=facts.target)
    past = await doors.journal.past(rule.name, facts.target.key)
    facts = replace(facts, past=past, began=await began(doors, episodes))
    tried = facts.past.ineffective(rule.name, template_now(facts), ineffective_window(rule), now)
    skipped, unknown = await _skipped(doors, rule, remediation.rung, episodes, facts)
    planned = planner.plan(rule, facts, remediation.rung, tried, skipped)
    step = rule.steps[planned.step if planned.step < len(rule.steps) else -1]
    touching = await touched(doors, planned.plan, facts, now)
    seen = await outside(doors, rule, episodes, facts)
    ground = await before(
        doors, remediation, episodes, source, now
    )  # after what may be slow: a pause counts at once
    situation = ground.planned(
        facts=facts,
        touched=touching,
        plan=planned.plan,
        action=step.action,
        mode=strictest(rule.mode, step.mode),
        approved_digest=remediation.approved_digest,
        outside=outside_scope(doors, source, touching),
        activity=seen.activity,
        inhibitor=seen.inhibitor,
        unmet=seen.unmet,
        step_attempts=step.limits.attempts,
        workloads=await doors.census.count(facts.target.cluster, ground.namespaces, now)
        if planned.plan
        else None,
        storm_exempt=ACTIONS[step.action].storm_exempt,
    )
    verdicts = (
        [] if planned.refusal is None else [_refused(planned.refusal.reason, planned.refusal.why)]
    )
    verdicts += [hold("preconditions", Reason.UNKNOWN_FACT, unknown)] if unknown else []
    verdicts += pipeline.ask(pipeline.SECOND, situation)
    storming = False
    if planned.plan is not None:
        used = await doors.journal.usage(remediation, reading(situation, planned.plan), now)
        verdicts += pipeline.begin(situation, used)
        storming = storm.on(situation, used)
    return Look(facts, planned, situation, verdicts, seen, storming)


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


def outside_scope(
    doors: Doors, source: Source, touching: tuple[Touched, ...]
) -> tuple[Target, ...]:
    """What the rule's group may not act on. A node's pods go with it, wherever they are."""
    if any(item.facts.target.kind == NODE.name for item in touching):
        touching = touching[:1]
    targets = [item.facts.target for item in touching]
    return tuple(target for target in targets if not doors.rules.in_scope(source, target))


def reading(situation: Situation, plan: Plan) -> Reading:
    """What the limits of an attempt are decided from."""
    counted = limit_guards.counted(situation)
    return Reading(plan.locks, counted, situation.process.breaker.of, situation.scope)


async def began(doors: Doors, episodes: tuple[Episode, ...]) -> datetime | None:
    """When the trouble began: the earliest start of the alerts that fire, less the `for` of its alerting rule."""
    starts = []
    for episode in (e for e in episodes if e.open):
        found = await doors.prometheus.alerting_rule(episode.alert.name)
        waited = float(found.get("duration") or 0) if isinstance(found, Mapping) else 0.0
        starts.append(episode.alert.starts_at - timedelta(seconds=waited))
    return min(starts, default=None)


def unseen(facts: Facts) -> Verdict | None:
    """The verdict where there is no one object to look at, or it cannot be read."""
    match facts.object:
        case Unknown(why):
            return hold("facts", Reason.UNKNOWN_FACT, why, LOOK_AGAIN)
        case Unresolved(reason, why):
            return deny("facts", reason, why)
        case (
            None
        ):  # a pod that was replaced, say: its alert resolves soon, or the object comes back
            return hold(
                "facts",
                Reason.TARGET_GONE,
                f"{facts.target} does not exist, or another has its name now",
                LOOK_AGAIN,
            )
    return None


def template_now(facts: Facts) -> str:
    """The hash of the target's template, empty where it has none or it could not be read."""
    return str(at(facts.object, TEMPLATE)) if isinstance(facts.object, Mapping) else ""


def _refused(reason: Reason, why: str) -> Verdict:
    holds = REASONS[reason].holds
    return hold("plan", reason, why, LOOK_AGAIN) if holds else deny("plan", reason, why)


def ineffective_window(rule: Rule) -> timedelta:
    """How long an ineffective step is not repeated: the longest of the rule's attempts windows."""
    return max((rate.window for rate in rule.limits.attempts), default=timedelta(hours=6))


def longest_window(doors: Doors, *rules: Rule) -> timedelta:
    """How far back charges count for anything."""
    own = [r for rule in rules for r in (*rule.limits.attempts, *rule.limits.per_rule)]
    own += [r for rule in rules for s in rule.steps for r in s.limits.attempts]
    return max([doors.limits.longest, *(rate.window for rate in own)])


async def activity(doors: Doors, episodes: tuple[Episode, ...]) -> Activity:
    """ACTIVE where any open episode is active and none is muted; the most doubtful otherwise."""
    found = await asyncio.gather(
        *(doors.alertmanager.activity(e.source, e.alert, e.last_seen) for e in episodes if e.open)
    )
    for answer in (Activity.SILENCED, Activity.INHIBITED, Activity.UNKNOWN, Activity.ACTIVE):
        if answer in found:
            return answer
    return Activity.NOT_LISTED


async def inhibitor(
    doors: Doors, rule: Rule, episodes: tuple[Episode, ...]
) -> str | Unknown | None:
    """The alert of an `unless` entry that is firing, if any."""
    if not rule.unless:
        return None
    for source in sorted({episode.source for episode in episodes}):
        firing = await doors.alertmanager.firing(source)
        if isinstance(firing, Unknown):
            return firing
        mine = [e.alert.labels for e in episodes if e.source == source]
        for entry in rule.unless:
            for labels in firing:
                same = any(
                    all(labels.get(key, "") == own.get(key, "") for key in entry.equal)
                    for own in mine
                )
                if same and all(matcher.matches(labels) for matcher in entry.match):
                    return labels.get("alertname", "an alert named in `unless`")
    return None


async def unmet(
    doors: Doors, queries: tuple[str, ...], episodes: tuple[Episode, ...], facts: Facts
) -> tuple[tuple[str, Unknown | None], ...]:
    """The queries that return nothing (None) or cannot be asked."""
    out: list[tuple[str, Unknown | None]] = []
    labels = episodes[0].alert.labels if episodes else {}
    for text in queries:
        try:
            query = templates.render(text, labels, facts.target, facts.root, promql=True)
        except templates.AbsentLabel as error:
            return ((text, Unknown(str(error))),)
        answer = await doors.prometheus.holds(query)
        if isinstance(answer, Unknown):  # it holds, whatever the others say: they are not asked
            return ((query, answer),)
        if not answer:
            out.append((query, None))
    return tuple(out)


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
