"""Overrides: the last wins, key by key; they bind where they say and never outside the scope."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.model.limit import Radius
from remediator.model.usage import Rate
from remediator.model.verdict import Reason
from remediator.rules.ruleset import RuleSet
from remediator.rules.schema import Rule
from tests.unit.rules.files import alert, file, group, loaded, refused, rule

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LADDER = (
    "{action: rollback_workload, with: {changed_within: 30m}},"
    " {action: restart_workload, name: again, mode: approve}"
)


def overridden(overrides: str, *, scope: str = "['shop.*']", more: str = "") -> RuleSet:
    """A rule with a ladder of two steps, in mode `approve`, under overrides."""
    text = rule(more=more, steps=LADDER)
    return loaded(
        file(group(text, scope=f"namespaces: {scope}", mode="approve"), overrides=overrides)
    )


def bound(rules: RuleSet, **labels: str) -> Rule:
    """The rule as it binds for an alert."""
    ((match,), _) = rules.match(alert(**labels), "c")
    return match.rule


@pytest.mark.parametrize(
    ("where", "labels", "applies"),
    [
        ("", {}, True),
        (", namespaces: [shop]", {}, True),
        (", namespaces: [sho]", {"namespace": "shop"}, False),
        (", namespaces: [hop]", {}, False),
        (", namespaces: ['shop-.+']", {}, False),
        (", namespaces: ['shop-.+']", {"namespace": "shop-a"}, True),
        (", namespaces: [bank, shop]", {}, True),
        (", namespaces: [shop-a]", {"exported_namespace": "shop-a"}, True),
        (", namespaces: [shop]", {"exported_namespace": "shop-a"}, False),
        (", match: ['severity=\"low\"']", {"severity": "low"}, True),
        (", match: ['severity=\"low\"']", {"severity": "lower"}, False),
        (", match: ['severity=\"low\"']", {}, False),
        (", match: ['severity!=\"low\"']", {}, True),
        (", match: ['a=\"1\"', 'b=\"2\"']", {"a": "1"}, False),
        (", match: ['a=\"1\"', 'b=\"2\"']", {"a": "1", "b": "2"}, True),
        (", namespaces: [shop], match: ['a=\"1\"']", {"a": "2"}, False),
        (", namespaces: [shop-b], match: ['a=\"1\"']", {"a": "1"}, False),
    ],
)
def test_an_override_binds_where_it_says_and_nowhere_else(
    where: str, labels: dict[str, str], applies: bool
) -> None:
    rules = overridden(f"rules: [a], mode: observe{where}", scope="['.*']")
    assert bound(rules, **labels).mode == ("observe" if applies else "approve")


def test_an_override_goes_by_the_namespace_of_the_target_not_of_the_alert() -> None:
    target = "target: {kind: Deployment, namespace: shop, name: web}"
    over = "rules: [a], namespaces: [shop], mode: observe"
    rules = loaded(file(group(rule(more=target), scope="namespaces: [shop, jobs]"), overrides=over))
    assert bound(rules, namespace="jobs").mode == "observe"


def test_keys_that_an_override_does_not_name_stay() -> None:
    more = "limits: {cooldown: 1h, in_flight: 3, blast_radius: 1}, windows: {mute: []}"
    rules = overridden("rules: [a], limits: {cooldown: 5m}", more=more)
    limits = bound(rules).limits
    assert (limits.cooldown, limits.in_flight) == (5 * MINUTE, 3)
    assert limits.blast_radius == Radius(None, 1)
    assert (bound(rules).mode, bound(rules).escalate.to) == ("approve", ("log",))


def test_lists_are_replaced_and_not_joined() -> None:
    more = "limits: {attempts: [3/6h, 9/1d]}, escalate: {to: [pager], after: 1m}"
    over = "rules: [a], limits: {attempts: [5/1h]}, escalate: {to: [chat]}"
    changed = bound(overridden(over, more=more))
    assert changed.limits.attempts == (Rate(5, HOUR),)
    assert (changed.escalate.to, changed.escalate.after) == (("chat",), MINUTE)


def test_a_step_is_addressed_by_its_name_and_the_others_stay() -> None:
    over = (
        "rules: [a], steps: {again: {mode: act, with: {allow_outage: true}}}\n"
        "rules: [a], steps: {rollback_workload: {with: {changed_within: 2h}}}"
    )
    first, second = bound(overridden(over)).steps
    assert (dict(first.with_), first.mode) == ({"changed_within": "2h"}, None)
    assert (dict(second.with_), second.mode) == ({"allow_outage": True}, "act")
    assert second.label == "again"


def test_an_action_s_name_addresses_no_step_that_has_one_of_its_own() -> None:
    text = group(rule(steps=LADDER))
    (found,) = refused(file(text, overrides="rules: [a], steps: {restart_workload: {mode: act}}"))
    assert (found.code, found.line) == ("unknown-step", 9)


def test_the_last_override_wins_over_files_too() -> None:
    base = file(group(rule()), overrides="rules: [a], mode: observe")
    later = "version: 1\noverrides: [{rules: [a], mode: approve, limits: {cooldown: 1m}}]\n"
    assert bound(loaded(base, later)).mode == "approve"
    assert bound(loaded(later, base)).mode == "observe"
    assert bound(loaded(later, base)).limits.cooldown == MINUTE


def test_an_override_of_one_rule_leaves_the_others() -> None:
    others = file(
        group(rule("a", "continue: true"), rule("b", "continue: true"), rule("c")),
        overrides="rules: [a, c], mode: observe",
    )
    found, _ = loaded(others).match(alert(), "c")
    assert [(m.rule.name, m.rule.mode) for m in found] == [
        ("a", "observe"),
        ("b", "act"),
        ("c", "observe"),
    ]


@pytest.mark.parametrize("namespaces", ["['.*']", "[bank]", "[shop, bank]"])
def test_an_override_lets_no_rule_act_outside_its_scope(namespaces: str) -> None:
    over = f"rules: [a, b], namespaces: {namespaces}, mode: act"
    there = group(rule("b", match='alertname="B"'), name="h", scope="namespaces: [bank]")
    rules = loaded(file(group(rule("a"), mode="observe"), there, overrides=over))
    assert rules.match(alert(namespace="bank"), "c") == ([], Reason.OUT_OF_SCOPE)


@pytest.mark.parametrize(
    "over",
    [
        "rules: [a], match: ['a=\"b\"'], continue: true",
        "rules: [a], target: object",
        "rules: [a], owners: {gitops: allow}",
        "rules: [a], approval: {by: [me]}",
        "rules: [a], when: []",
        "rules: [a], unless: []",
    ],
)
def test_what_an_override_cannot_change_is_refused_and_not_ignored(over: str) -> None:
    assert [f.code for f in refused(file(group(rule()), overrides=over))] == ["unknown-field"]


@pytest.mark.parametrize(
    "over",
    [
        "limits: {attempts: 1/6h}",
        "limits: {blast_radius: 200%}",
        "limits: {in_flight: 0}",
        "escalate: {to: []}",
        "steps: {again: {with: {no_such: 1}}}",
        "steps: {again: {action: no_such}}",
        "steps: {again: {action: scale_workload}}",
        "steps: {again: {name: rollback_workload}}",
        "steps: {again: {restore: {after: 1h}}}",
        "steps: {again: {when: ['up{']}}",
        "windows: {active: [never]}",
        "windows: {mute: [never]}",
    ],
)
def test_what_an_override_makes_of_a_rule_is_checked_as_if_it_were_written(over: str) -> None:
    assert refused(file(group(rule(steps=LADDER)), overrides=f"rules: [a], {over}"))


MODES = st.sampled_from(["observe", "approve", "act"])
OVER = st.tuples(
    st.sampled_from(["", "[shop]", "[shop-a]", "['shop.*']"]),
    st.one_of(st.none(), MODES),
    st.one_of(st.none(), st.integers(1, 99)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(OVER, max_size=4))
def test_each_key_is_that_of_the_last_override_that_names_it_there(
    given_: list[tuple[str, str | None, int | None]],
) -> None:
    lines = []
    for where, mode, minutes in given_:
        parts = ["rules: [a]"]
        parts += [f"namespaces: {where}"] if where else []
        parts += [f"mode: {mode}"] if mode else []
        parts += [f"limits: {{cooldown: {minutes}m}}"] if minutes else []
        lines.append(", ".join(parts))
    rules = overridden("\n".join(lines))
    for namespace in ("shop", "shop-a"):
        expected: tuple[str, int] = ("approve", 15)
        for where, mode, minutes in given_:
            if where in ("", f"[{namespace}]", "['shop.*']"):
                expected = (mode or expected[0], minutes or expected[1])
        found = bound(rules, namespace=namespace)
        assert (found.mode, found.limits.cooldown) == (expected[0], expected[1] * MINUTE)


def test_the_digest_of_a_rule_changes_with_what_binds_and_with_nothing_else() -> None:
    def digest(over: str, more: str = "") -> str:
        rules = overridden(over, more=more)
        return rules.match(alert(), "c")[0][0].loaded.digest

    plain = digest("")
    assert digest("rules: [a], mode: approve\nrules: [a], limits: {cooldown: 15m}") == plain
    assert digest("rules: [a], mode: act", more="priority: 0, limits: {in_flight: 2}") != plain
    assert digest("", more="priority: 0, continue: false, limits: {cooldown: 15m}") == plain
    changes = ["mode: act", "limits: {cooldown: 16m}", "steps: {again: {mode: act}}"]
    changed = {digest(f"rules: [a], {change}") for change in changes}
    assert len(changed | {plain}) == 4


def test_the_digest_of_all_rules_tells_sets_apart() -> None:
    a, b = rule("a"), rule("b", match='alertname="B"')
    office = "time_intervals: [{name: o, time_intervals: [{weekdays: [DAY]}]}]\n"
    texts = [
        file(group(a, b)),
        file(group(b, a)),
        file(group(a)),
        file(group(a, b, scope="namespaces: [shop, bank]")),
        file(group(a, b, scope="namespaces: [shop], alerts: ['']")),
        file(group(a, b), overrides="rules: [a], mode: act"),
        file(group(a, b), overrides="rules: [b], mode: act"),
        file(group(a, b), head=office.replace("DAY", "monday")),
        file(group(a, b), head=office.replace("DAY", "sunday")),
    ]
    digests = [loaded(text).digest for text in texts]
    assert len(set(digests)) == len(texts)
    assert digests == [loaded(f"{text}# the same\n").digest for text in texts]


@pytest.mark.parametrize("first", ["name: later", "action: rollback_workload"])
def test_each_override_addresses_steps_by_the_names_that_were_checked(first: str) -> None:
    over = (
        f"rules: [a], steps: {{restart_workload: {{{first}}}}}\n"
        "rules: [a], steps: {restart_workload: {mode: approve}}"
    )
    assert bound(loaded(file(group(rule()), overrides=over))).steps[0].mode == "approve"


def test_each_mistake_in_an_override_is_told_once_and_in_it() -> None:
    over = (
        "rules: [b, a], mode: 0, windows: {mute: [x]}, diagnose: true, steps: {no: {}}\n"
        "rules: [a], steps: {again: {diagnose: 1, with: {diagnose: 2}}}"
    )
    found = [(f.line, f.code) for f in refused(file(group(rule(steps=LADDER)), overrides=over))]
    assert found == [
        (9, "unknown-rule"),
        (9, "bad-value"),
        (9, "unknown-interval"),
        (9, "not-supported-yet"),
        (9, "unknown-step"),
        (10, "not-supported-yet"),
        (10, "unknown-field"),
    ]


def clashing(first: str = "", second: str = "") -> str:
    """A file with two overrides of which one has an action, the other a parameter of another."""
    over = (
        f"rules: [a], {first} steps: {{s: {{with: {{allow_outage: true}}}}}}\n"
        f"rules: [a], {second} steps: {{s: {{action: scale_workload, if: always}}}}"
    )
    named = rule(steps="{name: s, action: restart_workload}")
    return file(group(named, scope="namespaces: [shop, bank]"), overrides=over)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", ""),
        ("namespaces: [shop],", ""),
        ("namespaces: ['sh.+'],", "namespaces: [bank, shop],"),
        ("match: ['x=\"1\"'],", "match: ['y=\"2\"'],"),
        ("match: ['x=\"1\"'],", "match: ['x=~\"1|2\"'], namespaces: [bank],"),
    ],
)
def test_overrides_that_cannot_work_together_are_refused(first: str, second: str) -> None:
    (found,) = refused(clashing(first, second))
    assert (found.line, found.code) == (10, "unknown-field")
    assert found.message.endswith("(together with the override in 0.yaml:9)")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("namespaces: [shop],", "namespaces: [bank],"),
        ("namespaces: [shop],", "namespaces: ['b.*'],"),
        ("namespaces: ['b.*'],", "namespaces: [shop],"),
        ("match: ['x=\"1\"'],", "match: ['x=\"2\"'],"),
        ("match: ['x!~\"1|2\"'],", "match: ['x=\"2\"'],"),
        ("match: ['x=~\"a|c\"'],", "match: ['x=~\"b|d\"'],"),
        ("match: ['x=~\"a.*\"'],", "match: ['x!~\"a.*\"'],"),
        ("namespaces: ['s.*'],", "namespaces: ['b.*'],"),
        ("namespaces: ['sh(op|ed)'],", "namespaces: ['ba(nk|r)'],"),
        ("match: ['alertname=\"B\"'],", ""),
    ],
)
def test_overrides_that_never_meet_need_not_work_together(first: str, second: str) -> None:
    assert len(loaded(clashing(first, second)).overrides) == 2


def test_two_overrides_need_not_work_without_a_third_that_always_applies_with_them() -> None:
    text = clashing("namespaces: [shop],", "")
    third = "  - {rules: [a], namespaces: [shop], steps: {s: {action: restart_workload}}}"
    assert len(loaded(f"{text.rstrip()}\n{third}\n").overrides) == 3


def test_the_same_mistake_in_two_overrides_is_told_of_both() -> None:
    over = "rules: [a], windows: {mute: [x]}\nrules: [a], windows: {mute: [x]}"
    found = refused(file(group(rule()), overrides=over))
    assert len({finding.line for finding in found}) == len(found) == 2


def test_a_rule_is_looked_at_as_it_is_and_under_each_override() -> None:
    over = "\n".join(
        [
            "rules: [a], steps: {again: {mode: act}}",
            "rules: [a], limits: {cooldown: 1m}",
            "rules: [a], steps: {again: {action: drain_node, if: always}}",
        ]
    )
    rules = overridden(over)
    made = [item.rule for item in rules.bound(rules.sources[0])]
    last = [(item.steps[1].mode, item.steps[1].action) for item in made]
    assert last == [
        ("approve", "restart_workload"),
        ("act", "restart_workload"),
        ("approve", "restart_workload"),
        ("approve", "drain_node"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "scope"),
    [
        ("match: ['pod=~\"web-[0-9]+\"'],", "match: ['pod=~\"web-[0-9]+\"'],", "shop"),
        ("match: ['x=~\"(?i)foo\"'],", "match: ['x=~\"(?i)foo\"'],", "shop"),
        ("namespaces: ['shop-[a-z]+'],", "", "'shop-[a-z]+'"),
        ("namespaces: ['shop(-x)?'],", "namespaces: ['shop'],", "'shop.*'"),
        ("namespaces: ['s.*'],", "namespaces: ['sh.*'],", "'.*'"),
        ("namespaces: ['ab*'],", "namespaces: ['ac*'],", "'.*'"),
        ("match: ['x=~\"a.+\"'],", "match: ['x!=\"a\"'],", "shop"),
    ],
)
def test_overrides_that_are_not_proved_apart_must_work_together(
    first: str, second: str, scope: str
) -> None:
    text = clashing(first, second).replace("[shop, bank]", f"[{scope}]")
    (found,) = refused(text)
    assert "together with the override in" in found.message


@pytest.mark.parametrize("pattern", ["|".join("abcdefghij"), "(a|b|c)" * 9])
def test_patterns_of_very_many_alternatives_take_little_time(pattern: str) -> None:
    over = f"namespaces: ['{pattern}'],"
    assert refused(clashing(over, over).replace("[shop, bank]", "['.*']"))
