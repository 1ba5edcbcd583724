"""What an on-call engineer would notice after an act: a pod that comes and goes, a reload halfway
up a ladder, a plan that changes while people decide, an undo that does not end.
"""

from datetime import timedelta
from typing import Any

from remediator.engine.after import undo
from remediator.engine.explain import explain, would_undo
from tests.integration.world import START, World, rules

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
KEY = ("Deployment", "shop", "web")
BACK = (
    "name: back, match: ['alertname=\"Crash\"'], {more}steps: [{{action: rollback_workload{own}}}]"
)
CRASH = BACK.format(more="", own="")
ALWAYS = BACK.format(more="deadline: 10m, ", own=", if: always")
ASK = BACK.format(
    more="mode: approve, approval: {expires: 20m}, ",
    own=", with: {changed_within: 6h}",
)
LADDER = (
    "name: two, match: ['alertname=\"Leak\"'], limits: {{attempts: {attempts}}}, steps: [{steps}]"
)
TWO = "{action: restart_workload, if: always, then: next}, {action: rollback_workload, if: always}"


async def world_of(*rule: str) -> World:
    return await World(rules(*rule)).start()


def gives_up_after(world: World, seconds: int) -> None:
    """The Deployment's controller gives up on a rollout that makes no progress for so long."""
    deadline = {"progressDeadlineSeconds": seconds}
    world.cluster.edit(*KEY, lambda obj: obj["spec"].update(deadline))


def image(world: World) -> Any:
    return world.cluster.objects[KEY]["spec"]["template"]["spec"]["containers"][0]["image"]


async def test_one_evicted_pod_does_not_bring_the_crashing_release_back() -> None:
    world = await world_of(CRASH)
    gives_up_after(world, 60)
    world.crash()
    await world.deliver("Crash")
    await world.run(5 * MINUTE, 10 * SECOND)
    assert await world.states() == [("verifying", None)]
    due = await world.journal.next_work()
    assert due is not None
    await world.run(due - world.clock.now() - SECOND, SECOND)
    pod = world.cluster.pods("shop", "web")[0]["metadata"]["name"]
    world.cluster.remove("Pod", "shop", pod)  # its ReplicaSet makes another within seconds
    await world.run(MINUTE, SECOND)
    states, running = await world.states(), image(world)
    await world.journal.close()
    assert (states, running) == ([("verifying", None)], "web:1")


async def test_people_are_told_that_a_reload_ended_the_ladder() -> None:
    world = await world_of(LADDER.format(attempts="4/6h", steps=TWO))
    await world.deliver("Leak")
    while await world.states() != [("verifying", None)]:
        await world.run(SECOND)
    await world.engine.reload(rules(LADDER.format(attempts="5/6h", steps=TWO)))
    await world.run(MINUTE)
    states, (told,) = await world.states(), world.told.messages
    await world.journal.close()
    assert (states, len(world.cluster.calls)) == ([("failed", "rule_changed")], 1)
    assert told["why"] == "converged; rule two was changed or removed before the next step"


async def asked_twice(world: World) -> None:
    """People were asked 15 minutes ago, and again now that the plan is another."""
    world.crash()
    await world.deliver("Crash")
    await world.run(15 * MINUTE, MINUTE)
    world.cluster.crashing.add("web:3")
    world.cluster.set_image(*KEY, "web:3")
    await world.run(MINUTE, 20 * SECOND)
    asked = [told["digest"] for told in world.told.messages if "digest" in told]
    assert len(set(asked)) == len(asked) == 2


async def test_a_plan_that_is_asked_about_again_gets_the_whole_time_to_decide() -> None:
    world = await world_of(ASK)
    await asked_twice(world)
    await world.run(10 * MINUTE, MINUTE)
    states = await world.states()
    await world.journal.close()
    assert states == [("awaiting_approval", "approval_required")]


async def test_nobody_is_asked_about_a_plan_for_ever() -> None:
    world = await world_of(ASK)
    await asked_twice(world)
    await world.run(40 * MINUTE, 2 * MINUTE)
    assert await world.states() == [("expired", "approval_expired")]
    assert world.cluster.calls == []
    await world.journal.close()


