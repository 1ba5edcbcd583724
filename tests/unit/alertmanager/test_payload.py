"""Webhook bodies with anything odd in them: what is read, what is refused, and where."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.alertmanager.payload import (
    FIRST,
    LAST,
    MOST_ALERTS,
    BadPayload,
    alerts_of,
    decode,
    tally,
)
from remediator.model.alert import Alert

NEVER = "0001-01-01T00:00:00Z"
LABELS = {"alertname": "A", "severity": "critical"}


def item(**more: Any) -> dict[str, Any]:
    """A firing alert as Alertmanager sends it."""
    return {
        "status": "firing",
        "labels": LABELS,
        "annotations": {},
        "startsAt": "2026-05-01T12:00:00.123456789Z",
        "endsAt": NEVER,
        "generatorURL": "http://p/graph",
        "fingerprint": "c1d2e3f4a5b60718",
        **more,
    }


def body(*items: dict[str, Any], **more: Any) -> bytes:
    given = {"version": "4", "status": "firing", "alerts": items, "truncatedAlerts": 0, **more}
    return json.dumps(given).encode()


def read(**more: Any) -> Alert:
    (alert,) = alerts_of(decode(body(item(**more))))
    return alert


def refused(text: bytes) -> str:
    with pytest.raises(BadPayload) as raised:
        decode(text)
    return str(raised.value)


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"status": "resolved"}, "alerts.0.status"),
        ({"alerts": None}, "alerts"),
        ({"alerts": {}}, "alerts"),
        ({"version": 4}, "version"),
        ({"version": "5"}, "version"),
        ({"version": None}, "version"),
        ({"truncatedAlerts": -1}, "truncatedAlerts"),
    ],
    ids=str,
)
def test_the_place_of_a_mistake_is_said(more: dict[str, Any], at: str) -> None:
    given = [item(status="pending")] if "status" in more else [item()]
    assert refused(body(*given, **more)).startswith(f"{at}: ")


@pytest.mark.parametrize("key", ["status", "labels", "startsAt", "fingerprint"])
@pytest.mark.parametrize("missing", [True, False], ids=["missing", "null"])
def test_an_alert_without_what_it_needs_is_refused_with_its_number(key: str, missing: bool) -> None:
    wrong = {k: v for k, v in item().items() if k != key} if missing else item(**{key: None})
    assert refused(body(item(), wrong)).startswith(f"alerts.1.{key}: ")


@pytest.mark.parametrize("key", ["annotations", "endsAt", "generatorURL"])
def test_an_alert_without_what_it_can_do_without_is_read(key: str) -> None:
    without = {k: v for k, v in item(status="resolved").items() if k != key}
    (alert,) = alerts_of(decode(body(without)))
    assert alert.ends_at is not None
    assert (alert.annotations, alert.generator_url) == (
        {},
        "" if key == "generatorURL" else "http://p/graph",
    )


@pytest.mark.parametrize(
    "value", ["", "../x", "a b", "é", "x" * 65, "c1d2\n", "a/b", 7, None, ["c1d2"]]
)
def test_a_fingerprint_that_could_lead_elsewhere_is_refused(value: Any) -> None:
    assert "fingerprint" in refused(body(item(fingerprint=value)))


@pytest.mark.parametrize("value", ["x" * 64, "0", "A-b_9"])
def test_a_fingerprint_of_letters_and_digits_is_read(value: str) -> None:
    assert read(fingerprint=value).fingerprint == value


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"alertname": ""},
        {"alertname": "Ä\u0000\u202e😀", "k:e/y ": "v\n"},
        {f"l{n}": "x" * 1000 for n in range(100)},
        {"": "an empty name"},
        {"__proto__": "x", "constructor": "y"},
    ],
    ids=["none", "empty", "unicode", "many", "no name", "words of a language"],
)
def test_labels_are_kept_as_they_are(labels: dict[str, str]) -> None:
    alert = read(labels=labels)
    assert alert.labels == labels
    assert alert.name == labels.get("alertname", "")


@pytest.mark.parametrize("value", [1, True, None, ["x"], {"a": "b"}])
def test_a_label_that_is_no_text_is_refused(value: Any) -> None:
    assert refused(body(item(labels={"a": value}))).startswith("alerts.0.labels.a")


def test_a_firing_alert_has_no_end_whatever_is_sent_as_one() -> None:
    assert read().ends_at is None
    assert read(endsAt="2026-05-01T13:00:00Z").ends_at is None


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("2026-05-01T12:30:00Z", datetime(2026, 5, 1, 12, 30, tzinfo=UTC)),
        ("2026-05-01T14:30:00+02:00", datetime(2026, 5, 1, 12, 30, tzinfo=UTC)),
        (NEVER, FIRST),
        (None, datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)),
    ],
    ids=["UTC", "elsewhere", "never", "not said"],
)
def test_a_resolved_alert_always_has_an_end(ends: str | None, expected: datetime) -> None:
    assert read(status="resolved", endsAt=ends).ends_at == expected


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        (NEVER, FIRST),
        ("1969-12-31T23:59:59Z", FIRST),
        ("1970-01-01T00:00:00Z", FIRST),
        ("2200-01-01T00:00:00Z", LAST),
        ("9999-12-31T23:59:59Z", LAST),
        ("9999-12-31T23:59:59-14:00", LAST),
        ("0001-01-01T00:00:00+14:00", FIRST),
    ],
)
def test_a_time_that_cannot_be_reckoned_with_becomes_the_nearest_that_can(
    starts: str, expected: datetime
) -> None:
    assert read(startsAt=starts).starts_at == expected


@pytest.mark.parametrize("value", ["2026-05-01T12:00:00", "", "now", "2026-13-01T00:00:00Z", {}])
def test_a_time_that_is_none_or_has_no_zone_is_refused(value: Any) -> None:
    assert refused(body(item(startsAt=value))).startswith("alerts.0.startsAt: ")


def test_as_many_alerts_as_can_be_are_read_and_one_more_is_not() -> None:
    assert len(decode(body(*[item()] * MOST_ALERTS)).alerts) == MOST_ALERTS
    assert refused(body(*[item()] * (MOST_ALERTS + 1))).startswith("alerts: ")


def test_a_webhook_without_alerts_is_one_of_none() -> None:
    assert alerts_of(decode(body())) == ()
    assert tally(decode(body())).alerts == {}


def test_what_was_truncated_is_counted_even_where_nothing_else_came() -> None:
    assert tally(decode(body(truncatedAlerts=2**40))).truncated == 2**40


def test_the_tally_counts_by_status_and_severity_of_each_alert() -> None:
    quiet = item(status="resolved", labels={"alertname": "B", "severity": ""})
    counted = tally(decode(body(item(), item(), quiet, item(labels={}), status="resolved")))
    assert counted.alerts == {
        ("firing", "critical"): 2,
        ("resolved", ""): 1,
        ("firing", None): 1,
    }
    assert counted.names == {"A", "B", ""}


def test_the_same_alert_twice_is_read_twice_and_in_order() -> None:
    """Alertmanager never merges them; what came last may be newer."""
    alerts = alerts_of(decode(body(item(), item(status="resolved"), item())))
    assert [str(alert.status) for alert in alerts] == ["firing", "resolved", "firing"]


@given(
    st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3), max_size=3),
    st.booleans(),
)
def test_labels_come_back_as_they_were_sent(sets: list[dict[str, str]], ascii_only: bool) -> None:
    alerts = [item(labels=labels) for labels in sets]
    sent = json.dumps({"version": "4", "alerts": alerts}, ensure_ascii=ascii_only)
    assert [dict(a.labels) for a in alerts_of(decode(sent.encode()))] == sets


@given(st.binary(max_size=30), st.integers(0, 400))
def test_a_body_that_was_damaged_is_read_or_refused_in_few_words(noise: bytes, at: int) -> None:
    whole = body(item())
    try:
        alerts = alerts_of(decode(whole[:at] + noise + whole[at + len(noise) :]))
    except BadPayload as error:
        said = str(error)
    else:
        said = "read"
        assert all(FIRST <= alert.starts_at <= LAST for alert in alerts)
    assert 0 < len(said) <= 300
