"""The index finds every rule and override that trying each would find, and few besides."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.model.alert import Alert
from remediator.model.matcher import admits, parse_matcher
from remediator.model.verdict import Reason
from remediator.rules import index
from remediator.rules.index import Demand, Derived, Index, demanded, of_matchers
from remediator.rules.ruleset import Match, RuleSet, WhyNot
from tests.unit.rules.files import alert, file, group, loaded, names, rule

MANY = 2500
MATCHERS = st.sampled_from(
    [
        *('alertname="A"', 'alertname!="A"', 'alertname=~"A|B"', 'alertname=~"A|"'),
        *('alertname=~"A.*"', 'alertname!~"B|C"', 'alertname=~".*"', 'team=~"x?"'),
        *('team="x"', 'team=~"x|y"', 'team=~"[x-z]"', 'namespace="shop"', 'namespace=~"shop.*"'),
    ]
)
SCOPES = [
    *("namespaces: [shop]", "namespaces: [bank, shop]", "namespaces: ['shop.*']"),
    *("namespaces: ['shop|bank']", "namespaces: [shop], nodes: ['w.*']", "nodes: [w1]"),
    *("namespaces: [shop], alerts: [jobs, '']", "namespaces: [shop], alerts: ['.*']"),
]
NAMED = ", target: {kind: Deployment, namespace: shop, name: web}"
TEMPLATED = ", target: {kind: Deployment, namespace: '{{ labels.team }}', name: web}"
NODE = ", target: {kind: Node, name: w1}"
PLACED = st.sampled_from(
    [
        *((scope, "") for scope in SCOPES),
        *((scope, NAMED) for scope in SCOPES if "namespaces" in scope),
        *((scope, TEMPLATED) for scope in SCOPES if "namespaces" in scope),
        *((scope, NODE) for scope in SCOPES if "nodes" in scope),
    ]
)
RULES = st.lists(
    st.tuples(st.lists(MATCHERS, min_size=1, max_size=2), PLACED, st.booleans()),
    min_size=1,
    max_size=8,
)
LABELS = st.fixed_dictionaries(
    {"alertname": st.sampled_from(["A", "B", "AB", ""])},
    optional={
        "team": st.sampled_from(["", "x", "y", "shop", "X"]),
        "namespace": st.sampled_from(["shop", "shop-a", "bank", "jobs", ""]),
        "exported_namespace": st.sampled_from(["shop", "bank", ""]),
        "deployment": st.just(""),
        "node": st.sampled_from(["w1", "m1"]),
    },
)


def _compatible(matchers: list[str]) -> bool:
    """Whether a rule with these loads: contradictions are refused."""
    parsed = [parse_matcher(matcher) for matcher in matchers]
    exact = {one.name: one.value for one in parsed if one.operator == "="}
    return all(one.name not in exact or one.matches(exact) for one in parsed)


def _by_trying(rules: RuleSet, given_: Alert) -> tuple[list[str], Reason | None]:
    """What `match` answers, by the answer of every rule."""
    answers = rules.explain(given_, "c")
    found = [one.rule.name for one in answers if isinstance(one, Match)]
    reasons = [one.reason for one in answers if isinstance(one, WhyNot)]
    telling = next((one for one in reasons if one is not Reason.UNMATCHED), Reason.UNMATCHED)
    return found, None if found else telling


@settings(max_examples=150, deadline=None)
@given(RULES, st.lists(LABELS, min_size=1, max_size=5))
def test_a_match_and_its_reason_are_those_of_trying_every_rule(
    drawn: list[tuple[list[str], tuple[str, str], bool]], given_: list[dict[str, str]]
) -> None:
    groups = []
    for number, (matchers, (scope, target), goes_on) in enumerate(drawn):
        if _compatible(matchers):
            more = f"continue: {str(goes_on).lower()}{target}"
            steps = "{action: drain_node, if: always}" if target == NODE else ""
            text = rule(f"r{number}", more, match="', '".join(matchers), steps=steps)
            groups.append(group(text, name=f"g{number}", scope=scope))
    rules = loaded(file(*groups)) if groups else loaded("version: 1\n")
    for labels in given_:
        one = alert(**labels)
        assert (names(rules, one), rules.match(one, "c")[1]) == _by_trying(rules, one)


OVERRIDES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "b"]), min_size=1, unique=True),
        st.lists(st.sampled_from(["shop", "bank", "shop.*", "shop|bank", ""]), max_size=2),
        st.lists(MATCHERS, max_size=2),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(OVERRIDES, LABELS)
def test_the_overrides_of_a_rule_are_those_of_trying_every_one(
    drawn: list[tuple[list[str], list[str], list[str]]], labels: dict[str, str]
) -> None:
    texts = [
        f"{{rules: {rules_}, namespaces: {places}, match: {matchers}, limits: {{attempts:"
        f" ['{number + 1}/1h']}}}}"
        for number, (rules_, places, matchers) in enumerate(drawn)
    ]
    everywhere = group(rule("a"), rule("b"), scope="namespaces: ['.*']")
    rules = loaded(file(everywhere) + "overrides:\n" + "".join(f"  - {text}\n" for text in texts))
    given_ = alert(**{**labels, "deployment": "web"})
    place = given_.labels.get("exported_namespace") or given_.labels.get("namespace") or ""
    for name in ("a", "b"):
        expected = None
        for number, override in enumerate(rules.overrides):
            inside = not override.namespaces or admits(override.namespaces, place)
            fits = all(matcher.matches(given_.labels) for matcher in override.match)
            if name in override.rules and inside and fits:
                expected = f"{number + 1}/1h"
        found = rules.find(name, given_)
        assert found is not None
        limits = found.raw.get("limits") or {}
        assert limits.get("attempts", [None])[0] == expected


SHAPES = {
    "a name each": ('alertname="A{n}"', "x"),
    "a namespace each, in a matcher": ('alertname="A", namespace="t-{n}"', "x"),
    "a namespace each, in the scope": ('alertname="A"', "t-{n}"),
    "namespaces by pattern, in the scope": ('alertname="A"', "t-{n}-.+"),
    "a label each": ('alertname="A", team="t-{n}"', "x"),
    "a pattern of a label each": ('alertname="A", team=~"t-{n}-.+"', "x"),
    "a pattern of the name each": ('alertname=~"A.*-{n}-"', "x"),
}


def _demands(matchers: str, scope: str, number: int) -> Iterator[Demand]:
    """What a rule of a shape demands."""
    texts = matchers.replace("{n}", str(number)).split(", ")
    yield from of_matchers(map(parse_matcher, texts))
    yield from demanded(Derived.NAMESPACE, [scope.replace("{n}", str(number))])


@pytest.mark.parametrize("shape", SHAPES)
def test_an_alert_finds_one_of_many_rules(shape: str) -> None:
    matchers, scope = SHAPES[shape]
    many = Index([_demands(matchers, scope, number) for number in range(MANY)])
    for number in (0, 1234, MANY - 1):
        name = f"A{number}" if shape == "a name each" else f"A-{number}-"
        name = name if "name each" in shape else "A"
        inner = f"t-{number}" + ("-x" if "pattern" in shape else "")
        known = {"alertname": name, "team": inner, "namespace": inner}
        place = inner if "scope" in shape else "x"
        found = many.find((*known.items(), (Derived.NAMESPACE, place)))
        assert found == [number], shape


@pytest.mark.parametrize("memory", [1, 20_000, 1 << 20])
def test_a_set_of_patterns_that_outgrows_its_memory_loses_none(
    memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MEMORY", memory)
    wide = Index([demanded("pod", [f".*a.{{{number % 9}}}b.*-{number}"]) for number in range(300)])
    for number in (0, 7, 299):
        value = "xa" + "y" * (number % 9) + f"b-zz-{number}"
        assert number in wide.find([("pod", value)])


def test_what_a_label_that_is_absent_may_match_is_always_found() -> None:
    for pattern in ("a|", "x?", ".*", "", "(a|b)*"):
        assert list(demanded("team", [pattern])) == []
    assert list(demanded("team", ["a", "b|c", "d+"])) == [
        Demand("team", frozenset({"a", "b", "c"}), ("d+",))
    ]


def test_an_alert_of_nobodys_namespace_is_out_of_scope_and_not_unmatched() -> None:
    rules = loaded(
        file(*(group(rule(f"r{n}"), name=f"g{n}", scope=f"namespaces: [t-{n}]") for n in range(3)))
    )
    assert rules.match(alert(namespace="t-9"), "c") == ([], Reason.OUT_OF_SCOPE)
    assert rules.match(alert(namespace="t-9", alertname="Z"), "c") == ([], Reason.UNMATCHED)
