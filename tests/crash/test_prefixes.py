"""Killed before and after every write to the journal and every call to the cluster: the same end, at most one act.

The whole engine on virtual time. A crash leaves nothing but the journal and the cluster; a new process goes on with them.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from remediator.journal.tables import remediation as table
from remediator.journal_port import Move
from tests.integration.world import RESTART, World, rules

MINUTE = timedelta(minutes=1)
STEP = timedelta(seconds=2)
LADDER = "name: both, match: ['alertname=\"Leak\"'], steps: [{action: restart_workload}, {name: more, action: restart_workload, if: always}]"


class Crash(BaseException):
    """The process is gone."""


IDLE = {"claim", "revive_later"}  # what these leave changes nothing that a second look would not


def matters(arguments: tuple[Any, ...]) -> bool:
    """Whether an effect is one: looks that only move a timer are many and alike."""
    name = getattr(arguments[0], "__name__", "")
    changes = [argument for argument in arguments if isinstance(argument, Move)]
    return name not in IDLE and all(change.event is not None for change in changes)


class Mortal:
    """A world whose process dies at its n-th effect: before it, or right after it."""

    def __init__(self, world: World, at: int, after: bool) -> None:
        self.world, self.at, self.after, self.count = world, at, after, 0
        self.write = world.journal._run
        self.apply = world.cluster.apply
        world.journal._run = self._dying(self.write)  # type: ignore[method-assign]
        world.cluster.apply = self._dying(self.apply)  # type: ignore[method-assign]

    def _dying(self, effect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def die(*arguments: Any, **named: Any) -> Any:
            if not matters(arguments):
                return await effect(*arguments, **named)
            self.count += 1
            mine = self.count == self.at
            if mine and not self.after:
                raise Crash
            answer = await effect(*arguments, **named)
            if mine:
                raise Crash
            return answer

        return die

    async def reborn(self) -> None:
        """A new process: the journal's lock proves that whoever held a lease is gone."""
        await self.write(lambda c: c.execute(sa.update(table).values(lease_until=None)) and None)
        self.world.boot(self.world.clock.now() - timedelta(hours=1))

    async def live(self, duration: timedelta) -> None:
        ends = self.world.clock.time + duration
        while self.world.clock.time < ends:
            try:
                await self.world.run(ends - self.world.clock.time, STEP)
            except Crash:
                await self.reborn()

    async def deliver(self, name: str, **more: Any) -> None:
        """As Alertmanager does: again, where it got no answer."""
        try:
            await self.world.deliver(name, **more)
        except Crash:
            await self.reborn()
            await self.world.deliver(name, **more)


async def rolled_back(mortal: Mortal) -> None:
    mortal.world.crash()
    await mortal.deliver("Crash")
    await mortal.live(MINUTE)
    await mortal.deliver("Crash", firing=False)
    await mortal.live(7 * MINUTE)
    assert await mortal.world.states() == [("succeeded", None)]
    assert len(mortal.world.cluster.calls) == 1


async def approved(mortal: Mortal) -> None:
    mortal.world.leak()
    await mortal.deliver("Leak")
    await mortal.live(MINUTE)
    row = await mortal.world.only()
    try:
        await mortal.world.journal.decide(row["id"], "", "me", True, mortal.world.clock.now())
    except Crash:
        await mortal.reborn()
        await mortal.world.journal.decide(row["id"], "", "me", True, mortal.world.clock.now())
    await mortal.live(MINUTE)
    await mortal.deliver("Leak", firing=False)
    await mortal.live(7 * MINUTE)
    assert await mortal.world.states() == [("succeeded", None)]
    assert len(mortal.world.cluster.calls) == 1
    assert len({message["remediation"] for message in mortal.world.told.messages}) == 1


async def climbed(mortal: Mortal) -> None:
    mortal.world.leak()
    await mortal.deliver("Leak")
    await mortal.live(40 * MINUTE)
    await mortal.deliver("Leak", firing=False)
    await mortal.live(7 * MINUTE)
    assert await mortal.world.states() == [("succeeded", None)]
    assert len(mortal.world.cluster.calls) == 2
    row = await mortal.world.only()
    shown = await mortal.world.journal.show(row["id"])
    assert shown is not None
    outcomes = [attempt["outcome"] for attempt in shown["attempts"]]
    assert [outcome for outcome in outcomes if outcome != "cancelled"] == ["ineffective", "succeeded"]


