"""An act that made things worse is taken back by a remediation of its
own, which has its parent's locks and no charge.
"""

from datetime import timedelta
from typing import Any

from remediator.model.remediation import RemediationId
from remediator.model.usage import Reading
from tests.integration.world import RESTART, ROLL_BACK, START, World, rules

MINUTE = timedelta(minutes=1)
STEP = timedelta(seconds=3)
LADDER = (
    "name: back, match: ['alertname=\"Crash\"'], steps: [{action: rollback_workload}, {action:"
    " restart_workload, if: any}]"
)


async def made_worse(world: World) -> None:
    """A crashing release is rolled back to a revision that stops working just then.

    What it needs is gone, say.
    """
    world.crash()
    await world.deliver("Crash")
    while not world.cluster.calls:
        await world.run(timedelta(seconds=1))
    world.cluster.crashing.add("web:1")
    await world.run(timedelta(seconds=5))


async def test_what_made_things_worse_is_undone(world: World) -> None:
    await made_worse(world)
    (parent,) = await world.rows()
    assert (parent["state"], image(world)) == ("verifying", "web:1")
    locked = await world.journal.usage(
        await remediation(world, parent["id"]), Reading(locks()), world.clock.now()
    )
    world.cluster.crashing.discard("web:2")  # what was replaced would run now
    await world.run(14 * MINUTE, STEP)
    rows = {row["id"]: row for row in await world.rows()}
    undo = next(row for row in rows.values() if row["undo_of"] == parent["id"])
    assert (undo["state"], rows[parent["id"]]["state"], rows[parent["id"]]["reason"]) == (
        "succeeded",
        "failed",
        "worse",
    )
    assert undo["id"] in rows[parent["id"]]["why"]
    assert image(world) == "web:2"
    assert len(world.cluster.calls) == 2
    after = await world.journal.usage(
        await remediation(world, parent["id"]), Reading(locks()), world.clock.now()
    )
    charged = await world.journal.charges(START)
    assert (locked.locks[locks()[0]].remediation, after.locks, len(charged)) == (
        parent["id"],
        {},
        1,
    )
    shown = await world.journal.show(parent["id"])
    assert shown is not None
    assert shown["attempts"][0]["outcome"] == "worse"
    assert world.told.messages[-1]["reason"] == "worse"


async def test_the_ladder_goes_on_after_an_undo() -> None:
    world = await World(rules(LADDER)).start()
    await made_worse(world)
    world.cluster.crashing.discard("web:2")
    world.leak()  # so that the next rung has a cause
    await world.run(13 * MINUTE, STEP)
    world.leak()
    await world.run(3 * MINUTE, STEP)
    parent = next(row for row in await world.rows() if not row["undo_of"])
    shown = await world.journal.show(parent["id"])
    assert shown is not None
    assert [attempt["action"] for attempt in shown["attempts"]] == [
        "rollback_workload",
        "restart_workload",
    ]
    await world.journal.close()


async def test_a_pause_holds_an_undo_too_and_the_parent_waits(world: World) -> None:
    await made_worse(world)
    await world.journal.pause("all", "a person looks", "me", None, now=world.clock.now())
    await world.run(14 * MINUTE, STEP)
    assert await states(world) == [("undoing", "worse"), ("held", "paused")]
    await world.journal.resume("all", "me", world.clock.now())
    await world.run()
    assert len(world.cluster.calls) == 2


async def test_what_others_changed_meanwhile_is_not_undone(world: World) -> None:
    await made_worse(world)
    await world.journal.pause("all", "a person looks", "me", None, now=world.clock.now())
    await world.run(14 * MINUTE, STEP)
    world.cluster.set_image("Deployment", "shop", "web", "web:3")
    await world.journal.resume("all", "me", world.clock.now())
    await world.run()
    assert await states(world) == [("failed", "worse"), ("blocked", "assumption_changed")]
    assert (image(world), len(world.cluster.calls)) == ("web:3", 1)


async def test_a_person_may_cancel_an_undo(world: World) -> None:
    await made_worse(world)
    await world.journal.pause("all", "a person looks", "me", None, now=world.clock.now())
    await world.run(14 * MINUTE, STEP)
    undo = next(row for row in await world.rows() if row["undo_of"])
    assert await world.journal.cancel(undo["id"], "me", world.clock.now()) is None
    await world.run()
    assert await states(world) == [("failed", "worse"), ("cancelled", "operator")]
    assert len(world.cluster.calls) == 1


async def test_a_crash_within_an_undo_sends_it_once(world: World) -> None:
    await made_worse(world)
    world.cluster.crashing.discard("web:2")
    while len(world.cluster.calls) < 2:
        await world.run(timedelta(seconds=5), timedelta(seconds=1))
    world.boot(world.clock.now() - timedelta(hours=1))
    await world.run(5 * MINUTE, STEP)
    assert len(world.cluster.calls) == 2
    assert await states(world) == [("failed", "worse"), ("succeeded", None)]


async def test_a_restart_that_is_worse_has_nothing_to_put_back() -> None:
    world = await World(rules(ROLL_BACK, RESTART)).start()
    world.leak()
    await world.deliver("Leak")
    await world.run()
    world.cluster.crashing.add("web:1")
    world.cluster.set_image("Deployment", "shop", "api", "api:1")
    await world.run(15 * MINUTE, STEP)
    assert not [row for row in await world.rows() if row["undo_of"]]
    await world.journal.close()


async def states(world: World) -> list[tuple[str, str | None]]:
    """Of the parent, then of its undo: exactly these two."""
    return [
        (row["state"], row["reason"])
        for row in sorted(await world.rows(), key=lambda row: bool(row["undo_of"]))
    ]


def image(world: World) -> str:
    return str(
        world.cluster.objects["Deployment", "shop", "web"]["spec"]["template"]["spec"][
            "containers"
        ][0]["image"]
    )


def locks() -> tuple[str, ...]:
    return ("default/Deployment/shop/web",)


async def remediation(world: World, ident: str) -> Any:
    from remediator.journal import claims
    from remediator.journal.tables import remediation as table

    return await world.journal._run(
        lambda c: claims.from_row(
            c.execute(table.select().where(table.c.id == RemediationId(ident))).one()
        )
    )
