"""Webhook bodies: captured ones of 0.25 to 0.33, and everything that is none."""

import json
from pathlib import Path

import pytest

from remediator.alertmanager.payload import BadPayload, alerts_of, decode
from remediator.model.alert import AlertStatus

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "alertmanager").glob("*.json"))
GOOD = json.loads(next(p for p in FIXTURES if p.name == "firing-0.33.json").read_text())


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_captured_bodies_are_read(path: Path) -> None:
    alerts = alerts_of(decode(path.read_bytes()))
    assert alerts
    assert all((alert.ends_at is None) is (alert.status is AlertStatus.FIRING) for alert in alerts)


def test_each_alert_has_its_own_status_and_truncation_is_counted() -> None:
    body = next(p for p in FIXTURES if p.name.startswith("mixed")).read_bytes()
    webhook = decode(body)
    assert [alert.status for alert in alerts_of(webhook)] == ["resolved", "firing"]
    assert webhook.truncatedAlerts == 1


def test_two_thousand_alerts_are_all_read() -> None:
    assert (
        len(alerts_of(decode(json.dumps({**GOOD, "alerts": GOOD["alerts"] * 2000}).encode())))
        == 2000
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version":"4","alerts":' + b'{"a":' * 50_000,
        json.dumps({**GOOD, "version": "3"}).encode(),
        json.dumps({k: v for k, v in GOOD.items() if k != "alerts"}).encode(),
        json.dumps(
            {**GOOD, "alerts": [{k: v for k, v in GOOD["alerts"][0].items() if k != "labels"}]}
        ).encode(),
        json.dumps({**GOOD, "alerts": [{**GOOD["alerts"][0], "labels": {"a": 1}}]}).encode(),
        json.dumps({**GOOD, "alerts": [{**GOOD["alerts"][0], "startsAt": "yesterday"}]}).encode(),
        json.dumps({**GOOD, "alerts": [{**GOOD["alerts"][0], "fingerprint": "../x"}]}).encode(),
    ],
)
def test_what_is_no_webhook_is_refused_in_few_words(body: bytes) -> None:
    with pytest.raises(BadPayload) as error:
        decode(body)
    assert len(str(error.value)) <= 300


def test_unknown_fields_are_ignored() -> None:
    assert (
        len(
            decode(
                json.dumps(
                    {**GOOD, "routeLabels": {}, "notification_reason": "x", "new": [1]}
                ).encode()
            ).alerts
        )
        == 1
    )


def test_a_long_annotation_is_no_reason_to_lose_an_alert() -> None:
    alert = {**GOOD["alerts"][0], "annotations": {"description": "x" * 1_000_000}}
    (read,) = alerts_of(decode(json.dumps({**GOOD, "alerts": [alert]}).encode()))
    assert len(read.annotations["description"]) == 1_000_000