async def undone_to_what_crashes(deadline: int = 60) -> World:
    """A rollback was cancelled and is undone, to a release whose pods do not come up any more."""
    world = await world_of(ALWAYS)
    world.cluster.set_image(*KEY, "web:2")
    gives_up_after(world, deadline)
    await world.run(20 * SECOND, 5 * SECOND)
    world.cluster.crashing.add("web:1")
    await world.deliver("Crash")
    await world.run(MINUTE)
    row = await world.only()
    await world.journal.cancel(row["id"], "ann", world.clock.now())
    await world.run(10 * SECOND)
    world.cluster.crashing.add("web:2")
    assert await undo.ask(world.doors, row["id"], "ann", world.clock.now()) is None
    await world.run(20 * SECOND)
    assert (await undoing(world))["state"] == "verifying"
    return world


async def undoing(world: World) -> Any:
    (found,) = [row for row in await world.rows() if row["undo_of"]]
    return found


async def test_an_undo_that_does_not_get_ready_fails_in_its_time() -> None:
    world = await undone_to_what_crashes()
    await world.run(4 * MINUTE, 30 * SECOND)
    row = await undoing(world)
    assert (row["state"], row["reason"]) == ("failed", "deadline")
    assert world.told.messages[-1]["undo"] == row["id"]
    await world.journal.close()


async def test_an_undo_of_what_waits_for_decades_is_verified_no_longer_than_the_deadline() -> None:
    world = await undone_to_what_crashes(2147483647)
    await world.run(15 * MINUTE, 2 * MINUTE)
    row = await undoing(world)
    await world.journal.close()
    assert row["state"] == "failed"


async def test_a_person_may_cancel_an_undo_that_is_verified() -> None:
    world = await undone_to_what_crashes()
    row = await undoing(world)
    assert await world.journal.cancel(row["id"], "ann", world.clock.now()) is None
    await world.run(10 * SECOND)
    row = await undoing(world)
    await world.journal.close()
    assert (row["state"], row["reason"]) == ("cancelled", "operator")


async def test_what_an_undo_would_do_is_shown_and_not_done() -> None:
    world = await world_of(CRASH)
    world.crash()
    await world.deliver("Crash")
    await world.run(MINUTE)
    row = await world.only()
    would = await would_undo(world.doors, row["id"], world.clock.now())
    assert isinstance(would, dict)
    assert "restore revision 2 of Deployment/shop/web" in would["plan"]
    assert (len(would["calls"]), len(world.cluster.calls)) == (1, 1)
    assert len(await world.rows()) == 1
    assert await would_undo(world.doors, "r-nobody", START) == "no remediation r-nobody"
    await world.journal.close()


NO_QUESTIONS: list[dict[str, Any]] = [
    {},
    {"alert": None},
    {"alert": []},
    {"alert": {}},
    {"alert": {"labels": None}},
    {"alert": {"labels": ["alertname"]}},
    {"alert": {"labels": {"alertname": None}}},
    {"alert": {"labels": {"alertname": 7}}},
    {"fingerprint": ""},
    {"fingerprint": None, "alert": None},
    {"fingerprint": "never-seen"},
]


async def test_a_question_without_an_alert_is_answered_with_what_is_missing(world: World) -> None:
    for question in NO_QUESTIONS:
        assert set(await explain(world.doors, question)) == {"error"}, question


async def test_every_rule_answers_for_an_alert_and_nothing_is_changed(world: World) -> None:
    labels = {"alertname": "Leak", "namespace": "shop", "deployment": "web", "größe": "☃"}
    answer = await explain(world.doors, {"alert": {"labels": labels}})
    assert answer["alert"] == labels
    back, restart = answer["rules"]
    assert (back["rule"], back["matched"], back["reason"]) == ("back", False, "unmatched")
    assert (restart["rule"], restart["matched"]) == ("restart", True)
    assert restart["target"] == "Deployment/shop/web"
    assert (await world.rows(), world.cluster.calls, world.told.messages) == ([], [], [])


async def test_a_received_alert_is_explained_with_what_became_of_it(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    answer = await explain(world.doors, {"fingerprint": "Leak-web"})
    assert (answer["fate"], answer["source"], answer["deliveries"]) == ("attached", "s", 1)
    assert answer["fingerprint"] == "Leak-web"


async def test_a_target_that_does_not_exist_is_said_to_be_gone(world: World) -> None:
    labels = {"alertname": "Leak", "namespace": "shop", "deployment": "nobody"}
    answer = await explain(world.doors, {"alert": {"labels": labels}})
    (verdict,) = answer["rules"][1]["verdicts"]
    assert (verdict["verdict"], verdict["reason"]) == ("hold", "target_gone")
