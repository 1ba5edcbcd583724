"""What becomes of alerts: the whole engine on virtual time, good ends and every named refusal."""

from datetime import timedelta
from typing import Any

import pytest

from remediator.errors import Conflict, Forbidden, Rejected, Unreachable
from tests.integration.world import RESTART, ROLL_BACK, World, rules

MINUTE = timedelta(minutes=1)


async def ended_well(world: World, name: str, app: str = "web") -> None:
    await world.deliver(name, app, firing=False)
    await world.run(6 * MINUTE)


async def test_a_crashing_release_is_rolled_back_and_verified(world: World) -> None:
    world.crash()
    await world.deliver("Crash")
    await world.run()
    assert (await world.only())["state"] == "verifying"
    await ended_well(world, "Crash")
    row = await world.only()
    assert row["state"] == "succeeded"
    assert len(world.cluster.calls) == 1
    assert {reason for _, reason, _ in world.cluster.events} == {"RemediationApplied", "Remediated"}


async def test_nothing_is_done_before_the_settle_time(world: World) -> None:
    world.crash()
    await world.deliver("Crash")
    await world.run(timedelta(seconds=9))
    assert world.cluster.calls == []
    await world.run(timedelta(seconds=3))
    assert len(world.cluster.calls) == 1


async def test_an_alert_that_resolves_before_the_act_cancels_it(world: World) -> None:
    world.crash()
    await world.deliver("Crash")
    await world.run(timedelta(seconds=3))
    await world.deliver("Crash", firing=False)
    await world.run()
    row = await world.only()
    assert (row["state"], row["reason"], world.cluster.calls) == ("cancelled", "resolved", [])


async def test_resolved_is_not_enough_where_the_alert_fires_on_it_is_ineffective(
    world: World,
) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(40 * MINUTE, timedelta(seconds=10))
    row = await world.only()
    assert row["state"] == "ineffective"
    assert world.told.messages[-1]["state"] == "ineffective"
    assert len(world.cluster.calls) == 1


async def test_three_crashing_pods_of_one_deployment_are_one_remediation(world: World) -> None:
    world.crash()
    await world.run(timedelta(seconds=5))
    for pod in world.cluster.pods("shop", "web")[:3]:
        name = pod["metadata"]["name"]
        await world.deliver("Crash", deployment="", pod=name, fingerprint=name[-12:])
    await world.run()
    states = sorted(row["state"] for row in await world.rows())
    assert states == ["superseded", "superseded", "verifying"]
    assert len(world.cluster.calls) == 1


@pytest.mark.parametrize(
    ("arrange", "state", "reason"),
    [
        (lambda w: w.alertmanager.silenced.add("Leak-web"), "held", "silenced"),
        (lambda w: setattr(w.alertmanager, "unreachable", True), "held", "unknown_fact"),
        (
            lambda w: w.cluster.annotate(
                "Deployment", "shop", "web", "remediator.io/disabled", value="true"
            ),
            "blocked",
            "opted_out",
        ),
        (
            lambda w: w.cluster.annotate(
                "Namespace", "", "shop", "remediator.io/deny", value="restart_workload"
            ),
            "blocked",
            "opted_out",
        ),
        (
            lambda w: w.cluster.annotate(
                "Deployment",
                "shop",
                "web",
                "remediator.io/paused-until",
                value="2027-01-01T00:00:00Z",
            ),
            "held",
            "opted_out",
        ),
        (lambda w: w.cluster.leaking.clear(), "held", "no_cause"),
        (
            lambda w: w.cluster.objects["Deployment", "shop", "web"]["spec"].update(paused=True),
            "held",
            "paused_rollout",
        ),
        (
            lambda w: w.cluster.objects["Deployment", "shop", "web"]["spec"].update(
                strategy={"type": "Recreate"}
            ),
            "blocked",
            "would_interrupt",
        ),
        (
            lambda w: w.cluster.failures.append(Forbidden("patch deployments")),
            "failed",
            "forbidden",
        ),
        (lambda w: w.cluster.failures.append(Rejected("a policy says no")), "failed", "rejected"),
        (lambda w: w.cluster.failures.extend([Conflict("moved")] * 3), "failed", "conflict"),
    ],
)
async def test_what_is_not_done_has_a_named_reason(
    world: World, arrange: object, state: str, reason: str
) -> None:
    world.leak()
    await world.deliver("Leak")
    arrange(world)  # type: ignore[operator]
    await world.run()
    row = await world.only()
    assert (row["state"], row["reason"], world.cluster.calls) == (state, reason, [])


