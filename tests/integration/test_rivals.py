"""Twelve ways in which others lost alerts or did harm, each tried on us."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from remediator.alertmanager.payload import alerts_of, decode, tally
from remediator.app import running
from remediator.engine.arrive.intake import Intake
from remediator.engine.explain import explain
from remediator.errors import JournalUnavailable
from remediator.guards.situation import ProcessLimits
from remediator.journal.sql import SqlJournal
from remediator.located import load_text
from remediator.model.limit import Radius
from remediator.model.target import Target
from remediator.model.usage import Rate
from remediator.ports.records import Body
from remediator.rules.loader import RuleErrors, build
from remediator.sights.isolation import policy_name
from tests.integration.test_http import AM, settings
from tests.integration.world import RESTART, ROLL_BACK, START, World, rules

MINUTE = timedelta(minutes=1)
STEP = timedelta(seconds=20)


def webhook(*alerts: dict[str, Any], status: str = "firing") -> bytes:
    made = [
        {"status": status, "labels": labels, "startsAt": START, "fingerprint": f"f{number}"}
        | ({"endsAt": START + MINUTE} if status == "resolved" else {})
        for number, labels in enumerate(alerts)
    ]
    return orjson.dumps({"version": "4", "alerts": made})


def leak(app: str = "web", **more: str) -> dict[str, str]:
    return {"alertname": "Leak", "namespace": "shop", "deployment": app, **more}


async def test_1_two_thousand_alerts_in_one_webhook_are_all_kept_and_have_a_fate(
    world: World,
) -> None:
    body = webhook(
        *(
            {"alertname": "Other", "namespace": "shop", "pod": f"p{number}"}
            for number in range(2000)
        )
    )
    await world.journal.store([Body("s", world.clock.now(), body)])
    await world.run(timedelta(seconds=5))
    rows = await world.journal.episodes(3000, None)
    assert (len(rows), {row["fate"] for row in rows}, {row["reason"] for row in rows}) == (
        2000,
        {"unmatched"},
        {"unmatched"},
    )


async def test_2_what_was_accepted_before_a_kill_is_done_once(tmp_path: Path) -> None:
    """tests/e2e/test_killed.py and test_load.py do this with kill -9, on SQLite and PostgreSQL."""
    url = f"sqlite:///{tmp_path}/j.db"
    journal = SqlJournal(url)
    await journal.open(START)
    # the later ones repeat the earlier
    bodies = [webhook(*(leak(f"app{n}") for n in range(number + 1))) for number in range(4)]
    await journal.store([Body("s", START, body) for body in bodies])
    await journal.close()
    world = World(rules(RESTART.replace("attempts: 2/6h", "attempts: 2/6h, in_flight: 9")), url)
    for number in range(20):
        world.cluster.create_workload("Deployment", "shop", f"app{number}", "app:1")
        world.leak(f"app{number}")
    for body in bodies:
        world.alertmanager.delivered("s", alerts_of(decode(body)))
    await world.start()
    await world.run(2 * MINUTE, STEP)
    assert len(await world.journal.episodes(9, None)) == 4
    assert sorted(call.split(" ")[1] for _, call in world.cluster.calls) == [
        f"Deployment/shop/app{n}" for n in range(4)
    ]
    await world.journal.close()


@pytest.mark.parametrize(
    ("good", "bad"),
    [("match:", "matches:"), ("namespaces:", "namespace:"), ("alertname=", "alertname:")],
)
def test_3_a_misspelt_key_is_an_error_with_its_place(good: str, bad: str) -> None:
    text = (
        "version: 1\ngroups:\n  - name: g\n    scope: {namespaces: [shop]}\n    rules:\n      -"
        " {name: a, match: ['alertname=\"A\"'], escalate: {to: [log]}, steps: [{action:"
        " restart_workload}]}\n"
    )
    assert build([load_text(text, "r.yaml")])
    with pytest.raises(RuleErrors) as error:
        build([load_text(text.replace(good, bad, 1), "r.yaml")])
    assert all(finding.line >= 3 for finding in error.value.findings)


async def test_3b_an_alert_without_a_namespace_gets_none() -> None:
    found, reason = rules(RESTART, scope="default").match(
        _alert({"alertname": "Leak", "deployment": "web"}), "c"
    )
    assert (found, reason) == ([], "no_target")


def _alert(labels: dict[str, str]) -> Any:
    return alerts_of(decode(webhook(labels)))[0]


async def test_4_a_stranger_s_post_does_nothing_and_kube_system_is_never_touched(
    tmp_path: Path,
) -> None:
    async with running(settings(tmp_path)) as app, aiohttp.ClientSession(app.url) as http:
        async with http.post("/webhook", data=webhook(leak())) as answer:
            assert answer.status == 401
        assert await app.doors.journal.inbox(5) == []
    world = await World(rules(RESTART, scope="kube-system")).start()
    world.cluster.create_workload("Deployment", "kube-system", "dns", "dns:1")
    await world.deliver("Leak", "dns", namespace="kube-system")
    await world.run(MINUTE)
    assert (await world.states(), world.cluster.calls) == ([("blocked", "protected_target")], [])
    await world.journal.close()


async def test_5_a_bad_reload_changes_nothing_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("version: 1\ngroups: []\n")
    async with (
        running(settings(tmp_path, rules=[str(tmp_path / "rules.yaml")])) as app,
        aiohttp.ClientSession(app.url) as http,
    ):
        before = app.doors.rules.digest
        (tmp_path / "rules.yaml").write_text("version: [")
        await asyncio.sleep(1)
        assert app.doors.rules.digest == before
        async with http.post("/webhook", data=webhook(leak()), headers=AM) as answer:
            assert answer.status == 200


async def test_6_a_resolved_notification_acts_on_nothing(world: World) -> None:
    world.leak()
    await world.journal.store([Body("s", START, webhook(leak(), status="resolved"))])
    await world.run(MINUTE)
    assert (await world.states(), world.cluster.calls) == ([], [])
    (row,) = await world.journal.episodes(5, None)
    assert (row["fate"], row["reason"]) == ("resolved", "resolved")


async def test_7_quarantine_isolates_one_pod_and_overwrites_no_policy() -> None:
    text = (
        "name: q, match: ['alertname=\"Suspect\"'], target: object, steps: [{action:"
        " quarantine_pod, if: always}]"
    )
    world = await World(rules(text)).start()
    pods = world.cluster.pods("shop", "web")
    name, uid = pods[0]["metadata"]["name"], pods[0]["metadata"]["uid"]
    theirs = policy_name(
        Target("default", "Pod", "shop", pods[1]["metadata"]["name"], pods[1]["metadata"]["uid"])
    )
    world.cluster.create("NetworkPolicy", "shop", theirs, {"podSelector": {}}, status={})
    await world.deliver("Suspect", deployment="", pod=name)
    await world.run(MINUTE)
    policies = {
        key[2]: obj["spec"]["podSelector"]
        for key, obj in world.cluster.objects.items()
        if key[0] == "NetworkPolicy"
    }
    mine = policy_name(Target("default", "Pod", "shop", name, uid))
    assert policies == {theirs: {}, mine: {"matchLabels": {"remediator.io/quarantine": uid}}}
    assert len(world.cluster.pods("shop", "web")) == 3  # its replacement is not isolated
    await world.deliver(
        "Suspect", deployment="", pod=pods[1]["metadata"]["name"], fingerprint="second"
    )
    await world.run(4 * MINUTE)
    # a policy of that name is somebody's
    assert (await world.states())[-1][0] in ("failed", "held", "blocked")
    assert world.cluster.objects["NetworkPolicy", "shop", theirs]["spec"] == {"podSelector": {}}
    await world.journal.close()


async def test_8_a_share_is_a_share_an_omitted_grace_is_not_zero_and_budgets_are_kept(
    world: World,
) -> None:
    assert (Radius(0.33).of(9), Radius(0.33).of(100)) == (2, 33)
    assert ProcessLimits().grace == 2 * MINUTE
    world.cluster.edit(
        "Deployment",
        "shop",
        "web",
        lambda o: o["spec"].update(strategy={"rollingUpdate": {"maxUnavailable": 1}}),
    )
    budget = {"selector": {"matchLabels": {"app": "web"}}}
    world.cluster.create(
        "PodDisruptionBudget",
        "shop",
        "web",
        budget,
        status={"observedGeneration": 1, "disruptionsAllowed": 0},
    )
    world.leak()
    await world.deliver("Leak")
    await world.run(MINUTE)
    assert (await world.states(), world.cluster.calls) == ([("held", "budget_exhausted")], [])


@pytest.mark.parametrize(
    "name", ["web; rm -rf /", "$(reboot)", "../api", "web\nx", "`id`", "web' OR 1=1"]
)
async def test_9_alert_fields_are_names_or_nothing(world: World, name: str) -> None:
    await world.journal.store([Body("s", START, webhook(leak(name)))])
    await world.run(MINUTE)
    (row,) = await world.journal.episodes(5, None)
    assert (row["reason"], await world.states(), world.cluster.calls) == ("invalid_target", [], [])


async def test_10_what_cannot_be_stored_is_not_acknowledged_and_what_a_rate_held_is_done_later(
    world: World,
) -> None:
    intake = Intake(world.doors)
    world.journal.store = _full  # type: ignore[method-assign,assignment]
    body = webhook(leak())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(intake.run())
        with pytest.raises(JournalUnavailable):
            await intake.receive("s", body, tally(decode(body)))
        task.cancel()
    world.doors.limits = ProcessLimits(namespace=(Rate(1, 10 * MINUTE),))
    for app in ("web", "api"):
        world.leak(app)
        await world.deliver("Leak", app)
    await world.run(MINUTE)
    assert sorted(await world.states()) == [("held", "rate_limited"), ("verifying", None)]
    await world.run(11 * MINUTE, STEP)
    assert len(world.cluster.calls) == 2


async def _full(_bodies: Any) -> None:
    raise JournalUnavailable("the disk is full")


async def test_11_after_days_nothing_that_was_queued_runs_at_once() -> None:
    world = await World(
        rules(RESTART.replace("limits: {attempts: 2/6h}", "limits: {attempts: 2/6h, in_flight: 9}"))
    ).start()
    for app in ("web", "api"):
        world.leak(app)
        await world.deliver("Leak", app)
    await world.run(timedelta(seconds=3))
    world.clock.time += timedelta(days=4)
    world.boot(world.clock.now())
    world.alertmanager._active.clear()  # what fired then is over
    await world.run(5 * MINUTE, STEP)
    assert world.cluster.calls == []
    assert {state for state, _ in await world.states()} <= {"cancelled", "expired"}
    await world.journal.close()


async def test_12_a_test_run_calls_nothing(world: World, tmp_path: Path) -> None:
    """tests/e2e/test_replay.py shows it by the audit log of a real API server."""
    world.crash()
    world.leak("api")
    for labels in ({"alertname": "Crash", "namespace": "shop", "deployment": "web"}, leak("api")):
        answer = await explain(world.doors, {"alert": {"labels": labels}})
        assert any(rule["matched"] and rule["plan"] for rule in answer["rules"])
    world.doors.rules = rules(ROLL_BACK.replace("steps:", "mode: observe, steps:"))
    await world.deliver("Crash")
    await world.run(MINUTE)
    assert (await world.states(), world.cluster.calls) == ([("observed", "observe_mode")], [])
