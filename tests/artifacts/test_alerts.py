"""The shipped alerting rules.

Promtool on the oldest and the current Prometheus, and the conventions that pint checks.
"""

import re
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.actions import ACTIONS
from remediator.model.target import Target
from remediator.rules.loader import load
from remediator.rules.targets import resolve
from tests.real.parts import binary

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "alerts").glob("*.yaml") if not path.stem.endswith("_test"))
RULES = []
for shipped in FILES:
    for group in yaml.safe_load(shipped.read_text())["groups"]:
        RULES += [(shipped.stem, rule) for rule in group["rules"]]
ALERTS = [(stem, rule) for stem, rule in RULES if "alert" in rule]
IDS = [rule["alert"] for _, rule in ALERTS]


@pytest.mark.parametrize("part", ["oldest", "prometheus"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_promtool_accepts_the_rules_and_their_tests_pass(part: str, path: Path) -> None:
    promtool = binary(part, "promtool")
    for command in (
        ["check", "rules", str(path)],
        ["test", "rules", str(path.with_name(f"{path.stem}_test.yaml"))],
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("stem", "rule"), ALERTS, ids=IDS)
def test_each_alert_has_a_firing_and_a_quiet_test(stem: str, rule: Any) -> None:
    tests = yaml.safe_load((ROOT / "alerts" / f"{stem}_test.yaml").read_text())["tests"]
    mine = [test for test in tests if f'alertname="{rule["alert"]}"' in str(test)]
    assert mine
    asked = chain.from_iterable(test["promql_expr_test"] for test in mine)
    shown = list(chain.from_iterable(expr.get("exp_samples") or [] for expr in asked))
    assert any(rule["alert"] in sample["labels"] for sample in shown)
    given = chain.from_iterable(test["input_series"] for test in mine)
    assert any('="b"' in series["series"] for series in given)


@pytest.mark.parametrize(("stem", "rule"), ALERTS, ids=IDS)
def test_each_alert_follows_the_conventions(stem: str, rule: Any) -> None:
    name, notes, expr = rule["alert"], rule["annotations"], rule["expr"]
    assert re.fullmatch(r"([A-Z][a-z0-9]*|[A-Z]+(?=[A-Z]|$|[0-9]))+[0-9]*", name), name
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert "{{" not in notes["summary"]
    assert notes["summary"].endswith(".")
    assert notes["runbook_url"] == f"https://remediator.io/runbooks/{stem}/{name.lower()}"
    assert "$value" not in str(rule["labels"])
    assert re.search(r"(==|!=|>=|<=|>|<) ?-?[0-9]|> max|absent", expr), (
        "an alert compares with something"
    )
    assert re.search(r"=~\"[^|.*+()\[\]?]*\"", expr) is None, "a regex without a pattern"
    assert rule.get("for") or rule.get("keep_firing_for")
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expr))))
    for label in re.findall(r"\$labels\.(\w+)", notes["description"]):
        assert label in grouped or f'"{label}"' in expr or "namespace_service:" in expr, (
            f"{label} does not survive"
        )


@pytest.mark.parametrize(("stem", "rule"), ALERTS, ids=IDS)
def test_each_alert_has_a_runbook(stem: str, rule: Any) -> None:
    text = (ROOT / "docs" / "runbooks" / stem / f"{rule['alert'].lower()}.md").read_text()
    for heading in (
        "## Meaning",
        "## Impact",
        "## Diagnosis",
        "## Mitigation",
        "## What remediator does",
    ):
        assert heading in text


def test_a_recording_rule_is_named_by_level_metric_and_operation() -> None:
    for _, rule in RULES:
        assert "alert" in rule or re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", rule["record"])


# the callers of what is broken see it too, so no rule acts on it alone
SEEN_BY_VICTIMS = {"HighLatencyP95"}
WORKLOAD_ALERTS = [rule for stem, rule in ALERTS if stem == "workloads"]


@pytest.mark.parametrize("rule", WORKLOAD_ALERTS, ids=[rule["alert"] for rule in WORKLOAD_ALERTS])
def test_each_workload_alert_is_answered_by_a_shipped_rule_about_its_victim(rule: Any) -> None:
    sources = load([ROOT / "rules"]).sources
    labels = {
        "alertname": rule["alert"],
        "severity": rule["labels"]["severity"],
        "namespace": "shop",
        "pod": "web-1",
    }
    for kind in ("deployment", "statefulset", "daemonset", "service"):
        if re.search(rf"by \([^)]*\b{kind}\b", rule["expr"]) or (
            kind == "service" and "namespace_service:" in rule["expr"]
        ):
            labels = {**{k: v for k, v in labels.items() if k != "pod"}, kind: "web"}
    answering = [
        source.rule.name
        for source in sources
        if all(matcher.matches(labels) for matcher in source.rule.match)
    ]
    assert bool(answering) == (rule["alert"] not in SEEN_BY_VICTIMS)
    target = resolve(labels, "default")
    assert isinstance(target, Target)
    assert target.namespace == "shop"


def test_no_shipped_rule_acts_on_latency_or_errors_without_a_cause_that_names_the_workload() -> (
    None
):
    for source in load([ROOT / "rules"]).sources:
        names = " ".join(one.value for one in source.rule.match if one.name == "alertname")
        if re.search("latency|error|requests?failing", names, re.I):
            for step in source.rule.steps:
                wanted = step.if_ if step.if_ is not None else tuple(ACTIONS[step.action].causes)
                assert wanted, source.rule.name
                assert not {"always", "any"} & set(wanted), (
                    f"{source.rule.name} acts on whoever sees the trouble"
                )


@pytest.mark.parametrize(
    "rule", [rule for stem, rule in ALERTS if stem == "remediator"], ids=lambda rule: rule["alert"]
)
def test_no_shipped_rule_heals_remediator_itself(rule: Any) -> None:
    assert rule["labels"]["remediation"] == "disabled"
    labels = {"alertname": rule["alert"], "namespace": "remediator", **rule["labels"]}
    for source in load([ROOT / "rules"]).sources:
        assert not all(matcher.matches(labels) for matcher in source.rule.match)