async def test_a_pause_holds_and_a_resume_lets_go(world: World) -> None:
    world.leak()
    await world.journal.pause("namespace:shop", "maintenance", "me", None, now=world.clock.now())
    await world.deliver("Leak")
    await world.run()
    assert (await world.only())["reason"] == "paused"
    await world.journal.resume("namespace:shop", "me", world.clock.now())
    await world.run()
    assert len(world.cluster.calls) == 1


async def test_one_conflict_is_read_again_and_written_once(world: World) -> None:
    world.leak()
    world.cluster.failures.append(Conflict("moved"))
    await world.deliver("Leak")
    await world.run()
    assert (await world.only())["state"] == "verifying"
    assert len(world.cluster.calls) == 1


async def test_an_unclear_answer_is_looked_at_and_sent_again_only_where_nothing_moved(
    world: World,
) -> None:
    world.leak()
    world.cluster.failures.append(Unreachable("no answer"))
    await world.deliver("Leak")
    await world.run(timedelta(seconds=15))
    assert (await world.only())["state"] == "executing"
    await world.run()
    assert (await world.only())["state"] == "verifying"
    assert len(world.cluster.calls) == 1


async def test_a_person_who_changes_the_target_meanwhile_wins(world: World) -> None:
    world.leak()
    world.cluster.failures.append(Unreachable("no answer"))
    await world.deliver("Leak")
    await world.run(timedelta(seconds=15))
    world.cluster.set_image("Deployment", "shop", "web", "web:9")
    await world.run()
    row = await world.only()
    assert (row["state"], row["reason"], world.cluster.calls) == (
        "failed",
        "assumption_changed",
        [],
    )


async def test_a_person_who_changes_the_target_after_us_is_not_undone(world: World) -> None:
    world.crash()
    await world.deliver("Crash")
    await world.run()
    world.cluster.set_image("Deployment", "shop", "web", "web:3")
    await world.run()
    row = await world.only()
    assert (row["state"], row["reason"], len(world.cluster.calls)) == (
        "failed",
        "assumption_changed",
        1,
    )


async def test_attempts_are_limited_over_all_remediations_and_people_are_notified(
    world: World,
) -> None:
    for _ in range(2):
        world.leak()
        await world.deliver("Leak")
        await world.run()
        await ended_well(world, "Leak")
        await world.run(20 * MINUTE, timedelta(seconds=30))
    world.leak()
    await world.deliver("Leak")
    await world.run()
    rows = await world.rows()
    assert [(row["state"], row["reason"]) for row in rows] == [
        ("succeeded", None),
        ("succeeded", None),
        ("blocked", "gave_up"),
    ]
    assert world.told.messages[-1]["reason"] == "gave_up"
    assert len(world.cluster.calls) == 2


