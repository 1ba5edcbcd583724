"""A source of several Alertmanagers, and dependencies that fail.

What is believed, what is held, and who waits.

Instances are HTTP servers of our own on loopback addresses, behind one name, as pods are behind a
headless Service.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from remediator.alertmanager.client import AlertmanagerApi
from remediator.doctor import examine as doctor
from remediator.model.alert import Activity, Alert, AlertStatus
from remediator.model.facts import Unknown
from remediator.prometheus import PrometheusApi
from remediator.rules.lookback import resolved_within
from remediator.setting_sections import Source

LABELS = {"alertname": "A", "namespace": "shop"}
ALERT = Alert("f1", AlertStatus.FIRING, LABELS, {}, datetime(2026, 5, 1, tzinfo=UTC), None)
NAME = "alertmanager-operated.test"


def now() -> datetime:
    return datetime.now(UTC)


class Instance:
    """One pod: what it lists, how long it has been up, and whether it answers."""

    def __init__(self, address: str, port: int) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.up_for, self.peers, self.delay, self.status = timedelta(hours=1), 2, 0.0, 200
        self.says: dict[str, Any] = {}  # what is answered instead, by the last part of the path
        self.asked: list[str] = []
        pod = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                pod.asked.append(self.path)
                pod.hosts = self.headers["Host"]
                time.sleep(pod.delay)
                status = {
                    "uptime": (now() - pod.up_for).isoformat(),
                    "cluster": {"peers": [{}] * pod.peers},
                }
                said = pod.says.get(
                    self.path.rsplit("/", 1)[-1], pod.alerts if "alerts" in self.path else status
                )
                body = json.dumps(said).encode()
                self.send_response(pod.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.hosts = ""
        self.server = ThreadingHTTPServer((address, port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def lists(self, **status: Any) -> None:
        self.alerts = [
            {"fingerprint": "f1", "labels": LABELS, "status": {"state": "active", **status}}
        ]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Instance, Instance]]:
    """Two instances, on two loopback addresses, behind one name."""
    first = Instance("127.0.0.1", 0)
    second = Instance("127.0.0.2", first.port)
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != NAME:
            return real(host, *arguments, **named)
        return [
            *real("127.0.0.1", *arguments, **named),
            *real("127.0.0.2", *arguments, **named),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield first, second
    first.stop()
    second.stop()


def wrongly(right: Any) -> Iterator[Any]:
    """What was right, with each of its parts in turn replaced by
    something of another shape, or left out.
    """
    yield from (None, "", "x", 0, -1, 1.5, True, [], {}, [None], ["x"], {"x": None})
    for key, part in (
        right.items()
        if isinstance(right, dict)
        else enumerate(right)
        if isinstance(right, list)
        else ()
    ):
        for wrong in wrongly(part):
            yield (
                {**right, key: wrong}
                if isinstance(right, dict)
                else [*right[:key], wrong, *right[key + 1 :]]
            )
        if isinstance(right, dict):
            yield {other: value for other, value in right.items() if other != key}


def api(pods: tuple[Instance, Instance], **more: Any) -> AlertmanagerApi:
    return AlertmanagerApi(
        {"s": (f"http://{NAME}:{pods[0].port}",)}, now, **{"remembered": timedelta(), **more}
    )


async def test_an_alert_that_a_pod_which_just_started_does_not_list_is_not_gone(
    pods: tuple[Instance, Instance],
) -> None:
    pods[1].up_for = timedelta(seconds=20)
    port = api(pods)
    pods[0].lists()
    answers = [await port.activity("s", ALERT) for _ in range(20)]
    assert set(answers) == {Activity.ACTIVE}
    pods[0].alerts = []
    assert {await port.activity("s", ALERT) for _ in range(20)} == {Activity.UNKNOWN}
    pods[1].up_for = timedelta(hours=1)
    assert await port.activity("s", ALERT) is Activity.NOT_LISTED
    assert pods[0].hosts == f"{NAME}:{pods[0].port}"  # each is asked by its address and the name
    await port.close()


@pytest.mark.parametrize(
    ("fails", "fires", "expected"),
    [
        ("silent", True, Activity.ACTIVE),  # the other one is settled and lists it
        ("silent", False, Activity.UNKNOWN),
        ("refuses", True, Activity.ACTIVE),
        ("refuses", False, Activity.UNKNOWN),
        ("wrong", False, Activity.UNKNOWN),
        ("alone", False, Activity.UNKNOWN),
        ("young", True, Activity.UNKNOWN),
    ],
)
async def test_what_is_believed_where_one_of_two_instances(
    pods: tuple[Instance, Instance],
    fails: str,
    fires: bool,
    expected: Activity,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import aiohttp

    import remediator.alertmanager.client as adapter

    monkeypatch.setattr(adapter, "TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    if fires:
        pods[0].lists()
    match fails:
        case "silent":
            pods[1].delay = 1.0
        case "refuses":
            pods[1].status = 503
        case "wrong":
            pods[1].alerts = [{"no": "fingerprint"}]
        case "alone":  # the cluster has more members than were asked
            pods[0].peers = pods[1].peers = 3
        case "young":  # it may not know of silences yet, and who knows does not answer
            pods[0].up_for, pods[1].status = timedelta(seconds=20), 503
    port = api(pods)
    assert await port.activity("s", ALERT) is expected
    assert isinstance(await port.firing("s"), Unknown) is (fails == "young")
    await port.close()


@pytest.mark.parametrize(
    ("status", "expected"), [("silencedBy", Activity.SILENCED), ("inhibitedBy", Activity.INHIBITED)]
)
async def test_muted_by_one_is_muted(
    pods: tuple[Instance, Instance], status: str, expected: Activity
) -> None:
    pods[0].lists()
    pods[1].lists(**{"state": "suppressed", status: ["x"]})
    port = api(pods)
    assert await port.activity("s", ALERT) is expected
    await port.close()


async def test_two_hundred_alerts_at_once_are_one_question_to_each_instance(
    pods: tuple[Instance, Instance],
) -> None:
    pods[0].lists()
    port = api(pods, remembered=timedelta(seconds=1))
    answers = await asyncio.gather(*(port.activity("s", ALERT) for _ in range(200)))
    assert set(answers) == {Activity.ACTIVE}
    assert [sum("alerts" in path for path in pod.asked) for pod in pods] == [1, 1]
    await port.close()


async def test_who_waits_for_a_slow_alertmanager_shares_its_answer(
    pods: tuple[Instance, Instance],
) -> None:
    pods[0].lists()
    pods[0].delay = pods[1].delay = 0.5
    port = api(pods, remembered=timedelta(seconds=0.2))
    started, since = time.monotonic(), now() - timedelta(minutes=1)
    answers = await asyncio.gather(*(port.activity("s", ALERT, since) for _ in range(20)))
    assert set(answers) == {Activity.ACTIVE}
    # not one after the other: those who came after the first share the second
    assert time.monotonic() - started < 3
    assert all(sum("alerts" in path for path in pod.asked) <= 2 for pod in pods)
    await port.close()


async def test_what_a_young_alertmanager_does_not_list_may_still_fire(
    pods: tuple[Instance, Instance],
) -> None:
    pods[0].lists()
    for pod in pods:
        pod.up_for = timedelta(seconds=20)
    port = api(pods)
    assert isinstance(await port.firing("s"), Unknown)
    pods[0].up_for = timedelta(hours=1)
    assert await port.firing("s") == [LABELS]
    await port.close()


async def test_what_was_delivered_is_not_judged_by_what_was_seen_before(
    pods: tuple[Instance, Instance],
) -> None:
    port = api(pods, remembered=timedelta(minutes=1))
    assert await port.activity("s", ALERT) is Activity.NOT_LISTED
    delivered = now()
    pods[0].lists()
    assert await port.activity("s", ALERT) is Activity.NOT_LISTED  # as it was seen
    assert await port.activity("s", ALERT, delivered) is Activity.ACTIVE
    await port.close()


async def test_a_silent_alertmanager_is_waited_for_once(
    pods: tuple[Instance, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    import aiohttp

    import remediator.alertmanager.client as adapter

    monkeypatch.setattr(adapter, "TIMEOUT", aiohttp.ClientTimeout(total=0.4))
    pods[0].delay = pods[1].delay = 3.0
    port = api(pods)
    started = time.monotonic()
    answers = [await port.activity("s", ALERT) for _ in range(20)]
    assert set(answers) == {Activity.UNKNOWN}
    assert time.monotonic() - started < 1.5
    await port.close()


LISTED = {
    "fingerprint": "f1",
    "labels": LABELS,
    "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []},
}


async def test_what_is_no_answer_of_an_alertmanager_never_means_that_an_alert_is_gone(
    pods: tuple[Instance, Instance],
) -> None:
    pod, url = pods[0], f"http://127.0.0.1:{pods[0].port}"
    pod.peers = 1
    up = {
        "uptime": (now() - timedelta(hours=1)).isoformat(),
        "cluster": {"status": "ready", "peers": [{}]},
    }
    wrong = [{"alerts": alerts} for alerts in wrongly([LISTED])]
    wrong += [
        {"alerts": [], "status": status}
        for status in wrongly(up)
        if isinstance(status, dict) and "cluster" in status
    ]
    answers = []
    for said in wrong:
        pod.says = said
        port = AlertmanagerApi({"s": (url,)}, now, remembered=timedelta())
        answer = await port.activity("s", ALERT)
        assert isinstance(await port.firing("s"), list | Unknown)
        await port.close()
        answers.append(answer)
        alerts = said["alerts"]
        # it lists others
        honest = alerts == [] or (
            isinstance(alerts, list) and alerts[0] != LISTED and whole(alerts[0])
        )
        if answer is Activity.NOT_LISTED:
            assert honest, said
            assert isinstance(said.get("status", up).get("uptime"), str), said
    assert answers.count(Activity.UNKNOWN) > len(wrong) / 2


@pytest.mark.parametrize("said", [{}, [], None, "<html>", {"uptime": 1}])
async def test_doctor_says_that_what_answers_is_not_alertmanager(
    pods: tuple[Instance, Instance], said: Any, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t")
    url = f"http://127.0.0.1:{pods[0].port}"
    pods[0].says = {"status": said}
    source = Source.model_validate(
        {"name": "am", "token_file": str(tmp_path / "token"), "alertmanager": url}
    )
    async with aiohttp.ClientSession() as session:
        (found,) = [finding async for finding in doctor._alertmanager(session, source)]
    assert (found.state, found.found) == (
        "fail",
        f"{url}: the server that answers is not Alertmanager",
    )


def whole(alert: Any) -> bool:
    """Whether it is an alert at all."""
    return (
        isinstance(alert, dict)
        and isinstance(alert.get("fingerprint"), str)
        and isinstance(alert.get("labels"), dict)
        and all(isinstance(value, str) for value in alert["labels"].values())
    )


class Quiet:
    """A Prometheus that takes connections and says nothing, until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []
        self.refuses_rules = False
        self.says: dict[str, Any] = {}  # what is answered instead, to queries and for rules
        quiet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                quiet.asked.append(self.path)
                quiet.answers.wait(20)
                if "rules" in self.path and quiet.refuses_rules:
                    self.send_error(403)
                    return
                result: Any = {
                    "resultType": "vector",
                    "result": [{"metric": {}, "value": [1, "1"]}],
                }
                if "query=0" in self.path:
                    result = {"resultType": "scalar", "result": [1, "0"]}
                if "rules" in self.path:
                    result = {
                        "groups": [
                            {
                                "rules": [
                                    {
                                        "type": "alerting",
                                        "name": "A",
                                        "query": "x[5m]",
                                        "duration": 60,
                                    }
                                ]
                            }
                        ]
                    }
                what = "rules" if "rules" in self.path else "query"
                body = json.dumps(
                    quiet.says.get(what, {"status": "success", "data": result})
                ).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.answers.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def quiet() -> Iterator[Quiet]:
    server = Quiet()
    yield server
    server.stop()


