"""Each mistake in a rule file is told once, where it stands, whatever else the files say."""

import re

import pytest

from tests.unit.rules.files import RESTART, file, group, loaded, place_of, refused, rule

GOOD = """\
# the shop's rules
version: 1
time_intervals:
  - name: office
    time_intervals:
      - weekdays: ["monday:friday"]
        times: [{start_time: "09:00", end_time: "17:00"}]
        location: Europe/Berlin
groups:
  - name: shop
    scope:
      namespaces: [shop, "team-.+"]
      opt_in: false
    defaults:
      mode: act
      escalate: {to: [log], after: 5m}
    rules:
      - name: first
        match:
          - alertname="A"
          - severity!="info"
        unless: [{match: ['alertname="B"'], equal: [namespace]}]
        when:
          - up{namespace="{{ root.namespace }}"} == 1
        windows: {active: [office]}
        limits: {attempts: 3/6h, cooldown: 15m, blast_radius: [2, 30%], in_flight: 2}
        owners: {helm: allow}
        approval: {expires: 1h, two_person: false}
        steps:
          - action: rollback_workload
            with: {changed_within: 30m}
            when: ['errors > 0']
          - action: restart_workload
            if: oom_killed
            verify: {until: ['errors == 0'], quiet_for: 5m}
            limits: {attempts: 1/6h}
            then: verify
      - name: second
        match: ['alertname="C"']
        target: {kind: Deployment, namespace: shop, name: web}
        priority: 1
        continue: false
        steps: [{action: restart_workload}]
      - name: third
        match: ['alertname="D"']
        steps: [{action: rollback_workload}, {action: restart_workload}]
overrides:
  - rules: [third]
    namespaces: [shop]
    mode: observe
    limits: {cooldown: 20m}
    steps:
      rollback_workload:
        mode: approve
      restart_workload:
        with: {allow_outage: true}
"""
assert loaded(GOOD).sources


MISTAKES = [
    # what was right, what was written, where the finding points, its code
    ("version: 1", "version: 3", "3\ntime", "bad-value"),
    ("version: 1", "version: '1'", "'1'", "bad-value"),
    ('"monday:friday"', '"mon:fri"', '["mon:fri"]', "bad-value"),
    ('end_time: "17:00"', 'end_time: "25:00"', "[{start_time", "bad-value"),
    ('end_time: "17:00"', 'end_time: "09:00"', "[{start_time", "bad-value"),
    ("Europe/Berlin", "Berlin", "Berlin", "bad-value"),
    ("weekdays:", "week_days:", "week_days", "unknown-field"),
    ("      opt_in: false", "      opt_in: 1", "1\n    defaults", "bad-value"),
    ("opt_in:", "optin:", "optin", "unknown-field"),
    ('"team-.+"', '"team-("', '"team-("', "bad-value"),
    ("      mode: act", "      mode: Act", "Act", "bad-value"),
    ("after: 5m", "after: 5", "5}\n    rules", "bad-value"),
    ("after: 5m", "aftr: 5m", "aftr", "unknown-field"),
    ('severity!="info"', 'severity!"info"', 'severity!"info"', "bad-value"),
    ("equal: [namespace]", "equals: [namespace]", "equals", "unknown-field"),
    ("equal: [namespace]", "equal: namespace", "namespace}]", "bad-value"),
    ("== 1\n        windows", "==\n        windows", "up{namespace=", "bad-promql"),
    ("root.namespace", "root.labels", "up{namespace=", "bad-template"),
    ("active: [office]", "active: [ofice]", "[ofice]", "unknown-interval"),
    ("active: [office]", "activ: [office]", "activ", "unknown-field"),
    ("attempts: 3/6h, c", "attempts: 3, c", "3, c", "bad-value"),
    ("attempts: 3/6h, c", "attempts: [3/6h, 0], c", "[3/6h, 0]", "bad-value"),
    ("attempts: 3/6h, c", "attempts: 1/6h, c", "steps:\n          - action", "ladder-too-long"),
    ("cooldown: 15m", "cooldown: 15 m", "15 m", "bad-value"),
    ("[2, 30%]", "[2, 130%]", "[2, 130%]", "bad-value"),
    ("in_flight: 2", "in_flight: 0", "0}\n        owners", "bad-value"),
    ("in_flight: 2", "in_flight: true", "true}\n        owners", "bad-value"),
    ("helm: allow", "helm: yes", "yes", "yaml-trap"),
    ("helm: allow", "argo: allow", "argo", "unknown-field"),
    ("expires: 1h,", "expires: 1 hour,", "1 hour", "bad-value"),
    ("two_person: false", "two_person: no", "no}", "yaml-trap"),
    ("- action: rollback", "- action: roll", "roll_workload\n", "unknown-action"),
    ("changed_within: 30m", "changed_within: half", "half", "bad-value"),
    ("changed_within: 30m", "changed: 30m", "changed: 30m", "unknown-field"),
    ("['errors > 0']", "['errors >']", "'errors >'", "bad-promql"),
    ("if: oom_killed", "if: out_of_memory", "out_of_memory", "bad-value"),
    ("['errors == 0']", "['1']", "'1'", "scalar-query"),
    ("quiet_for: 5m", "quiet: 5m", "quiet:", "unknown-field"),
    ("attempts: 1/6h", "cooldown: 1h", "cooldown: 1h}\n            then", "unknown-field"),
    ("then: verify", "then: stop", "stop", "bad-value"),
    ("then: verify", "restore: {after: 1h}", "{after: 1h}", "cannot-restore"),
    ("name: second", "name: ''", "''", "bad-value"),
    ("        match: ['alertname=\"C\"']\n", "", "name: second", "missing-field"),
    ("kind: Deployment", "kind: Deploiment", "Deploiment", "unknown-kind"),
    ("kind: Deployment", "kind: Node", "Node", "wrong-kind"),
    ("namespace: shop, n", "namespace: bank, n", "bank", "out-of-scope"),
    ("name: web}", "name: web!}", "web!", "bad-name"),
    ("priority: 1", "priority: high", "high", "bad-value"),
    ("priority: 1", "priority: 1.5", "1.5", "bad-value"),
    ("priority: 1", "priority: 010", "010", "yaml-trap"),
    ("continue: false", "continue: never", "never", "bad-value"),
    ("continue: false", "Continue: false", "Continue", "unknown-field"),
    ("rules: [third]", "rules: [thrid]", "thrid", "unknown-rule"),
    ("rules: [third]", "rules: []", "[]", "bad-value"),
    ("mode: observe", "mode: 0", "0\n    limits", "bad-value"),
    ("cooldown: 20m", "cooldwn: 20m", "cooldwn", "unknown-field"),
    ("      rollback_workload:", "      rollback:", "rollback:", "unknown-step"),
    ("limits: {cooldown: 20m}", "scope: {namespaces: [bank]}", "scope", "unknown-field"),
]