async def test_the_cooldown_holds(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run()
    await ended_well(world, "Leak")
    world.leak()
    await world.deliver("Leak")
    await world.run()
    assert [(row["state"], row["reason"]) for row in await world.rows()][-1] == ("held", "cooldown")


async def test_approval_is_requested_once_and_binds_the_plan() -> None:
    world = await World(rules(RESTART.replace("limits:", "mode: approve, limits:"))).start()
    world.leak()
    await world.deliver("Leak")
    await world.run(2 * MINUTE)
    row = await world.only()
    assert (row["state"], row["reason"], len(world.told.messages)) == (
        "awaiting_approval",
        "approval_required",
        1,
    )
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert (
        await world.journal.decide(
            row["id"], shown["look"]["digest"], "me", True, now=world.clock.now()
        )
        is None
    )
    await world.run()
    assert (await world.only())["approved_by"] == "me"
    assert len(world.cluster.calls) == 1
    await world.journal.close()


async def test_a_denied_plan_ends_and_an_undecided_one_expires() -> None:
    world = await World(rules(RESTART.replace("limits:", "mode: approve, limits:"))).start()
    for app in ("web", "api"):
        world.leak(app)
        await world.deliver("Leak", app)
    await world.run()
    first, second = await world.rows()
    assert await world.journal.decide(first["id"], "", "me", False, now=world.clock.now()) is None
    await world.run(65 * MINUTE, timedelta(seconds=20))
    rows = {row["id"]: (row["state"], row["reason"]) for row in await world.rows()}
    assert rows[first["id"]] == ("cancelled", "operator")
    assert rows[second["id"]][0] == "expired"
    assert world.cluster.calls == []
    await world.journal.close()


async def test_observe_mode_plans_shows_and_does_nothing() -> None:
    world = await World(rules(ROLL_BACK.replace("steps:", "mode: observe, steps:"))).start()
    world.crash()
    await world.deliver("Crash")
    await world.run()
    row = await world.only()
    shown = await world.journal.show(row["id"])
    assert shown is not None
    assert (row["state"], row["reason"], world.cluster.calls) == ("observed", "observe_mode", [])
    assert f"it would {shown['look']['plan']['summary']}" in row["why"]
    assert shown["look"]["plan"]["summary"].startswith("roll Deployment/shop/web back")
    await world.journal.close()


async def test_withdrawing_a_rule_stops_what_is_held(world: World) -> None:
    world.leak()
    world.alertmanager.silenced.add("Leak-web")
    await world.deliver("Leak")
    await world.run()
    await world.engine.reload(rules(ROLL_BACK))
    world.alertmanager.silenced.clear()
    await world.run()
    row = await world.only()
    assert (row["state"], row["reason"], world.cluster.calls) == ("superseded", "rule_changed", [])
    (episode,) = await world.journal.episodes(10, "Leak-web")
    assert episode["fate"] == "unmatched"


async def test_an_unmatched_alert_is_matched_after_a_reload(world: World) -> None:
    world.leak()
    await world.deliver("Other")
    await world.run()
    assert await world.rows() == []
    await world.engine.reload(rules(RESTART.replace("Leak", "Other")))
    await world.run()
    assert len(world.cluster.calls) == 1


async def test_a_late_firing_of_a_resolved_alert_is_stale(world: World) -> None:
    world.leak()
    await world.deliver("Leak", firing=False)
    await world.run(timedelta(seconds=1))
    world.clock.time -= timedelta(seconds=2)
    await world.deliver("Leak")
    world.alertmanager._active.clear()
    world.clock.time += timedelta(seconds=2)
    await world.run()
    assert await world.rows() == []
    assert (await world.journal.episodes(10, "Leak-web"))[0]["fate"] == "stale"


async def test_old_news_waits_for_the_grace_period(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    world.boot(world.clock.now() + timedelta(seconds=5))
    await world.run()
    row = await world.only()
    assert (row["state"], row["reason"]) == ("held", "startup_grace")
    await world.run(2 * MINUTE)
    assert len(world.cluster.calls) == 1


async def test_an_unless_alert_holds() -> None:
    world = await World(
        rules(
            RESTART.replace(
                "limits:",
                "unless: [{match: ['alertname=\"DatabaseDown\"'], equal: [namespace]}], limits:",
            )
        )
    ).start()
    world.leak()
    await world.deliver("DatabaseDown", "db")
    await world.deliver("Leak")
    await world.run()
    row = await world.only()
    assert (row["state"], row["reason"]) == ("held", "inhibited")
    await world.journal.close()


async def test_a_precondition_holds_until_its_query_returns_something() -> None:
    query = 'up{namespace="{{ root.namespace }}",name="{{ root.name }}"}'
    world = await World(rules(RESTART.replace("limits:", f"when: ['{query}'], limits:"))).start()
    world.leak()
    await world.deliver("Leak")
    await world.run()
    assert (await world.only())["reason"] == "precondition"
    world.prometheus.true.add('up{namespace="shop",name="web"}')
    await world.run()
    assert len(world.cluster.calls) == 1
    await world.journal.close()


async def test_people_are_notified_when_it_takes_too_long_and_a_failing_receiver_is_retried(
    world: World,
) -> None:
    world.told.failing = 2
    world.alertmanager.silenced.add("Leak-web")
    world.leak()
    await world.deliver("Leak")
    await world.run(12 * MINUTE, timedelta(seconds=5))
    assert [message["state"] for message in world.told.messages] == ["held"]


async def test_a_held_remediation_expires_and_its_alert_is_looked_at_again(world: World) -> None:
    world.alertmanager.silenced.add("Leak-web")
    world.leak()
    await world.deliver("Leak")
    await world.run(62 * MINUTE, timedelta(seconds=20))
    assert (await world.only())["state"] == "expired"
    world.alertmanager.silenced.clear()
    await world.run(10 * MINUTE, timedelta(seconds=5))
    assert len(world.cluster.calls) == 1


async def test_cancel_and_retry_by_a_person(world: World) -> None:
    world.leak()
    world.alertmanager.silenced.add("Leak-web")
    await world.deliver("Leak")
    await world.run()
    row = await world.only()
    assert await world.journal.cancel(row["id"], "me", world.clock.now()) is None
    await world.run()
    assert (await world.only())["reason"] == "operator"
    world.alertmanager.silenced.clear()
    await world.run(30 * MINUTE, timedelta(seconds=30))
    assert world.cluster.calls == []
    assert await world.journal.retry(row["id"], "me", world.clock.now()) is None
    await world.run()
    assert len(world.cluster.calls) == 1


async def test_env_values_never_reach_the_journal(world: World) -> None:
    world.cluster.objects["Deployment", "shop", "web"]["spec"]["template"]["spec"]["containers"][0][
        "env"
    ] = [{"name": "P", "value": "hunter2"}]
    await world.run(timedelta(seconds=10))
    world.crash()
    await world.deliver("Crash")
    await world.run()
    row = await world.only()
    assert "hunter2" not in str(await world.journal.show(row["id"]))
    assert len(world.cluster.calls) == 1


@pytest.mark.parametrize("beside", [0, 250])
async def test_a_new_critical_alert_on_the_same_root_means_worse(world: World, beside: int) -> None:
    world.crash()
    await world.deliver("Crash")
    await world.run(MINUTE)
    assert (await world.only())["state"] == "verifying"
    pod = world.cluster.pods("shop", "web")[0]["metadata"]["name"]
    await world.deliver("DataLoss", deployment="", pod=pod, severity="critical", fingerprint="loss")
    for number in range(beside):  # newer ones, of no account, do not hide it
        await world.deliver(
            "Other", deployment="", severity="warning", fingerprint=f"other-{number}"
        )
    await world.run(MINUTE)
    parent = next(row for row in await world.rows() if not row["undo_of"])
    assert (parent["state"], parent["reason"]) in (("undoing", "worse"), ("failed", "worse"))
    await world.run(20 * MINUTE, timedelta(seconds=10))
    parent = next(row for row in await world.rows() if not row["undo_of"])
    assert parent["state"] == "failed"
    history = (await world.journal.show(parent["id"]) or {})["history"]
    assert any(
        "critical alert DataLoss started firing on Deployment/shop/web after the change"
        in line["text"]
        for line in history
    )


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        ({"severity": "warning"}, None),
        ({"severity": "critical", "deployment": "api"}, None),
        ({"severity": "critical", "namespace": "db"}, None),
        ({"severity": "critical"}, {"duration": 600}),
    ],
)
async def test_what_is_not_critical_elsewhere_or_began_before_is_no_harm(
    world: World, labels: dict[str, Any], rule: dict[str, object] | None
) -> None:
    async def known(alertname: str) -> dict[str, object] | None:
        return rule

    world.prometheus.alerting_rule = known  # type: ignore[method-assign]
    world.crash()
    await world.deliver("Crash")
    await world.run(MINUTE)
    await world.deliver("Other", fingerprint="other", app="web", **labels)
    await world.run(MINUTE)
    assert ("verifying", None) in await world.states()


