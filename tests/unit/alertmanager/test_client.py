"""What is believed of an Alertmanager's answers, by what it lists, how long it is up, and when."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from remediator.alertmanager.client import NOT_ASKED_FOR, SETTLED, AlertmanagerApi, addresses
from remediator.model.alert import Activity, Alert, AlertStatus
from remediator.model.facts import Unknown
from remediator.replay import VirtualClock
from tests.unit.cluster.stand_ins import Server
from tests.unit.objects import T

LABELS = {"alertname": "A", "namespace": "shop"}
ALERT = Alert("f1", AlertStatus.FIRING, LABELS, {}, T, None)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
ALERTS, STATUS = "/api/v2/alerts", "/api/v2/status"


def listed(fingerprint: str = "f1", state: str = "active", **more: Any) -> dict[str, Any]:
    labels = more.pop("labels", LABELS)
    return {"fingerprint": fingerprint, "labels": labels, "status": {"state": state, **more}}


class Instance(Server):
    """An Alertmanager."""

    def __init__(self, *alerts: Any, up: timedelta = HOUR, peers: int | None = 1) -> None:
        super().__init__()
        self.lists(*alerts)
        says: dict[str, Any] = {"uptime": (T - up).isoformat()}
        if peers is not None:
            says["cluster"] = {"peers": [{}] * peers}
        self.says("GET", STATUS, says)

    def lists(self, *alerts: Any) -> None:
        self.says("GET", ALERTS, list(alerts))


@asynccontextmanager
async def asking(*instances: Server, **more: Any) -> AsyncIterator[AlertmanagerApi]:
    """The port in front of the instances of source `s`."""
    clock = more.pop("clock", VirtualClock(T))
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(instance.serving()) for instance in instances]
        api = AlertmanagerApi({"s": tuple(urls)}, clock.now, **more)
        yield api
        await api.close()


async def activity(*instances: Server) -> Activity:
    async with asking(*instances) as api:
        return await api.activity("s", ALERT)


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([], Activity.NOT_LISTED),
        ([listed()], Activity.ACTIVE),
        ([listed("f2"), listed()], Activity.ACTIVE),
        ([listed("f2")], Activity.NOT_LISTED),
        ([listed(labels={**LABELS, "more": "x"})], Activity.NOT_LISTED),
        ([listed(labels={})], Activity.NOT_LISTED),
        ([listed(state="unprocessed")], Activity.UNKNOWN),
        ([listed(state="suppressed")], Activity.UNKNOWN),
        ([listed(state="a new one")], Activity.UNKNOWN),
        ([listed(silencedBy=None, inhibitedBy=None, mutedBy=None)], Activity.ACTIVE),
        ([listed(silencedBy=[], inhibitedBy=[], mutedBy=[])], Activity.ACTIVE),
        ([listed(state="suppressed", silencedBy=["s"])], Activity.SILENCED),
        ([listed(state="suppressed", inhibitedBy=["i"])], Activity.INHIBITED),
        ([listed(state="suppressed", mutedBy=["office-hours"])], Activity.INHIBITED),
        ([listed(silencedBy=["s"], inhibitedBy=["i"])], Activity.SILENCED),
    ],
    ids=["nothing", "it", "it and others", "others", "its fingerprint but more labels",
         "its fingerprint but no labels", "one that is not processed yet", "muted by nobody",
         "an unknown state", "nulls", "empty lists", "silenced", "inhibited", "muted by time",
         "silenced and inhibited"],
)  # fmt: skip
async def test_what_one_instance_says(alerts: list[Any], expected: Activity) -> None:
    assert await activity(Instance(*alerts)) is expected


@pytest.mark.parametrize(
    ("up", "expected"),
    [
        (SETTLED, Activity.NOT_LISTED),
        (SETTLED - SECOND, Activity.UNKNOWN),
        (timedelta(), Activity.UNKNOWN),
        (-HOUR, Activity.UNKNOWN),
    ],
    ids=["just long enough", "not quite", "no time", "since the future"],
)
async def test_that_an_alert_is_gone_is_believed_once_it_is_up_for_long_enough(
    up: timedelta, expected: Activity
) -> None:
    assert await activity(Instance(up=up)) is expected


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        (None, Activity.NOT_LISTED),
        (0, Activity.NOT_LISTED),
        (1, Activity.NOT_LISTED),
        (2, Activity.UNKNOWN),
    ],
    ids=["not said", "none, since it is no cluster", "itself", "another that was not asked"],
)
async def test_that_an_alert_is_gone_takes_every_member_of_its_cluster(
    peers: int | None, expected: Activity
) -> None:
    assert await activity(Instance(peers=peers)) is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([listed()], [], Activity.ACTIVE),
        ([], [listed()], Activity.ACTIVE),
        ([listed()], [listed(state="suppressed", silencedBy=["s"])], Activity.SILENCED),
        ([listed(inhibitedBy=["i"])], [listed(silencedBy=["s"])], Activity.SILENCED),
        ([], [listed(state="unprocessed")], Activity.UNKNOWN),
        ([], [], Activity.NOT_LISTED),
    ],
)
async def test_what_two_instances_say_together(
    first: list[Any], second: list[Any], expected: Activity
) -> None:
    assert await activity(Instance(*first, peers=2), Instance(*second, peers=2)) is expected


async def test_a_source_that_is_not_configured_is_unknown() -> None:
    async with asking(Instance(listed())) as api:
        assert await api.activity("another", ALERT) is Activity.UNKNOWN
        assert isinstance(await api.firing("another"), Unknown)


async def test_what_fires_is_listed_once_and_silenced_or_not() -> None:
    silenced = listed("f2", "suppressed", silencedBy=["s"], labels={"alertname": "B"})
    instances = [Instance(listed(), silenced, peers=2), Instance(listed(), peers=2)]
    async with asking(*instances) as api:
        assert await api.firing("s") == [LABELS, {"alertname": "B"}]


async def test_what_fires_is_unknown_while_nobody_is_up_for_long_enough() -> None:
    async with asking(Instance(listed(), up=SECOND)) as api:
        assert isinstance(await api.firing("s"), Unknown)


@pytest.mark.parametrize("status", [204, 206, 401, 503])
async def test_only_a_whole_answer_counts(status: int) -> None:
    instance = Server()
    instance.says("GET", ALERTS, [], status)
    instance.says("GET", STATUS, {"uptime": (T - HOUR).isoformat()})
    assert await activity(instance) is Activity.UNKNOWN


def asked(instance: Server) -> int:
    return len(instance.asked_for("GET", ALERTS))


async def test_an_answer_is_shared_for_a_second_and_not_for_longer() -> None:
    instance, clock = Instance(listed()), VirtualClock(T)
    async with asking(instance, clock=clock) as api:
        counts = []
        for _ in range(5):
            await api.activity("s", ALERT)
            counts.append(asked(instance))
            clock.time += SECOND / 2
    assert counts == [1, 1, 2, 2, 3]


async def test_an_answer_of_before_a_delivery_does_not_judge_it() -> None:
    instance, clock = Instance(), VirtualClock(T)
    async with asking(instance, clock=clock, remembered=HOUR) as api:
        assert await api.activity("s", ALERT) is Activity.NOT_LISTED
        assert await api.activity("s", ALERT, T - SECOND) is Activity.NOT_LISTED
        assert asked(instance) == 1
        await api.activity("s", ALERT, T)  # at the very moment is not after it
        assert asked(instance) == 2


async def test_a_clock_that_went_back_makes_no_answer_young_again() -> None:
    instance, clock = Instance(listed()), VirtualClock(T)
    async with asking(instance, clock=clock) as api:
        await api.activity("s", ALERT)
        clock.time -= HOUR
        await api.activity("s", ALERT)
    assert asked(instance) == 2


async def test_an_instance_that_failed_is_left_alone_for_a_while_and_then_asked_again() -> None:
    instance, clock = Instance(), VirtualClock(T)
    instance.says("GET", ALERTS, {}, 500)
    instance.lists(listed())
    async with asking(instance, clock=clock, remembered=timedelta()) as api:
        await api.activity("s", ALERT)  # as it said first: nothing
        seen = []
        for _ in range(3):
            clock.time += NOT_ASKED_FOR / 2
            seen.append((await api.activity("s", ALERT), asked(instance)))
    unknown, active = Activity.UNKNOWN, Activity.ACTIVE
    assert seen == [(unknown, 2), (unknown, 2), (active, 3)]


async def test_an_alertmanager_below_a_path_is_asked_there() -> None:
    instance = Server()
    instance.says("GET", f"/am{ALERTS}", [listed()])
    instance.says("GET", f"/am{STATUS}", {"uptime": (T - HOUR).isoformat()})
    async with instance.serving() as url:
        for ending in ("/am", "/am/"):
            api = AlertmanagerApi({"s": (url + ending,)}, lambda: T)
            assert await api.activity("s", ALERT) is Activity.ACTIVE
            await api.close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("https://127.0.0.1", "https://127.0.0.1:443"),
        ("http://127.0.0.1:9093/", "http://127.0.0.1:9093"),
        ("http://127.0.0.1:9093/am/", "http://127.0.0.1:9093/am"),
        ("https://a:b%40c@127.0.0.1/am", "https://a:b%40c@127.0.0.1:443/am"),
        ("http://[::1]:9093", "http://[::1]:9093"),
    ],
)
async def test_an_address_stands_for_one_instance(url: str, address: str) -> None:
    assert [by_address for by_address, _ in await addresses(url)] == [address]


async def test_a_user_and_a_password_in_the_url_are_sent_as_such() -> None:
    instance = Instance(listed())
    async with instance.serving() as url:
        named = url.replace("http://", "http://user:secret@")
        api = AlertmanagerApi({"s": (named,)}, lambda: T)
        await api.activity("s", ALERT)
        await api.close()
    sent = [request.headers for request in instance.asked]
    assert all(headers["Authorization"].startswith("Basic ") for headers in sent)
    assert all("secret" not in headers["Host"] for headers in sent)


async def test_a_password_in_the_url_is_not_repeated_in_a_failure() -> None:
    api = AlertmanagerApi({"s": ("http://user:secret@127.0.0.1:9",)}, lambda: T)
    seen = await api.firing("s")
    await api.close()
    assert isinstance(seen, Unknown)
    assert ("127.0.0.1:9" in seen.why, "secret" in seen.why) == (True, False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:90933", "http://[::1"])
async def test_a_url_that_can_be_none_is_unknown(url: str) -> None:
    api = AlertmanagerApi({"s": (url,)}, lambda: T)
    assert await api.activity("s", ALERT) is Activity.UNKNOWN
    await api.close()


@pytest.mark.parametrize(
    "url",
    ["http://u:p%E2%82%AC@localhost:1", "http://u%3Ax:p@localhost:1", "http://a..b:9093"],
    ids=["a password that no header can have", "a name with a colon", "no host name"],
)
async def test_what_no_request_can_be_made_with_is_unknown(url: str) -> None:
    api = AlertmanagerApi({"s": (url,)}, lambda: T)
    assert await api.activity("s", ALERT) is Activity.UNKNOWN
    await api.close()
