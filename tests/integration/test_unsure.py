"""What is not known for sure while something is done.

Answers that are lost, alerts that join, people who say stop.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from remediator.engine.after import undo
from remediator.engine.arrive import triage
from remediator.engine.engine import Engine
from remediator.engine.explain import would_undo
from remediator.errors import Conflict, Unreachable
from remediator.model.alert import Activity
from remediator.model.call import Call
from remediator.model.facts import Facts, Unknown, unseen
from remediator.model.raw import labels, ready
from remediator.model.sight import Sight
from remediator.model.target import Target
from tests.integration.world import RESTART, Told, World, rules

ISOLATE = (
    "name: isolate, match: ['alertname=\"Suspect\"'], target: object, {} steps: [{{action:"
    " quarantine_pod, if: always}}]"
)
ALWAYS = RESTART.replace("{action: restart_workload}", "{action: restart_workload, if: always}")
TOLD = RESTART.replace("limits:", "escalate: {to: [log], after: 5m}, limits:")


async def isolating(lost: str) -> tuple[World, str]:
    """A world in which the answers to one kind of call are lost, and a pod that is suspected."""
    world = await World(rules(ISOLATE.format(""))).start()
    apply = world.cluster.apply

    async def unanswered(call: Call, *more: Any) -> Any:
        answer = await apply(call, *more)
        if call.verb == lost:
            raise Unreachable("no answer within 10s")
        return answer

    world.cluster.apply = unanswered  # type: ignore[assignment, method-assign]
    pod = str(world.cluster.pods("shop", "web")[0]["metadata"]["name"])
    await world.run(timedelta(seconds=5))
    await world.deliver("Suspect", "", pod=pod)
    await world.run(timedelta(seconds=12))
    world.cluster.apply = apply  # type: ignore[method-assign]
    return world, pod


def isolated(world: World, pod: str) -> bool:
    """Whether the pod has no label but the quarantine's."""
    return list(labels(world.cluster.objects["Pod", "shop", pod])) == ["remediator.io/quarantine"]


