"""What labels can make of a query, and how long an alert goes on after a repair."""

from datetime import timedelta
from urllib.parse import quote

import promql_parser
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediator.model.target import Target
from remediator.rules.lookback import look_back, resolved_within
from remediator.rules.templates import AbsentLabel, mistakes, render

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WEB = Target("c", "Pod", "shop", "web-1")
ROOT = Target("c", "Deployment", "shop", "web")
LABELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
HOSTILE = ['x"} or vector(1) or up{a="', "x'} or vector(1) or up{a='", "x`} or vector(1) or up{a=`"]


def shape(query: str) -> str:
    """What kind of expression Prometheus reads."""
    return type(promql_parser.parse(query)).__name__


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('up{a="{{ labels.a }}"}', True),
        ('up{a="x-{{ labels.a }}-{{ root.name }}"}', True),
        ('up{a="{{labels.a}}", b=~"{{\tlabels.b }}|x"}', True),
        ('up{a="\\"{{ labels.a }}\\""}', True),
        ("up{a='{{ labels.a }}'}", False),
        ("up{a=`{{ labels.a }}`}", False),
        ("up{a={{ labels.a }}}", False),
        ('up{a="x"} > {{ labels.limit }}', False),
        ('{{ labels.metric }}{a="x"}', False),
        ('up{a="x" {{ labels.b }} b="y"}', False),
    ],
)
def test_only_a_double_quoted_text_of_a_query_has_places(text: str, places: bool) -> None:
    assert (mistakes(text, promql=True) == []) is places


@settings(deadline=None)
@given(LABELS, LABELS)
@example("\n", "\n")
def test_whatever_labels_say_a_query_stays_one_selector(one: str, other: str) -> None:
    text = 'up{a="{{ labels.one }}", b=~"x-{{ labels.other }}", c!~"{{ labels.one }}.*"}'
    query = render(text, {"one": one, "other": other}, promql=True)
    assert shape(query) == "VectorSelector"
    assert "\n" not in query


@pytest.mark.parametrize("text", ["up{a='\"{{ labels.a }}\"'}", 'up{a=`"{{ labels.a }}"`}'])
def test_no_label_leaves_a_text_in_other_quotes(text: str) -> None:
    if mistakes(text, promql=True) == []:
        for value in HOSTILE:
            assert shape(render(text, {"a": value}, promql=True)) == "VectorSelector"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ target.kind }}/{{ target.name }} of {{ root.kind }}", "Pod/web-1 of Deployment"),
        ("{{ labels._x1 }}", "ü"),
        ("{{\n labels._x1\n}}", "ü"),
        ("{{ labels._x1 }}{{ labels._x1 }}", "üü"),
        ("}} {", "}} {"),
        ("", ""),
    ],
)
def test_places_are_filled_and_nothing_else_changes(text: str, expected: str) -> None:
    assert mistakes(text) == []
    assert render(text, {"_x1": "ü"}, WEB, ROOT) == expected


def test_what_a_label_says_is_not_filled_again() -> None:
    given_ = {"a": "{{ labels.b }}", "b": "secret"}
    assert render("{{ labels.a }}", given_) == "{{ labels.b }}"
    assert "secret" not in render('up{a="{{ labels.a }}"}', given_, promql=True)


@pytest.mark.parametrize(
    "text", ["{{ labels.a-b }}", "{{ labels.é }}", "{{ labels. }}", "{{ Labels.a }}", "{{ root }}"]
)
def test_a_place_that_is_none_is_told_and_never_filled(text: str) -> None:
    assert len(mistakes(text)) == 1
    with pytest.raises(AbsentLabel):
        render(text, {"a": "x", "a-b": "y", "é": "z"}, WEB, ROOT)


def test_a_root_that_is_not_known_yet_is_absent_and_not_empty() -> None:
    with pytest.raises(AbsentLabel):
        render('up{a="{{ root.name }}"}', {}, WEB, None, promql=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("up == 0", timedelta()),
        ("rate(errors[5m]) > 1", 5 * MINUTE),
        ("rate(errors[90s]) / rate(all[1h30m]) > 1", 90 * MINUTE),
        ("up offset 1d", 24 * HOUR),
        ("up offset -1d", timedelta()),
        ("min_over_time(up[2h:]) < 1", 2 * HOUR),
        ("min_over_time(up[ 2h : 30s ]) < 1", 2 * HOUR),
        ("absent_over_time(up[3w])", 21 * 24 * HOUR),
        ('up{a="x"}[1m]', MINUTE),
    ],
)
def test_the_look_back_is_the_longest_window(query: str, expected: timedelta) -> None:
    assert look_back(query, {}) == expected


def test_a_recording_rule_adds_its_own_window() -> None:
    recorded = {"job:errors:rate5m": "sum(rate(errors[5m]))", "job:unused": "rate(x[9h])"}
    assert look_back("max_over_time(job:errors:rate5m[1h])", recorded) == 65 * MINUTE
    assert look_back("job:errors:rate5m > 1", recorded) == 5 * MINUTE


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("increase(restarts[1h] offset 30m) > 5", 90 * MINUTE),
        ("max_over_time(rate(errors[30m])[2h:1m]) > 1", 150 * MINUTE),
        ("max_over_time(rate(errors[30m] offset 5m)[2h:] offset 1h)", 215 * MINUTE),
        ("x and on () topk(1, -(errors offset 1h))", 60 * MINUTE),
        ("not(promql, errors[1h] offset 30m", 90 * MINUTE),
    ],
)
def test_an_offset_and_an_inner_window_reach_further_back(query: str, expected: timedelta) -> None:
    assert look_back(query, {}) >= expected


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(None, 65), (0, 65), (60, 66), (0.5, 65), ("600", 75)],
)
def test_what_prometheus_keeps_firing_is_added(keep: object, expected: int) -> None:
    found = resolved_within({"query": "increase(x[1h])", "keepFiringFor": keep}, "")
    assert timedelta() <= found - expected * MINUTE < timedelta(seconds=1)


def test_a_rule_of_prometheus_counts_more_than_the_url_of_the_alert() -> None:
    url = "http://p/graph?g0.expr=" + quote("rate(x[9h])")
    assert resolved_within({"query": "up == 0"}, url) == 15 * MINUTE
    assert resolved_within(None, url) == 9 * HOUR + 5 * MINUTE
    assert resolved_within({}, url) == 15 * MINUTE


@settings(deadline=None)
@given(st.text(max_size=40), st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=3))
def test_any_query_leaves_at_least_a_quarter_of_an_hour(
    query: str, recorded: dict[str, str]
) -> None:
    assert resolved_within({"query": query, "recorded": recorded}, "") >= 15 * MINUTE
    assert resolved_within(None, f"http://p/graph?g0.expr={quote(query)}") >= 15 * MINUTE


@settings(deadline=None)
@given(st.integers(1, 10**4), st.integers(1, 10**4))
def test_a_longer_window_never_shortens_the_proof(minutes: int, more: int) -> None:
    shorter = resolved_within({"query": f"rate(x[{minutes}m])"}, "")
    longer = resolved_within({"query": f"rate(x[{minutes + more}m])"}, "")
    assert 15 * MINUTE <= shorter <= longer
    assert longer >= (minutes + more) * MINUTE


@pytest.mark.parametrize("url", ["http://[::1", "http://[prometheus]/graph?g0.expr=up", "//["])
def test_a_url_that_is_none_leaves_half_an_hour(url: str) -> None:
    assert resolved_within(None, url) == 30 * MINUTE
