"""The JSON Schema of rule files: an editor marks what loading refuses, and nothing that loads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from remediator.actions import ACTIONS
from remediator.generate.schemas import rule_file
from remediator.located import load_text
from tests.unit.rules.files import file, group, loaded, refused, rule
from tests.unit.rules.test_places import GOOD

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(rule_file())


def marked(text: str) -> list[str]:
    """What an editor marks in a rule file, by where it stands."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    found = validator.iter_errors(load_text(text, "r.yaml").data)
    return ["/".join(map(str, error.absolute_path)) or error.message for error in found]


def whole(more: str = "", steps: str = "") -> str:
    """A file whose rule has all that is required itself."""
    return file(
        group(rule(more=", ".join(filter(None, ("escalate: {to: [log]}", more))), steps=steps))
    )


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that has properties."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"]["Step"]["properties"]["action"]["enum"] == sorted(ACTIONS)


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    for part in objects({**SCHEMA["$defs"], "file": SCHEMA}):
        if "title" in part and part["title"] != "Parameters":
            assert part.get("additionalProperties") is False, part["title"]
        for name, key in part["properties"].items():
            assert key.get("description"), f"{part.get('title')}.{name}"


def test_a_plain_rule_is_not_marked() -> None:
    text = whole("limits: {cooldown: 5m}, target: object")
    assert loaded(text).sources
    assert marked(text) == []


@pytest.mark.parametrize(
    ("more", "steps", "at"),
    [
        ("mode: aprove", "", "groups/0/rules/0/mode"),
        ("pending: 5", "", "groups/0/rules/0/pending"),
        ("limits: {in_flight: many}", "", "groups/0/rules/0/limits/in_flight"),
        ("continue: 1", "", "groups/0/rules/0/continue"),
        ("", "{action: restart}", "groups/0/rules/0/steps/0/action"),
        ("", "{action: rollback_workload, with: {changed_within: soon}}", "steps/0/with"),
        ("", "{action: restart_workload, with: {alow_outage: true}}", "steps/0/with"),
    ],
)
def test_a_mistake_is_marked_where_it_is(more: str, steps: str, at: str) -> None:
    text = whole(more, steps)
    assert [at in place for place in marked(text)] == [True]


def test_what_the_defaults_give_is_not_missed_in_a_rule() -> None:
    assert marked(file(group(rule()))) == []


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ("limits: {attempts: 3/6h}", ""),
        ("limits: {blast_radius: 30%}", ""),
        ("limits: {blast_radius: 2}", ""),
        ("limits: {blast_radius: [2, 30%], per_rule: [3/6h, 9/1d]}", ""),
        ("target: {kind: Deployment, namespace: shop, name: web}", ""),
        ("windows: {mute: []}, unless: [{match: ['a=\"b\"']}]", ""),
        ("", "{action: restart_workload, if: null, verify: {until: ['up > 1']}}"),
        ("", "{action: restart_workload, if: always}"),
    ],
)
def test_every_form_that_loads_is_not_marked(more: str, steps: str) -> None:
    text = whole(more, steps)
    assert loaded(text).sources
    assert marked(text) == []


def test_time_intervals_as_alertmanager_writes_them_are_not_marked() -> None:
    times = '[{start_time: "09:00", end_time: "17:00"}]'
    entry = f'{{weekdays: ["monday:friday"], times: {times}}}'
    text = f"version: 1\ntime_intervals: [{{name: office, time_intervals: [{entry}]}}]\n"
    assert marked(text) == []


def test_a_file_with_many_keys_is_not_marked() -> None:
    assert marked(GOOD) == []


DEFAULTS = "{mode: act, escalate: {to: [log]}}"


@pytest.mark.parametrize(
    ("defaults", "more"),
    [
        ("{escalate: {after: 5m}}", "escalate: {to: [log]}"),
        ("{escalate: {to: [log]}}", "escalate: {after: 5m}"),
        (
            "{escalate: {to: [log]}, target: {kind: Deployment, namespace: shop}}",
            "target: {name: x}",
        ),
        ("{target: object}", "escalate: {to: [log]}"),
    ],
)
def test_defaults_and_rules_may_each_have_a_part(defaults: str, more: str) -> None:
    text = file(group(rule(more=more))).replace(DEFAULTS, defaults)
    assert loaded(text).sources
    assert marked(text) == []


@pytest.mark.parametrize(
    ("defaults", "more", "at"),
    [
        ("{mode: act}", "", "groups/0/rules/0"),
        ("{mode: act}", "escalate: {after: 5m}", "groups/0/rules/0/escalate"),
        ("{mode: aprove, escalate: {to: [log]}}", "", "groups/0/defaults/mode"),
        (DEFAULTS, "target: {kind: Deployment}", "groups/0/rules/0/target"),
    ],
)
def test_what_neither_gives_is_marked(defaults: str, more: str, at: str) -> None:
    text = file(group(rule(more=more))).replace(DEFAULTS, defaults)
    assert refused(text)
    assert any(place.startswith(at) for place in marked(text))


@pytest.mark.parametrize(
    "over",
    [
        "limits: {cooldwn: 5m}",
        "windows: {mutes: []}",
        "escalate: {to: log}",
        "steps: {restart_workload: {mode: aprove}}",
        "steps: {restart_workload: {actions: restart_workload}}",
    ],
)
def test_what_an_override_cannot_change_is_marked(over: str) -> None:
    text = file(group(rule()), overrides=f"rules: [a], {over}")
    assert refused(text)
    assert [place.startswith("overrides/0/") for place in marked(text)] == [True]


def test_no_rule_that_is_shipped_is_marked() -> None:
    for path in sorted((ROOT / "rules").glob("*.yaml")):
        assert marked(path.read_text()) == [], path.name
