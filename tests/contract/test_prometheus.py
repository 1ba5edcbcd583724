"""The Prometheus port on a real Prometheus.

What holds, what rules say, and Unknown for every failure.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import yaml

import remediator.prometheus as adapter
from remediator.model.facts import Unknown
from remediator.model.target import Target
from remediator.prometheus import PrometheusApi, SandboxPrometheus
from remediator.rules.lookback import resolved_within
from remediator.rules.templates import render
from tests.real.parts import Processes, binary, free_port

RULES = {
    "groups": [
        {
            "name": "g",
            "rules": [
                {"record": "job:up:max10m", "expr": "max_over_time(up[10m])"},
                {"alert": "Slow", "expr": "job:up:max10m offset 20m == 0", "keep_firing_for": "5m"},
            ],
        }
    ]
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [
            {"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        ],
    }
    (folder / "prom.yaml").write_text(yaml.safe_dump(config))
    processes = Processes(folder)
    arguments = [
        f"--config.file={folder}/prom.yaml",
        f"--storage.tsdb.path={folder}/d",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    processes.start("prometheus", [binary("prometheus", "prometheus"), *arguments])
    yield f"http://127.0.0.1:{port}"
    processes.stop()


@pytest.fixture
def prometheus(url: str) -> Iterator[PrometheusApi]:
    api = PrometheusApi(url)
    yield api
    api.close()


async def settled(api: PrometheusApi, query: str) -> Any:
    for _ in range(100):
        answer = await api.holds(query)
        if answer is True:
            return answer
        time.sleep(0.2)
    return answer


async def test_a_query_holds_where_it_returns_something(prometheus: PrometheusApi) -> None:
    assert await settled(prometheus, 'up{job="self"} == 1') is True
    assert await prometheus.holds('up{job="nobody"}') is False
    assert isinstance(await prometheus.holds("up{"), Unknown)


async def test_a_label_cannot_change_the_query(prometheus: PrometheusApi) -> None:
    assert await settled(prometheus, "up") is True
    evil = Target("c", "Deployment", "shop", "web")
    text = render(
        'up{job="{{ labels.app }}"}',
        {"app": 'x"} or vector(1) or up{job="'},
        evil,
        evil,
        promql=True,
    )
    assert await prometheus.holds(text) is False


async def test_the_look_back_of_a_rule_is_read_with_its_recording_rules(
    prometheus: PrometheusApi,
) -> None:
    await settled(prometheus, "up")
    rule = await prometheus.alerting_rule("Slow")
    assert isinstance(rule, dict)
    assert resolved_within(rule, "") == timedelta(minutes=10 + 20 + 5 + 5)
    assert await prometheus.alerting_rule("Nobody") is None


async def test_without_one_or_when_it_is_down_everything_is_unknown() -> None:
    for api in (PrometheusApi(""), PrometheusApi(f"http://127.0.0.1:{free_port()}")):
        assert isinstance(await api.holds("up"), Unknown)
        assert isinstance(await api.alerting_rule("A"), Unknown)
        api.close()


async def test_one_that_does_not_answer_is_unknown_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(2)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(adapter, "TIMEOUT", 0.3)
    api = PrometheusApi(f"http://127.0.0.1:{server.server_address[1]}")
    started = time.monotonic()
    assert isinstance(await api.holds("up"), Unknown)
    assert time.monotonic() - started < 2
    api.close()
    server.shutdown()
    server.server_close()


async def test_the_sandbox_answers_what_was_put_into_it() -> None:
    sandbox = SandboxPrometheus()
    sandbox.true.add("up")
    assert (
        await sandbox.holds("up"),
        await sandbox.holds("down"),
        await sandbox.alerting_rule("A"),
    ) == (True, False, None)