async def test_a_silent_prometheus_is_queried_once_and_delays_nothing_else(
    quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import remediator.prometheus as adapter

    monkeypatch.setattr(adapter, "TIMEOUT", 1.0)
    monkeypatch.setattr(adapter, "ASK_AGAIN", 1.0)
    port = PrometheusApi(quiet.url)
    assert isinstance(await port.holds("up"), Unknown)
    started = time.monotonic()
    answers = await asyncio.gather(*(port.holds(f"up{n}") for n in range(40)))
    assert all(
        isinstance(answer, Unknown) and "retrying within" in answer.why for answer in answers
    )
    assert time.monotonic() - started < 0.2
    assert len(quiet.asked) == 1
    quiet.answers.set()
    await asyncio.sleep(1.1)
    assert await port.holds("up") is True
    port.close()


async def test_all_together_wait_a_moment_for_the_first_answer_and_not_each_of_them(
    quiet: Quiet,
) -> None:
    port = PrometheusApi(quiet.url)
    first = asyncio.ensure_future(port.holds("up"))
    await asyncio.sleep(0.1)
    started = time.monotonic()
    for number in range(6):
        assert isinstance(await port.holds(f"up{number}"), Unknown)
    assert time.monotonic() - started < 1.2  # each for itself they waited three seconds
    quiet.answers.set()
    assert await first is True
    assert await port.holds("up") is True
    port.close()


async def test_rules_are_read_aside_and_the_last_that_were_read_count(
    quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import remediator.prometheus as adapter

    monkeypatch.setattr(adapter, "FIRST", 0.3)
    monkeypatch.setattr(adapter, "REMEMBERED", 0.1)
    port = PrometheusApi(quiet.url)
    started = time.monotonic()
    assert isinstance(await port.alerting_rule("A"), Unknown)
    assert time.monotonic() - started < 1.0
    quiet.answers.set()
    await asyncio.sleep(0.5)
    known = await port.alerting_rule("A")
    assert isinstance(known, dict)
    quiet.answers.clear()
    await asyncio.sleep(0.2)
    assert await port.alerting_rule("A") == known  # it has gone silent since
    port.close()


async def test_a_scalar_holds_nothing(quiet: Quiet) -> None:
    quiet.answers.set()
    port = PrometheusApi(quiet.url)
    answer = await port.holds("0")
    assert isinstance(answer, Unknown)
    assert "scalar" in answer.why
    assert await port.holds("up") is True
    port.close()


async def test_a_prometheus_that_refuses_its_rules_answers_queries(quiet: Quiet) -> None:
    quiet.answers.set()
    quiet.refuses_rules = True
    port = PrometheusApi(quiet.url)
    for _ in range(5):
        rule = await port.alerting_rule("A")
        assert isinstance(rule, Unknown)
        assert "cannot read Prometheus' rules: 403" in rule.why
        assert await port.holds("up") is True
    # and is not asked for them again at once
    assert sum("rules" in path for path in quiet.asked) == 1
    port.close()


async def test_what_is_no_answer_of_a_prometheus_is_unknown(quiet: Quiet) -> None:
    quiet.answers.set()
    vector = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}
    for said in wrongly({"status": "success", "data": vector}):
        quiet.says = {"query": said}
        port = PrometheusApi(quiet.url)
        answer = await port.holds("up")
        port.close()
        assert answer is not False or said["data"]["result"] == [], said
        assert answer is not True or said["data"]["result"], said
    groups = [
        {
            "rules": [
                {
                    "type": "alerting",
                    "name": "A",
                    "query": "x[5m]",
                    "duration": 60,
                    "keepFiringFor": 0,
                }
            ]
        }
    ]
    for said in wrongly({"status": "success", "data": {"groups": groups}}):
        quiet.says = {"rules": said}
        port = PrometheusApi(quiet.url)
        rule = await port.alerting_rule("A")
        port.close()
        assert (
            rule is None or isinstance(rule, Unknown) or resolved_within(rule, "") > timedelta()
        ), said