@pytest.mark.parametrize(
    ("right", "wrong", "at", "code"), MISTAKES, ids=[f"{m[1].strip()}"[:40] for m in MISTAKES]
)
def test_a_mistake_is_told_once_and_points_at_what_was_written(
    right: str, wrong: str, at: str, code: str
) -> None:
    assert GOOD.count(right) == 1, f"{right!r} must stand in the file once"
    text = GOOD.replace(right, wrong)
    (found,) = refused(text)
    assert (found.code, (found.line, found.column)) == (code, place_of(text, at))
    assert found.source == text.splitlines()[found.line - 1]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("steps:", "write a list"),
        ("limits:", "write keys and values"),
        ("mode:", "write one of 'observe', 'approve' or 'act'"),
        ("name:", "write text"),
        ("priority:", "write a whole number"),
        ("continue:", "write true or false"),
        ("match:", "write a list"),
        ("escalate:", "write keys and values"),
        ("pending:", "use a form such as 30s"),
    ],
)
def test_a_key_without_a_value_is_told_and_not_taken_for_its_default(part: str, words: str) -> None:
    keys = {"name": "x", "match": "['a=\"b\"']", "steps": "[{action: restart_workload}]"}
    keys[part.rstrip(":")] = ""
    text = file(group("      - " + "\n        ".join(f"{k}: {v}" for k, v in keys.items()) + "\n"))
    (found,) = refused(text)
    assert (found.code, words in found.message) == ("bad-value", True), found.message
    assert found.line == place_of(text, part)[0]


def codes(*texts: str) -> list[tuple[str, int, str]]:
    return [(finding.path, finding.line, finding.code) for finding in refused(*texts)]


def test_mistakes_of_several_files_are_told_in_the_order_in_which_they_are_read() -> None:
    first = file(group(rule(more="Mode: act"), rule("b", "priority: high")))
    second = file(group(rule("c", "limits: {cooldown: 1}")))
    assert codes(first, second) == [
        ("0.yaml", 7, "unknown-field"),
        ("0.yaml", 8, "bad-value"),
        ("1.yaml", 7, "bad-value"),
    ]


