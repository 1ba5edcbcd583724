"""The Alertmanager port's contract, on the sandbox and on a real Alertmanager.

And what `init` writes, held against it.
"""

import json
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.alertmanager.client import AlertmanagerApi
from remediator.alertmanager.payload import alerts_of, decode
from remediator.alertmanager.sandbox import SandboxAlertmanager
from remediator.cli.starter import write
from remediator.model.alert import Activity, Alert, AlertStatus
from remediator.model.facts import Unknown
from tests.real.parts import AlertmanagerServer, binary, until

LABELS = {"alertname": "A", "namespace": "shop", "pod": 'p"1'}


def now() -> datetime:
    return datetime.now(UTC)


class Sink:
    """A webhook receiver that remembers what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self, name: str, status: str = "firing") -> list[Any]:
        seen = chain.from_iterable(json.loads(body)["alerts"] for body in self.bodies)
        return [
            alert
            for alert in seen
            if alert["labels"]["alertname"] == name and alert["status"] == status
        ]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    built = Sink()
    yield built
    built.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AlertmanagerServer]:
    built = AlertmanagerServer(tmp_path)
    yield built
    built.stop()


class World:
    """One alert that fires, seen through an adapter."""

    def __init__(self, port: Any, server: AlertmanagerServer | None) -> None:
        self.port, self.server = port, server
        self.alert = Alert("0" * 16, AlertStatus.FIRING, LABELS, {}, now(), None)

    def fire(self) -> None:
        if self.server is None:
            self.port.delivered("s", [self.alert])
            return
        self.server.fire(LABELS)
        found = until(
            lambda: self.server and self.server.ask("GET", "/api/v2/alerts"), "the alert", 10
        )
        self.alert = Alert(found[0]["fingerprint"], AlertStatus.FIRING, LABELS, {}, now(), None)

    def silence(self) -> None:
        if self.server is None:
            self.port.silenced.add(self.alert.fingerprint)
        else:
            self.server.silence({"alertname": "A"})

    def stop(self) -> None:
        if self.server is None:
            self.port.unreachable = True
        else:
            self.server.stop()


@pytest.fixture(params=["sandbox", "alertmanager"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "sandbox":
        yield World(SandboxAlertmanager(), None)
        return
    server = AlertmanagerServer(tmp_path)
    server.start({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
    api = AlertmanagerApi({"s": (server.url,)}, now, settled=timedelta(), remembered=timedelta())
    yield World(api, server)
    await api.close()
    server.stop()


async def test_what_fires_is_active_and_what_does_not_is_not_listed(world: World) -> None:
    assert await world.port.activity("s", world.alert) is Activity.NOT_LISTED
    world.fire()
    assert await world.port.activity("s", world.alert) is Activity.ACTIVE
    assert list(await world.port.firing("s")) == [LABELS]


async def test_another_alert_s_fingerprint_proves_nothing(server: AlertmanagerServer) -> None:
    server.start({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
    server.fire(LABELS)
    found = until(lambda: server.ask("GET", "/api/v2/alerts"), "the alert", 10)
    api = AlertmanagerApi({"s": (server.url,)}, now, settled=timedelta(), remembered=timedelta())
    # they come first, and match whatever has no such label
    padded = {f"A{n:02}": "" for n in range(20)}
    forged = Alert(
        found[0]["fingerprint"],
        AlertStatus.FIRING,
        {**padded, "alertname": "Other", "namespace": "db"},
        {},
        now(),
        None,
    )
    assert await api.activity("s", forged) is Activity.NOT_LISTED
    await api.close()


async def test_a_silenced_alert_is_silenced(world: World) -> None:
    world.fire()
    world.silence()
    for _ in range(50):
        if await world.port.activity("s", world.alert) is Activity.SILENCED:
            return
        time.sleep(0.1)
    raise AssertionError("the silence is not seen")


async def test_what_cannot_be_asked_is_unknown(world: World) -> None:
    world.fire()
    world.stop()
    assert await world.port.activity("s", world.alert) is Activity.UNKNOWN
    assert isinstance(await world.port.firing("s"), Unknown)


async def test_a_young_alertmanager_is_not_believed_when_it_lists_nothing(
    server: AlertmanagerServer,
) -> None:
    server.start({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
    api = AlertmanagerApi({"s": (server.url,)}, now)
    alert = Alert("0" * 16, AlertStatus.FIRING, LABELS, {}, now(), None)
    assert await api.activity("s", alert) is Activity.UNKNOWN
    assert await api.activity("another", alert) is Activity.UNKNOWN
    await api.close()


async def test_an_inhibited_alert_is_inhibited(server: AlertmanagerServer) -> None:
    inhibit = {"source_matchers": ['alertname="Cause"'], "target_matchers": ['alertname="A"']}
    server.start(
        {"route": {"receiver": "none"}, "receivers": [{"name": "none"}], "inhibit_rules": [inhibit]}
    )
    api = AlertmanagerApi({"s": (server.url,)}, now, settled=timedelta(), remembered=timedelta())
    server.fire({"alertname": "Cause"})
    server.fire(LABELS)
    found = until(
        lambda: [a for a in server.ask("GET", "/api/v2/alerts") if a["status"]["inhibitedBy"]],
        "the inhibition",
        20,
    )
    alert = Alert(found[0]["fingerprint"], AlertStatus.FIRING, LABELS, {}, now(), None)
    assert await api.activity("s", alert) is Activity.INHIBITED
    await api.close()


def test_what_this_version_sends_is_read(server: AlertmanagerServer, sink: Sink) -> None:
    route = {"receiver": "r", "group_wait": "0s", "group_interval": "1s", "group_by": ["..."]}
    receiver = {"name": "r", "webhook_configs": [{"url": sink.url, "send_resolved": True}]}
    server.start({"route": route, "receivers": [receiver]})
    server.fire(LABELS)
    until(lambda: sink.alerts("A"), "the firing alert", 20)
    server.fire(LABELS, ended=True)
    until(lambda: sink.alerts("A", "resolved"), "the resolved alert", 20)
    alerts = list(chain.from_iterable(alerts_of(decode(body)) for body in sink.bodies))
    assert {alert.status for alert in alerts} == set(AlertStatus)
    assert all(dict(alert.labels) == LABELS for alert in alerts)


def test_amtool_accepts_the_routes_that_init_writes(tmp_path: Path) -> None:
    write(tmp_path)
    command = [
        binary("alertmanager", "amtool"),
        "check-config",
        str(tmp_path / "alertmanager.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


def test_healed_before_paged(server: AlertmanagerServer, sink: Sink, tmp_path: Path) -> None:
    """The routes of `init`, their waits made short.

    What heals in time pages nobody, what does not is paged.
    """
    write(tmp_path / "init")
    text = (
        (tmp_path / "init" / "alertmanager.yaml")
        .read_text()
        .replace("group_wait: 5m", "group_wait: 6s")
    )
    config = yaml.safe_load(text.replace("http://127.0.0.1:9099/webhook", sink.url))
    pager = Sink()
    config["receivers"] = [r for r in config["receivers"] if r["name"] != "pager"]
    config["receivers"].append({"name": "pager", "webhook_configs": [{"url": pager.url}]})
    server.start(config)
    healed = {"alertname": "KubePodCrashLooping", "pod": "healed"}
    server.fire(healed)
    server.fire({"alertname": "KubePodCrashLooping", "pod": "broken"})
    until(lambda: len(sink.alerts("KubePodCrashLooping")) == 2, "both alerts at remediator", 4)
    server.fire(healed, ended=True)
    until(lambda: pager.alerts("KubePodCrashLooping"), "the page", 20)
    time.sleep(2)
    assert {alert["labels"]["pod"] for alert in pager.alerts("KubePodCrashLooping")} == {"broken"}
    pager.stop()


KPS: dict[str, Any] = {  # as kube-prometheus-stack generates it
    "global": {"resolve_timeout": "5m"},
    "inhibit_rules": [
        {
            "source_matchers": ['severity = "critical"'],
            "target_matchers": ['severity =~ "warning|info"'],
            "equal": ["namespace"],
        }
    ],
    "route": {
        "group_by": ["namespace"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "12h",
        "receiver": "null",
        "routes": [{"receiver": "null", "matchers": ['alertname = "Watchdog"']}],
    },
    "receivers": [{"name": "null"}],
}


def test_the_page_s_route_merges_into_kube_prometheus_stack_s(tmp_path: Path) -> None:
    """The tutorial, step 4, word by word.

    The Watchdog comes here although the stack sends it to `null`.
    """
    page = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
    step = page[page.index("## 4. Send alerts to it") : page.index("## 5.")]
    block = yaml.safe_load(
        "\n".join(
            line[4:]
            for line in step.split("receivers:\n")[0].splitlines()
            if line.startswith("    ")
        )
    )
    receivers = yaml.safe_load(
        "receivers:\n"
        + step.split("    receivers:\n")[1].split("\n\n")[0].replace("\n    ", "\n")[4:]
    )
    (ours,) = receivers["receivers"]
    secret = re.search(r"create secret generic (\w+) --from-file=(\w+)", step)
    assert secret is not None
    path = ours["webhook_configs"][0]["http_config"]["authorization"]["credentials_file"]
    # the operator mounts each as a folder
    assert path == f"/etc/alertmanager/secrets/{secret.group(1)}/{secret.group(2)}"
    assert f"secrets: [{secret.group(1)}]" in step
    (tmp_path / "token").write_text("t")
    text = yaml.safe_dump(
        {
            **KPS,
            "route": {
                **KPS["route"],
                "routes": [*block["route"]["routes"], *KPS["route"]["routes"]],
            },
            "receivers": [*KPS["receivers"], ours],
        }
    )
    config = tmp_path / "alertmanager.yaml"
    config.write_text(text.replace(path, str(tmp_path / "token")))
    amtool = binary("alertmanager", "amtool")
    assert (
        subprocess.run([amtool, "check-config", str(config)], capture_output=True).returncode == 0
    )

    def receives(*labels: str) -> str:
        done = subprocess.run(
            [amtool, "config", "routes", "test", f"--config.file={config}", *labels],
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    assert receives("alertname=Watchdog", "severity=none") == "remediator,null"
    assert receives("alertname=KubePodCrashLooping", "namespace=shop") == "remediator"
