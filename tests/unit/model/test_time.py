"""When: time intervals, episodes, and what was done before, by clocks that do not agree.

An interval that is accepted can be met, one firing is one episode however it is delivered, and
what did not help is not repeated while its alert goes on.
"""

import calendar
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.alert import Alert, AlertStatus
from remediator.model.identity import SLACK, Change, Known, decide
from remediator.model.interval import (
    MONTHS,
    WEEKDAYS,
    Interval,
    Named,
    parse_range,
    parse_time,
    zone,
)
from remediator.model.matcher import Matcher, Operator, admits, parse_matcher
from remediator.model.past import Past, PastAct
from remediator.model.remediation import Outcome
from tests.unit.objects import HOUR, MINUTE, T


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("00:00", 0), ("00:01", 1), ("09:30", 570), ("23:59", 1439), ("24:00", 1440)],
)
def test_a_time_of_day_is_read_in_minutes(text: str, minutes: int) -> None:
    assert parse_time(text) == minutes


@pytest.mark.parametrize(
    "text", ["", "9", "09:", ":30", "09:60", "09:5", "24:01", "25:00", "-1:00", "09:00:00", "9am"]
)
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"use a form such as 09:00|later than 24:00"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "names", "bounds", "expected"),
    [
        ("Monday : FRIDAY", WEEKDAYS, (0, 6), (1, 5)),
        ("sunday", WEEKDAYS, (0, 6), (0, 0)),
        ("sunday:saturday", WEEKDAYS, (0, 6), (0, 6)),
        ("january:december", MONTHS, (1, 12), (1, 12)),
        ("5:december", MONTHS, (1, 12), (5, 12)),
        ("12", MONTHS, (1, 12), (12, 12)),
        ("1:-1", (), (-31, 31), (1, -1)),
        ("-3:-1", (), (-31, 31), (-3, -1)),
        ("31:31", (), (-31, 31), (31, 31)),
    ],
)
def test_a_range_includes_both_ends(
    text: str, names: tuple[str, ...], bounds: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert parse_range(text, names, *bounds) == expected


@pytest.mark.parametrize(
    ("text", "names", "bounds"),
    [
        ("saturday:monday", WEEKDAYS, (0, 6)),
        ("mon", WEEKDAYS, (0, 6)),
        ("0", MONTHS, (1, 12)),
        ("december:january", MONTHS, (1, 12)),
        ("32", (), (-31, 31)),
        ("-32", (), (-31, 31)),
        ("0:5", (), (-31, 31)),
        ("-1:-3", (), (-31, 31)),
        ("1:2:3", (), (-31, 31)),
        ("1:", (), (-31, 31)),
        ("", (), (-31, 31)),
    ],
)
def test_what_is_no_range_is_refused(
    text: str, names: tuple[str, ...], bounds: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match=r"invalid|ends before it starts"):
        parse_range(text, names, *bounds)


@pytest.mark.parametrize("text", ["saturday:sunday", "monday:sunday"])
def test_weekdays_that_no_day_can_meet_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="before"):
        parse_range(text, WEEKDAYS, 0, 6)


@pytest.mark.parametrize("text", ["-3:3", "-15:5", "10:-25", "31:-31"])
def test_days_of_a_month_that_no_day_can_meet_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="before"):
        parse_range(text, (), -31, 31)


@given(st.dates(), st.integers(1, 31))
def test_a_day_counted_from_the_end_is_the_same_as_one_from_the_start(day: date, back: int) -> None:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    days = calendar.monthrange(day.year, day.month)[1]
    expected = day.day == days - back + 1
    assert Interval(days_of_month=((-back, -back),)).contains(noon) is expected


