"""Each action through the whole engine on virtual time.

What it does, how it is taken back, who else may own it.
"""

from datetime import timedelta
from typing import Any

import pytest

from remediator.engine.after import undo
from remediator.engine.engine import Engine
from remediator.sights.isolation import QUARANTINE as LABEL
from tests.integration.world import Told, World, rules

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STEP = timedelta(seconds=15)
SCALE = (
    "name: more, match: ['alertname=\"Slow\"'], limits: {cooldown: 0s}, steps: [{action:"
    " scale_workload, if: always, with: {by: 2}}]"
)
ISOLATE = (
    "name: isolate, match: ['alertname=\"Suspect\"'], target: object, steps: [{action:"
    " quarantine_pod, if: always}]"
)
BACK = "name: back, match: ['alertname=\"Crash\"'], steps: [{action: rollback_workload}]"


@pytest.fixture
async def world() -> Any:
    made = await World(rules(SCALE, ISOLATE, BACK)).start()
    yield made
    await made.journal.close()


def replicas(world: World, name: str = "web") -> int:
    return int(world.cluster.objects["Deployment", "shop", name]["spec"]["replicas"])


async def slow(world: World, minutes: int = 2) -> None:
    """The alert fires, is answered, resolves, and is quiet until the proof has held."""
    await world.deliver("Slow")
    await world.run(minutes * MINUTE, STEP)
    await world.deliver("Slow", firing=False)
    await world.run(6 * MINUTE, STEP)


async def test_a_workload_is_given_more_and_gets_its_own_count_back_after_an_hour_s_quiet(
    world: World,
) -> None:
    await slow(world)
    assert (replicas(world), await world.states()) == (5, [("succeeded", None)])
    await world.run(50 * MINUTE, MINUTE)
    assert replicas(world) == 5
    await world.run(15 * MINUTE, MINUTE)
    assert replicas(world) == 3
    parent, child = await world.rows()
    assert (child["undo_of"], child["undo_why"], child["state"]) == (
        parent["id"],
        "timed",
        "succeeded",
    )
    assert len(world.cluster.calls) == 2
    charged = await world.journal.charges(world.clock.now() - 2 * HOUR)
    assert len(charged) == 1  # going back costs nothing
    assert world.told.messages == []


async def test_a_refire_postpones_the_way_back_and_a_second_step_goes_back_to_where_the_first_began(
    world: World,
) -> None:
    await slow(world)
    await world.run(40 * MINUTE, MINUTE)
    await slow(world)
    assert replicas(world) == 7
    await world.run(45 * MINUTE, MINUTE)
    assert replicas(world) == 7
    await world.run(30 * MINUTE, MINUTE)
    assert replicas(world) == 3
    # two remediations, one way back
    assert [row["state"] for row in await world.rows()] == ["succeeded"] * 3
    await world.run(3 * HOUR, 5 * MINUTE)
    assert len(world.cluster.calls) == 3


async def test_nothing_is_undone_while_the_alert_is_firing() -> None:
    world = await World(rules(SCALE.replace("limits: {", "limits: {attempts: 1/6h, "))).start()
    await slow(world)
    await world.deliver("Slow")
    await world.run(3 * HOUR, MINUTE)
    assert (replicas(world), await world.states()) == (
        5,
        [("succeeded", None), ("blocked", "gave_up")],
    )
    await world.deliver("Slow", firing=False)
    await world.run(50 * MINUTE, MINUTE)
    assert replicas(world) == 5
    await world.run(15 * MINUTE, MINUTE)
    assert replicas(world) == 3
    await world.journal.close()


async def test_what_changes_between_the_plan_and_the_write_is_planned_again(world: World) -> None:
    begin, edited = world.journal.begin, list[bool]()

    async def begun(*arguments: Any) -> Any:
        verdicts = await begin(*arguments)
        if not edited:
            world.cluster.edit(
                "Deployment", "shop", "web", lambda obj: obj["spec"].update(replicas=4)
            )
            edited.append(True)
        return verdicts

    world.journal.begin = begun  # type: ignore[assignment, method-assign]
    await world.deliver("Slow")
    await world.run(MINUTE, STEP)
    row = await world.journal.show((await world.only())["id"])
    assert row is not None
    first, second = row["attempts"]
    assert (first["plan"]["summary"], first["outcome"]) == (
        "scale Deployment/shop/web from 3 to 5 replicas",
        "cancelled",
    )
    assert second["plan"]["summary"] == "scale Deployment/shop/web from 4 to 6 replicas"
    assert (replicas(world), len(world.cluster.calls)) == (6, 1)