async def test_a_conflict_and_then_a_read_that_fails_is_looked_at_later_and_not_done_twice() -> (
    None
):
    world = await World(rules(ALWAYS)).start()
    apply, observe = world.cluster.apply, world.cluster.observe
    left = {"conflicts": 1, "blind": 0}

    async def landed(call: Call, *more: Any) -> Any:
        answer = await apply(call, *more)
        if left["conflicts"]:
            left.update(conflicts=0, blind=1)
            raise Conflict("the object has been modified")
        return answer

    async def seen(
        target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        facts = await observe(target, climb, sights, now)
        if left["blind"]:
            left["blind"] = 0
            return replace(facts, object=Unknown("the API server timed out"))
        return facts

    world.cluster.apply, world.cluster.observe = landed, seen  # type: ignore[assignment, method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(timedelta(minutes=3))
    assert len(world.cluster.calls) == 1
    row = await world.journal.show((await world.only())["id"])
    assert row is not None
    assert [made["outcome"] for made in row["attempts"]] == [None]
    assert row["state"] == "verifying"


async def test_an_alert_that_joins_while_the_first_is_found_to_be_over_is_not_dropped() -> None:
    world = await World(rules(TOLD)).start()
    world.leak()
    await world.deliver("Leak", fingerprint="one")
    await world.run(timedelta(seconds=2))
    world.alertmanager._active.clear()  # resolved, and nobody delivers it
    activity, once = world.alertmanager.activity, [True]

    async def slow(*asked: Any) -> Activity:
        answer = await activity(*asked)
        if once:
            once.pop()
            await world.deliver("Leak", fingerprint="two", pod="web-2")
            await triage.pending(world.doors, world.clock.now())
        return answer

    world.alertmanager.activity = slow  # type: ignore[assignment, method-assign]
    await world.run(timedelta(minutes=5), timedelta(seconds=10))
    assert len(world.cluster.calls) == 1
    assert (await world.only())["state"] == "verifying"


async def test_an_alert_that_is_delivered_again_while_its_end_is_written_stays_open() -> None:
    world = await World(rules(TOLD)).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(timedelta(seconds=9))
    world.alertmanager._active.clear()
    activity, once = world.alertmanager.activity, [True]

    async def slow(*asked: Any) -> Activity:
        answer = await activity(*asked)
        if once and answer is Activity.NOT_LISTED:
            once.pop()
            world.clock.time += timedelta(seconds=2)
            await world.deliver("Leak")
        return answer

    world.alertmanager.activity = slow  # type: ignore[assignment, method-assign]
    await world.run(timedelta(minutes=5), timedelta(seconds=10))
    assert [episode["open"] for episode in await world.journal.episodes(9, None)] == [True]
    assert len(world.cluster.calls) == 1


async def test_nothing_more_is_sent_once_somebody_cancelled() -> None:
    world, pod = await isolating("create")
    row = await world.only()
    assert row["state"] == "executing"
    assert await world.journal.cancel(row["id"], "ann", world.clock.now()) is None
    await world.run(timedelta(minutes=2))
    assert (await world.only())["state"] == "cancelled"
    assert [call.split()[0] for _, call in world.cluster.calls] == ["CREATE"]
    assert not isolated(world, pod)


async def test_what_landed_is_known_though_the_rule_was_withdrawn() -> None:
    world, pod = await isolating("patch")
    await world.engine.reload(rules(RESTART))
    await world.run(timedelta(minutes=2))
    assert isolated(world, pod)
    row = await world.journal.show((await world.only())["id"])
    assert row is not None
    assert row["attempts"][0]["applied_at"]


async def lost_for_good(lost: str) -> tuple[World, str, str]:
    """An isolation of which nobody can say whether it was done, since the
    cluster cannot be read and somebody cancelled.
    """
    world, pod = await isolating(lost)
    ident = str((await world.only())["id"])
    observe = world.cluster.observe

    async def blind(
        target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        return unseen(now, target, Unknown("the API server is down"))

    world.cluster.observe = blind  # type: ignore[method-assign]
    assert await world.journal.cancel(ident, "ann", world.clock.now()) is None
    await world.run(timedelta(minutes=2))
    world.cluster.observe = observe  # type: ignore[method-assign]
    assert (await world.only())["state"] == "unknown"
    return world, pod, ident


async def test_what_may_have_been_done_can_be_undone() -> None:
    world, pod, ident = await lost_for_good("patch")
    assert isolated(world, pod)
    assert await undo.ask(world.doors, ident, "ann", world.clock.now()) is None
    await world.run(timedelta(minutes=1))
    assert not isolated(world, pod)


async def test_what_may_have_been_done_ends_in_its_time() -> None:
    world, pod, _ = await lost_for_good("patch")
    await world.deliver("Suspect", "", pod=pod, firing=False)
    await world.run(timedelta(hours=26), timedelta(minutes=10))
    assert ("Pod", "shop", pod) not in world.cluster.objects


async def test_what_was_not_done_is_not_undone() -> None:
    world, pod, ident = await lost_for_good("create")
    assert not isolated(world, pod)
    before = len(world.cluster.calls)
    assert await undo.ask(world.doors, ident, "ann", world.clock.now()) is None
    await world.run(timedelta(minutes=1))
    undone = next(row for row in await world.rows() if row["id"] != ident)
    assert (undone["state"], undone["reason"]) == ("blocked", "assumption_changed")
    assert "cannot confirm that" in undone["why"]
    assert len(world.cluster.calls) == before


async def test_an_undo_is_not_undone() -> None:
    world, _, ident = await lost_for_good("patch")
    assert await undo.ask(world.doors, ident, "ann", world.clock.now()) is None
    await world.run(timedelta(minutes=1))
    born = next(row["id"] for row in await world.rows() if row["id"] != ident)
    assert "is itself an undo" in str(await undo.ask(world.doors, born, "ann", world.clock.now()))
    assert "is itself an undo" in str(await would_undo(world.doors, born, world.clock.now()))


@pytest.mark.parametrize("replicas", [2, 3, 4])
async def test_suspected_pods_leave_one_by_one_as_they_are_replaced(replicas: int) -> None:
    world = World(rules(ISOLATE.format("limits: {in_flight: 9},")))
    world.cluster.create_workload("Deployment", "shop", "big", "big:1", replicas=replicas)
    await world.start()
    await world.run(timedelta(minutes=5), timedelta(seconds=30))
    for pod in world.cluster.pods("shop", "big"):
        name = str(pod["metadata"]["name"])
        await world.deliver("Suspect", "", fingerprint=name, pod=name)
    least = replicas
    for _ in range(120):
        await world.run(timedelta(seconds=1))
        least = min(least, sum(ready(pod) for pod in world.cluster.pods("shop", "big")))
    assert least == replicas - 1
    assert len(world.cluster.calls) >= 4  # two of them at least, one after the other


async def test_everyone_whom_its_members_would_notify_is_notified_of_a_storm() -> None:
    many = TOLD.replace("limits: {attempts: 2/6h}", "limits: {attempts: 2/6h, in_flight: 50}")
    other = (
        "name: payments, match: ['alertname=\"PaymentsDown\"'], escalate: {to: [pager], after: 5m},"
        " steps: [{action: restart_workload}]"
    )
    world, pager = await World(rules(many, other)).start(), Told()
    world.engine = Engine(world.doors, {"log": world.told, "pager": pager})
    for number in range(15):
        name = f"app{number}"
        world.cluster.create_workload("Deployment", "shop", name, f"{name}:1", replicas=1)
        world.leak(name)
        await world.deliver("Leak", name)
    await world.run(timedelta(minutes=1))
    world.leak("api")
    await world.deliver("PaymentsDown", "api")
    await world.run(timedelta(minutes=100), timedelta(minutes=1))
    assert [message["state"] for message in world.told.messages] == ["storm"]
    assert [message["state"] for message in pager.messages] == ["storm"]
