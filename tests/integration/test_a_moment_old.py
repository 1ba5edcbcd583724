"""What watches tell may be a moment old: it never decides anything for good, and nothing is written
because of it.
"""

import copy
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from remediator.cluster.sandbox import SandboxCluster
from remediator.guards.situation import ProcessLimits
from remediator.model.facts import Facts
from remediator.model.limit import StormLimit
from remediator.model.remediation import RemediationId
from remediator.model.sight import Sight
from remediator.model.target import Target
from remediator.model.usage import Troubled
from tests.integration.world import World, rules

SCALE = (
    "name: out, match: ['alertname=\"Slow\"'], steps: [{action: scale_workload, if: always, with:"
    " {by: 2}}]"
)


class Frozen:
    """A cluster as it was at one moment."""

    def __init__(self, cluster: SandboxCluster, at: datetime) -> None:
        self._then = SandboxCluster(lambda: at)
        self._then.objects.update(copy.deepcopy(cluster.objects))
        self.looks = 0

    async def observe(
        self, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        self.looks += 1
        return await self._then.observe(target, climb, sights, now)

    async def observe_all(
        self, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
    ) -> tuple[Facts, ...]:
        return await self._then.observe_all(targets, sights, now)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    built = await World().start()
    yield built
    await built.journal.close()


def freeze(world: World) -> Frozen:
    """From now on, looks that may be old show what there is now."""
    frozen = Frozen(world.cluster, world.clock.now())
    world.doors.watched = {"default": frozen}
    return frozen


async def test_a_success_is_seen_live_even_if_watches_never_tell_of_it(world: World) -> None:
    world.crash()
    await world.run(timedelta(minutes=1))
    frozen = freeze(world)
    await world.deliver("Crash")
    await world.run(timedelta(minutes=2))
    await world.deliver("Crash", firing=False)
    await world.run(timedelta(hours=2))
    assert await world.states() == [("succeeded", None)]
    assert frozen.looks


async def test_no_success_because_it_was_whole_before(world: World) -> None:
    world.crash()
    await world.run(timedelta(minutes=1))
    await world.deliver("Crash")
    await world.run(timedelta(minutes=2))
    assert "waiting for proof" in (await world.only())["why"]
    frozen = freeze(world)
    world.cluster.crashing.add("web:1")
    for pod in world.cluster.pods("shop", "web"):
        world.cluster.remove("Pod", "shop", pod["metadata"]["name"])
    await world.deliver("Crash", firing=False)
    await world.run(timedelta(minutes=3))
    row = await world.only()
    assert (row["state"], row["reason"]) == ("verifying", None)
    assert "helped" not in row["why"]
    assert frozen.looks


async def test_what_is_written_is_planned_from_what_there_is_now(world: World) -> None:
    world.doors.rules = rules(SCALE)
    frozen = freeze(world)
    world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] = 5
    await world.deliver("Slow")
    await world.run(timedelta(minutes=2))
    row = await world.only()
    assert row["state"] == "verifying"
    assert world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] == 7
    assert frozen.looks


async def test_a_service_leads_to_what_it_selects_now(world: World) -> None:
    world.doors.rules = rules(
        "name: r, match: ['alertname=\"Down\"'], steps: [{action: restart_workload, if: always}]"
    )
    world.cluster.create_service("shop", "front", {"app": "web"})
    freeze(world)
    world.cluster.objects["Service", "shop", "front"]["spec"]["selector"] = {"app": "api"}
    await world.deliver("Down", app="", service="front")
    await world.run(timedelta(minutes=1))
    row = await world.only()
    assert (row["target"], row["state"]) == ("Deployment/shop/api", "verifying")


@pytest.mark.parametrize("live", [False, True])
async def test_what_denied_a_moment_ago_denies_only_if_it_still_does(
    world: World, live: bool
) -> None:
    world.leak()
    metadata = world.cluster.objects["Deployment", "shop", "web"]["metadata"]
    metadata["annotations"] = {"remediator.io/disabled": "true"}
    freeze(world)
    if not live:
        metadata["annotations"] = {}
    await world.deliver("Leak")
    await world.run(timedelta(minutes=2))
    ((state, reason),) = await world.states()
    assert (reason == "opted_out") is live
    assert (state == "blocked") is live


async def test_what_is_told_of_a_pod_wakes_what_waits_for_its_workload(world: World) -> None:
    world.crash()
    await world.run(timedelta(minutes=1))
    await world.deliver("Crash")
    await world.run(timedelta(minutes=1))
    frozen = freeze(world)
    assert (await world.only())["state"] == "verifying"
    await world.run(timedelta(minutes=3))
    seen = frozen.looks
    await world.run(timedelta(seconds=3))
    assert frozen.looks == seen
    world.doors.tell([("Pod", "shop", "api-x"), ("Deployment", "shop", "api")])
    await world.run(timedelta(seconds=3))
    assert frozen.looks == seen
    world.doors.tell([("Pod", "shop", "web-x"), ("Deployment", "shop", "web")])
    await world.run(timedelta(seconds=3))
    assert frozen.looks == seen + 1


RESTART = (
    "name: restart, match: ['alertname=\"Leak\"'], limits: {in_flight: 1}, steps: [{action:"
    " restart_workload, if: always}]"
)


async def leaks(world: World, count: int) -> None:
    """So many workloads, each with an alert."""
    for number in range(count):
        world.cluster.create_workload("Deployment", "shop", f"app{number}", "app:1")
        await world.deliver("Leak", f"app{number}")


async def calm(_cluster: str, _now: datetime) -> tuple[Troubled, ...]:
    """Nothing was in trouble a moment ago."""
    return ()


async def test_a_storm_that_was_not_counted_a_moment_ago_holds_what_would_act() -> None:
    world = await World(rules(RESTART)).start()
    await leaks(world, 12)
    freeze(world)
    world.doors.trouble.lately = calm  # type: ignore[assignment, method-assign]
    await world.run(timedelta(minutes=1))
    assert set(await world.states()) == {("held", "storm")}
    assert not world.cluster.calls
    await world.journal.close()


async def test_what_is_held_counts_a_storm_once_a_second_for_all() -> None:
    world = await World(rules(RESTART)).start()
    world.doors.limits = ProcessLimits(storm=StormLimit(roots=1000))
    await leaks(world, 8)
    frozen = freeze(world)
    await world.run(timedelta(minutes=1))
    asked: list[datetime] = []
    count = world.journal.troubled

    async def counted(cluster: str) -> tuple[Troubled, ...]:
        asked.append(world.clock.now())
        return await count(cluster)

    world.journal.troubled = counted  # type: ignore[method-assign]
    looks = frozen.looks
    held = [claim["id"] for claim in await world.rows() if claim["state"] == "held"]
    await world.journal.hasten([RemediationId(each) for each in held], world.clock.now())
    await world.engine.run_due()
    assert frozen.looks - looks >= len(held) == 7
    assert len(asked) == 1
    await world.journal.close()


async def test_nothing_is_counted_where_no_storm_is_told_from_it() -> None:
    world = await World(rules(RESTART)).start()
    world.doors.limits = ProcessLimits(storm=StormLimit(roots=0))
    asked: list[str] = []

    async def counted(cluster: str) -> tuple[Troubled, ...]:
        asked.append(cluster)
        return ()

    world.journal.troubled = counted  # type: ignore[method-assign]
    await leaks(world, 3)
    freeze(world)
    await world.run(timedelta(minutes=1))
    assert {reason for _, reason in await world.states()} == {None, "too_many_in_flight"}
    assert asked == []
    await world.journal.close()
