"""Verification: the change converged, *and* the proof holds for a while.

What is needed to judge is gathered here, until a deadline; `judging` decides what follows.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from ...actions import ACTIONS
from ...model.alert import Activity
from ...model.call import Call
from ...model.decision import Decided
from ...model.facts import Facts, Unknown
from ...model.plan import Seen, Verified
from ...model.sight import Sight
from ...model.target import Unresolved, target_of
from ...ports.records import Claim
from ...rules.ruleset import LoadedRule
from ..act.execute import extend
from ..doors import Doors
from ..see.observe import see
from ..see.outside import proof_within, unmet
from . import harm
from .judging import Check, judge, needs_proof, settles, too_late, with_after


async def check(
    doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime
) -> tuple[Claim, Decided]:
    """Checks the last attempt, and makes its further calls if it needs any.

    What was seen a moment ago is enough to go on waiting. Anything else is decided from what is
    there now.
    """
    checked = await _look(doors, claim, loaded, now, live=doors.only_live)
    decided, calls = judge(checked), _further(checked)
    if not doors.only_live and (calls or settles(decided, checked.attempt)):
        checked = await _look(doors, claim, loaded, now, live=True)
        decided, calls = judge(checked), _further(checked)
    # calls that are still needed come before any judgement: without them it is not complete
    if calls and loaded is not None:
        return await extend(doors, claim, loaded, calls)
    return claim, with_after(decided, checked.facts)


async def _look(
    doors: Doors, claim: Claim, loaded: LoadedRule | None, now: datetime, *, live: bool
) -> Check:
    attempt, rule = claim.attempts[-1], claim.rule
    facts = await _see(doors, claim, now, live=live)
    seen = ACTIONS[attempt.action].verify(attempt.plan, attempt.evidence, facts)
    harmed = ""
    # before the proof: what harms others is undone even if its own alert resolves
    if seen.how in (Verified.WAITING, Verified.CONVERGED):
        harmed = await harm.by(doors, claim, facts)
    within = attempt.times.resolved_within
    checked = Check(claim, loaded, rule, facts, seen, harmed, None, within, now)
    if not harmed and not claim.remediation.cancel_by and needs_proof(checked):
        checked = await _with_proof(doors, checked)
    return checked


def _further(check: Check) -> tuple[Call, ...]:
    """The calls that the attempt still needs."""
    attempt, further = check.attempt, ACTIONS[check.attempt.action].next
    if further is None or check.loaded is None or not _goes_on(check.claim, check.seen, check.now):
        return ()
    return further(attempt.plan, attempt.evidence, check.facts)


def _goes_on(claim: Claim, seen: Seen, now: datetime) -> bool:
    """Whether further calls may be made: until it was judged complete, while an alert fires."""
    attempt = claim.attempts[-1]
    complete = seen.how is Verified.CONVERGED and attempt.converged_at is None
    wanted = not claim.remediation.cancel_by and any(episode.open for episode in claim.episodes)
    return wanted and (complete or seen.how is Verified.WAITING) and not too_late(attempt, now)


async def _see(doors: Doors, claim: Claim, now: datetime, *, live: bool) -> Facts:
    """The target, and what else the plan names."""
    attempt = claim.attempts[-1]
    watches = ACTIONS[attempt.action].watches
    facts = await see(doors, claim.remediation.target, False, watches, now=now, live=live)
    if attempt.plan.beside is None:
        return facts
    named, nothing = attempt.plan.beside, frozenset[Sight[Any]]()
    beside = (await see(doors, named, False, nothing, now=now, live=live)).object
    return replace(facts, beside=Unknown(beside.why) if isinstance(beside, Unresolved) else beside)


async def _with_proof(doors: Doors, check: Check) -> Check:
    proof = await _proof(doors, check)
    within = check.within
    late = check.now - check.since > within
    if late and not isinstance(proof, Unknown) and check.step.verify.resolved_within is None:
        # another alert, that goes on for longer, may have joined
        within = max(within, await proof_within(doors, check.claim.episodes))
    return replace(check, proof=proof, within=within)


async def _proof(doors: Doors, check: Check) -> bool | Unknown:
    """Whether the step's proof holds now."""
    claim = check.claim
    if check.until == "converged":
        return True
    if check.until == "resolved":
        return await _resolved(doors, claim, check.now)
    target = claim.remediation.target
    root = target_of(claim.remediation.root_key) or target
    facts = Facts(check.now, target, target, root, None)
    for query, unknown in await unmet(doors, tuple(check.until), claim.episodes, facts):
        return Unknown(f"cannot run query `{query}`: {unknown.why}") if unknown else False
    return True


async def _resolved(doors: Doors, claim: Claim, now: datetime) -> bool | Unknown:
    """Whether every attached alert has resolved: by a delivery, or because settled Alertmanagers no
    longer list it.
    """
    still_open = [episode for episode in claim.episodes if episode.open]
    for episode in still_open:
        answer = await doors.alertmanager.activity(episode.source, episode.alert, episode.last_seen)
        match answer:
            case Activity.NOT_LISTED:
                await doors.journal.close_episode(episode, now)
            case Activity.ACTIVE:
                return False
            case Activity.UNKNOWN:
                return Unknown("Alertmanager cannot be queried")
            case _:
                return Unknown(f"the alert is {answer}")
    return True
