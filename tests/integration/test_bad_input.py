"""What bad luck and bad labels come to.

One history for pods under new names, re-sends, injections, changed plans.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remediator.errors import Unreachable
from remediator.model.facts import Unknown
from tests.integration.world import RESTART, ROLL_BACK, World, rules

MINUTE = timedelta(minutes=1)
STEP = timedelta(seconds=5)


async def pod_leaks(world: World, number: int) -> str:
    """An alert that names one of the pods, and no workload; the pod's name."""
    pod = str(world.cluster.pods("shop", "web")[0]["metadata"]["name"])
    await world.deliver("Leak", deployment="", pod=pod, fingerprint=f"f{number}")
    return pod


async def test_a_pod_that_comes_back_under_new_names_has_one_history(world: World) -> None:
    for number in range(3):
        world.leak()
        pod = await pod_leaks(world, number)
        await world.run(MINUTE)
        await world.deliver("Leak", firing=False, deployment="", pod=pod, fingerprint=f"f{number}")
        await world.run(30 * MINUTE, STEP)
    assert await world.states() == [
        ("succeeded", None),
        ("succeeded", None),
        ("blocked", "gave_up"),
    ]
    assert len(world.cluster.calls) == 2


async def test_the_cooldown_is_the_workload_s_whichever_pod_an_alert_names(world: World) -> None:
    for number in range(2):
        world.leak()
        pod = await pod_leaks(world, number)
        await world.run(MINUTE)
        if number == 0:
            await world.deliver("Leak", firing=False, deployment="", pod=pod, fingerprint="f0")
            await world.run(6 * MINUTE, STEP)
    assert await world.states() == [("succeeded", None), ("held", "cooldown")]
    assert len(world.cluster.calls) == 1


async def test_a_re_send_of_everything_after_a_reload_changes_nothing(world: World) -> None:
    for app in ("web", "api"):
        world.leak(app)
        await world.deliver("Leak", app)
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 2
    for _ in range(3):
        for app in ("web", "api"):
            await world.deliver("Leak", app)
        await world.run(MINUTE)
    assert [state for state, _ in await world.states()] == ["verifying", "verifying"]
    assert len(world.cluster.calls) == 2


async def test_a_repeat_while_the_first_is_still_running_joins_it(world: World) -> None:
    world.leak()
    world.cluster.failures.append(Unreachable("no answer"))
    await world.deliver("Leak")
    await world.run(timedelta(seconds=12))
    assert (await world.only())["state"] == "executing"
    await world.deliver("Leak")
    await world.deliver("Leak", fingerprint="another-pod")
    await world.run(MINUTE)
    row = await world.only()
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert len(shown["episodes"]) == 2
    assert len(world.cluster.calls) == 1


async def test_two_rules_for_one_target_act_one_after_the_other() -> None:
    always = "match: ['alertname=\"{0}\"'], steps: [{{action: restart_workload, if: always}}]"
    world = await World(
        rules(f"name: one, {always.format('Leak')}", f"name: two, {always.format('Slow')}")
    ).start()
    await world.deliver("Leak")
    await world.deliver("Slow")
    await world.run(MINUTE)
    assert sorted(await world.states()) == [("held", "target_busy"), ("verifying", None)]
    assert len(world.cluster.calls) == 1
    await world.journal.close()


@pytest.mark.parametrize(
    ("labels", "fate_reason"),
    [
        ({"deployment": "web; rm -rf /"}, "invalid_target"),
        ({"deployment": "$(reboot)"}, "invalid_target"),
        ({"deployment": "{{ labels.x }}"}, "invalid_target"),
        ({"deployment": "../../nodes/n1"}, "invalid_target"),
        ({"namespace": ""}, "no_target"),
        ({"namespace": "shop/../kube-system"}, "invalid_target"),
        ({"namespace": "kube-system"}, "out_of_scope"),
        ({"deployment": ""}, "no_target"),
    ],
)
async def test_labels_pick_no_target_that_they_should_not(
    world: World, labels: dict[str, str], fate_reason: str
) -> None:
    await world.deliver("Leak", **{"fingerprint": "f", **labels})  # type: ignore[arg-type]
    await world.run(MINUTE)
    (episode,) = await world.journal.episodes(10, "f")
    assert (episode["fate"], episode["reason"]) == ("unmatched", fate_reason)
    assert await world.rows() == []
    assert world.cluster.calls == []


async def test_a_label_cannot_change_a_precondition() -> None:
    query = 'up{app="{{ labels.team }}"}'
    world = await World(rules(RESTART.replace("limits:", f"when: ['{query}'], limits:"))).start()
    world.leak()
    world.prometheus.true.add('up{app="x"} or vector(1) #"}')
    await world.deliver("Leak", fingerprint="f", team='x"} or vector(1) #')
    await world.run(MINUTE)
    row = await world.only()
    assert (row["state"], row["reason"]) == ("held", "precondition")
    assert world.cluster.calls == []
    await world.journal.close()


