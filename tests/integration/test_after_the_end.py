"""An alert fires on after its remediation ended.

What sends it back to triage, and what never does.
"""

from datetime import timedelta
from typing import Any

import pytest

from remediator.errors import Forbidden
from tests.integration.world import RESTART, ROLL_BACK, World, rules

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STEP = timedelta(seconds=5)


async def failed(world: World) -> Any:
    """A restart that RBAC refuses; its alert fires on."""
    world.cluster.failures.append(Forbidden("cannot patch deployments"))
    world.leak()
    await world.deliver("Leak")
    await world.run(2 * MINUTE)
    row = await world.only()
    assert (row["state"], row["reason"]) == ("failed", "forbidden")
    return row


async def test_an_expired_one_comes_back_when_its_reason_clears_and_not_before(
    world: World,
) -> None:
    world.alertmanager.silenced.add("Leak-web")
    world.leak()
    await world.deliver("Leak")
    await world.run(5 * HOUR, 10 * STEP)
    assert await world.states() == [("expired", "silenced")]
    world.alertmanager.silenced.clear()
    await world.run(6 * MINUTE)
    assert len(world.cluster.calls) == 1
    assert [state for state, _ in await world.states()] == ["expired", "verifying"]


async def test_people_who_did_not_answer_are_not_asked_again_and_again() -> None:
    world = await World(rules(RESTART.replace("limits:", "mode: approve, limits:"))).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(6 * HOUR, 10 * STEP)
    assert await world.states() == [("expired", "approval_expired")]
    await world.journal.close()


async def test_a_failed_one_does_not_come_back_by_time_nor_by_a_reload(world: World) -> None:
    await failed(world)
    await world.run(3 * HOUR, MINUTE)
    await world.engine.reload(rules(ROLL_BACK, RESTART.replace("2/6h", "3/6h")))
    await world.run(HOUR, MINUTE)
    assert await world.states() == [("failed", "forbidden")]


async def test_a_failed_one_comes_back_when_somebody_else_changes_the_template(
    world: World,
) -> None:
    await failed(world)
    await world.run(20 * MINUTE, STEP)
    world.cluster.set_image("Deployment", "shop", "web", "web:3")
    await world.run(10 * MINUTE, STEP)
    assert [state for state, _ in await world.states()] == ["failed", "held"]
    assert (await world.states())[1][1] == "no_cause"  # the new pods have not leaked yet
    world.leak()
    await world.run(2 * MINUTE)
    assert len(world.cluster.calls) == 1


async def test_a_retry_brings_it_back_and_keeps_what_happened(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(HOUR, STEP)
    row = await world.only()
    assert row["state"] == "ineffective"
    world.leak()
    assert await world.journal.retry(row["id"], "me", world.clock.now()) is None
    await world.run(2 * MINUTE)
    assert len(world.cluster.calls) == 2
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["ineffective"]
    assert shown["history"][-1]["kind"] == "retried"


async def refire(world: World, after: timedelta) -> None:
    await world.deliver("Leak", firing=False)
    await world.run(after, MINUTE)
    world.leak()
    await world.deliver("Leak")
    await world.run(2 * MINUTE)


@pytest.mark.parametrize(("quiet", "reason"), [(HOUR, "ineffective_before"), (7 * HOUR, None)])
async def test_what_did_not_help_is_not_repeated_until_the_alert_was_quiet(
    world: World, quiet: timedelta, reason: str | None
) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(HOUR, STEP)
    await refire(world, quiet)
    assert (await world.states())[1][1] == reason
    assert len(world.cluster.calls) == (1 if reason else 2)


async def test_what_did_not_help_may_help_on_a_template_that_others_changed(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(HOUR, STEP)
    world.cluster.set_image("Deployment", "shop", "web", "web:3")
    await world.run(MINUTE)
    await refire(world, HOUR)
    assert len(world.cluster.calls) == 2


async def test_a_release_that_others_bring_back_is_not_rolled_back_again(world: World) -> None:
    world.crash()
    await world.deliver("Crash")
    await world.run(2 * MINUTE)
    await world.deliver("Crash", firing=False)
    await world.run(30 * MINUTE, STEP)
    world.cluster.set_image("Deployment", "shop", "web", "web:2")
    await world.deliver("Crash")
    await world.run(2 * MINUTE)
    assert await world.states() == [("succeeded", None), ("blocked", "already_done")]
    assert len(world.cluster.calls) == 1


async def test_each_rule_s_end_is_its_own() -> None:
    both = (
        RESTART.replace("limits:", "continue: true, limits:"),
        ROLL_BACK.replace("Crash", "Leak"),
    )
    world = await World(rules(*both)).start()
    await world.journal.pause("rule:back", "a person looks", "me", None, now=world.clock.now())
    world.cluster.failures.append(Forbidden("cannot patch deployments"))
    world.leak()
    await world.deliver("Leak")
    await world.run(2 * HOUR, 10 * STEP)
    assert sorted(await world.states()) == [("expired", "paused"), ("failed", "forbidden")]
    await world.journal.resume("rule:back", "me", world.clock.now())
    await world.run(3 * MINUTE, STEP)
    assert sorted(row["rule"] for row in await world.rows()) == ["back", "back", "restart"]
    await world.journal.close()


async def test_a_blocked_one_comes_back_only_with_other_rules(world: World) -> None:
    world.leak()
    world.cluster.annotate("Deployment", "shop", "web", "remediator.io/disabled", value="true")
    await world.deliver("Leak")
    await world.run(2 * MINUTE)
    await world.engine.reload(rules(ROLL_BACK, RESTART))
    await world.run(2 * MINUTE)
    assert len(await world.states()) == 1
    await world.engine.reload(rules(ROLL_BACK, RESTART.replace("2/6h", "3/6h")))
    await world.run(2 * MINUTE)
    assert await world.states() == [("blocked", "opted_out"), ("blocked", "opted_out")]


async def test_a_silence_made_while_it_verifies_ends_it_unknown_and_never_ineffective(
    world: World,
) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    world.alertmanager.silenced.add("Leak-web")
    await world.run(2 * HOUR, 10 * STEP)
    assert await world.states() == [("unknown", "unknown_fact")]
    assert world.told.messages[-1]["state"] == "unknown"


async def test_an_alertmanager_that_cannot_be_asked_delays_the_proof(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    world.alertmanager.unreachable = True
    await world.run(10 * MINUTE, STEP)
    assert (await world.states())[0][0] == "verifying"
    world.alertmanager.unreachable = False
    await world.deliver("Leak", firing=False)
    await world.run(6 * MINUTE, STEP)
    assert (await world.states())[0][0] == "succeeded"


async def test_alertmanager_is_asked_whether_a_silenced_alert_has_resolved(world: World) -> None:
    """It is never delivered as resolved; Alertmanager no longer lists it."""
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    world.alertmanager._active.clear()
    await world.run(6 * MINUTE, STEP)
    assert (await world.states())[0][0] == "succeeded"
    (episode,) = await world.journal.episodes(10, "Leak-web")
    assert not episode["open"]


async def test_a_target_that_is_deleted_after_an_end_revives_nothing(world: World) -> None:
    await failed(world)
    await world.run(10 * MINUTE, STEP)
    del world.cluster.objects["Deployment", "shop", "web"]
    await world.run(2 * HOUR, MINUTE)
    assert await world.states() == [("failed", "forbidden")]