async def test_a_count_that_somebody_has_changed_is_left_alone(world: World) -> None:
    await slow(world)
    world.cluster.edit("Deployment", "shop", "web", lambda obj: obj["spec"].update(replicas=6))
    await world.run(2 * HOUR, MINUTE)
    assert replicas(world) == 6
    assert await world.states() == [("succeeded", None), ("blocked", "assumption_changed")]
    assert world.told.messages == []  # nothing for people to do


async def test_the_change_of_a_removed_rule_stays_and_people_are_notified(world: World) -> None:
    await slow(world)
    await world.engine.reload(rules(BACK))
    await world.run(70 * MINUTE, MINUTE)
    assert replicas(world) == 5
    assert await world.states() == [("succeeded", None), ("blocked", "rule_changed")]
    (message,) = world.told.messages
    assert "its change stays: scale Deployment/shop/web from 3 to 5 replicas" in message["why"]


async def test_a_person_may_cancel_the_way_back(world: World) -> None:
    await slow(world)
    await world.journal.pause("all", "a person looks", "me", None, now=world.clock.now())
    await world.run(65 * MINUTE, MINUTE)
    child = (await world.rows())[-1]
    assert (child["undo_why"], child["state"], child["reason"]) == ("timed", "held", "paused")
    assert await world.journal.cancel(child["id"], "me", world.clock.now()) is None
    await world.run(MINUTE)
    assert (replicas(world), (await world.states())[-1]) == (5, ("cancelled", "operator"))


async def test_an_hpa_is_raised_and_lowered(world: World) -> None:
    world.cluster.create_autoscaler("shop", "web", "Deployment", 2, most=8)
    await slow(world)
    assert replicas(world) == 5
    assert least(world) == 5
    await world.run(70 * MINUTE, MINUTE)
    assert least(world) == 2


def least(world: World) -> int:
    return int(
        world.cluster.objects["HorizontalPodAutoscaler", "shop", "web"]["spec"]["minReplicas"]
    )


async def test_keda_s_hpa_is_left_to_keda_and_the_command_is_shown(world: World) -> None:
    owner = {"kind": "ScaledObject", "name": "web-load", "uid": "k", "controller": True}
    world.cluster.create_autoscaler("shop", "web", "Deployment", 2, most=8, ownerReferences=[owner])
    await slow(world)
    (row,) = await world.rows()
    assert (row["state"], row["reason"]) == ("blocked", "owned_elsewhere")
    assert "kubectl patch scaledobject web-load -n shop" in row["why"]
    assert world.cluster.calls == []


async def test_a_replica_set_of_argo_rollouts_is_left_to_it_and_the_command_is_shown(
    world: World,
) -> None:
    owner = {"kind": "Rollout", "name": "web", "uid": "r", "controller": True}
    pod = world.cluster.pods("shop", "web")[0]
    owned = next(
        o
        for (kind, _, n), o in world.cluster.objects.items()
        if kind == "ReplicaSet" and n.startswith("web")
    )
    owned["metadata"]["ownerReferences"] = [owner]
    await world.deliver("Slow", deployment="", pod=pod["metadata"]["name"])
    await world.run(MINUTE)
    (row,) = await world.rows()
    assert (row["state"], row["reason"]) == ("blocked", "owned_elsewhere")
    assert "kubectl scale rollout web -n shop" in row["why"]


async def suspected(world: World) -> str:
    """A pod is suspected, isolated and replaced; its name."""
    name = str(world.cluster.pods("shop", "web")[0]["metadata"]["name"])
    await world.deliver("Suspect", deployment="", pod=name)
    await world.run(MINUTE)
    return name


def pod_of(world: World, name: str) -> Any:
    return world.cluster.objects.get(("Pod", "shop", name))


def policies(world: World) -> list[str]:
    return [name for kind, _, name in world.cluster.objects if kind == "NetworkPolicy"]


async def test_a_suspected_pod_is_isolated_replaced_and_deleted_after_a_day(world: World) -> None:
    name = await suspected(world)
    await world.run(5 * MINUTE, STEP)
    row = await world.only()
    assert row["state"] == "succeeded"  # though the alert still fires: isolation is the proof
    assert LABEL in pod_of(world, name)["metadata"]["labels"]
    assert len(world.cluster.pods("shop", "web")) == 3
    shown = await world.journal.show(row["id"])
    assert shown is not None
    collected, created, relabelled = shown["attempts"][0]["evidence"]
    assert collected["left"]["phase"] == "Running"
    assert relabelled["stamp"] != created["stamp"] != collected["stamp"]
    await world.deliver("Suspect", deployment="", pod=name, firing=False)
    await world.run(23 * HOUR, HOUR)
    assert pod_of(world, name)
    await world.run(2 * HOUR, MINUTE)
    assert (pod_of(world, name), policies(world)) == (None, [])
    assert len(world.cluster.pods("shop", "web")) == 3


