"""The Alertmanager in memory says what a real one would."""

from dataclasses import replace

import pytest

from remediator.alertmanager.sandbox import SandboxAlertmanager
from remediator.model.alert import Activity, Alert, AlertStatus
from tests.unit.objects import MINUTE, T

FIRING = Alert("f1", AlertStatus.FIRING, {"alertname": "A"}, {}, T, None)
RESOLVED = replace(FIRING, status=AlertStatus.RESOLVED, ends_at=T + MINUTE)


@pytest.mark.parametrize(
    ("delivered", "expected"),
    [
        ([], Activity.NOT_LISTED),
        ([FIRING], Activity.ACTIVE),
        ([FIRING, FIRING], Activity.ACTIVE),
        ([FIRING, RESOLVED], Activity.NOT_LISTED),
        ([RESOLVED], Activity.NOT_LISTED),
        ([RESOLVED, RESOLVED, FIRING], Activity.ACTIVE),
    ],
    ids=["nothing", "firing", "twice", "and resolved", "only resolved", "once more"],
)
async def test_what_was_delivered_last_counts(delivered: list[Alert], expected: Activity) -> None:
    sandbox = SandboxAlertmanager()
    for alert in delivered:
        sandbox.delivered("s", [alert])
    assert await sandbox.activity("s", FIRING) is expected
    assert await sandbox.activity("another", FIRING) is Activity.NOT_LISTED
    assert await sandbox.firing("s") == [FIRING.labels] * (expected is Activity.ACTIVE)


async def test_a_silenced_alert_still_fires() -> None:
    sandbox = SandboxAlertmanager()
    sandbox.delivered("s", [FIRING])
    sandbox.silenced.add("f1")
    assert await sandbox.activity("s", FIRING) is Activity.SILENCED
    assert await sandbox.firing("s") == [{"alertname": "A"}]


async def test_an_alert_that_ended_is_not_listed_silenced_or_not() -> None:
    """Of a silenced alert no end is ever delivered, so it is asked for."""
    sandbox = SandboxAlertmanager()
    sandbox.silenced.add("f1")
    for alerts in ([FIRING], [RESOLVED]):
        sandbox.delivered("s", alerts)
    assert await sandbox.activity("s", FIRING) is Activity.NOT_LISTED
