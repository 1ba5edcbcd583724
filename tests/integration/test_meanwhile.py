"""What people and time do while a remediation runs.

Targets that vanish, decisions that cross, clocks and rules that change.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from remediator.alertmanager.payload import alerts_of, decode
from remediator.engine import worker
from remediator.engine.after import undo
from remediator.engine.arrive import triage
from remediator.engine.tell import gauges
from remediator.errors import Unreachable
from remediator.guards.situation import ProcessLimits
from remediator.journal.tables import seal, target_lock
from remediator.located import load_text
from remediator.model.alert import Alert, AlertStatus
from remediator.model.facts import Unknown
from remediator.model.limit import StormLimit
from remediator.model.seal import head_number
from remediator.model.usage import Rate
from remediator.ports.records import Delivery
from remediator.rules.loader import build
from remediator.rules.ruleset import RuleSet
from tests.integration.world import RESTART, START, World, rules

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STEP = timedelta(seconds=15)
ASK = RESTART.replace("limits:", "mode: approve, limits:")
SCALE = (
    "name: more, match: ['alertname=\"Slow\"'], limits: {cooldown: 0s}, steps: [{action:"
    " scale_workload, if: always, with: {by: 2}}]"
)
ISOLATE = (
    "name: isolate, match: ['alertname=\"Suspect\"'], target: object, steps: [{action:"
    " quarantine_pod, if: always}]"
)


async def verifying(world: World, alert: str) -> Any:
    """Something was done to web, and its alert fires on."""
    pod = (
        {"deployment": "", "pod": world.cluster.pods("shop", "web")[0]["metadata"]["name"]}
        if alert == "Suspect"
        else {}
    )
    if alert == "Leak":
        world.leak()
    await world.deliver(alert, **pod)
    await world.run(10 * timedelta(seconds=1))
    (row,) = await world.rows()
    assert (row["state"], len(world.cluster.calls) > 0) == ("verifying", True)
    return row


def vanish(world: World, recreated: bool) -> None:
    for kind, namespace, name in list(world.cluster.objects):
        if namespace == "shop" and name.startswith("web"):
            world.cluster.remove(kind, namespace, name)
    if recreated:
        world.cluster.create_workload("Deployment", "shop", "web", "web:1")


@pytest.mark.parametrize("recreated", [False, True], ids=["deleted", "replaced"])
@pytest.mark.parametrize(
    ("rule", "alert"), [(RESTART, "Leak"), (SCALE, "Slow"), (ISOLATE, "Suspect")]
)
async def test_a_target_that_vanishes_while_it_is_verified_ends_it_at_once_by_name(
    rule: str, alert: str, recreated: bool
) -> None:
    world = await World(rules(rule)).start()
    await verifying(world, alert)
    vanish(world, recreated)
    calls = len(world.cluster.calls)
    await world.run(MINUTE)
    first = (await world.rows())[0]
    assert (first["state"], first["reason"]) == ("failed", "target_gone")
    assert len(world.cluster.calls) == calls  # nothing is undone on what is another's
    with world.journal._engine.connect() as c:
        assert c.execute(sa.select(target_lock)).all() == []
    await world.journal.close()


async def test_a_timed_undo_of_what_is_gone_says_so() -> None:
    world = await World(rules(SCALE)).start()
    await verifying(world, "Slow")
    await world.deliver("Slow", firing=False)
    await world.run(10 * MINUTE, STEP)
    vanish(world, False)
    await world.run(80 * MINUTE, MINUTE)
    parent, child = await world.rows()
    assert (parent["state"], child["state"], child["reason"]) == (
        "succeeded",
        "blocked",
        "target_gone",
    )
    await world.journal.close()


async def test_the_second_to_decide_learns_that_it_is_decided() -> None:
    world = await World(rules(ASK)).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    row, now, journal = await world.only(), world.clock.now(), world.journal
    assert await journal.decide(row["id"], "", "ann", False, now=now, why="not now") is None
    refused = await journal.decide(row["id"], "", "bob", True, now=now)
    assert refused == f"ann denied it already; {row['id']} ends at its next look"
    assert await journal.cancel(row["id"], "bob", now) == refused
    await world.run(MINUTE)
    assert await world.states() == [("cancelled", "operator")]
    record = (await journal.record(["restart"]))["restart"]
    assert (record["approved"], record["denied"], world.cluster.calls) == (0, 1, [])
    await journal.close()


async def test_two_persons_who_approve_one_plan_agreed_once() -> None:
    world = await World(
        rules(ASK.replace("steps:", "approval: {two_person: true}, steps:"))
    ).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    row, now = await world.only(), world.clock.now()
    assert await world.journal.decide(row["id"], "", "ann", True, now=now) is None
    # by another login
    assert "a second operator must approve too" in str(
        await world.journal.decide(row["id"], "", "Ann", True, now=now)
    )
    assert await world.journal.decide(row["id"], "", "bob", True, now=now) is None
    assert (await world.journal.record(["restart"]))["restart"]["approved"] == 1
    await world.journal.close()


async def test_an_approval_that_comes_during_a_look_is_not_lost() -> None:
    world = await World(rules(ASK)).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    row = await world.only()
    observe = world.cluster.observe

    async def slow(*arguments: Any) -> Any:
        facts = await observe(*arguments)
        await world.journal.decide(row["id"], "", "me", True, now=world.clock.now())
        return facts

    world.cluster.observe = slow  # type: ignore[assignment, method-assign]
    await world.run(31 * timedelta(seconds=1))
    world.cluster.observe = observe  # type: ignore[method-assign]
    await world.run(5 * timedelta(seconds=1))
    assert ((await world.only())["state"], len(world.cluster.calls)) == ("verifying", 1)
    await world.journal.close()


async def test_people_are_asked_again_when_the_plan_that_waits_becomes_another() -> None:
    world = await World(rules(SCALE.replace("limits:", "mode: approve, limits:"))).start()
    await world.deliver("Slow")
    await world.run(MINUTE)
    world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] = 4  # a person scales it
    await world.run(MINUTE)
    first, second = world.told.messages
    assert first["digest"] != second["digest"]
    shown = await world.journal.show((await world.only())["id"])
    assert shown is not None
    assert (second["digest"], second["approve"]) == (
        shown["look"]["digest"],
        f"remediator approve {shown['id']} --digest {second['digest']}",
    )
    await world.journal.close()


async def test_who_asked_for_an_undo_a_retry_or_an_end_is_in_the_history_with_their_reason() -> (
    None
):
    world = await World(rules(SCALE)).start()
    row = await verifying(world, "Slow")
    assert await world.journal.cancel(row["id"], "ann", world.clock.now(), "wrong hour") is None
    await world.run(MINUTE)
    assert await world.journal.retry(row["id"], "bob", world.clock.now(), "right hour") is None
    assert await undo.ask(world.doors, row["id"], "cid", world.clock.now(), why="too many") is None
    history = [entry["text"] for entry in (await world.journal.show(row["id"]) or {})["history"]]
    born = next(r for r in await world.rows() if r["undo_of"])
    history += [entry["text"] for entry in (await world.journal.show(born["id"]) or {})["history"]]
    for said in (
        "ann cancelled it: wrong hour",
        "retry requested by bob: right hour",
        "requested by cid: too many",
    ):
        assert said in str(history)
    await world.journal.close()


async def test_a_rule_with_a_target_of_its_own_in_another_namespace_acts_by_its_override() -> None:
    rule = (
        "name: cache, match: ['alertname=\"Leak\"'], target: {kind: Deployment, namespace: infra,"
        " name: cache}, steps: [{action: restart_workload, if: always}]"
    )
    world = World(with_override(rule))
    world.cluster.create_workload("Deployment", "infra", "cache", "cache:1")
    await world.start()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert await world.states() == [("awaiting_approval", "approval_required")]
    await world.journal.close()


def with_override(rule: str) -> RuleSet:
    """The rule as it acts, but in infra people are asked."""
    return build(
        [
            load_text(
                "version: 1\ngroups:\n  - name: g\n    scope: {namespaces: [infra], alerts:"
                " [shop]}\n    defaults: {mode: act, escalate: {to: [log]}}\n    rules:\n    "
                f"  - {{{rule}}}\noverrides:\n  - {{rules: [cache], namespaces: [infra], mode:"
                " approve}\n",
                "rules.yaml",
            )
        ]
    )


async def test_rules_that_changed_while_nobody_ran_are_asked_of_what_fired_before() -> None:
    world = await World(rules(SCALE)).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert await world.rows() == []
    world.ruleset = rules(RESTART)
    world.boot(world.clock.now() - HOUR)
    # as the daemon does when it starts
    await world.journal.reloaded(world.ruleset.digest, world.clock.now())
    await world.run(MINUTE)
    assert (await world.states(), len(world.cluster.calls)) == ([("verifying", None)], 1)
    await world.journal.close()


async def test_a_reload_while_an_alert_is_triaged_by_the_old_rules_is_not_missed() -> None:
    world = await World(rules(SCALE)).start()
    world.leak()
    await world.deliver("Leak")
    real = world.journal.triaged

    async def late(*arguments: Any) -> None:
        world.journal.triaged = real  # type: ignore[method-assign]
        await world.engine.reload(rules(RESTART))
        await real(*arguments)

    world.journal.triaged = late  # type: ignore[assignment, method-assign]
    await world.run(MINUTE)
    assert (await world.states(), len(world.cluster.calls)) == ([("verifying", None)], 1)
    await world.journal.close()


async def test_a_clock_that_jumps_back_stops_nothing_and_doubles_nothing() -> None:
    world = await World(rules(SCALE, RESTART)).start()
    await verifying(world, "Slow")
    world.doors.crowd.note(1000, world.clock.now())
    world.clock.time -= 30 * MINUTE
    world.leak("api")
    await world.deliver("Leak", "api")
    await world.run(3 * MINUTE)
    states = {row["rule"]: row["state"] for row in await world.rows()}
    assert states == {"more": "verifying", "restart": "verifying"}
    assert len(world.cluster.calls) == 2
    await world.journal.close()


async def test_an_alert_from_before_all_calendars_keeps_no_other_from_being_read(
    world: World,
) -> None:
    body = (
        b'{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"Leak","namespace":"shop","deployment":"api"},'
        b'"startsAt":"0001-01-01T00:00:00+01:00","fingerprint":"old"}]}'
    )
    for _ in range(2):
        await world.journal.receive([Delivery("s", alerts_of(decode(body)), world.clock.now())])
    stored = Alert(
        "raw",
        AlertStatus.FIRING,
        {"alertname": "X"},
        {},
        START.min.replace(tzinfo=timezone(HOUR)),
        None,
    )
    # as an older version kept it
    await world.journal.receive([Delivery("s", (stored,), world.clock.now())])
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1
    assert {episode["fingerprint"] for episode in await world.journal.episodes(10, None)} == {
        "old",
        "raw",
        "Leak-web",
    }


@pytest.fixture
async def world() -> Any:
    made = await World().start()
    yield made
    await made.journal.close()


async def test_a_held_timed_undo_comes_again() -> None:
    world = await World(rules(SCALE)).start()
    await verifying(world, "Slow")
    await world.deliver("Slow", firing=False)
    await world.run(10 * MINUTE, STEP)
    await world.journal.pause("all", "freeze", "me", None, now=world.clock.now())
    await world.run(3 * HOUR, MINUTE)
    await world.journal.resume("all", "me", world.clock.now())
    await world.run(2 * HOUR, MINUTE)
    assert world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] == 3
    assert [row["state"] for row in await world.rows()][-1] == "succeeded"
    await world.journal.close()


async def test_a_count_that_a_person_set_again_is_left_alone() -> None:
    world = await World(rules(SCALE)).start()
    await verifying(world, "Slow")
    await world.deliver("Slow", firing=False)
    await world.run(10 * MINUTE, STEP)
    for count in (8, 5):
        counted = {"replicas": count}
        world.cluster.edit("Deployment", "shop", "web", lambda obj: obj["spec"].update(counted))
    await world.run(2 * HOUR, MINUTE)
    assert world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] == 5
    await world.journal.close()


async def test_a_ladder_that_scaled_twice_goes_back_to_where_it_began() -> None:
    twice = SCALE.replace(
        "steps: [{action: scale_workload, if: always, with: {by: 2}}]",
        "steps: [{name: a, action: scale_workload, if: always, with: {by: 2}, verify:"
        " {resolved_within: 2m}}, {name: b, action: scale_workload, if: always, with: {by: 2}}]",
    )
    world = await World(rules(twice)).start()
    await verifying(world, "Slow")
    await world.run(5 * MINUTE, STEP)
    assert world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] == 7
    await world.deliver("Slow", firing=False)
    await world.run(3 * HOUR, MINUTE)
    assert world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] == 3
    await world.journal.close()


async def test_escalation_waits_for_a_converged_attempt_within_its_time_and_not_longer() -> None:
    rule = RESTART.replace("steps:", "escalate: {to: [log], after: 5m}, steps:").replace(
        "{action: restart_workload}", "{action: restart_workload, verify: {resolved_within: 20m}}"
    )
    world = await World(rules(rule)).start()
    await verifying(world, "Leak")
    await world.run(15 * MINUTE, STEP)
    assert world.told.messages == []  # it converged, and is watched
    await world.run(10 * MINUTE, STEP)
    assert len(world.told.messages) > 0
    await world.journal.close()


async def test_concurrent_begins_exceed_no_rate(tmp_path: Any) -> None:
    world = World(
        rules(RESTART.replace("limits: {attempts: 2/6h}", "limits: {in_flight: 9}")),
        f"sqlite:///{tmp_path}/j.db",
    )
    for number in range(8):
        world.cluster.create_workload("Deployment", "shop", f"app{number}", "app:1")
    await world.start()
    world.doors.limits = ProcessLimits(
        everything=(Rate(3, HOUR),), namespace=(Rate(9, HOUR),), storm=StormLimit(roots=0)
    )
    for number in range(8):
        world.leak(f"app{number}")
        await world.deliver("Leak", f"app{number}")
    world.clock.time += MINUTE
    await triage.pending(world.doors, world.clock.now())
    world.clock.time += MINUTE
    await asyncio.gather(*(worker.run_one(world.doors, world.clock.now()) for _ in range(8)))
    assert len(world.cluster.calls) == 3
    assert len(await world.journal.charges(world.clock.now() - HOUR)) == 3
    await world.journal.close()


async def test_calls_that_follow_end_with_the_time_to_converge() -> None:
    """A StatefulSet's stuck pod is not deleted while a guard holds.

    The remediation does not wait for that for ever.
    """
    back = (
        "name: back, match: ['alertname=\"Crash\"'], steps: [{action: rollback_workload, verify:"
        " {converged_within: 10m}}]"
    )
    world = await World(rules(back)).start()
    world.cluster.create_workload("StatefulSet", "shop", "db", "db:1")
    world.clock.time += MINUTE
    world.cluster.pods("shop", "db")
    world.cluster.crashing.add("db:2")
    world.cluster.set_image("StatefulSet", "shop", "db", "db:2")
    world.clock.time += MINUTE
    await world.deliver("Crash", "", statefulset="db")
    apply = world.cluster.apply

    async def pausing(*arguments: Any, **named: Any) -> Any:
        made = await apply(*arguments, **named)
        await world.journal.pause("all", "stop", "me", None, now=world.clock.now())
        return made

    world.cluster.apply = pausing  # type: ignore[method-assign]
    await world.run(HOUR, STEP)
    row = await world.only()
    assert (len(world.cluster.calls), row["state"]) == (1, "failed")
    await world.journal.close()


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_call_in_doubt_that_nobody_can_look_at_ends(cancelled: bool) -> None:
    world = await World(rules(SCALE)).start()
    world.cluster.failures.append(Unreachable("no answer"))
    observe = world.cluster.observe

    async def blind(*arguments: Any) -> Any:
        seen = await observe(*arguments)
        return (
            replace(seen, object=Unknown("forbidden: cannot get deployments"))
            if not world.cluster.failures
            else seen
        )

    await world.deliver("Slow")
    world.cluster.observe = blind  # type: ignore[assignment, method-assign]
    await world.run(MINUTE)
    row = await world.only()
    assert (row["state"], row["reason"]) == ("executing", "unknown_fact")
    if cancelled:
        await world.journal.cancel(row["id"], "me", world.clock.now())
    await world.run(MINUTE if cancelled else 3 * HOUR, STEP)
    row = await world.only()
    assert (row["state"], row["reason"]) == ("unknown", "unknown_fact")
    assert "cannot confirm whether the call took effect: forbidden" in row["why"]
    await world.journal.close()


async def test_the_gauges_tell_the_oldest_message_and_the_head() -> None:
    world = await World(rules(RESTART.replace("steps:", "mode: approve, steps:"))).start()
    world.told.failing = 9
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    await gauges.read(world.doors, world.clock.now() - MINUTE, world.clock.now() + HOUR)
    await world.engine._seal()
    text = world.doors.metrics.render().decode()
    value = {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in text.splitlines()
        if line and line[0] != "#"
    }
    assert value["remediator_outbox_oldest_age_seconds"] > 60
    assert value["remediator_journal_sealed_entries"] > 0
    head = await world.journal._read(
        lambda c: c.execute(sa.select(seal.c.digest).order_by(seal.c.number.desc())).scalar()
    )
    assert value["remediator_journal_head"] == head_number(str(head))
    await world.journal.close()