def test_a_name_that_two_files_give_is_told_in_the_later_one_and_names_the_earlier() -> None:
    (found,) = refused(file(group(rule("twice"))), file(group(rule("once"), rule("twice"))))
    assert (found.path, found.line, found.code) == ("1.yaml", 8, "duplicate-rule")
    assert "0.yaml:7" in found.message


def test_a_time_interval_may_stand_in_another_file_but_only_once() -> None:
    office = "time_intervals: [{name: office, time_intervals: [{weekdays: [monday]}]}]\n"
    uses = file(group(rule(more="windows: {mute: [office]}")))
    there = f"version: 1\n{office}"
    assert loaded(uses, there).named(["office"])
    (found,) = refused(uses, there, there)
    assert (found.path, found.code) == ("2.yaml", "duplicate-interval")


def test_two_steps_of_the_same_action_need_names() -> None:
    twice = "{action: restart_workload}, {action: restart_workload, if: any}"
    named = twice.replace("if:", "name: again, if:")
    text = file(group(rule(steps=twice)))
    (found,) = refused(text)
    assert (found.code, found.column) == ("duplicate-step", place_of(text, "{action")[1])
    assert [
        step.label for step in loaded(file(group(rule(steps=named)))).sources[0].rule.steps
    ] == [
        "restart_workload",
        "again",
    ]


def test_a_key_of_a_later_version_is_refused_wherever_it_stands() -> None:
    for text, key in (
        (file(group(rule(more="owners: {vpa: allow}"))), "vpa"),
        (file(group(rule(more="diagnose: false"))), "diagnose"),
        (file(group(rule(), mode="act, diagnose: true")), "diagnose"),
    ):
        (found,) = refused(text)
        at = (found.line, found.column)
        assert (found.code, at) == ("not-supported-yet", place_of(text, key))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("limits: {in_flght: 1}", "`in_flight`"),
        ("escalate: {too: [log]}", "`to`"),
        ("approval: {expire: 1h}", "`expires`"),
        ("owners: {gitop: warn}", "`gitops`"),
        ("windows: {mutes: []}", "`mute`"),
        ("unless: [{matches: ['a=\"b\"']}]", "`match`"),
        ("steps: [{action: restart_workload, limits: {cooldown: 1h}}]", "known: attempts"),
    ],
)
def test_what_is_suggested_is_known_where_the_unknown_key_stands(wrong: str, right: str) -> None:
    text = file(group(rule(more=wrong)))
    if wrong.startswith("steps"):
        text = text.replace(f"steps: [{RESTART}], ", "")
    found = [finding for finding in refused(text) if finding.code == "unknown-field"]
    assert [finding.message.endswith((right, f"{right}?")) for finding in found] == [True]


def test_a_typo_in_one_file_does_not_make_a_good_override_in_another_wrong() -> None:
    broken = file(group(rule(more="mode: aprove")))
    assert codes(broken, "version: 1\noverrides: [{rules: [a], mode: observe}]\n") == [
        ("0.yaml", 7, "bad-value")
    ]


def test_a_typo_in_one_file_does_not_make_a_window_of_another_wrong() -> None:
    office = "time_intervals: [{name: office, time_intervals: [{weekdays: [monday]}]}]\n"
    broken = file(group(rule("b", "mode: aprove")), head=office)
    assert codes(broken, file(group(rule(more="windows: {active: [office]}")))) == [
        ("0.yaml", 8, "bad-value")
    ]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ("when: ['up{']", "bad-promql"),
        ("windows: {mute: [freeze]}", "unknown-interval"),
        ("target: {kind: Pod, namespace: shop, name: x}", "wrong-kind"),
    ],
)
def test_a_bad_value_hides_no_other_mistake(other: str, code: str) -> None:
    found = {finding.code for finding in refused(file(group(rule(more=f"mode: aprove, {other}"))))}
    assert found == {"bad-value", code}


FIVE = ", ".join(f"{{action: restart_workload, name: s{number}}}" for number in range(5))


@pytest.mark.parametrize(
    ("wrong", "steps"),
    [
        ("escalate: 5", RESTART),
        ("limits: {cooldown: 5}", RESTART),
        ("limits: {attempts: often}", FIVE),
        ("target: {kind: Deployment, name: web, namespace: 5}", RESTART),
        ("unless: [5]", RESTART),
        ("", "{action: restart_workload, verify: {until: [5]}}"),
        ("", "{action: scale_workload, if: never}"),
        ("", "{action: restart_workload, limits: {attempts: 1}}"),
    ],
)
def test_a_bad_value_is_no_reason_for_another_mistake(wrong: str, steps: str) -> None:
    more = ", ".join(filter(None, (wrong, "when: ['up{']")))
    found = sorted(finding.code for finding in refused(file(group(rule(more=more, steps=steps)))))
    assert found == ["bad-promql", "bad-value"]


