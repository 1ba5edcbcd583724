"""The guards that need a history or a neighbourhood, in the whole engine.

Windows, storms, breakers, ranks, what can be replaced.
"""

from datetime import timedelta
from typing import Any

import pytest

from remediator.located import load_text
from remediator.rules.loader import build
from tests.integration.world import RESTART, ROLL_BACK, START, World, rule_file, rules

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
STEP = timedelta(seconds=20)
OFTEN = (
    "name: restart, match: ['alertname=\"Leak\"'], limits: {attempts: 9/6h, cooldown: 1m,"
    " in_flight: 9}, steps: [{action: restart_workload}]"
)
MORE = (
    "name: more, match: ['alertname=\"Slow\"'], steps: [{action: scale_workload, if: always, with:"
    " {by: 2}}]"
)
WINDOWED = """\
version: 1
time_intervals:
  - name: afternoon
    time_intervals: [{times: [{start_time: "12:30", end_time: "13:00"}]}]
  - name: freeze
    time_intervals: [{months: [december]}]
groups:
  - name: g
    scope: {namespaces: [shop]}
    defaults: {mode: act, escalate: {to: [log]}, windows: {active: [afternoon], mute: [freeze]}}
    rules:
      - {name: restart, match: ['alertname="Leak"'], expire: 2h, deadline: 3h, max_age: 3h,
         steps: [{action: restart_workload}]}
"""


async def leaks(world: World, *apps: str) -> None:
    for app in apps:
        world.leak(app)
        await world.deliver("Leak", app)


def many(world: World, count: int) -> list[str]:
    names = [f"app{number}" for number in range(count)]
    for name in names:
        world.cluster.create_workload("Deployment", "shop", name, f"{name}:1")
    return names


async def test_outside_its_window_it_waits_and_acts_when_it_begins() -> None:
    world = await World(build([load_text(WINDOWED, "rules.yaml")])).start()
    await leaks(world, "web")
    await world.run(29 * MINUTE, STEP)
    assert (await world.states(), world.cluster.calls) == ([("held", "outside_window")], [])
    await world.run(2 * MINUTE, STEP)
    assert len(world.cluster.calls) == 1
    assert world.clock.now() >= START + 30 * MINUTE
    await world.journal.close()


