"""How long an alert goes on after a perfect repair."""

from datetime import timedelta
from typing import Any

import pytest

from remediator.rules.lookback import look_back, resolved_within

M = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("name", "rule", "url", "expected"),
    [
        ("no look-back", {"query": "up == 0"}, "", 15 * M),
        ("a window", {"query": "increase(restarts[1h]) > 5"}, "", 65 * M),
        ("the longest of two", {"query": "rate(a[5m]) / rate(b[30m])"}, "", 35 * M),
        ("an offset", {"query": "a offset 20m > 1"}, "", 25 * M),
        ("a subquery", {"query": "max_over_time(rate(a[5m])[2h:1m])"}, "", 130 * M),
        ("keep_firing_for", {"query": "increase(a[10m])", "keepFiringFor": 600}, "", 25 * M),
        (
            "a recording rule",
            {"query": "job:errors > 1", "recorded": {"job:errors": "rate(errors[1h])"}},
            "",
            65 * M,
        ),
        (
            "one within another",
            {"query": "x > 1", "recorded": {"x": "y[10m]", "y": "rate(z[1h])"}},
            "",
            75 * M,
        ),
        (
            "rules that name each other",
            {"query": "x", "recorded": {"x": "y[1m]", "y": "x[1m]"}},
            "",
            15 * M,
        ),
        (
            "the generator's query",
            None,
            "http://p/graph?g0.expr=increase%28restarts%5B1h%5D%29+%3E+5&g0.tab=1",
            65 * M,
        ),
        ("nothing to be had", None, "", 30 * M),
        ("a foreign URL", None, "http://grafana/alerting/1", 30 * M),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_resolved_within(
    name: str, rule: dict[str, Any] | None, url: str, expected: timedelta
) -> None:
    assert resolved_within(rule, url) == expected


RECORDED = {"job:errors:rate1h": "sum(rate(errors[1h]))"}


@pytest.mark.parametrize(
    ("query", "minutes"),
    [
        ('{"job:errors:rate1h"} > 1', 60),
        ('{__name__="job:errors:rate1h"} > 1', 60),
        ("quantile(scalar(job:errors:rate1h), up) > 1", 60),
        ("rate(job:errors:rate1h[5m] smoothed) > 0", 65),
        ("(" * 3000 + "job:errors:rate1h" + ")" * 3000, 60),
        ("job:errors:rate1h" + " + up" * 5000, 60),
        ("(" * 600 + "rate(up[7m])" + ")" * 600, 7),
    ],
    ids=["quoted", "by label", "a parameter", "not parsed", "too deep", "too long", "deep"],
)
def test_a_recording_rule_is_found_however_it_is_named(query: str, minutes: int) -> None:
    assert look_back(query, RECORDED) == minutes * M


def test_a_recording_rule_that_names_itself_often_is_read_once() -> None:
    itself = " or ".join(["job:x"] * 60)
    assert look_back("job:x", {"job:x": f"({itself}) or rate(y[3m])"}) == 3 * M
