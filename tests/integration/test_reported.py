"""What is measured and told besides the remediations: gauges, storms of several groups, breakers,
Events, and messages that are not accepted.
"""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise, product

import pytest

from remediator.cluster.sandbox import SandboxCluster
from remediator.engine.after import restore, revive
from remediator.engine.messages import about, to_all
from remediator.engine.tell import gauges, incidents
from remediator.engine.tell.deliver import deliver, undeliverable
from remediator.errors import Forbidden
from remediator.guards.situation import ProcessLimits
from remediator.located import load_text
from remediator.model.limit import StormLimit
from remediator.model.notice import Notice
from remediator.model.remediation import LIVE, Outcome, State
from remediator.model.target import Target
from remediator.rules.loader import build
from tests.integration.world import RESTART, START, Told, World, rules

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def shown(world: World, name: str) -> dict[str, float]:
    """The series of a metric and their values, by their labels."""
    found = {}
    for text in world.doors.metrics.render().decode().splitlines():
        series, _, value = text.rpartition(" ")
        if series.split("{")[0] == f"remediator_{name}":
            found[series.partition("{")[2].rstrip("}")] = float(value)
    return found


def loaded(*rule: str) -> World:
    """A daemon whose rules are loaded, and which did nothing yet."""
    world = World(rules(*rule) if rule else None)
    world.boot(START)
    gauges.announce(world.doors)
    return world


async def read(world: World, since: datetime = START) -> None:
    await gauges.read(world.doors, since, world.clock.now())


def test_rules_are_counted_by_mode_and_a_mode_without_any_is_zero() -> None:
    world = loaded()
    assert shown(world, "rules_loaded") == {
        'mode="observe"': 0,
        'mode="approve"': 0,
        'mode="act"': 2,
    }
    world.doors.rules = rules(RESTART.replace("limits:", "mode: approve, limits:"))
    gauges.announce(world.doors)
    assert shown(world, "rules_loaded") == {
        'mode="observe"': 0,
        'mode="approve"': 1,
        'mode="act"': 0,
    }


def test_a_rule_that_did_nothing_yet_has_every_series_at_zero() -> None:
    """Otherwise `increase` would not see the first time."""
    world = loaded(RESTART)
    ended = shown(world, "remediations_total")
    assert (len(ended), set(ended.values())) == (len(set(State) - LIVE), {0.0})
    made = shown(world, "attempts_total")
    assert (len(made), set(made.values())) == (len(Outcome), {0.0})


@pytest.mark.parametrize(("watchdog", "late"), [("", False), ("Watchdog", True)])
def test_a_watchdog_that_nobody_expects_is_never_late(watchdog: str, late: bool) -> None:
    world = World()
    world.boot(START)
    world.doors.watchdog = watchdog
    gauges.announce(world.doors)
    seen = shown(world, "watchdog_last_seen_timestamp_seconds")
    assert (math.inf not in seen.values()) is late


async def test_a_quiet_daemon_shows_zeros(world: World) -> None:
    await read(world)
    for name in ("remediations_in_progress", "episodes_open", "paused", "limit_usage_ratio"):
        assert set(shown(world, name).values()) == {0.0}, name
    assert (
        shown(world, "oldest_due_seconds") == shown(world, "outbox_oldest_age_seconds") == {"": 0}
    )
    assert shown(world, "journal_bytes")[""] >= 0