async def test_a_prometheus_that_is_down_holds() -> None:
    world = await World(rules(RESTART.replace("limits:", "when: ['up'], limits:"))).start()

    async def down(query: str) -> Unknown:
        return Unknown("Prometheus did not answer")

    world.prometheus.holds = down  # type: ignore[method-assign]
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert await world.states() == [("held", "unknown_fact")]
    await world.journal.close()


async def test_a_plan_that_changed_after_its_approval_needs_another_one() -> None:
    more = (
        "name: more, match: ['alertname=\"Slow\"'], mode: approve, steps: [{action: scale_workload,"
        " if: always, with: {by: 2}}]"
    )
    world = await World(rules(more)).start()
    await world.deliver("Slow")
    await world.run(MINUTE)
    row = await world.only()
    assert await world.journal.decide(row["id"], "", "me", True, now=world.clock.now()) is None
    world.cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] = 4  # a person scales it
    await world.run(MINUTE)
    again = await world.only()
    assert (again["state"], again["approved_by"], world.cluster.calls) == (
        "awaiting_approval",
        "",
        [],
    )
    assert len(world.told.messages) == 2
    await world.journal.close()


async def test_a_change_between_the_last_look_and_the_write_is_not_overwritten(
    world: World,
) -> None:
    world.leak()
    await world.deliver("Leak")
    real = world.journal.begin

    async def begin(*arguments: object) -> object:
        answer = await real(*arguments)  # type: ignore[arg-type]
        world.cluster.set_image("Deployment", "shop", "web", "web:9")
        return answer

    world.journal.begin = begin  # type: ignore[method-assign, assignment]
    await world.run(timedelta(seconds=30))
    world.journal.begin = real  # type: ignore[method-assign]
    assert world.cluster.calls == []
    row = await world.only()
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert shown["attempts"][0]["outcome"] == "cancelled"
    assert "changed since it was planned" in str(shown["history"])


MEANWHILE: list[tuple[str, Callable[[World], Any], list[tuple[str, str | None]]]] = [
    (
        "a pause",
        lambda w: w.journal.pause("all", "stop", "me", None, now=w.clock.now()),
        [("held", "paused")],
    ),
    (
        "an opt-out",
        lambda w: w.cluster.annotate(
            "Deployment", "shop", "web", "remediator.io/deny", value="restart_workload"
        ),
        [("blocked", "opted_out")],
    ),
    (
        "the rule withdrawn",
        lambda w: w.engine.reload(rules(ROLL_BACK)),
        [("superseded", "rule_changed")],
    ),
    (
        "the rule made to observe",
        lambda w: w.engine.reload(rules(RESTART.replace("limits:", "mode: observe, limits:"))),
        [("superseded", "rule_changed"), ("observed", "observe_mode")],
    ),
    (
        "the rule made to ask",
        lambda w: w.engine.reload(rules(RESTART.replace("limits:", "mode: approve, limits:"))),
        [("superseded", "rule_changed"), ("awaiting_approval", "approval_required")],
    ),
    (
        "the scope narrowed",
        lambda w: w.engine.reload(rules(RESTART, scope="db")),
        [("superseded", "rule_changed")],
    ),
]


@pytest.mark.parametrize(
    ("name", "happens", "expected"), MEANWHILE, ids=[case[0] for case in MEANWHILE]
)
async def test_what_comes_between_the_last_look_and_the_write_still_holds(
    world: World, name: str, happens: Callable[[World], Any], expected: list[tuple[str, str | None]]
) -> None:
    world.leak()
    await world.deliver("Leak")
    real = world.journal.begin

    async def begin(*arguments: object) -> object:
        answer = await real(*arguments)  # type: ignore[arg-type]
        came = happens(world)
        if came is not None:
            await came
        return answer

    world.journal.begin = begin  # type: ignore[method-assign, assignment]
    await world.run(MINUTE)
    assert world.cluster.calls == []
    assert await world.states() == expected


async def test_withdrawing_the_rule_while_it_verifies_lets_it_end_and_climbs_no_further() -> None:
    ladder = (
        "name: both, match: ['alertname=\"Leak\"'], steps: [{action: restart_workload}, {name:"
        " more, action: restart_workload, if: always}]"
    )
    world = await World(rules(ladder)).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    await world.engine.reload(rules(ROLL_BACK))
    await world.run(40 * MINUTE, STEP)
    assert await world.states() == [("ineffective", "deadline")]
    assert len(world.cluster.calls) == 1
    await world.journal.close()


