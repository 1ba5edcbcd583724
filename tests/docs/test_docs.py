"""Generated pages are equal to what the code generates; every promise names tests that exist.

YAML in the docs parses.
"""

import ast
import re
from dataclasses import fields
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from remediator.actions import ACTIONS
from remediator.cli import main, manual
from remediator.engine.messages import message
from remediator.generate import PRINTED, reference
from remediator.guards import pipeline
from remediator.guards.guard import Guard
from remediator.located import load_text
from remediator.model.notice import MEANS, Notice
from remediator.model.remediation import STATES, Remediation, RemediationId, State
from remediator.model.target import Target
from remediator.rules.loader import build
from remediator.rules.schema import RuleFile
from remediator.rules.wording import SECTIONS
from remediator.setting_sections import ReceiverSettings
from tools import layers

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
EXPECTED = {**reference(), "cli.md": manual.page(main)}
BY_HAND = {"walk.md", "layers.md", "glossary.md"}


@pytest.mark.parametrize("page", sorted(EXPECTED))
def test_generated_pages_are_equal(page: str) -> None:
    assert (REFERENCE / page).read_text() == EXPECTED[page], "run `make docs`"


def test_no_page_is_left_of_what_is_gone() -> None:
    there = {str(path.relative_to(REFERENCE)) for path in REFERENCE.rglob("*") if path.is_file()}
    assert there - BY_HAND == EXPECTED.keys()


def test_every_key_of_a_rule_file_has_an_example_that_is_valid() -> None:
    keys = 0
    sections: list[type[BaseModel]] = [*SECTIONS.values(), RuleFile]
    for section in dict.fromkeys(sections):
        for name, field in section.model_fields.items():
            assert field.examples, f"{section.__name__}.{name}"
            kept = field.metadata
            shape: Any = Annotated[field.annotation, *kept] if kept else field.annotation
            TypeAdapter(shape).validate_python(field.examples[0])
            keys += 1
    assert keys > 60


def test_every_field_of_a_message_is_described() -> None:
    assert MEANS.keys() == {field.name for field in fields(Notice)}


def test_the_page_of_messages_names_every_notification() -> None:
    text = (ROOT / "docs" / "explanation" / "notifications.md").read_text()
    for state in (state for state, spec in STATES.items() if spec.told):
        assert f"`{state}`" in text, state
    target = Target("c", "Pod", "shop", "web")
    never = datetime(2026, 5, 1, tzinfo=UTC)
    undo = Remediation(
        RemediationId("u-1"),
        "r",
        "d",
        target,
        "",
        State.FAILED,
        None,
        "",
        "act",
        0,
        never,
        never,
        None,
        None,
        "",
        "",
        "",
        0,
        "r-1",
    )
    for key in message(undo, "failed", "", "").payload():
        assert f'"{key}"' in text or f"`{key}`" in text, key


def test_the_chart_s_permissions_are_equal() -> None:
    path = ROOT / "helm" / "remediator" / "files" / "permissions.yaml"
    assert path.read_text() == PRINTED["permissions"](()), "run `make docs`"


def test_every_promise_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "explanation" / "promises.md").read_text()
    assert len(re.findall(r"^\| P\d+ \|", text, re.M)) == 10
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_every_way_of_failing_names_a_test_and_an_alert_that_exist() -> None:
    text = (ROOT / "docs" / "explanation" / "failures.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) >= 16
    alerts = (ROOT / "alerts" / "remediator.yaml").read_text()
    for row in rows:
        (named,) = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert f"def {named[1]}(" in (ROOT / named[0]).read_text(), row
        for alert in re.findall(r"Remediator\w+", row):
            assert f"alert: {alert}\n" in alerts, row


@pytest.mark.parametrize(
    "path", ["README.md", "docs/explanation/rules.md", "docs/how-to/write-a-rule.md"]
)
def test_the_rules_shown_load(path: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / path).read_text(), re.S)
    assert blocks
    for block in blocks:
        assert build([load_text(block, path)]).sources