async def taken_back(mortal: Mortal) -> None:
    world = mortal.world
    world.crash()
    await mortal.deliver("Crash")
    while not world.cluster.calls:
        await mortal.live(timedelta(seconds=1))
    world.cluster.crashing.add("web:1")
    await mortal.live(timedelta(seconds=20))
    world.cluster.crashing.discard("web:2")
    await mortal.live(16 * MINUTE)
    assert sorted(await world.states(), key=str) == [("failed", "worse"), ("succeeded", None)]
    assert len(world.cluster.calls) == 2


async def scaled(mortal: Mortal) -> None:
    world = mortal.world
    await mortal.deliver("Slow")
    await mortal.live(MINUTE)
    await mortal.deliver("Slow", firing=False)
    await mortal.live(6 * MINUTE)
    assert count(world) == 5
    await mortal.live(65 * MINUTE)
    assert count(world) == 3
    assert await world.states() == [("succeeded", None), ("succeeded", None)]
    assert len(world.cluster.calls) == 2


def count(world: World) -> Any:
    return world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"]


async def scaled_through_an_hpa(mortal: Mortal) -> None:
    mortal.world.cluster.create_autoscaler("shop", "web", "Deployment", 2, 8)
    await mortal.deliver("Slow")
    await mortal.live(MINUTE)
    await mortal.deliver("Slow", firing=False)
    await mortal.live(71 * MINUTE)
    assert mortal.world.cluster.objects["HorizontalPodAutoscaler", "shop", "web"]["spec"]["minReplicas"] == 2
    assert await mortal.world.states() == [("succeeded", None), ("succeeded", None)]
    assert len(mortal.world.cluster.calls) == 2


async def isolated(mortal: Mortal) -> None:
    world = mortal.world
    name = str(world.cluster.pods("shop", "web")[0]["metadata"]["name"])
    await mortal.deliver("Suspect", deployment="", pod=name)
    await mortal.live(6 * MINUTE)
    assert (len(world.cluster.calls), len(world.cluster.pods("shop", "web"))) == (2, 3)
    await mortal.deliver("Suspect", deployment="", pod=name, firing=False)
    await mortal.live(64 * MINUTE)
    assert ("Pod", "shop", name) not in world.cluster.objects
    assert await world.states() == [("succeeded", None), ("succeeded", None)]
    assert len(world.cluster.calls) == 4  # policy, relabel; pod, policy


async def unstuck(mortal: Mortal) -> None:
    world = mortal.world
    world.cluster.create_workload("StatefulSet", "shop", "db", "db:1")
    world.cluster.crashing.add("db:2")
    world.cluster.set_image("StatefulSet", "shop", "db", "db:2")
    await mortal.deliver("Crash", deployment="", statefulset="db")
    await mortal.live(2 * MINUTE)
    await mortal.deliver("Crash", deployment="", statefulset="db", firing=False)
    await mortal.live(7 * MINUTE)
    assert await world.states() == [("succeeded", None)]
    assert len(world.cluster.calls) == 2


SLOW = "name: more, match: ['alertname=\"Slow\"'], steps: [{action: scale_workload, if: always, with: {by: 2}}]"
SUSPECT = (
    "name: isolate, match: ['alertname=\"Suspect\"'], target: object, "
    "steps: [{action: quarantine_pod, if: always, restore: {after: 1h}}]"
)
SCENARIOS: list[tuple[Callable[[Mortal], Awaitable[None]], tuple[str, ...]]] = [
    (rolled_back, ()),
    (approved, (RESTART.replace("limits:", "mode: approve, limits:"),)),
    (climbed, (LADDER,)),
    (taken_back, ()),
    (scaled, (SLOW,)),
    (scaled_through_an_hpa, (SLOW,)),
    (isolated, (SUSPECT,)),
    (unstuck, ()),
]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("scenario", "text"), SCENARIOS, ids=[scenario.__name__ for scenario, _ in SCENARIOS])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_every_effect_it_comes_to_the_same_end(
    scenario: Callable[[Mortal], Awaitable[None]], text: tuple[str, ...], after: bool
) -> None:
    at, effects = 0, 1
    while at <= effects:
        world = await World(rules(*text) if text else None).start()
        mortal = Mortal(world, at, after)  # at 0 it lives on: the scenario as it is
        try:
            await scenario(mortal)
        except AssertionError as error:
            raise AssertionError(f"killed {'after' if after else 'before'} effect {at} of {effects}: {error}") from error
        finally:
            await world.journal.close()
        effects = max(effects, mortal.count) if at == 0 else effects
        at += 1
    print(f"{scenario.__name__}: {effects} effects, killed {'after' if after else 'before'} each")
