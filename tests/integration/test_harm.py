"""Which alerts count as harm that an act did: new critical ones, about what was acted on, in its
own cluster.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.engine.after import harm
from remediator.model.alert import Alert, AlertStatus
from remediator.model.plan import Touch
from remediator.model.target import Target
from remediator.ports.records import Claim, Delivery
from remediator.prometheus import SandboxPrometheus
from tests.integration.world import START, World
from tests.unit.engine.made import MINUTE, SECOND, claimed, fired, loaded, tried

DONE = START
WEB = Target("default", "Deployment", "shop", "web", "uid-web")
DB = Target("default", "StatefulSet", "data", "db", "uid-db")
NODE = Target("default", "Node", "", "node-1", "uid-node-1")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    built = await World().start()
    built.doors.sources = {"s": "default", "elsewhere": "other"}
    yield built
    await built.journal.close()


def acted(target: Target = WEB, *touches: Touch, at: Any = DONE) -> Claim:
    """An act on the target for alert A, which was done at START."""
    made = tried(applied_at=at, begun_at=at - MINUTE)
    made = replace(made, plan=replace(made.plan, touches=touches))
    return claimed(loaded(), [made], (fired(),), target=target, root_key=target.key)


async def harmed(
    world: World,
    labels: Mapping[str, str],
    since: timedelta = SECOND,
    *,
    source: str = "s",
    claim: Claim | None = None,
    name: str = "f",
) -> str:
    """The harm that is found where this alert began so long after the act. Its annotations speak
    of what its labels may not say.
    """
    notes = {"severity": "critical", "namespace": "shop"}
    given = {"alertname": "Down", "severity": "critical", "namespace": "shop", **labels}
    alert = Alert(name, AlertStatus.FIRING, given, notes, DONE + since, None)
    await world.journal.receive([Delivery(source, (alert,), DONE + since)])
    ours = claim or acted()
    climb = ours.remediation.target.kind != "Node"
    target = ours.remediation.target
    seen = await world.cluster.observe(target, climb, frozenset(), DONE)
    return await harm.by(world.doors, ours, seen)


WEB_POD = "web-5d4f8b7c9d-x2x4z"


@pytest.mark.parametrize(
    "labels",
    [
        {"deployment": "web"},
        {"pod": WEB_POD},
        {"exported_namespace": "shop", "exported_pod": WEB_POD, "namespace": "monitoring"},
        {"workload": "web", "workload_type": "deployment"},
    ],
    ids=["the workload", "a pod of it", "a pod by an exporter", "by recording rules"],
)
async def test_a_new_critical_alert_about_what_was_acted_on_is_harm(
    world: World, labels: dict[str, str]
) -> None:
    assert await harmed(world, labels) == (
        "critical alert Down started firing on Deployment/shop/web after the change"
    )


NO_HARM: Mapping[str, tuple[Mapping[str, str], timedelta]] = {
    "a warning": ({"deployment": "web", "severity": "warning"}, SECOND),
    "no severity": ({"deployment": "web", "severity": ""}, SECOND),
    "another workload": ({"deployment": "api"}, SECOND),
    "a name that begins alike": ({"pod": "web-api-5d4f8b7c9d-x2x4z"}, SECOND),
    "a pod of this name in another namespace": ({"pod": WEB_POD, "namespace": "test"}, SECOND),
    "another namespace": ({"deployment": "web", "namespace": "shop-test"}, SECOND),
    "the alert that is repaired": ({"deployment": "web", "alertname": "A"}, SECOND),
    "it began with the act": ({"deployment": "web"}, timedelta()),
    "it began before the act": ({"deployment": "web"}, -SECOND),
    "nothing is named": ({}, SECOND),
    "no valid name": ({"deployment": "Not A Name"}, SECOND),
    "a node": ({"node": "node-1"}, SECOND),
}


async def test_other_alerts_are_no_harm(world: World) -> None:
    for what, (labels, since) in NO_HARM.items():
        assert await harmed(world, labels, since, name=what) == "", what


@pytest.mark.parametrize("labels", [{"deployment": "web"}, {"pod": WEB_POD}], ids=["it", "a pod"])
async def test_an_alert_about_the_same_workload_of_another_cluster_is_no_harm(
    world: World, labels: dict[str, str]
) -> None:
    assert await harmed(world, labels, source="elsewhere") == ""


class Waits(SandboxPrometheus):
    """Every alerting rule waits so long before it fires."""

    def __init__(self, waits: Any) -> None:
        super().__init__()
        self.waits = waits

    async def alerting_rule(self, alertname: str) -> Mapping[str, Any]:
        return {"name": alertname, "duration": self.waits}


async def test_trouble_that_began_before_the_act_is_no_harm_although_it_fired_after_it(
    world: World,
) -> None:
    for waits, harms in ((300, False), (60, False), (59, True), (0, True), (None, True)):
        world.doors.prometheus = Waits(waits)
        assert bool(await harmed(world, {"deployment": "web"}, MINUTE)) is harms, waits


@pytest.mark.parametrize(
    ("takes", "expected"), [(1, "StatefulSet/data/db"), (0, "")], ids=["loses pods", "keeps them"]
)
async def test_a_workload_that_loses_pods_by_a_drain_is_looked_after_too(
    world: World, takes: int, expected: str
) -> None:
    drained = acted(NODE, Touch(NODE, NODE), Touch(DB, DB, takes=takes))
    found = await harmed(world, {"namespace": "data", "pod": "db-0"}, claim=drained)
    assert expected in found
    assert bool(found) is bool(expected)


async def test_an_act_of_which_nobody_knows_when_it_was_done_counts_from_its_beginning(
    world: World,
) -> None:
    ours = acted()
    unknown = replace(ours, attempts=(replace(ours.attempts[-1], applied_at=None),))
    assert await harmed(world, {"deployment": "web"}, -30 * SECOND, claim=unknown)


async def test_an_alert_that_is_over_is_no_harm(world: World) -> None:
    labels = {"alertname": "Down", "severity": "critical", "namespace": "shop", "deployment": "web"}
    began, ended = DONE + SECOND, DONE + MINUTE
    for ends, status in ((None, AlertStatus.FIRING), (ended, AlertStatus.RESOLVED)):
        alert = Alert("f", status, labels, {}, began, ends)
        await world.journal.receive([Delivery("s", (alert,), ends or began)])
    seen = await world.cluster.observe(WEB, True, frozenset(), DONE)
    assert await harm.by(world.doors, acted(), seen) == ""
