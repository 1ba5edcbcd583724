"""What guards look at, as far as it follows from the rule, the settings and the journal."""

from datetime import datetime

from ...guards import limits as limit_guards
from ...guards import pipeline
from ...guards.situation import Before, RuleLimits, Situation, Touched
from ...kinds import NODE
from ...model.alert import Episode
from ...model.plan import Plan
from ...model.remediation import Remediation
from ...model.target import Target
from ...model.usage import Reading
from ...model.verdict import Verdict
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ..doors import Doors

STRICTNESS = ["act", "approve", "observe"]


def strictest(*modes: str | None) -> str:
    """The strictest of the given modes."""
    return max((mode for mode in modes if mode), key=STRICTNESS.index)


async def first_pass(
    doors: Doors, claim: Claim, loaded: LoadedRule, now: datetime
) -> list[Verdict]:
    """The verdicts of the guards that need no facts."""
    ground = await before(doors, claim.remediation, claim.episodes, loaded, now=now)
    return pipeline.ask(pipeline.FIRST, ground)


async def before(
    doors: Doors,
    remediation: Remediation,
    episodes: tuple[Episode, ...],
    loaded: LoadedRule,
    *,
    now: datetime,
) -> Before:
    """What is known without facts."""
    rule, group = loaded.rule, loaded.group
    given = rule.limits
    limits = RuleLimits(
        given.attempts, given.cooldown, given.per_rule, given.in_flight, given.blast_radius
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
        pauses=tuple(await doors.journal.pauses()),
        max_age=rule.max_age,
        pending=rule.pending,
        lifted=frozenset(group.scope.protected),
        owners=rule.owners.model_dump(),
        own_namespace=doors.own_namespace,
        approved_digest=remediation.approved_digest,
        priority=rule.priority,
        active=doors.rules.named(rule.windows.active),
        mute=doors.rules.named(rule.windows.mute),
        opt_in=group.scope.opt_in,
        group=loaded.group_in(remediation.target.cluster),
        namespaces=group.scope.namespaces,
    )


def outside_scope(
    doors: Doors, loaded: LoadedRule, touching: tuple[Touched, ...]
) -> tuple[Target, ...]:
    """What the rule's group may not act on. A node's pods belong to the node, in any namespace."""
    if any(item.facts.target.kind == NODE.name for item in touching):
        touching = touching[:1]
    targets = [item.facts.target for item in touching]
    return tuple(target for target in targets if not doors.rules.in_scope(loaded, target))


def reading(situation: Situation, plan: Plan) -> Reading:
    """What the limits of an attempt are decided from."""
    counted = limit_guards.counted(situation)
    # all that fires is gone through only where a storm is told from it
    troubled = None if situation.process.storm.roots and not situation.storm_exempt else ()
    return Reading(plan.locks, counted, situation.process.breaker.of, situation.group, troubled)
