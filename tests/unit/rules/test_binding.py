"""Which alerts a rule binds: never more than its matchers and its group's scope say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.model.alert import Alert
from remediator.model.matcher import admits, parse_matcher
from remediator.model.verdict import Reason
from remediator.rules.ruleset import Match, RuleSet, WhyNot
from tests.unit.rules.files import alert, file, group, loaded, names, rule

LITERAL = "target: {kind: Deployment, namespace: shop, name: web}"
TEMPLATED = "target: {kind: Deployment, namespace: '{{ labels.ns }}', name: '{{ labels.app }}'}"


def one(
    more: str = "", *, scope: str = "namespaces: [shop]", match: str = 'alertname="A"'
) -> RuleSet:
    """One rule `a` in a group with this scope."""
    return loaded(file(group(rule(more=more, match=match), scope=scope)))


def why(rules: RuleSet, given_: Alert) -> Reason | None:
    return rules.match(given_, "c")[1]


@pytest.mark.parametrize(
    ("scope", "namespace", "expected"),
    [
        ("[shop]", "shop", True),
        ("[shop]", "shop2", False),
        ("[shop]", "my-shop", False),
        ("[sho.]", "shop", True),
        ("['a|shop']", "shop", True),
        ("['a|shop']", "shopa", False),
        ("['shop-.+']", "shop", False),
        ("['shop-.+', bank]", "bank", True),
        ("['']", "shop", False),
        ("['(?i)SHOP']", "shop", True),
    ],
)
def test_a_scope_is_anchored_at_both_ends(scope: str, namespace: str, expected: bool) -> None:
    rules = one(scope=f"namespaces: {scope}")
    found = names(rules, alert(namespace=namespace))
    assert (found == ["a"]) is expected
    assert expected or why(rules, alert(namespace=namespace)) is Reason.OUT_OF_SCOPE


@pytest.mark.parametrize(
    ("scope", "labels", "expected"),
    [
        ("namespaces: [shop]", {"namespace": "jobs"}, False),
        ("namespaces: [shop], alerts: [jobs]", {"namespace": "jobs"}, True),
        ("namespaces: [shop], alerts: [jobs]", {"namespace": "shop"}, False),
        ("namespaces: [shop], alerts: [jobs]", {"namespace": ""}, False),
        ("namespaces: [shop], alerts: ['']", {"namespace": ""}, True),
        ("namespaces: [shop], alerts: ['']", {"namespace": "jobs"}, False),
        ("namespaces: [shop], alerts: []", {"namespace": "shop"}, False),
        ("namespaces: [shop]", {"namespace": ""}, False),
        ("namespaces: [shop]", {"namespace": "jobs", "exported_namespace": "shop"}, True),
        ("namespaces: [shop]", {"namespace": "shop", "exported_namespace": "jobs"}, False),
    ],
)
def test_a_named_target_still_depends_on_where_the_alert_comes_from(
    scope: str, labels: dict[str, str], expected: bool
) -> None:
    found, _ = one(LITERAL, scope=scope).match(alert(**labels), "c")
    assert [str(match.target) for match in found] == ["Deployment/shop/web"] * expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"ns": "shop", "app": "db"}, None),
        ({"ns": "shop", "app": "db", "namespace": "jobs"}, None),
        ({"ns": "kube-system", "app": "db"}, Reason.OUT_OF_SCOPE),
        ({"ns": "shop", "app": ""}, Reason.NO_TARGET),
        ({"ns": "", "app": "db"}, Reason.NO_TARGET),
        ({"ns": "shop", "app": "../db"}, Reason.INVALID_TARGET),
        ({"ns": "shop", "app": "DB"}, Reason.INVALID_TARGET),
        ({"ns": "shop", "app": "d" * 254}, Reason.INVALID_TARGET),
        ({"ns": "shop/kube-system", "app": "db"}, Reason.INVALID_TARGET),
        ({"ns": "shop\n", "app": "db"}, Reason.INVALID_TARGET),
    ],
)
def test_a_target_that_labels_name_is_a_name_of_kubernetes_within_the_scope(
    labels: dict[str, str], expected: Reason | None
) -> None:
    assert why(one(TEMPLATED), alert(**labels)) is expected


@pytest.mark.parametrize(
    ("scope", "node", "expected"),
    [
        ("nodes: ['worker-.+']", "worker-1", True),
        ("nodes: ['worker-.+']", "master-1", False),
        ("nodes: ['worker-.+']", "my-worker-1", False),
        ("namespaces: [shop]", "worker-1", False),
        ("namespaces: ['.*']", "worker-1", False),
        ("namespaces: [shop], nodes: [worker-2]", "worker-1", False),
    ],
)
def test_a_node_is_in_a_scope_by_its_name_alone(scope: str, node: str, expected: bool) -> None:
    given_ = alert(namespace="monitoring", deployment="", node=node)
    assert (names(one(scope=scope), given_) == ["a"]) is expected


def test_nodes_of_a_scope_admit_no_namespace() -> None:
    assert why(one(scope="nodes: ['.*']"), alert()) is Reason.OUT_OF_SCOPE


def test_a_rule_out_of_scope_leaves_the_alert_to_the_next_one() -> None:
    text = file(
        group(rule("theirs"), name="bank", scope="namespaces: [bank]"),
        group(rule("ours"), name="shop"),
    )
    assert names(loaded(text), alert()) == ["ours"]


@pytest.mark.parametrize("first", ["named", "any"])
def test_a_rule_for_any_name_takes_its_turn_among_those_for_one(first: str) -> None:
    texts = {"named": rule("named"), "any": rule("any", match='severity="x"')}
    second = "any" if first == "named" else "named"
    rules = loaded(file(group(texts[first], texts[second])))
    assert names(rules, alert(severity="x")) == [first]


def test_files_come_one_after_the_other_and_continue_goes_on_into_the_next() -> None:
    first, second = file(group(rule("one", "continue: true"))), file(group(rule("two"), rule("x")))
    assert names(loaded(first, second), alert()) == ["one", "two"]
    assert names(loaded(second, first), alert()) == ["two"]


def test_the_reason_told_is_that_of_the_first_rule_whose_matchers_hold() -> None:
    text = file(group(rule("b", match='alertname="B"'), rule("a", TEMPLATED), rule("last")))
    assert why(loaded(text), alert(namespace="bank")) is Reason.NO_TARGET
    assert why(loaded(text), alert(alertname="C")) is Reason.UNMATCHED


VALUES = st.sampled_from(["A", "B", "C", "AB", "", "a b"])
MATCHERS = st.sampled_from(
    [
        *('alertname="A"', 'alertname="B"', 'alertname!="A"', 'alertname=~"A|B"'),
        *('alertname=~"A.*"', 'alertname!~"B|C"', 'alertname=~"A|"', 'alertname=~""'),
        *('alertname=~"a b|C"', 'severity="x"', 'severity!="x"', 'severity=~"x|y"', 'team=""'),
    ]
)
RULES = st.lists(st.tuples(st.lists(MATCHERS, min_size=1, max_size=2), st.booleans()), max_size=6)
LABELS = st.fixed_dictionaries(
    {"alertname": VALUES, "severity": st.sampled_from(["", "x", "y"])},
    optional={"namespace": st.sampled_from(["shop", "bank", "shop-a", ""])},
)


@settings(max_examples=60, deadline=None)
@given(RULES, LABELS)
def test_the_index_finds_what_trying_every_rule_in_order_finds(
    drawn: list[tuple[list[str], bool]], labels: dict[str, str]
) -> None:
    rules = _of(drawn)
    given_ = alert(**labels)
    expected = []
    for source in rules.sources:
        fits = all(matcher.matches(given_.labels) for matcher in source.rule.match)
        if fits and given_.labels.get("namespace") == "shop":
            expected.append(source.rule.name)
            if not source.rule.continue_:
                break
    assert names(rules, given_) == expected
    answers = rules.explain(given_, "c")
    assert [a.rule.name for a in answers if isinstance(a, Match)] == expected
    assert len(answers) == len(rules.sources)
    assert all(answer.why for answer in answers if isinstance(answer, WhyNot))


def _of(drawn: list[tuple[list[str], bool]]) -> RuleSet:
    """The rules of these matchers; those with contradictions among them are left out."""
    texts = []
    for number, (matchers, goes_on) in enumerate(drawn):
        parsed = [parse_matcher(matcher) for matcher in matchers]
        exact = {m.name: m.value for m in parsed if m.operator == "="}
        if all(m.name not in exact or m.matches(exact) for m in parsed):
            more = f"continue: {str(goes_on).lower()}"
            texts.append(rule(f"r{number}", more, match="', '".join(matchers)))
    return loaded(file(group(*texts))) if texts else loaded("version: 1\n")


SCOPES = st.lists(st.sampled_from(["shop", "shop-.+", "bank", ".+-a", "[a-s]+"]), min_size=1)
WHERE = st.sampled_from(["shop", "shop-a", "bank", "bank-a", "shopping", "kube-system"])


@settings(max_examples=50, deadline=None)
@given(SCOPES, WHERE, WHERE)
def test_what_is_matched_is_always_in_the_scope(
    scope: list[str], alerts: str, exported: str
) -> None:
    rules = one(scope=f"namespaces: {scope}")
    given_ = alert(namespace=alerts, exported_namespace=exported)
    found, _ = rules.match(given_, "c")
    assert bool(found) is admits(scope, exported)
    assert all(match.target.namespace == exported for match in found)
    assert all(rules.in_scope(match.loaded, match.target) for match in found)
