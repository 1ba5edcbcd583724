"""Which rule an alert matches, and why not the others."""

from datetime import UTC, datetime

from remediator.located import load_text
from remediator.model.alert import Alert, AlertStatus
from remediator.model.verdict import Reason
from remediator.rules.loader import build
from remediator.rules.ruleset import Match, RuleSet, WhyNot

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HEAD = (
    "version: 1\ngroups:\n  - name: g\n    scope: {namespaces: [shop]}\n    defaults: {escalate:"
    " {to: [log]}}\n    rules:\n"
)


def rule(name: str, match: str, more: str = "") -> str:
    return (
        f"      - {{name: {name}, match: ['{match}'], steps: [{{action:"
        f" restart_workload}}]{more}}}\n"
    )


def rules(*lines: str, tail: str = "") -> RuleSet:
    return build([load_text(HEAD + "".join(lines) + tail, "r.yaml")])


def alert(**labels: str) -> Alert:
    return Alert(
        "f",
        AlertStatus.FIRING,
        {"alertname": "A", "namespace": "shop", "deployment": "web", **labels},
        {},
        NOW,
        None,
    )


def names(found: RuleSet, given: Alert) -> list[str]:
    return [match.rule.name for match in found.match(given, "c")[0]]


def test_the_first_match_wins_unless_it_says_continue() -> None:
    assert names(rules(rule("one", 'alertname="A"'), rule("two", 'alertname="A"')), alert()) == [
        "one"
    ]
    assert names(
        rules(rule("one", 'alertname="A"', ", continue: true"), rule("two", 'alertname=~"A|B"')),
        alert(),
    ) == [
        "one",
        "two",
    ]


def test_the_index_finds_regexes_lists_and_others() -> None:
    found = rules(
        rule("list", 'alertname=~"X|A"'),
        rule("regex", 'alertname=~"A.*"'),
        rule("label", 'severity="x"'),
    )
    assert names(found, alert()) == ["list"]
    assert names(found, alert(alertname="AB")) == ["regex"]
    assert names(found, alert(alertname="Z", severity="x")) == ["label"]


def test_scope_is_part_of_matching() -> None:
    found = rules(rule("one", 'alertname="A"'))
    matches, reason = found.match(alert(namespace="other"), "c")
    assert (matches, reason) == ([], Reason.OUT_OF_SCOPE)
    assert found.match(alert(namespace="shop2"), "c")[1] is Reason.OUT_OF_SCOPE


def test_an_alert_without_a_namespace_is_never_given_one() -> None:
    given = Alert("f", AlertStatus.FIRING, {"alertname": "A", "deployment": "web"}, {}, NOW, None)
    assert rules(rule("one", 'alertname="A"')).match(given, "c") == ([], Reason.NO_TARGET)


def test_a_templated_target_is_checked_against_the_scope() -> None:
    target = ', target: {kind: Deployment, namespace: "{{ labels.ns }}", name: "{{ labels.app }}"}'
    found = rules(rule("one", 'alertname="A"', target))
    assert str(found.match(alert(ns="shop", app="db"), "c")[0][0].target) == "Deployment/shop/db"
    assert found.match(alert(ns="kube-system", app="db"), "c")[1] is Reason.OUT_OF_SCOPE
    assert found.match(alert(app="db"), "c")[1] is Reason.NO_TARGET


def test_explain_says_why_each_rule_did_not_match() -> None:
    found = rules(
        rule("other", 'alertname="B"'), rule("one", 'alertname="A"'), rule("two", 'alertname="A"')
    )
    first, second, third = found.explain(alert(), "c")
    assert isinstance(first, WhyNot)
    assert first.why == 'alertname="B" does not match: the alert has alertname="A"'
    assert isinstance(second, Match)
    assert isinstance(third, WhyNot)
    assert third.reason is Reason.SHADOWED


def test_overrides_apply_in_order_and_only_where_they_say() -> None:
    tail = (
        "overrides:\n  - {rules: [one], namespaces: [shop], mode: act}\n  - {rules: [one], match:"
        " ['severity=\"low\"'], mode: approve}\n"
    )
    found = rules(rule("one", 'alertname="A"'), tail=tail)
    assert found.match(alert(), "c")[0][0].rule.mode == "act"
    assert found.match(alert(severity="low"), "c")[0][0].rule.mode == "approve"


def test_a_rule_is_found_by_name_with_the_overrides_for_an_alert() -> None:
    tail = "overrides:\n  - {rules: [one], match: ['severity=\"low\"'], escalate: {to: [chat]}}\n"
    found = rules(rule("one", 'alertname="A"'), tail=tail)
    plain, low = found.find("one"), found.find("one", alert(severity="low"))
    assert plain is not None
    assert low is not None
    assert (plain.rule.escalate.to, low.rule.escalate.to) == (("log",), ("chat",))
    assert found.find("nobody") is None