async def test_a_person_releases_a_pod_from_quarantine(world: World) -> None:
    name = await suspected(world)
    now = world.clock.now()
    early = await undo.ask(world.doors, (await world.only())["id"], "me", now)
    assert early is not None
    assert "cancel it first" in early
    await world.run(6 * MINUTE, STEP)
    row = await world.only()
    assert await undo.ask(world.doors, row["id"], "me", world.clock.now()) is None
    assert f"is already undoing {row['id']}" in str(
        await undo.ask(world.doors, row["id"], "me", world.clock.now())
    )
    await world.run(MINUTE)
    assert policies(world) == []
    assert LABEL not in (pod_of(world, name) or {"metadata": {"labels": {}}})["metadata"]["labels"]
    assert [r["state"] for r in await world.rows()] == ["succeeded", "succeeded"]
    await world.run(30 * HOUR, HOUR)
    assert len(await world.rows()) == 2  # nothing is owed any more


async def test_an_undo_says_why_it_cannot_be(world: World) -> None:
    assert "no remediation" in str(await undo.ask(world.doors, "nobody", "me", world.clock.now()))
    await world.deliver("Slow", deployment="nothing")
    await world.run(2 * HOUR, MINUTE)
    row = await world.only()
    assert "made no change" in str(await undo.ask(world.doors, row["id"], "me", world.clock.now()))


async def stuck(world: World) -> None:
    """A StatefulSet's release crashes on its first pod, and its alert fires."""
    world.cluster.create_workload("StatefulSet", "shop", "db", "db:1")
    world.cluster.crashing.add("db:2")
    world.cluster.set_image("StatefulSet", "shop", "db", "db:2")
    await world.run(timedelta(seconds=10))
    await world.deliver("Crash", deployment="", statefulset="db")


async def test_a_stateful_set_s_stuck_pod_is_deleted_after_the_rollback(world: World) -> None:
    await stuck(world)
    await world.run(MINUTE)
    assert [text.split(" ")[0] for _, text in world.cluster.calls] == ["PATCH", "DELETE"]
    pods = world.cluster.pods("shop", "db")
    assert [pod["spec"]["containers"][0]["image"] for pod in pods] == ["db:1"] * 3
    await world.deliver("Crash", deployment="", statefulset="db", firing=False)
    await world.run(7 * MINUTE, STEP)
    assert (await world.only())["state"] == "succeeded"


async def test_a_pause_keeps_the_stuck_pod_and_the_rollback_goes_on_after_it(world: World) -> None:
    await stuck(world)
    while not world.cluster.calls:
        await world.run(timedelta(seconds=1))
    await world.journal.pause("all", "a person looks", "me", None, now=world.clock.now())
    await world.run(3 * MINUTE, STEP)
    assert len(world.cluster.calls) == 1
    row = await world.only()
    assert (row["state"], row["reason"]) == ("verifying", "paused")
    await world.journal.resume("all", "me", world.clock.now())
    await world.run(2 * MINUTE, STEP)
    assert [text.split(" ")[0] for _, text in world.cluster.calls] == ["PATCH", "DELETE"]
    said = [text for _, reason, text in world.cluster.events if reason == "RemediationApplied"]
    assert len(said) == 2  # each time that calls were answered, and never for a hold
    assert all("under way: " in text for text in said)


async def test_an_approval_is_for_the_further_calls_too() -> None:
    world = await World(rules(BACK.replace("name: back", "name: back, mode: approve"))).start()
    chat, world.doors.followers = Told(), ("chat",)
    world.engine = Engine(world.doors, {"log": world.told, "chat": chat})
    await stuck(world)
    await world.run(MINUTE)
    row = await world.only()
    assert (row["state"], world.cluster.calls) == ("awaiting_approval", [])
    shown = await world.journal.show(row["id"])
    assert shown is not None
    digest = shown["look"]["digest"]
    for told in (world.told, chat):
        assert [message["approve"] for message in told.messages] == [
            f"remediator approve {row['id']} --digest {digest}"
        ]
    # what the person saw
    assert shown["look"]["calls"][-1] == "DELETE Pod, if needed, at most 6 times"
    assert (
        await world.journal.decide(
            row["id"], shown["look"]["digest"], "me", True, now=world.clock.now()
        )
        is None
    )
    await world.run(MINUTE)
    assert [text.split(" ")[0] for _, text in world.cluster.calls] == ["PATCH", "DELETE"]
    await world.deliver("Crash", deployment="", statefulset="db", firing=False)
    await world.run(7 * MINUTE, STEP)
    assert (await world.only())["state"] == "succeeded"
    await world.journal.close()
