"""Templates: three kinds of places, no language behind them, and no way out of a PromQL string."""

import pytest
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


@pytest.mark.parametrize("text", ["{{ labels.missing }}", "{{ labels.empty }}", "{{ target.name }}", "{{ 7*7 }}"])
def test_what_is_absent_is_an_error(text: str) -> None:
    with pytest.raises(AbsentLabel):
        render(text, {"empty": ""})


@pytest.mark.parametrize(
    "text", ["{{ labels }}", "{{ target.uid }}", "{{ env.HOME }}", "{{ labels.x | upper }}", "{{ 1 + 1 }}", "{{ }}"]
)
def test_any_other_place_is_a_mistake(text: str) -> None:
    (message,) = mistakes(text)
    assert "is no template value" in message


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