def test_a_rule_that_cannot_be_read_is_there_for_overrides() -> None:
    text = file(group(rule(steps="5")), overrides="rules: [a], mode: observe")
    assert [finding.code for finding in refused(text)] == ["bad-value"]


def test_a_rule_without_what_it_needs_is_read_all_the_same() -> None:
    text = "version: 1\ngroups: [{name: g, scope: {}, rules: [{name: a, steps: [{action: x}]}]}]\n"
    found = sorted(finding.code for finding in refused(text))
    assert found == ["missing-field", "missing-field", "no-scope", "unknown-action"]


def test_a_key_of_a_later_version_hides_no_other_mistake() -> None:
    text = file(group(rule(more="diagnose: true", steps="{action: restart}")))
    assert {finding.code for finding in refused(text)} == {"not-supported-yet", "unknown-action"}


@pytest.mark.parametrize("wrong", ["when: ['up{']", "steps: [{action: restat}]"])
def test_a_mistake_of_a_rule_is_not_told_again_of_its_override(wrong: str) -> None:
    text = file(group(rule()), overrides="rules: [a], mode: observe")
    text = (
        text.replace("steps: [{action: restart_workload}]", "STEPS") if "steps" in wrong else text
    )
    broken = text.replace("STEPS", wrong).replace("name: a,", f"name: a, {wrong},", 1)
    broken = broken.replace(f", {wrong}}}", "}") if "steps" in wrong else broken
    assert [finding.line for finding in refused(broken)] == [7]


@pytest.mark.parametrize("wrong", ["when: ['up{']", "windows: {mute: [freeze]}"])
def test_a_mistake_of_the_defaults_is_told_once_and_there(wrong: str) -> None:
    text = file(group(rule("a"), rule("b"), mode=f"act, {wrong}"))
    assert [finding.line for finding in refused(text)] == [place_of(text, "defaults:")[0]]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("mode: approve\n", "mode: aprove\n"), ("allow_outage: true", "alow_outage: true")],
)
def test_a_mistake_in_a_step_of_an_override_points_into_that_step(right: str, wrong: str) -> None:
    text = GOOD.replace(right, wrong)
    (found,) = refused(text)
    assert found.line == place_of(text, wrong)[0]


@pytest.mark.parametrize(
    "text",
    [
        rule(more="target: pod"),
        rule(more="target: node"),
        rule(more="target: {kind: Deployment, namespace: shop}"),
        rule(steps="{action: restart_workload, verify: {until: resolvd}}"),
    ],
    ids=["target-word", "target-of-later", "target-without-name", "until-word"],
)
def test_one_wrong_value_is_one_finding(text: str) -> None:
    assert len(refused(file(group(text)))) == 1


def test_a_step_may_have_any_name_and_be_addressed_by_it() -> None:
    steps = "{name: diagnose, action: restart_workload}"
    over = "rules: [a], steps: {diagnose: {mode: approve}}"
    assert loaded(file(group(rule(steps=steps)), overrides=over)).overrides


def test_where_nothing_is_known_nothing_is_suggested() -> None:
    (found,) = refused(file(group(rule(more="windows: {mute: [freeze]}"))))
    assert re.search(r"known: *$", found.message) is None


def test_a_rule_with_very_many_mistakes_is_read_in_little_time() -> None:
    steps = ", ".join("{action: restart_workload, if: never}" for _ in range(600))
    assert len(refused(file(group(rule(steps=steps))))) >= 600


def test_defaults_are_checked_though_every_rule_has_its_own() -> None:
    text = file(group(rule(more="mode: act, limits: {attempts: 1/1h}"), mode="acts"))
    text = text.replace("defaults: {", "defaults: {limits: {attempts: often}, ", 1)
    assert [finding.code for finding in refused(text)] == ["bad-value", "bad-value"]


@pytest.mark.parametrize("deep", [960, 20000], ids=["deep", "too long"])
def test_a_query_that_is_nested_too_deeply_is_refused(deep: int) -> None:
    query = "(" * deep + "up" + ")" * deep
    found = refused(file(group(rule(more=f"when: ['{query}']"))))
    assert [finding.code for finding in found] == ["bad-promql"]


def test_half_a_character_is_no_text() -> None:
    (found, *_) = refused(file(group(rule())).replace("name: a", 'name: "\\ud800"'))
    assert found.code == "yaml"
