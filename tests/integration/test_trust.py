"""Trust that is earned: what each rule's record says, what promotion
asks for, and a breaker that a person resets.
"""

import json
from datetime import timedelta
from typing import Any

import pytest

from remediator.app import App
from remediator.cli import show
from tests.integration.test_cli import Run, leak, waiting
from tests.integration.test_cli import app as app
from tests.integration.test_cli import run as run
from tests.integration.world import RESTART, World, rules

MINUTE = timedelta(minutes=1)
STEP = timedelta(seconds=20)


async def record(world: World, rule: str = "restart") -> dict[str, Any]:
    return dict((await world.journal.record([rule]))[rule])


async def test_an_observing_rule_shows_what_it_would_have_done() -> None:
    world = await World(rules(RESTART.replace("steps:", "mode: observe, steps:"))).start()
    for app_ in ("web", "api"):
        world.leak(app_)
        await world.deliver("Leak", app_)
    await world.run(MINUTE, STEP)
    shown = await record(world)
    assert (shown["would"], sorted(shown["lately"])) == (
        2,
        ["restart Deployment/shop/api", "restart Deployment/shop/web"],
    )
    await world.journal.close()


async def test_an_asking_rule_shows_how_often_people_agreed() -> None:
    asking = RESTART.replace(
        "limits: {attempts: 2/6h}",
        "mode: approve, limits: {attempts: 2/6h, in_flight: 9}, approval: {expires: 5m}",
    )
    world = await World(rules(asking)).start()
    world.cluster.create_workload("Deployment", "shop", "third", "third:1")
    for app_ in ("web", "api", "third"):
        world.leak(app_)
        await world.deliver("Leak", app_)
    await world.run(MINUTE, STEP)
    first, second, _ = await world.rows()
    await world.journal.decide(first["id"], "", "ann", True, now=world.clock.now(), why="seen it")
    await world.journal.decide(second["id"], "", "ann", False, now=world.clock.now())
    await world.run(10 * MINUTE, STEP)
    shown = await record(world)
    assert (shown["approved"], shown["denied"], shown["undecided"]) == (1, 1, 1)
    await world.journal.close()


async def test_an_acting_rule_shows_how_often_it_helped(world: World) -> None:
    for app_ in ("web", "api"):
        world.leak(app_)
        await world.deliver("Leak", app_)
    await world.run(MINUTE, STEP)
    await world.deliver("Leak", "web", firing=False)
    await world.run(40 * MINUTE, STEP)
    shown = await record(world)
    assert (shown["succeeded"], shown["ineffective"], shown["failed"], shown["other"]) == (
        1,
        1,
        0,
        0,
    )


def row(mode: str, **given: Any) -> dict[str, Any]:
    empty = dict.fromkeys(
        (
            "would",
            "idle",
            "approved",
            "denied",
            "undecided",
            "succeeded",
            "ineffective",
            "failed",
            "other",
        ),
        0,
    )
    opened = given.pop("opened", None)
    return {
        "name": "r", "mode": mode, "file": "rules/a.yaml", "line": 7, "breaker_open_since": opened,
        "record": {**empty, "against": {}, "lately": [], **given},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words", "missing"),
    [
        (
            row("observe"),
            ["it would have acted 0 times", "set `mode: approve`"],
            "nothing found in the journal",
        ),
        (
            row("observe", would=5, lately=["restart x"]),
            ["recent: restart x", "nothing found in the journal"],
            "review",
        ),
        (
            row("approve", approved=4),
            ["people approved 4 of 4; wait for 5", "set `mode: act`"],
            "nothing found in the journal",
        ),
        (
            row("approve", approved=8, denied=2),
            ["people approved 8 of 10"],
            "nothing found in the journal",
        ),
        (
            row("approve", approved=9, denied=1),
            ["nothing found in the journal", "rules/a.yaml, rule `r` (line 7)"],
            "wait for",
        ),
        (
            row("act", succeeded=3, failed=1),
            ["it helped 3 of 4 times", "none: it is in mode act already"],
            "set `mode",
        ),
        (
            row("approve", approved=9, opened="2026-05-01T12:00:00"),
            ["its breaker is open"],
            "nothing found in the journal",
        ),
    ],
)
def test_promotion_shows_the_evidence_what_speaks_against_it_and_the_edit(
    given: dict[str, Any], words: list[str], missing: str
) -> None:
    text = show.promotion(given)
    assert all(word in text for word in words), text
    assert missing not in text
    assert given["name"] in show.rules([given])


async def test_rules_promote_and_reset_by_hand(app: App, run: Run) -> None:
    await leak(app)
    ident = await waiting(run, "awaiting_approval")
    await run("deny", ident, "--reason", "not now")
    text = await run("rules")
    assert "RULE" in text
    assert "restart  approve  -                 0 of 1    -" in text
    assert json.loads(await run("rules", "--json"))["rules"][0]["record"]["denied"] == 1
    assert "set `mode: act`" in await run("promote", "restart")
    assert "no such rule" in await run("promote", "restrat", code=1)
    assert await run("reset", "restart") == "reset: restart (by me)\n"
    assert "no rule nothing is loaded" in await run("reset", "nothing", code=1)
    shown = json.loads(await run("show", ident, "--json"))
    assert "me denied it: not now" in [line["text"] for line in shown["history"]]
