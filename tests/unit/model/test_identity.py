"""Which deliveries are one episode."""

from datetime import UTC, datetime, timedelta

import pytest

from remediator.model.alert import Alert, AlertStatus
from remediator.model.identity import Change, Known, decide

T = datetime(2026, 5, 1, 12, tzinfo=UTC)
M = timedelta(minutes=1)
OPEN = Known(T, T + 5 * M)
CLOSED = Known(closed_end=T + 10 * M)


def firing(at: datetime) -> Alert:
    return Alert("f", AlertStatus.FIRING, {}, {}, at, None)


def resolved(at: datetime, end: datetime) -> Alert:
    return Alert("f", AlertStatus.RESOLVED, {}, {}, at, end)


@pytest.mark.parametrize(
    ("name", "alert", "known", "expected"),
    [
        ("first", firing(T), Known(), Change.OPEN),
        ("a re-send", firing(T), OPEN, Change.REFRESH),
        ("an earlier startsAt after a merge", firing(T - 5 * M), OPEN, Change.REFRESH),
        ("startsAt within the slack", firing(T + 6 * M), OPEN, Change.REFRESH),
        ("a re-fire whose end was never seen", firing(T + 7 * M), OPEN, Change.REPLACE),
        ("resolved", resolved(T, T + 6 * M), OPEN, Change.CLOSE),
        (
            "resolved, from before this episode",
            resolved(T - 9 * M, T - 8 * M),
            OPEN,
            Change.DUPLICATE,
        ),
        ("resolved without firing", resolved(T, T + M), Known(), Change.RECORD_CLOSED),
        ("resolved again", resolved(T, T + 10 * M), CLOSED, Change.DUPLICATE),
        ("firing after resolved: late, or found again", firing(T), CLOSED, Change.REOPEN_LATER),
        ("a new firing after the end", firing(T + 11 * M), CLOSED, Change.OPEN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decide(name: str, alert: Alert, known: Known, expected: Change) -> None:
    assert decide(alert, known) is expected
