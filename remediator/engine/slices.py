"""What every slice of work shares: one look at the target, and the one place where a slice ends."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..errors import ClusterError
from ..journal_port import Claim, Move
from ..model.facts import Facts, Unknown, unseen
from ..model.plan import Plan, gone
from ..model.remediation import LIVE, STATES, Remediation, State, next_state
from ..model.sight import Sight
from ..model.target import Target
from ..model.verdict import Reason
from ..rules import planner
from ..rules.ruleset import Source
from ..telemetry import log
from . import people
from .doors import Doors

SOON, LATER = timedelta(seconds=3), timedelta(seconds=15)  # until something is looked at again


async def observe(
    doors: Doors,
    remediation: Remediation,
    source: Source,
    now: datetime,
    sights: frozenset[Sight[Any]] | None = None,
) -> Facts:
    """One look at the target as the rule names it, with the sights given, else with all that the rule must see."""
    return await see(
        doors,
        remediation.target,
        source.rule.target == "workload",
        planner.sights(source.rule) if sights is None else sights,
        now,
    )


async def see(
    doors: Doors, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
) -> Facts:
    """One look at an object of any cluster; Unknown where that cluster is not configured."""
    cluster = doors.clusters.get(target.cluster)
    if cluster is None:
        return unseen(now, target, Unknown(f"no cluster {target.cluster} is configured"))
    return await cluster.observe(target, climb, sights, now)


def taken_over(plan: Plan, facts: Facts) -> tuple[Reason, str]:
    """How what an attempt left came into others' hands."""
    if gone(plan, facts):
        return Reason.TARGET_GONE, f"{plan.target} was deleted after us, whoever has its name now"
    return Reason.ASSUMPTION_CHANGED, f"others changed {plan.target} after us"


async def finish(doors: Doors, claim: Claim, move: Move) -> State:
    """The one place where a slice ends: the journal says what it wrote; metrics, log and the Event on the target follow from it."""
    remediation = claim.remediation
    moved = await doors.journal.move(remediation, await _with_messages(doors, claim, move))
    state, move = moved.state, moved.move
    _count(doors, claim, move, state)
    unchanged = state is remediation.state and move.reason == remediation.reason
    (log().debug if unchanged else log().info)(
        "remediation_moved",
        remediation_id=remediation.id,
        rule=remediation.rule,
        target=str(remediation.target),
        state=state,
        reason=move.reason,
        why=move.why,
    )
    if state not in LIVE:
        doors.wake.set()
        await announce(doors, remediation, STATES[state].event, move.why)
    return state


async def _with_messages(doors: Doors, claim: Claim, move: Move) -> Move:
    """The move with what people are told of it: at an end those of the rule's `escalate`, at every step the followers.

    Nobody is paged for a rule that only observes. What a storm kept from acting is in the storm's own messages.
    """
    remediation = claim.remediation
    after = (
        next_state(remediation.state, move.event) if move.event is not None else remediation.state
    )
    theirs = remediation.undo_why == "timed" and move.reason in (
        Reason.ASSUMPTION_CHANGED,
        Reason.TARGET_GONE,
    )
    told = {message.receiver for message in move.messages}
    news = after is not remediation.state or bool(
        move.messages
    )  # the same state, with another plan to decide on
    following = [name for name in doors.followers if news and STATES[after].followed]
    if STATES[after].told and not theirs and remediation.mode != "observe":
        loaded = doors.rules.find(
            remediation.rule, claim.episodes[0].alert if claim.episodes else None
        )
        by_storm = move.reason == Reason.STORM and not claim.attempts
        spoken_for = await people.told_of_storm(doors, remediation, loaded) if by_storm else set()
        theirs_to_know = loaded.rule.escalate.to if loaded else claim.rule_text["escalate"]["to"]
        following = [*(name for name in theirs_to_know if name not in spoken_for), *following]
    if not following:
        return move
    told_of: tuple[str, ...] = ()
    if STATES[after].told:
        told_of = people.story(await doors.journal.show(remediation.id))
    plain = people.message(remediation, after, move.reason or "", move.why, story=told_of)
    # a plan that waits is shown to all alike
    body = move.messages[0].notice if move.messages else plain
    receivers = [name for name in dict.fromkeys(following) if name not in told]
    return replace(
        move,
        messages=(*move.messages, *people.to_all(receivers, body, STATES[after].told)),
    )


def _count(doors: Doors, claim: Claim, move: Move, state: State) -> None:
    """The metrics of one move."""
    remediation, metrics = claim.remediation, doors.metrics
    outcome = move.change.outcome if move.change else None
    if outcome and claim.attempts:
        attempt = claim.attempts[-1]
        metrics.count("attempts_total", remediation.rule, attempt.action, outcome)
        metrics.observe(
            "attempt_duration_seconds",
            (move.now - attempt.begun_at).total_seconds(),
            attempt.action,
        )
        if remediation.state is State.VERIFYING and not remediation.undo_of:
            metrics.count("verifications_total", remediation.rule, outcome)
    if state in LIVE:
        return
    if remediation.undo_of:
        metrics.count("undos_total", claim.undone.action if claim.undone else "", state)
        return
    metrics.count("remediations_total", remediation.rule, remediation.mode, state)
    if state is State.SUCCEEDED:
        metrics.observe(
            "time_to_remediate_seconds",
            (move.now - remediation.born_at).total_seconds(),
            remediation.rule,
        )


async def announce(doors: Doors, remediation: Remediation, event: str, text: str) -> None:
    """A Kubernetes Event on the target; failing to write one is logged, and changes nothing."""
    cluster = doors.clusters.get(remediation.target.cluster)
    if not event or cluster is None:
        return
    try:
        await cluster.announce(
            remediation.target,
            event,
            f"{remediation.rule} ({remediation.id}): {text}",
            event != "Remediated",
        )
    except ClusterError as error:
        log().warning("event_not_written", remediation_id=remediation.id, why=str(error))
