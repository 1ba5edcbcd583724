"""Alertmanager's matcher grammar, held to a table."""

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.model.matcher import (
    Matcher,
    MatcherError,
    Operator,
    Words,
    compile_regex,
    parse_matcher,
)

GOOD = [
    ('alertname="A"', {"alertname": "A"}, True),
    ('alertname="A"', {"alertname": "AB"}, False),
    ("alertname=A", {"alertname": "A"}, True),
    (' alertname = "A" ', {"alertname": "A"}, True),
    ('severity!="info"', {}, True),
    ('severity!="info"', {"severity": "info"}, False),
    ('missing=""', {}, True),
    ("missing=", {}, True),
    ('pod=~"web-.+"', {"pod": "web-1"}, True),
    ('pod=~"web"', {"pod": "web-1"}, False),
    ('pod=~"a|b"', {"pod": "ab"}, False),
    ('pod!~"web-.+"', {"pod": "db-1"}, True),
    ('pod!~"web-.+"', {"pod": "web-1"}, False),
    ('pod=~".*"', {}, True),
    ('"näme with space"="ü"', {"näme with space": "ü"}, True),
    (r'path="a\"b\\c\nd"', {"path": 'a"b\\c\nd'}, True),
    ('x=~"(?i)ABC"', {"x": "abc"}, True),
    ('x=~"a\nb"', {"x": "a\nb"}, True),
]
BAD = [
    "",
    "alertname",
    '="x"',
    'a="x',
    'a=="x"',
    'a="x" b',
    'a=~"("',
    'a=~"(?=x)"',
    "a=b=c",
    "{a=b}",
    "a!b",
]


@pytest.mark.parametrize(("text", "labels", "expected"), GOOD)
def test_good(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_matcher(text).matches(labels) is expected


@pytest.mark.parametrize("text", BAD)
def test_bad_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(MatcherError) as error:
        parse_matcher(text)
    assert 0 <= error.value.offset <= len(text)


@given(st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL]), st.text())
def test_what_is_printed_is_read_again(operator: Operator, value: str) -> None:
    matcher = Matcher("label", operator, value)
    assert parse_matcher(str(matcher)) == matcher


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_matcher(text)
    except MatcherError:
        return


@pytest.mark.parametrize(
    "name", ["a", "utf8.name", "with space", 'quo"te', "back\\slash", "}", "new\nline"]
)
def test_a_matcher_prints_itself_so_that_it_can_be_read_again(name: str) -> None:
    made = Matcher(name, Operator.EQUAL, 'x"\\y')
    again = parse_matcher(str(made))
    assert (again.name, again.value) == (name, 'x"\\y')


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["shop", "a b", "x-1", "_", "", "A"]), max_size=4),
    st.sampled_from(["shop", "shop ", "a b", "x-1", "x", "", "|", "A", "a"]),
)
def test_a_list_of_words_matches_what_re2_matches(words: list[str], value: str) -> None:
    pattern = "|".join(words)
    assert isinstance(compile_regex(pattern), Words)
    by_re2 = re2.compile(pattern).fullmatch(value)
    assert (compile_regex(pattern).fullmatch(value) is None) == (by_re2 is None)
