"""A call that was in flight when the daemon stopped: what its object shows decides, and nothing is
sent that may already have taken effect, or that somebody else has overtaken.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from remediator.actions import ACTIONS
from remediator.engine.act.ladder import MARGIN
from remediator.engine.act.recover import recover
from remediator.model.decision import Applied, Decided, End, Retry, Wait
from remediator.model.facts import Facts, Unknown, unseen
from remediator.model.plan import Plan
from remediator.model.raw import meta
from remediator.model.remediation import Event, Outcome, State
from remediator.model.target import Target
from remediator.model.verdict import Reason
from remediator.ports.records import Claim
from remediator.rules.ruleset import LoadedRule
from tests.integration.world import START, World
from tests.unit.engine.made import MINUTE, SECOND, TICK, claimed, loaded, tried
from tests.unit.objects import HOUR

RULE = loaded()
KEY = ("Deployment", "shop", "web")


@dataclass
class Interrupted:
    """A restart of Deployment web whose call was sent, or not, when the daemon stopped."""

    world: World
    plan: Plan

    @property
    def settled(self) -> datetime:
        """From when on the call can no longer take effect."""
        return START + self.plan.calls[0].timeout + MARGIN

    def claim(self, **more: Any) -> Claim:
        made = tried(plan=self.plan, begun_at=START, sent_by=START, applied_at=None)
        target = self.plan.target
        more = {"state": State.EXECUTING, "why": "no answer", **more}
        return claimed(RULE, [made], target=target, root_key=target.key, **more)

    async def lands(self) -> None:
        """The call took effect."""
        version = str(meta(self.world.cluster.objects[KEY])["resourceVersion"])
        await self.world.cluster.apply(self.plan.calls[0], "r-1.1", version)

    async def found(
        self,
        at: datetime | None = None,
        rule: LoadedRule | None = RULE,
        *,
        again: Callable[[Facts], Plan | None] = lambda _facts: None,
        **more: Any,
    ) -> Decided:
        """What is decided then; `again` plans again, and `more` are fields of the remediation."""
        self.world.clock.time = at or self.settled
        claim = self.claim(**more)
        return await recover(self.world.doors, claim, rule, self.world.clock.now(), again=again)


@pytest.fixture
async def stopped() -> Interrupted:
    """The world of an interrupted restart; nothing has landed. Its journal is not needed."""
    world = World()
    world.boot(START - HOUR)
    target = Target("default", "Deployment", "shop", "web")
    action = ACTIONS["restart_workload"]
    seen = await world.cluster.observe(target, True, action.sees, START)
    plan = action.plan(seen, action.params(), ())
    assert isinstance(plan, Plan)
    return Interrupted(world, plan)


def outcome_of(decided: Decided) -> Outcome | None:
    assert isinstance(decided, End | Retry | Applied)
    return decided.change.outcome if decided.change else None


async def test_nothing_is_decided_while_the_call_may_still_take_effect(
    stopped: Interrupted,
) -> None:
    await stopped.lands()
    found = await stopped.found(stopped.settled - TICK, reason=Reason.UNREACHABLE)
    assert isinstance(found, Wait)
    assert (found.until, found.reason) == (stopped.settled, Reason.UNREACHABLE)
    assert isinstance(await stopped.found(), Applied)


@pytest.mark.parametrize(
    "more",
    [{}, {"rule": None}, {"cancel_by": "ann cancelled it"}, {"at": START + 9 * HOUR}],
    ids=["in time", "the rule was removed", "it was cancelled", "much later"],
)
async def test_a_call_that_landed_is_verified(stopped: Interrupted, more: dict[str, Any]) -> None:
    await stopped.lands()
    found = await stopped.found(**more)
    assert isinstance(found, Applied)
    (evidence,) = found.change.evidence
    assert (evidence.stamp, dict(evidence.left)) == ("r-1.1", dict(stopped.plan.calls[0].leaves))
    assert "found applied after an interruption" in found.why
    assert len(stopped.world.cluster.calls) == 1


async def test_what_somebody_changed_after_the_call_landed_is_left_alone(
    stopped: Interrupted,
) -> None:
    await stopped.lands()
    stopped.world.cluster.set_image(*KEY, "web:9")
    found = await stopped.found()
    assert (found.event, found.reason) == (Event.FAIL, Reason.ASSUMPTION_CHANGED)
    assert outcome_of(found) is Outcome.OVERTAKEN


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "replaced by one of its name"])
async def test_an_object_that_is_gone_is_not_written(stopped: Interrupted, again: bool) -> None:
    stopped.world.cluster.remove(*KEY)
    if again:
        stopped.world.cluster.create_workload(*KEY, "web:1")
    found = await stopped.found(again=lambda _facts: stopped.plan)
    assert (found.event, found.reason) == (Event.FAIL, Reason.TARGET_GONE)
    assert outcome_of(found) is Outcome.FAILED
    assert stopped.world.cluster.calls == []


async def test_an_object_that_somebody_else_changed_instead_is_not_written(
    stopped: Interrupted,
) -> None:
    stopped.world.cluster.set_image(*KEY, "web:9")
    found = await stopped.found(again=lambda _facts: stopped.plan)
    assert (found.event, found.reason) == (Event.FAIL, Reason.ASSUMPTION_CHANGED)
    assert outcome_of(found) is Outcome.FAILED
    assert stopped.world.cluster.calls == []


async def test_a_call_that_did_not_land_is_not_sent_once_it_was_cancelled(
    stopped: Interrupted,
) -> None:
    found = await stopped.found(cancel_by="ann cancelled it", again=lambda _facts: stopped.plan)
    assert (found.event, found.reason, found.why) == (
        Event.CANCEL,
        Reason.OPERATOR,
        "ann cancelled it",
    )
    assert stopped.world.cluster.calls == []


async def test_a_call_that_did_not_land_is_not_sent_once_its_rule_was_removed(
    stopped: Interrupted,
) -> None:
    found = await stopped.found(rule=None, again=lambda _facts: stopped.plan)
    assert found.reason is Reason.RULE_CHANGED
    assert stopped.world.cluster.calls == []


@pytest.mark.parametrize("changed", [True, False], ids=["another plan", "no plan"])
async def test_a_step_whose_plan_changed_meanwhile_is_evaluated_again(
    stopped: Interrupted, changed: bool
) -> None:
    other = replace(stopped.plan, parameters={"allow_outage": True})
    found = await stopped.found(again=lambda _facts: other if changed else None)
    assert isinstance(found, Retry)
    assert (found.reason, found.unsent) == (Reason.ASSUMPTION_CHANGED, False)
    assert outcome_of(found) is Outcome.CANCELLED
    assert stopped.world.cluster.calls == []


@pytest.mark.parametrize(
    ("late", "ends"), [(timedelta(), False), (TICK, True)], ids=["just in time", "too late"]
)
async def test_a_call_that_never_lands_is_tried_for_so_long_and_no_longer(
    stopped: Interrupted, late: timedelta, ends: bool
) -> None:
    longest = 10 * MINUTE + RULE.rule.expire  # to converge, and to be held
    found = await stopped.found(START + longest + late)
    assert isinstance(found, End) is ends
    if ends:
        assert (found.event, found.reason) == (Event.FAIL, Reason.DEADLINE)
        assert "PATCH Deployment/shop/web" in found.why
        assert found.why.endswith("last reason: no answer")


async def silent(stopped: Interrupted, **more: Any) -> Decided:
    """What is decided where the object cannot be read."""
    cluster = stopped.world.cluster

    async def observe(target: Target, _climb: bool, _sights: Any, now: datetime) -> Facts:
        return unseen(now, target, Unknown("the API server does not answer"))

    cluster.observe = observe  # type: ignore[assignment, method-assign]
    return await stopped.found(again=lambda _facts: stopped.plan, **more)


async def test_an_object_that_cannot_be_read_is_looked_at_again(stopped: Interrupted) -> None:
    found = await silent(stopped)
    assert isinstance(found, Wait)
    assert (found.reason, found.why) == (Reason.UNKNOWN_FACT, "the API server does not answer")
    assert SECOND <= found.until - stopped.settled <= MINUTE


@pytest.mark.parametrize(
    "more",
    [
        {"cancel_by": "ann cancelled it"},
        {"at": START + 2 * HOUR},
        {"at": START + HOUR, "rule": None},
    ],
    ids=["it was cancelled", "too late", "the rule was removed"],
)
async def test_nobody_says_that_a_call_failed_which_may_have_landed(
    stopped: Interrupted, more: dict[str, Any]
) -> None:
    found = await silent(stopped, **more)
    assert isinstance(found, End)
    assert (found.event, found.reason) == (Event.LOSE_SIGHT, Reason.UNKNOWN_FACT)
    assert outcome_of(found) is Outcome.UNKNOWN
    assert stopped.world.cluster.calls == []
