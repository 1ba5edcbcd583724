"""Rule files: every mistake at once, with its place; what is not honoured yet is refused."""

from pathlib import Path

import pytest

from remediator.located import load_text
from remediator.rules.loader import RuleErrors, build, load, rule_files
from remediator.rules.ruleset import RuleSet

GOOD = """\
version: 1
groups:
  - name: g
    scope: {namespaces: ["shop-.+"]}
    defaults: {mode: act, escalate: {to: [log]}}
    rules:
      - name: a
        match: ['alertname="A"']
        steps:
          - {action: rollback_workload, with: {changed_within: 30m}}
          - {action: restart_workload, mode: approve}
overrides:
  - {rules: [a], namespaces: ["shop-staging"], limits: {attempts: 5/6h},
     steps: {rollback_workload: {with: {changed_within: 2h}}}}
"""


def parse(text: str) -> RuleSet:
    return build([load_text(text, "r.yaml")])


def mistakes(text: str) -> list[tuple[int, str]]:
    with pytest.raises(RuleErrors) as error:
        parse(text)
    return [(finding.line, finding.code) for finding in error.value.findings]


def test_a_good_file_is_loaded_with_its_defaults() -> None:
    (source,) = parse(GOOD).sources
    assert source.rule.mode == "act"
    assert source.rule.escalate.to == ("log",)
    assert [step.label for step in source.rule.steps] == ["rollback_workload", "restart_workload"]


def test_five_different_mistakes_are_shown_at_once_each_with_a_caret() -> None:
    text = GOOD.replace("changed_within: 30m", "chnged_within: 30m").replace(
        "mode: approve", "mode: aprove"
    )
    text = (
        text.replace("'alertname=\"A\"'", "'alertname=~\"(\"'")
        .replace("[log]", "log")
        .replace("action: restart_workload", "action: restart")
    )
    with pytest.raises(RuleErrors) as error:
        parse(text)
    found = [(finding.line, finding.code) for finding in error.value.findings]
    assert found == [
        (5, "bad-value"),
        (8, "bad-value"),
        (10, "unknown-field"),
        (11, "unknown-action"),
        (11, "bad-value"),
    ]
    assert all("^" in finding.render() for finding in error.value.findings)


@pytest.mark.parametrize(
    ("old", "new", "line", "code"),
    [
        ("changed_within: 30m", "chnged_within: 30m", 10, "unknown-field"),
        ("changed_within: 30m", "changed_within: soon", 10, "bad-value"),
        ("mode: approve", "mode: aprove", 11, "bad-value"),
        ("action: restart_workload", "action: restart_workloads", 11, "unknown-action"),
        ("action: restart_workload", "action: scale_workload", 11, "no-cause-named"),
        ("mode: approve", "restore: {after: 1h}", 11, "cannot-restore"),
        ("mode: approve", "restore: {aftr: 1h}", 11, "unknown-field"),
        ("match: [", "mtch: [", 8, "unknown-field"),
        ("rules: [a]", "rules: [b]", 13, "unknown-rule"),
        ("{rollback_workload: {with", "{rollback: {with", 14, "unknown-step"),
        ("attempts: 5/6h", "attempts: 1/6h", 14, "ladder-too-long"),
        ('namespaces: ["shop-.+"]', "namespaces: []", 4, "no-scope"),
        ('namespaces: ["shop-.+"]', 'namespaces: ["("]', 4, "bad-value"),
        ("mode: act,", "mode: off,", 5, "yaml-trap"),
        ("      - name: a\n", "      - name: a\n        priority: high\n", 8, "bad-value"),
        ("      - name: a\n", "      - name: a\n        diagnose: true\n", 8, "not-supported-yet"),
        ("limits: {attempts: 5/6h}", "limits: {blast_radius: lots}", 13, "bad-value"),
        ("limits: {attempts: 5/6h}", "windows: {mute: [freeze]}", 13, "unknown-interval"),
        ("limits: {attempts: 5/6h}", "windows: {muted: [freeze]}", 13, "unknown-field"),
        (
            "      - name: a\n",
            "      - name: a\n        windows: {active: [office]}\n",
            8,
            "unknown-interval",
        ),
        (
            "groups:",
            "time_intervals: [{name: x, time_intervals: [{weekdays: [moonday]}]}]\ngroups:",
            2,
            "bad-value",
        ),
        (
            "groups:",
            "time_intervals: [{name: x, time_intervals: [{weekday: [monday]}]}]\ngroups:",
            2,
            "unknown-field",
        ),
        (
            "groups:",
            "time_intervals: [{name: x, time_intervals: [{location: Mars}]}]\ngroups:",
            2,
            "bad-value",
        ),
        (
            "groups:",
            (
                "time_intervals: [{name: x, time_intervals: [{times: [{start_time: 09:00, end_time:"
                " 17:00}]}]}]\ngroups:"
            ),
            2,
            "yaml-trap",
        ),
        ("version: 1", "version: 2", 1, "bad-value"),
        ("version: 1", "version: 1\nversion: 1", 2, "duplicate-key"),
        ("version: 1", "version: [", 3, "yaml"),
        (GOOD[GOOD.index("groups:") :], "groups: 5", 2, "bad-value"),
        (GOOD[GOOD.index("groups:") :], "groups: {a: 1}", 2, "bad-value"),
    ],
)
def test_each_mistake_has_its_place(old: str, new: str, line: int, code: str) -> None:
    assert old in GOOD
    assert (line, code) in mistakes(GOOD.replace(old, new, 1))


def test_a_suggestion_is_made() -> None:
    with pytest.raises(RuleErrors) as error:
        parse(GOOD.replace("changed_within: 30m", "chnged_within: 30m"))
    assert "did you mean `changed_within`?" in error.value.findings[0].render()


def test_the_same_name_twice_is_an_error() -> None:
    with pytest.raises(RuleErrors, match="1 mistake"):
        build([load_text(GOOD, "a.yaml"), load_text(GOOD.split("overrides")[0], "b.yaml")])


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "a: &a [*a]", "\x00", "version: 1\ngroups: {}\n", "- " * 2000]
)
def test_nonsense_is_an_error_and_no_crash(text: str) -> None:
    with pytest.raises(RuleErrors):
        parse(text)


def test_the_shipped_rules_load() -> None:
    assert load([Path(__file__).parents[3] / "rules"]).sources


def test_a_config_map_s_hidden_folders_are_no_rule_files(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "a.yaml").write_text(GOOD)
    assert [path.name for path in rule_files([tmp_path])] == ["a.yaml"]