async def test_an_alert_that_comes_and_goes_is_no_success(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    for number in range(12):  # quiet for four minutes each time, never for five
        await world.deliver("Leak", firing=False)
        await world.run(4 * MINUTE, timedelta(seconds=10))
        assert (await world.rows())[0]["state"] in ("verifying", "ineffective"), number
        await world.deliver("Leak")
        await world.run(timedelta(seconds=5))
    assert (await world.rows())[0]["state"] == "ineffective"


async def test_what_flaps_between_two_looks_was_not_quiet(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    await world.deliver("Leak", firing=False)
    await world.run(4 * MINUTE)
    await world.deliver("Leak")
    await world.run(timedelta(seconds=2))
    await world.deliver("Leak", firing=False)
    await world.run(2 * MINUTE)
    assert (await world.only())["state"] == "verifying"
    await world.run(4 * MINUTE)
    assert (await world.only())["state"] == "succeeded"


async def test_what_was_seen_after_an_act_is_kept_beside_what_was_before(world: World) -> None:
    world.crash()
    await world.deliver("Crash")
    await world.run(MINUTE)
    await ended_well(world, "Crash")
    (attempt,) = (await world.journal.show((await world.only())["id"]) or {})["attempts"]
    assert attempt["after"]["ready"] == 3
    assert attempt["plan"]["before"]["restarts"] != attempt["after"]["restarts"]


async def test_notifications_tell_the_whole_story(world: World) -> None:
    world.leak()
    await world.deliver("Leak")
    await world.run(40 * MINUTE, timedelta(seconds=10))
    story = world.told.messages[-1]["story"]
    assert story[0].endswith("created: rule restart for Deployment/shop/web")
    assert any("started: restart Deployment/shop/web" in line for line in story)