PAGES_SHOWN = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("**/*.md"))),
]


@pytest.mark.parametrize("path", PAGES_SHOWN)
def test_every_command_option_and_link_shown_exists(path: str) -> None:
    text = (ROOT / path).read_text()
    for command, rest in re.findall(
        r"remediator ((?:(?:notify|journal) )?[a-z]+)((?: [^`\n|#]*)?)", "\n".join(_code(text))
    ):
        group: Any = main
        for word in command.split():
            assert word in group.commands, f"{path}: remediator {command}"
            group = group.commands[word]
        known = set(chain.from_iterable(parameter.opts for parameter in group.params))
        assert set(re.findall(r"(--[a-z-]+)", rest)) <= known, f"{path}: remediator {command}{rest}"
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert ((ROOT / path).parent / link).exists(), f"{path}: {link}"


def _code(text: str) -> list[str]:
    """Indented lines and `code` of a page, of the tool itself."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [
        line
        for line in [*lines, *re.findall(r"`([^`\n]+)`", text)]
        if re.match(r"(\.venv/bin/)?remediator ", line)
    ]


def test_every_receiver_shown_is_a_receiver(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "notify.md").read_text()
    for line in re.findall(r"- (\{name: .*?kind: .*?\})", text):
        given = yaml.safe_load(line)
        for key in [key for key in given if key.endswith("_file")]:
            (tmp_path / key).write_text("x")
            given[key] = str(tmp_path / key)
        assert ReceiverSettings.model_validate(given)


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_has_a_manual_and_an_example_that_loads(name: str) -> None:
    action = ACTIONS[name]
    for heading in ("Use when:", "Do not use when:", "How it verifies:", "What it leaves behind:"):
        assert heading in action.manual
    assert yaml.safe_load(action.example)["action"] == name


def test_observing_rules_need_no_writes() -> None:
    (role,) = yaml.safe_load_all(PRINTED["rbac"]((ROOT / "rules",)))
    assert not any("patch" in rule["verbs"] for rule in role["rules"])
    whole, local = yaml.safe_load_all(
        PRINTED["rbac"]((ROOT / "remediator" / "cli" / "demo" / "rules.yaml",))
    )
    # it acts in one namespace, and may write there only
    assert not any("patch" in rule["verbs"] for rule in whole["rules"])
    assert (local["kind"], local["metadata"]["namespace"]) == ("Role", "shop")
    assert any("patch" in rule["verbs"] for rule in local["rules"])


def reasons_in(node: ast.AST) -> set[str]:
    return {
        found.attr.lower()
        for found in ast.walk(node)
        if isinstance(found, ast.Attribute)
        and isinstance(found.value, ast.Name)
        and found.value.id == "Reason"
    }


@pytest.mark.parametrize("guard", pipeline.GUARDS, ids=lambda guard: guard.name)
def test_a_guard_s_page_names_exactly_the_reasons_that_it_gives(guard: Guard) -> None:
    """Of its file; the limits share one, so each of them is what is called within it."""
    check = guard.first or guard.planned or guard.begin
    assert check is not None
    source = ast.parse(Path(check.__code__.co_filename).read_text())
    functions = {node.name: node for node in source.body if isinstance(node, ast.FunctionDef)}
    given = reasons_in(source)
    if Path(check.__code__.co_filename).name == "limits.py":
        wanted, given = {guard.name}, set()
        for _ in functions:
            bodies = (functions[name] for name in wanted & functions.keys())
            called = chain.from_iterable(map(ast.walk, bodies))
            wanted = wanted | {
                node.func.id
                for node in called
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
        for name in wanted & functions.keys():
            given |= reasons_in(functions[name])
    _, _, verdicts = guard.manual.partition("Verdicts:")
    assert set(re.findall(r"`([a-z_]+)`", verdicts)) == given


def test_the_figure_of_the_layers_is_drawn_from_the_code() -> None:
    assert (REFERENCE / "layers.md").read_text() == layers.page(), "run `make docs`"
