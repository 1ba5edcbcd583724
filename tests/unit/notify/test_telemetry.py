"""Metrics never grow by what labels of alerts hold, and a line of the log is one line."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from remediator import telemetry
from remediator.model.alert import AlertStatus, Fate
from remediator.notify.log import LogReceiver
from remediator.telemetry import METRICS, SEVERITIES, Metrics, severity_of
from tests.contract.test_notify import MESSAGE


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric, by the values of its labels in the order of their names."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == f"remediator_{name}":
                found[tuple(sample.labels[key] for key in sorted(sample.labels))] = sample.value
    return found


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("critical", "critical"),
        ("Critical", "critical"),
        ("INFO", "info"),
        (None, "none"),
        ("", "none"),
        ("none", "none"),
        ("page", "other"),
        ("critical ", "other"),
        ("other", "other"),
    ],
)
def test_a_severity_is_one_of_five(label: str | None, expected: str) -> None:
    assert severity_of(label) == expected


@given(st.text())
def test_no_severity_is_a_new_label(label: str) -> None:
    assert severity_of(label) in SEVERITIES


def test_what_alerts_could_count_is_there_before_the_first() -> None:
    metrics = Metrics()
    received = samples(metrics, "alerts_received_total")
    assert set(received.values()) == {0.0}
    assert len(received) == len(SEVERITIES) * len(AlertStatus)
    assert len(samples(metrics, "episodes_total")) == len(SEVERITIES) * len(Fate)
    assert {"200", "400", "401", "413", "503"} == {
        code for (code,) in samples(metrics, "webhook_requests_total")
    }


@given(st.lists(st.integers(0, 1000), max_size=6))
def test_a_counter_is_the_sum_of_what_was_added(added: list[int]) -> None:
    metrics = Metrics()
    for amount in added:
        metrics.count("webhook_requests_total", "418", by=amount)
    assert samples(metrics, "webhook_requests_total").get(("418",), 0) == sum(added)


def test_a_gauge_is_what_was_set_last_and_each_label_has_its_own() -> None:
    metrics = Metrics()
    for value, scope in ((1, "all"), (0, "all"), (1, "rule")):
        metrics.set("paused", value, scope)
    assert samples(metrics, "paused") == {("all",): 0, ("rule",): 1}


def test_two_daemons_in_one_process_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.count("worker_errors_total")
    assert samples(one, "worker_errors_total") == {(): 1}
    assert samples(other, "worker_errors_total") == {(): 0}


def test_making_a_series_exist_counts_nothing_and_keeps_what_was_counted() -> None:
    metrics = Metrics()
    metrics.count("webhook_requests_total", "200")
    metrics.zero("webhook_requests_total", "200")
    assert samples(metrics, "webhook_requests_total")["200",] == 1


@pytest.mark.parametrize(
    ("name", "seconds", "longest"),
    [
        ("webhook_request_duration_seconds", 0.0009, 10),
        ("alert_delivery_delay_seconds", 299, 14400),
    ],
)
def test_a_histogram_tells_what_its_durations_are_like(
    name: str, seconds: float, longest: float
) -> None:
    metrics = Metrics()
    metrics.observe(name, seconds)
    buckets = {float(le): count for (le,), count in samples(metrics, f"{name}_bucket").items()}
    assert max(le for le in buckets if le != float("inf")) == longest
    assert all(count == (le >= seconds) for le, count in buckets.items())


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_is_named_as_prometheus_advises(name: str) -> None:
    kind, text, labels = METRICS[name]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert name.endswith("_total") is (kind.__name__ == "Counter")
    assert kind is not Histogram or name.endswith("_seconds")
    assert text.endswith(".")
    assert not {"le", "quantile", "job", "instance"} & set(labels)


def test_what_is_written_to_a_metric_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError):
        Metrics().count("webhok_requests_total", "200")


HOSTILE = 'x\n{"event": "serving"}\r\x1b[2J\u2028"'


async def test_a_notification_is_one_line_of_json_whatever_labels_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry.configure_log()
    await LogReceiver().notify(replace(MESSAGE, why=HOSTILE))
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["why"] == HOSTILE


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_log_has_what_its_level_admits(
    level: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure_log(level)
    for name in ("debug", "info", "warning", "error"):
        getattr(telemetry.log(), name)("event", number=1)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines] == shown
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_an_exception_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_log()
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        telemetry.log().exception("worker_error", task="t")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: first\nsecond" in json.loads(line)["exception"]