async def test_what_is_in_progress_is_counted_until_it_ends(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.deliver("Unknown", "api")
    await world.run(MINUTE)
    await read(world)
    assert shown(world, "remediations_in_progress")['state="verifying"'] == 1
    assert shown(world, "episodes_open") == {
        'fate="pending"': 0,
        'fate="unmatched"': 1,
        'fate="attached"': 1,
    }
    assert shown(world, "limit_usage_ratio")['scope="target"'] == 1 / 8
    await world.journal.cancel((await world.only())["id"], "ann", world.clock.now())
    await world.run(MINUTE)
    await read(world)
    assert sum(shown(world, "remediations_in_progress").values()) == 0


async def test_work_is_late_by_as_long_as_nobody_did_it_and_never_less_than_zero(
    world: World,
) -> None:
    await world.deliver("Leak")
    world.clock.time += 90 * SECOND
    await read(world)
    assert shown(world, "oldest_due_seconds")[""] == pytest.approx(90, abs=15)
    world.clock.time = START - HOUR  # a clock that jumps back
    await read(world)
    assert shown(world, "oldest_due_seconds")[""] == 0


async def test_a_pause_is_shown_by_its_kind_of_scope_while_it_lasts(world: World) -> None:
    for scope in ("all", "cluster:default", "namespace:shop", "rule:restart"):
        await world.journal.pause(scope, "a move", "ann", START + HOUR, now=START)
        await read(world)
        kind = scope.split(":")[0]
        paused = {series for series, value in shown(world, "paused").items() if value}
        assert paused == {f'scope="{kind}"'}
        await world.journal.resume(scope, "ann", START)
    await read(world)
    assert set(shown(world, "paused").values()) == {0.0}


async def test_a_pause_whose_time_is_over_is_not_shown(world: World) -> None:
    await world.journal.pause("all", "a move", "ann", START + HOUR, now=START)
    world.clock.time = START + 2 * HOUR
    await read(world)
    assert shown(world, "paused")['scope="all"'] == 0


async def test_every_verification_that_ended_is_counted_by_its_result(world: World) -> None:
    world.crash()
    await world.deliver("Crash")
    while not world.cluster.calls:
        await world.run(SECOND)
    await world.run(5 * SECOND)
    await world.deliver("Down", severity="critical")
    await world.run(MINUTE, 5 * SECOND)
    assert [state for state, _ in await world.states()] == ["failed", "succeeded"]
    assert sum(shown(world, "verifications_total").values()) == 1


class Mute(SandboxCluster):
    """A cluster that lets nobody create Events."""

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        raise Forbidden("create events")


@pytest.mark.parametrize("mute", [False, True], ids=["allowed", "forbidden"])
async def test_an_act_is_told_by_an_event_and_goes_on_where_events_are_forbidden(
    mute: bool,
) -> None:
    world = World()
    if mute:
        world.cluster = Mute(world.clock.now)
        world.cluster.create_workload("Deployment", "shop", "web", "web:1")
    await world.start()
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert await world.states() == [("verifying", None)]
    told = [(target, reason) for target, reason, _ in world.cluster.events]
    assert told == ([] if mute else [("Deployment/shop/web", "RemediationApplied")])
    await world.journal.close()


def grouped(*names: str) -> str:
    """A rule file with a group for each of these namespaces; its rule restarts what leaks."""
    groups = "".join(
        f"  - {{name: {name}, scope: {{namespaces: [{name}]}}, defaults: {{mode: act, expire: 2m,"
        f" escalate: {{to: [log], after: 2h}}}}, rules: [{{name: in-{name}, match:"
        " ['alertname=\"Leak\"'], steps: [{action: restart_workload, if: always}]}]}\n"
        for name in names
    )
    return f"version: 1\ngroups:\n{groups}"


async def stormy(*namespaces: str) -> World:
    """Two leaking workloads in each of these namespaces, long enough that what was held expired;
    then all is well again, and the storms are over.
    """
    world = await World(build([load_text(grouped(*namespaces), "rules.yaml")])).start()
    world.doors.limits = ProcessLimits(storm=StormLimit(roots=2, calm=2 * MINUTE))
    apps = list(product(namespaces, ("one", "two")))
    for namespace, app in apps:
        world.cluster.create_workload("Deployment", namespace, app, "app:1", replicas=1)
    for firing in (True, False):
        for namespace, app in apps:
            name = f"{namespace}-{app}"
            await world.deliver("Leak", app, firing, name, namespace=namespace)
        await world.run(4 * MINUTE, 30 * SECOND)
    return world


@pytest.mark.parametrize("namespaces", [("red",), ("red", "blue")], ids=["one", "two"])
async def test_a_storm_that_is_over_says_what_it_kept_from_acting(
    namespaces: tuple[str, ...],
) -> None:
    world = await stormy(*namespaces)
    over = [told["why"] for told in world.told.closed if told["state"] == "storm"]
    held = sum(state == ("expired", "storm") for state in await world.states())
    await world.journal.close()
    assert held == 2 * len(namespaces)
    assert len(over) == len(namespaces)
    assert all("all resolved; 2 remediations expired without acting" in why for why in over)


async def test_a_storm_of_a_group_that_is_not_loaded_any_more_ends(world: World) -> None:
    said = about("storm-default/gone", "", "storm", "storm", why="many")
    await world.journal.storm(
        "default/gone", "many", START + MINUTE, to_all(["log"], said), now=START
    )
    await incidents.watch(world.doors, START + MINUTE - SECOND)
    assert len(await world.journal.storms()) == 1
    await incidents.watch(world.doors, START + MINUTE)
    assert await world.journal.storms() == ()


async def test_storms_of_groups_whose_long_names_begin_alike_are_told_each_to_its_own(
    world: World,
) -> None:
    for late, colour in enumerate(("red", "blue")):
        group, at = f"default/production-workloads-of-team-{colour}", START + late * SECOND
        said = about(f"storm-{group}", "", "storm", "storm", why="many", target=group)
        await world.journal.storm(group, "many", START + HOUR, to_all([colour], said), now=at)
    assert {storm.told for storm in await world.journal.storms()} == {("red",), ("blue",)}


class Refusing(Told):
    """A receiver that accepts nothing, and remembers when it was asked."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.asked = world, list[datetime]()

    async def notify(self, message: Notice, ref: str = "") -> str:
        self.asked.append(self.world.clock.now())
        raise OSError("refused")


def pauses(times: list[datetime]) -> Iterator[timedelta]:
    for before, after in pairwise(times):
        yield after - before


async def test_a_message_is_tried_twelve_times_ever_more_rarely_and_then_given_up(
    world: World,
) -> None:
    receiver = Refusing(world)
    said = about("storm-x", "", "storm", "storm", why="many")
    await world.journal.storm("x", "many", START + HOUR, to_all(["log"], said), now=START)
    while (due := await world.journal.oldest_message()) is not None and len(receiver.asked) < 20:
        await deliver(world.doors, {"log": receiver}, "log", world.clock.now())
        world.clock.time += 5 * SECOND
        assert due == START
    waited = list(pauses(receiver.asked))
    assert len(receiver.asked) == 12
    assert waited == sorted(waited)
    assert (waited[0], waited[-1]) == (5 * SECOND, 10 * MINUTE)
    outcomes = shown(world, "notifications_total")
    assert outcomes['channel="log",outcome="given_up"'] == 1
    assert outcomes['channel="log",outcome="retrying"'] == 11


async def test_a_message_to_a_receiver_that_is_not_configured_any_more_waits_for_nobody(
    world: World,
) -> None:
    said = about("storm-x", "", "storm", "storm", why="many")
    await world.journal.storm("x", "many", START + HOUR, to_all(["old", "log"], said), now=START)
    await undeliverable(world.doors, {"log": world.told}, START)
    await deliver(world.doors, {"log": world.told}, "log", START)
    assert [told["remediation"] for told in world.told.messages] == ["storm-x"]
    assert await world.journal.oldest_message() is None


async def test_a_breaker_that_opens_names_the_command_and_closes_for_those_who_were_told(
    world: World,
) -> None:
    await incidents.switch(world.doors, "restart", START, START)
    await world.run(2 * SECOND)
    (opened,) = world.told.messages
    assert "the rule now needs approval" in opened["why"]
    assert (opened["state"], opened["rule"]) == ("breaker_open", "restart")
    (closed,) = world.told.closed  # nothing went wrong: it closes at the next look
    assert (closed["state"], closed["remediation"]) == ("breaker_open", opened["remediation"])


SCALE = (
    "name: more, match: ['alertname=\"Slow\"'], steps: [{action: scale_workload, if: always, with:"
    " {by: 2}, restore: {after: 20m}}]"
)


async def test_what_is_owed_is_given_back_when_it_was_quiet_for_exactly_as_long_as_it_must() -> (
    None
):
    world = await World(rules(SCALE)).start()
    await world.deliver("Slow")
    await world.run(MINUTE, 5 * SECOND)
    await world.deliver("Slow", firing=False)
    while await world.states() != [("succeeded", None)]:
        await world.run(10 * SECOND)
    ended = (await world.only())["ended_at"]
    due = datetime.fromisoformat(str(ended)) + 20 * MINUTE
    for at, expected in ((due - SECOND, 1), (due, 2)):
        await restore.run(world.doors, at)
        assert len(await world.rows()) == expected
    await restore.run(world.doors, due + MINUTE)
    assert len(await world.rows()) == 2
    await world.journal.close()


async def test_what_ended_is_looked_at_less_often_the_longer_ago_it_was(world: World) -> None:
    """Between one and five minutes: a tenth of the time since its end."""
    await world.deliver("Crash")  # of what is well: there is nothing to roll back
    await world.run(MINUTE)
    await world.journal.cancel((await world.only())["id"], "ann", world.clock.now())
    await world.run(SECOND)
    row = await world.only()
    ended = datetime.fromisoformat(str(row["ended_at"]))
    looked = [ended]
    for moment in range(1, 60 * 3):
        at = ended + moment * 20 * SECOND
        if await world.journal.revivals(at, 20):
            await revive.run(world.doors, at)
            looked.append(at)
    waited = list(pauses(looked))[1:]
    assert (waited[0], waited[-1]) == (MINUTE, 5 * MINUTE)
    assert waited == sorted(waited)
