"""Generated pages are equal to what the code generates; every promise names tests that exist; YAML in the docs parses."""

import re
from pathlib import Path

import pytest
import yaml

from remediator.actions import ACTIONS
from remediator.generate import PAGES
from remediator.located import load_text
from remediator.rules.loader import build

ROOT = Path(__file__).parents[2]
FILES = {"schema": "rules.schema.json", "rbac": "rbac.yaml"}


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"permissions"}))
def test_generated_pages_are_equal(page: str) -> None:
    path = ROOT / "docs" / "reference" / FILES.get(page, f"{page}.md")
    assert path.read_text() == PAGES[page](()), "run `make docs`"


def test_the_chart_s_permissions_are_equal() -> None:
    path = ROOT / "helm" / "remediator" / "files" / "permissions.yaml"
    assert path.read_text() == PAGES["permissions"](()), "run `make docs`"


def test_every_promise_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    assert len(re.findall(r"^\| P\d+ \|", text, re.M)) == 10
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_the_readme_s_rule_loads() -> None:
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S):
        assert build([load_text(block, "README.md")]).sources


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_has_a_manual_and_an_example_that_loads(name: str) -> None:
    action = ACTIONS[name]
    for heading in ("Use when:", "Do not use when:", "How it verifies:", "What it leaves behind:"):
        assert heading in action.manual
    assert yaml.safe_load(action.example)["action"] == name


def test_observing_rules_need_no_writes() -> None:
    role = yaml.safe_load(PAGES["rbac"]((ROOT / "rules",)))
    assert not any("patch" in rule["verbs"] for rule in role["rules"])
    demo = yaml.safe_load(PAGES["rbac"]((ROOT / "remediator" / "demo" / "rules.yaml",)))
    assert any("patch" in rule["verbs"] for rule in demo["rules"])
