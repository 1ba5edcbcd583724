"""Time intervals as Alertmanager reads them: every field, time zones, and what is no interval."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from remediator.rules.sections import IntervalEntry, TimeInterval


def contains(entry: dict[str, Any], moment: str) -> bool:
    named = TimeInterval.model_validate({"name": "x", "time_intervals": [entry]}).named
    return named.contains(datetime.fromisoformat(moment).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("entry", "moment", "expected"),
    [
        ({}, "2026-05-01T12:00", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-05-01T09:00", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-05-01T16:59:59", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-05-01T17:00", False),
        ({"times": [{"start_time": "00:00", "end_time": "24:00"}]}, "2026-05-01T23:59:59", True),
        ({"weekdays": ["monday:friday"]}, "2026-05-01T00:00", True),
        ({"weekdays": ["monday:friday"]}, "2026-05-02T00:00", False),
        ({"weekdays": ["Sunday"]}, "2026-05-03T00:00", True),
        ({"days_of_month": ["1:5", "-3:-1"]}, "2026-05-05T00:00", True),
        ({"days_of_month": ["1:5", "-3:-1"]}, "2026-05-06T00:00", False),
        ({"days_of_month": ["-1"]}, "2026-02-28T00:00", True),
        ({"days_of_month": ["-1"]}, "2028-02-28T00:00", False),
        ({"days_of_month": ["30:31"]}, "2026-02-28T00:00", False),
        ({"days_of_month": ["1:-1"]}, "2026-02-28T00:00", True),
        ({"months": ["november:december", "2"]}, "2026-12-01T00:00", True),
        ({"months": ["november:december", "2"]}, "2026-02-01T00:00", True),
        ({"months": ["1:3"]}, "2026-04-01T00:00", False),
        ({"years": ["2026:2027"]}, "2027-12-31T00:00", True),
        ({"years": [2025]}, "2026-01-01T00:00", False),
        ({"weekdays": ["friday"], "months": ["may"]}, "2026-05-01T00:00", True),
        ({"weekdays": ["friday"], "months": ["june"]}, "2026-05-01T00:00", False),
        (
            {"times": [{"start_time": "09:00", "end_time": "17:00"}], "location": "Europe/Berlin"},
            "2026-05-01T15:00",
            False,
        ),
        (
            {"times": [{"start_time": "09:00", "end_time": "17:00"}], "location": "Europe/Berlin"},
            "2026-05-01T07:00",
            True,
        ),
        (
            {"times": [{"start_time": "09:00", "end_time": "17:00"}], "location": "Europe/Berlin"},
            "2026-01-01T07:30",
            False,
        ),
        ({"weekdays": ["saturday"], "location": "Pacific/Auckland"}, "2026-05-01T13:00", True),
    ],
)
def test_a_moment_and_an_interval(entry: dict[str, Any], moment: str, expected: bool) -> None:
    assert contains(entry, moment) is expected


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"times": [{"start_time": "17:00", "end_time": "09:00"}]}, "ends before it starts"),
        ({"times": [{"start_time": "9", "end_time": "17:00"}]}, "invalid time of day"),
        ({"times": [{"start_time": "09:00", "end_time": "24:01"}]}, "later than 24:00"),
        ({"times": [{"start": "09:00", "end_time": "17:00"}]}, "needs `start_time` and `end_time`"),
        ({"weekdays": ["moonday"]}, "sunday to saturday"),
        ({"weekdays": ["1:5"]}, "sunday to saturday"),
        ({"weekdays": ["friday:monday"]}, "ends before it starts"),
        ({"days_of_month": ["0"]}, "-31 to 31"),
        ({"days_of_month": ["5:1"]}, "ends before it starts"),
        ({"months": ["13"]}, "1 to 12"),
        ({"location": "Mars/Olympus"}, "unknown time zone"),
        ({"weekdays": "monday"}, "write a list"),
    ],
)
def test_what_is_no_interval_is_said(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        IntervalEntry.model_validate(entry)