async def test_a_window_that_ends_between_decision_and_write_still_holds() -> None:
    world = await World(build([load_text(WINDOWED, "rules.yaml")])).start()
    world.clock.time = START + 59 * MINUTE + timedelta(seconds=30)
    apply = world.cluster.apply

    async def late(*arguments: Any) -> Any:
        raise AssertionError("written outside its window")

    observe = world.cluster.observe
    looks = 0

    async def slow(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:  # the reading just before the write
            world.clock.time = START + HOUR
        return await observe(*arguments)

    world.cluster.observe, world.cluster.apply = slow, late  # type: ignore[assignment, method-assign]
    await leaks(world, "web")
    await world.run(2 * MINUTE, STEP)
    assert (await world.states())[0] == ("held", "outside_window")
    world.cluster.apply = apply  # type: ignore[method-assign]
    await world.journal.close()


async def test_a_storm_holds_everything_and_is_announced_once() -> None:
    world = await World(rules(OFTEN, MORE)).start()
    names = many(world, 6)
    await leaks(world, *names)
    await world.run(2 * MINUTE, STEP)
    assert world.cluster.calls == []
    assert set(await world.states()) == {("held", "storm")}
    (told,) = [message for message in world.told.messages if message["state"] == "storm"]
    assert "6 workloads in default/g have alerts firing now: 75% of 8" in told["why"]
    await world.deliver("Slow", "web")
    await world.run(MINUTE, STEP)
    # it takes nothing away
    assert [call for _, call in world.cluster.calls] == [
        "PATCH Deployment/shop/web/scale (/spec/replicas)"
    ]
    await world.run(30 * MINUTE, STEP)
    assert len(world.cluster.calls) == 1  # they fire on, so it goes on, however long that is
    assert [message for message in world.told.closed if message["state"] == "storm"] == []
    for name in names[:4]:
        await world.deliver("Leak", name, firing=False)
    await world.run(15 * MINUTE, STEP)
    assert len(world.cluster.calls) > 1  # those that still fire are looked at, within the rates
    assert len([message for message in world.told.messages if message["state"] == "storm"]) == 1
    (calm,) = [message for message in world.told.closed if message["state"] == "storm"]
    assert calm["remediation"] == told["remediation"]
    assert f"3 workloads still have alerts firing: shop/{names[4]}" in calm["why"]
    assert await world.journal.storms() == ()
    await world.journal.close()


@pytest.mark.parametrize("calm_first", [False, True])
async def test_a_storm_goes_on_though_another_group_of_its_name_is_calm(calm_first: bool) -> None:
    short = f"{OFTEN}, expire: 5m"  # then no remediation is left that would count the storm
    other = short.replace("name: restart", "name: other")
    files = [rule_file(short), rule_file(other, scope="calm", path="other.yaml")]
    world = await World(build(files[::-1] if calm_first else files)).start()
    await leaks(world, *many(world, 6))
    await world.run(30 * MINUTE, STEP)
    assert world.cluster.calls == []
    assert [storm.group for storm in await world.journal.storms()] == ["default/g"]
    assert [message for message in world.told.closed if message["state"] == "storm"] == []
    await world.journal.close()


async def test_a_storm_that_breaks_during_a_reload_holds_too() -> None:
    world = await World(rules(OFTEN)).start()
    names = many(world, 6)
    await leaks(world, *names[:3])
    await world.run(timedelta(seconds=5))
    await world.engine.reload(rules(OFTEN, MORE))
    await leaks(world, *names[3:])
    await world.run(2 * MINUTE, STEP)
    assert (world.cluster.calls, set(await world.states())) == ([], {("held", "storm")})
    await world.journal.close()


async def test_crashing_pods_of_one_workload_are_no_storm() -> None:
    world = await World(rules(ROLL_BACK)).start()
    world.cluster.create_workload("Deployment", "shop", "big", "big:1", replicas=8)
    world.crash("big")
    await world.run(timedelta(seconds=5))
    for pod in world.cluster.pods("shop", "big"):
        name = pod["metadata"]["name"]
        await world.deliver("Crash", deployment="", pod=name, fingerprint=name)
    await world.run(MINUTE, STEP)
    assert len(world.cluster.calls) == 1
    await world.journal.close()


async def failed_thrice(world: World) -> None:
    """Three restarts that do not help, each on its own workload,
    among so many that this is no storm.
    """
    for number in range(20):
        world.cluster.create_workload("Deployment", "shop", f"other{number}", "other:1", replicas=1)
    await leaks(world, *many(world, 3))
    await world.run(32 * MINUTE, STEP)
    assert [state for state, _ in await world.states()] == ["ineffective"] * 3


async def test_a_breaker_opens_asks_people_and_is_reset() -> None:
    world = await World(rules(OFTEN)).start()
    await failed_thrice(world)
    assert [m["rule"] for m in world.told.messages if m["state"] == "breaker_open"] == ["restart"]
    await leaks(world, "web")
    await world.run(MINUTE, STEP)
    assert (await world.states())[-1] == ("awaiting_approval", "breaker_open")
    assert world.told.messages[-1]["reason"] == "breaker_open"
    row = (await world.rows())[-1]
    assert await world.journal.decide(row["id"], "", "me", True, now=world.clock.now()) is None
    await world.run(MINUTE, STEP)
    assert len(world.cluster.calls) == 4
    await world.journal.reset("restart", "me", world.clock.now())
    await leaks(world, "api")
    await world.run(MINUTE, STEP)
    assert len(world.cluster.calls) == 5
    assert [message["state"] for message in world.told.closed if message["rule"] == "restart"][
        -1
    ] == "breaker_open"
    await world.journal.close()


async def test_a_breaker_closes_by_itself_when_nothing_ends_badly() -> None:
    world = await World(rules(OFTEN)).start()
    await failed_thrice(world)
    (row,) = await world.journal.breakers()
    assert row.opened_at is not None
    await world.run(6 * HOUR + MINUTE, 10 * MINUTE)
    (row,) = await world.journal.breakers()
    assert row.opened_at is None
    await leaks(world, "web")
    await world.run(MINUTE, STEP)
    assert len(world.cluster.calls) == 4
    assert len([m for m in world.told.messages if m["state"] == "breaker_open"]) == 1
    await world.journal.close()


async def test_the_cooldown_doubles_after_what_did_not_help() -> None:
    ruled = OFTEN.replace("cooldown: 1m", "cooldown: 10m").replace(
        "{action: restart_workload}", "{action: restart_workload, if: always}"
    )
    world = await World(rules(ruled)).start()
    await leaks(world, "web")
    await world.run(31 * MINUTE, STEP)
    assert (await world.only())["state"] == "ineffective"
    ended = world.clock.now()
    await world.deliver("Leak", "web", firing=False)
    await world.deliver("Leak", "web", fingerprint="another")
    await world.run(12 * MINUTE, STEP)
    assert (await world.states())[-1] == ("held", "cooldown")  # ten minutes are over
    while len(world.cluster.calls) == 1 and world.clock.now() < ended + HOUR:
        await world.run(MINUTE, STEP)
    row = (await world.rows())[0]
    assert len(world.cluster.calls) == 2
    assert world.clock.now().isoformat() >= row["ended_at"]
    assert world.clock.now() - ended >= 15 * MINUTE
    await world.journal.close()


async def test_what_only_verifies_yields_to_a_higher_priority() -> None:
    urgent = (
        "name: urgent, match: ['alertname=\"Down\"'], priority: 5, steps: [{action: scale_workload,"
        " if: always, with: {by: 1}}]"
    )
    world = await World(rules(RESTART, urgent)).start()
    await leaks(world, "web")
    await world.run(MINUTE)
    assert await world.states() == [("verifying", None)]
    await world.deliver("Down", "web")
    await world.run(MINUTE)
    first, second, *more = await world.states()
    assert (first, second) == (("superseded", "outranked"), ("verifying", None))
    # its alert fires on: it waits for the lock
    assert [state for state, _ in more] in ([], ["held"])
    assert len(world.cluster.calls) == 2
    await world.journal.close()


async def test_the_same_priority_waits_for_the_lock() -> None:
    world = await World(rules(RESTART, MORE)).start()
    await leaks(world, "web")
    await world.run(MINUTE)
    await world.deliver("Slow", "web")
    await world.run(MINUTE)
    assert await world.states() == [("verifying", None), ("held", "target_busy")]
    await world.journal.close()


BUDGET = {"selector": {"matchLabels": {"app": "web"}}}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "reason"),
    [
        (
            "PodDisruptionBudget",
            BUDGET,
            {"observedGeneration": 1, "disruptionsAllowed": 0},
            "budget_exhausted",
        ),
        ("ResourceQuota", {}, {"hard": {"pods": "2"}, "used": {"pods": "3"}}, "not_replaceable"),
    ],
)
async def test_what_could_not_come_back_is_not_taken_away(
    kind: str, spec: dict[str, Any], status: dict[str, Any], reason: str
) -> None:
    world = await World().start()
    world.cluster.edit(
        "Deployment",
        "shop",
        "web",
        lambda o: o["spec"].update(strategy={"rollingUpdate": {"maxUnavailable": 1}}),
    )
    world.cluster.create(kind, "shop", "x", spec, status=status)
    await leaks(world, "web")
    await world.run(MINUTE)
    assert (await world.states(), world.cluster.calls) == ([("held", reason)], [])
    world.cluster.remove(kind, "shop", "x")
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1
    await world.journal.close()