@given(st.datetimes(), st.integers(0, 1439), st.integers(1, 1440))
def test_a_time_range_and_the_rest_of_the_day_make_up_the_day(
    moment: datetime, start: int, end: int
) -> None:
    moment, low, high = moment.replace(tzinfo=UTC), min(start, end), max(start, end)
    inside = Interval(times=((low, high),)).contains(moment)
    outside = Interval(times=((0, low), (high, 1440))).contains(moment)
    assert inside is not outside


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        pytest.param(datetime(2026, 3, 29, 0, 59, tzinfo=UTC), False, id="before the gap"),
        pytest.param(datetime(2026, 3, 29, 1, 0, tzinfo=UTC), True, id="behind it"),
        pytest.param(datetime(2026, 10, 25, 0, 59, tzinfo=UTC), True, id="summer's 2:59"),
        pytest.param(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), True, id="winter's 2:30"),
        pytest.param(datetime(2026, 10, 25, 2, 0, tzinfo=UTC), False, id="3:00"),
        pytest.param(datetime(2026, 10, 25, 3, 0, tzinfo=UTC), False, id="4:00"),
    ],
)
def test_an_interval_follows_the_clock_on_the_wall_when_it_is_changed(
    moment: datetime, expected: bool
) -> None:
    """Berlin's 2 to 3 o'clock is missing in March and comes twice in October."""
    spans = ((120, 180),) if moment.month == 10 else ((180, 240),)
    assert Interval(times=spans, location="Europe/Berlin").contains(moment) is expected


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "a\0b"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        zone(name)


def test_a_named_interval_needs_one_of_its_entries() -> None:
    friday, may = Interval(weekdays=((5, 5),)), Interval(months=((5, 5),))
    assert Named("n", (Interval(months=((6, 6),)), friday)).contains(T)
    assert not Named("n", (friday, may)).contains(datetime(2026, 6, 1, tzinfo=UTC))
    assert not Named("n", ()).contains(T)


TIMES = st.integers(-120, 120).map(lambda minutes: T + minutes * MINUTE)


def firing(at: datetime) -> Alert:
    return Alert("f", AlertStatus.FIRING, {}, {}, at, None)


def resolved(at: datetime, end: datetime | None) -> Alert:
    return Alert("f", AlertStatus.RESOLVED, {}, {}, at, end)


@pytest.mark.parametrize(
    ("alert", "known", "expected"),
    [
        (firing(T + SLACK), Known(T, T), Change.REFRESH),
        (firing(T + SLACK + timedelta.resolution), Known(T, T), Change.REPLACE),
        (firing(T), Known(closed_end=T), Change.REOPEN_LATER),
        (firing(T + timedelta.resolution), Known(closed_end=T), Change.OPEN),
        (firing(T), Known(T, T, T + HOUR), Change.REFRESH),
        (resolved(T, T), Known(T, T), Change.CLOSE),
        (resolved(T, T - timedelta.resolution), Known(T, T), Change.DUPLICATE),
        (resolved(T, None), Known(T, T), Change.CLOSE),
        (resolved(T, T + MINUTE), Known(closed_end=T), Change.RECORD_CLOSED),
        (resolved(T, None), Known(closed_end=T), Change.DUPLICATE),
    ],
    ids=[
        "exactly the slack",
        "beyond it",
        "as the last one ended",
        "just after",
        "an open one counts, not an older end",
        "ended as it began",
        "ended before it began",
        "without an end",
        "a later end",
        "without an end, again",
    ],
)
def test_deliveries_at_a_boundary(alert: Alert, known: Known, expected: Change) -> None:
    assert decide(alert, known) is expected


KNOWN = st.one_of(
    st.builds(Known, TIMES, TIMES, st.none() | TIMES),
    st.builds(lambda end: Known(closed_end=end), st.none() | TIMES),
)


@given(TIMES, KNOWN)
def test_a_firing_alert_never_ends_anything_and_a_repeated_one_changes_nothing(
    at: datetime, known: Known
) -> None:
    change = decide(firing(at), known)
    assert (change in (Change.REFRESH, Change.REPLACE)) is (known.open_start is not None)
    opened = Known(at, at, known.closed_end)
    assert decide(firing(at), opened) is Change.REFRESH


@given(TIMES, st.none() | TIMES, KNOWN)
def test_an_end_delivered_twice_is_a_duplicate(
    at: datetime, end: datetime | None, known: Known
) -> None:
    change = decide(resolved(at, end), known)
    assert change in (Change.CLOSE, Change.RECORD_CLOSED, Change.DUPLICATE)
    assert decide(resolved(at, end), Known(closed_end=end or at)) is Change.DUPLICATE


def test_an_alert_without_a_name_has_an_empty_one() -> None:
    assert firing(T).name == ""
    assert replace(firing(T), labels={"alertname": "A"}).name == "A"


def act(at: datetime, outcome: Outcome | None = Outcome.INEFFECTIVE, left: str = "a") -> PastAct:
    return PastAct("r", "restart_workload", ("oom_killed", "crash_loop"), outcome, at, "a", left)