async def test_the_ladder_climbs_when_a_step_did_not_help() -> None:
    ladder = (
        "name: both, match: ['alertname=\"Leak\"'], steps: [{action: restart_workload}, {name:"
        " more, action: restart_workload, if: always}]"
    )
    world = await World(rules(ladder)).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(45 * MINUTE, STEP)
    assert len(world.cluster.calls) == 2
    await world.deliver("Leak", firing=False)
    await world.run(6 * MINUTE, STEP)
    assert await world.states() == [("succeeded", None)]
    await world.journal.close()


async def test_a_service_s_alert_reaches_the_workload_behind_it(world: World) -> None:
    world.cluster.create_service("shop", "front", {"app": "web"})
    world.leak()
    await world.deliver("Leak", deployment="", service="front", fingerprint="f")
    await world.run(MINUTE)
    row = await world.only()
    assert (row["kind"], row["name"], len(world.cluster.calls)) == ("Deployment", "web", 1)


async def test_a_service_in_front_of_nothing_is_ambiguous(world: World) -> None:
    world.cluster.create_service("shop", "front", {"app": "nobody"})
    await world.deliver("Leak", deployment="", service="front", fingerprint="f")
    await world.run(MINUTE)
    assert await world.states() == [("blocked", "ambiguous_target")]


async def test_in_flight_holds_many_targets() -> None:
    world = await World().start()
    for number in range(4):
        world.cluster.create_workload("Deployment", "shop", f"app{number}", f"app{number}:1")
        world.leak(f"app{number}")
        await world.deliver("Leak", f"app{number}")
    await world.run(2 * MINUTE)
    assert len(world.cluster.calls) == 2
    assert {reason for state, reason in await world.states() if state == "held"} == {
        "too_many_in_flight"
    }
    for number in range(4):
        await world.deliver("Leak", f"app{number}", firing=False)
    await world.run(30 * MINUTE, STEP)
    assert len(world.cluster.calls) == 2  # what had not begun was cancelled when its alert resolved
    await world.journal.close()


async def test_an_alert_that_comes_back_with_its_old_start_is_new_trouble_where_it_is_listed(
    world: World,
) -> None:
    """Prometheus had lost its Alertmanager for a while.

    The alert timed out there, and fires again with the same startsAt.
    """
    began = world.clock.now()
    await world.deliver("Other")
    await world.run(MINUTE)
    await world.deliver("Other", firing=False, since=began)
    await world.run(MINUTE)
    await world.engine.reload(rules(RESTART.replace("Leak", "Other")))
    world.leak()
    world.alertmanager.unreachable = True
    await world.deliver("Other", since=began)
    await world.run(MINUTE)
    newest = (await world.journal.episodes(10, "Other-web"))[0]
    assert (newest["fate"], newest["reason"], await world.states()) == (
        "pending",
        "unknown_fact",
        [],
    )
    world.alertmanager.unreachable = False
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1


async def test_starts_at_that_moves_earlier_is_the_same_episode(world: World) -> None:
    await world.deliver("Other")
    await world.run(MINUTE)
    await world.deliver("Other", since=world.clock.now() - 30 * MINUTE)
    (episode,) = await world.journal.episodes(10, "Other-web")
    assert (episode["deliveries"], episode["starts_at"]) == (
        2,
        (world.clock.now() - 30 * MINUTE).isoformat(),
    )


async def test_a_later_start_while_it_is_open_is_a_new_episode(world: World) -> None:
    await world.deliver("Other")
    await world.run(10 * MINUTE)
    await world.deliver("Other")
    newest, oldest = await world.journal.episodes(10, "Other-web")
    assert (bool(newest["open"]), bool(oldest["open"]), oldest["fate"]) == (
        True,
        False,
        "unmatched",
    )


async def test_a_target_that_does_not_exist_is_said_so_and_looked_for_again(world: World) -> None:
    await world.deliver("Leak", "later")
    await world.run(MINUTE)
    assert await world.states() == [("held", "target_gone")]
    world.cluster.create_workload("Deployment", "shop", "later", "later:1")
    world.leak("later")
    await world.run(MINUTE)
    assert len(world.cluster.calls) == 1


async def test_the_next_one_has_its_turn_as_soon_as_one_ends() -> None:
    world = await World().start()
    for number in range(3):
        world.cluster.create_workload("Deployment", "shop", f"app{number}", f"app{number}:1")
        world.leak(f"app{number}")
        await world.deliver("Leak", f"app{number}")
        await world.run(timedelta(seconds=1))
    await world.run(2 * MINUTE)
    waits = (await world.rows())[2]
    assert (waits["state"], waits["reason"]) == ("held", "too_many_in_flight")
    await world.deliver("Leak", "app0", firing=False)
    while (await world.rows())[0]["state"] != "succeeded":
        await world.run(timedelta(seconds=1))
    await world.run(timedelta(seconds=2))
    assert (await world.rows())[2]["state"] == "verifying"
    await world.journal.close()