async def test_more_ready_pods_than_the_rule_permits_are_not_taken_at_once() -> None:
    world = await World().start()
    world.cluster.edit(
        "Deployment",
        "shop",
        "web",
        lambda o: o["spec"].update(strategy={"rollingUpdate": {"maxUnavailable": 2}}),
    )
    await leaks(world, "web")
    await world.run(MINUTE)
    row = await world.only()
    assert (row["state"], row["reason"], world.cluster.calls) == ("blocked", "blast_radius", [])
    assert (
        "2 of 3 ready pods of Deployment/shop/web at once; blast_radius 30% allows 1" in row["why"]
    )
    await world.journal.close()


async def test_two_persons_must_approve_the_same_plan() -> None:
    asking = RESTART.replace("limits:", "mode: approve, approval: {two_person: true}, limits:")
    world = await World(rules(asking)).start()
    await leaks(world, "web")
    await world.run(MINUTE)
    row = await world.only()
    journal, now = world.journal, world.clock.now()
    assert await journal.decide(row["id"], "", "ann", True, now=now) is None
    assert (
        await journal.decide(row["id"], "", "ann", True, now=now)
        == f"ann already approved {row['id']}; a second operator must approve too"
    )
    await world.run(MINUTE)
    assert ((await world.only())["state"], world.cluster.calls) == ("awaiting_approval", [])
    assert await journal.decide(row["id"], "", "bob", True, now=now) is None
    assert (
        await journal.decide(row["id"], "", "cid", True, now=now)
        == f"ann and bob already approved {row['id']}"
    )
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1
    await journal.close()


async def test_an_approval_after_its_expiry_is_refused_though_nobody_looked_yet() -> None:
    world = await World(
        rules(RESTART.replace("limits:", "mode: approve, approval: {expires: 5m}, limits:"))
    ).start()
    await leaks(world, "web")
    await world.run(MINUTE)
    row = await world.only()
    refused = await world.journal.decide(
        row["id"], "", "ann", True, now=world.clock.now() + 5 * MINUTE
    )
    assert refused == f"the approval of {row['id']} has expired"
    await world.run(10 * MINUTE, STEP)
    assert (await world.states(), world.cluster.calls) == ([("expired", "approval_expired")], [])
    await world.journal.close()


async def test_a_limit_that_is_lowered_below_what_is_used_holds() -> None:
    world = await World(rules(OFTEN)).start()
    await leaks(world, "web")
    await world.run(MINUTE)
    await world.deliver("Leak", "web", firing=False)
    await world.run(8 * MINUTE, STEP)
    await world.engine.reload(rules(OFTEN.replace("attempts: 9/6h", "attempts: 1/6h")))
    await leaks(world, "web")
    await world.run(MINUTE)
    assert (await world.states())[-1] == ("blocked", "gave_up")
    assert len(world.cluster.calls) == 1
    await world.journal.close()