DONE = {("restart_workload", "oom_killed"), ("restart_workload", "crash_loop")}


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (Past(), set()),
        (Past((act(T),)), DONE),
        (Past((act(T, None),)), set()),
        (Past((act(T, Outcome.FAILED),)), set()),
        (Past((act(T), act(T + MINUTE, Outcome.SUCCEEDED))), DONE),
        (Past((act(T),), ((T - HOUR, None),), T), set()),
        (Past((act(T),), ((T - HOUR, None),), T - timedelta.resolution), DONE),
        (Past((act(T),), ((T + 2 * HOUR, None), (T - HOUR, T + HOUR))), DONE),
        (Past((act(T),), ((T - HOUR, T), (T + 7 * HOUR, None))), set()),
        (Past((act(T + 8 * HOUR),), ((T - HOUR, T), (T + 7 * HOUR, None))), DONE),
        (Past((act(T + 7 * HOUR),), ((T - HOUR, T), (T + 7 * HOUR, None))), DONE),
    ],
    ids=[
        "nothing was done",
        "no firing is known",
        "it still runs",
        "it failed",
        "the same helped later",
        "a retry at that moment",
        "a retry just before",
        "firings out of order",
        "in an older series",
        "in this series",
        "as this series began",
    ],
)
def test_every_cause_of_an_act_that_did_not_help_is_remembered(
    past: Past, expected: set[tuple[str, str]]
) -> None:
    assert past.ineffective("r", "a", 6 * HOUR, T + 9 * HOUR) == expected


@pytest.mark.parametrize(
    ("quiet", "forgotten"),
    [(6 * HOUR - timedelta.resolution, False), (6 * HOUR, True), (7 * HOUR, True)],
)
def test_what_did_not_help_is_forgotten_after_exactly_the_window(
    quiet: timedelta, forgotten: bool
) -> None:
    past = Past((act(T),), ((T - HOUR, T + HOUR),))
    assert (not past.ineffective("r", "a", 6 * HOUR, T + HOUR + quiet)) is forgotten


def test_templates_that_helped_were_replaced_or_chosen_are_told_apart() -> None:
    past = Past((act(T, Outcome.SUCCEEDED, "b"), act(T, Outcome.WORSE, "c"), act(T, None)))
    assert past.proved == {"b"}
    assert past.chosen == {"b", "c"}
    assert past.replaced == {"a"}


@pytest.mark.parametrize("operator", [Operator.EQUAL, Operator.REGEX])
@given(name=st.sampled_from(["a", "b"]), value=st.sampled_from(["", "x", "xy"]), label=st.text())
def test_a_negated_matcher_matches_all_that_its_opposite_does_not(
    operator: Operator, name: str, value: str, label: str
) -> None:
    opposite = {Operator.EQUAL: "!=", Operator.REGEX: "!~"}[operator]
    labels = {"a": label}
    yes, no = (parse_matcher(f'{name}{sign}"{value}"') for sign in (operator, opposite))
    assert yes.matches(labels) is not no.matches(labels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(r'a=~"\d+"', Matcher("a", Operator.REGEX, r"\d+"), id="a class"),
        pytest.param(r'a="\t"', Matcher("a", Operator.EQUAL, r"\t"), id="an unknown escape"),
        pytest.param(r'a="\\"', Matcher("a", Operator.EQUAL, "\\"), id="a backslash"),
        pytest.param('a=""', Matcher("a", Operator.EQUAL, ""), id="empty"),
        pytest.param("a!=b.c-d/e", Matcher("a", Operator.NOT_EQUAL, "b.c-d/e"), id="bare"),
        pytest.param("größe=ü", Matcher("größe", Operator.EQUAL, "ü"), id="UTF-8"),
    ],
)
def test_a_matcher_is_read_as_alertmanager_reads_it(text: str, expected: Matcher) -> None:
    assert parse_matcher(text) == expected


@pytest.mark.parametrize(
    ("patterns", "value", "expected"),
    [
        ((), "shop", False),
        (("shop",), "shop-2", False),
        (("shop",), "workshop", False),
        (("a", "shop.*"), "shop-2", True),
        (("a|shop",), "shop", True),
        (("",), "", True),
        (("",), "shop", False),
        ((".+",), "", False),
    ],
)
def test_a_scope_admits_only_whole_names(
    patterns: tuple[str, ...], value: str, expected: bool
) -> None:
    assert admits(patterns, value) is expected
