"""Templates: three kinds of places, no language behind them, and no way out of a PromQL string."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.target import Target
from remediator.rules.templates import AbsentLabel, mistakes, render

WEB = Target("c", "Deployment", "shop", "web")
ROOT = Target("c", "Rollout", "shop", "root")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ labels.team }}-db", "a-db"),
        ("{{labels.team}}", "a"),
        ("{{ target.kind }}/{{ target.namespace }}/{{ target.name }}", "Deployment/shop/web"),
        ("{{ root.name }}", "root"),
        ("no place", "no place"),
        ("{ labels.team }", "{ labels.team }"),
    ],
)
def test_render(text: str, expected: str) -> None:
    assert render(text, {"team": "a"}, WEB, ROOT) == expected


@pytest.mark.parametrize(
    "text", ["{{ labels.missing }}", "{{ labels.empty }}", "{{ target.name }}", "{{ 7*7 }}"]
)
def test_what_is_absent_is_an_error(text: str) -> None:
    with pytest.raises(AbsentLabel):
        render(text, {"empty": ""})


@pytest.mark.parametrize(
    "text",
    [
        "{{ labels }}",
        "{{ target.uid }}",
        "{{ env.HOME }}",
        "{{ labels.x | upper }}",
        "{{ 1 + 1 }}",
        "{{ }}",
    ],
)
def test_any_other_place_is_a_mistake(text: str) -> None:
    (message,) = mistakes(text)
    assert "unknown template value" in message


def test_inside_promql_a_place_stands_in_a_string() -> None:
    assert mistakes('up{app="{{ labels.app }}"}', promql=True) == []
    assert len(mistakes("up{app={{ labels.app }}}", promql=True)) == 1
    assert len(mistakes("up > {{ labels.limit }}", promql=True)) == 1


@given(st.text(min_size=1))
def test_no_label_leaves_its_string(value: str) -> None:
    query = render('up{app="{{ labels.app }}"}', {"app": value}, promql=True)
    inner = query.removeprefix('up{app="').removesuffix('"}')
    position = 0
    while position < len(inner):
        if inner[position] == "\\":
            position += 2
            continue
        assert inner[position] not in '"\n'
        position += 1
    assert position == len(inner)  # and the last backslash does not eat the closing quote


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_in_a_regex_matcher_a_label_stands_for_itself_alone(value: str) -> None:
    query = render('up{app=~"a-{{ labels.app }}|b"}', {"app": value}, promql=True)
    inner = query.removeprefix('up{app=~"').removesuffix('"}')
    pattern = (
        inner.replace("\\\\", "\0").replace('\\"', '"').replace("\\n", "\n").replace("\0", "\\")
    )
    assert re2.fullmatch(pattern, f"a-{value}") is not None
    assert re2.fullmatch(pattern, "a-anything else") is None or value == "anything else"


def test_only_the_matcher_that_is_a_regex_is_escaped_as_one() -> None:
    query = 'a{x="{{ labels.v }}", y!~"{{ labels.v }}.*", z = "{{ labels.v }}"}'
    assert render(query, {"v": "a.b"}, promql=True) == 'a{x="a.b", y!~"a\\\\.b.*", z = "a.b"}'
