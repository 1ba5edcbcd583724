"""JSON Schemas that follow from the definitions: of rule files, and of messages."""

from dataclasses import fields
from typing import Any

import orjson
from pydantic import BaseModel

from ..actions import ACTIONS
from ..model.duration import PATTERN
from ..model.notice import ALWAYS, MEANS, VERSION, Notice
from ..rules.schema import RuleFile

PARTS = "#/$defs/"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def rule_file() -> str:
    """The JSON Schema of a rule file, for editors: it knows the actions, and their parameters.

    What is required of a rule may stand in the group's defaults; an override has parts of all.
    """
    made = RuleFile.model_json_schema(by_alias=True, mode="serialization")
    parts = made["$defs"]
    parts["Step"]["properties"]["action"]["enum"] = sorted(ACTIONS)
    parts["Rule"]["properties"]["steps"]["items"] |= {
        "required": parts["Step"].pop("required"),
        "allOf": [
            {
                "if": {"properties": {"action": {"const": name}}, "required": ["action"]},
                "then": {"properties": {"with": _parameters(action.params)}},
            }
            for name, action in sorted(ACTIONS.items())
        ],
    }
    parts["Group"]["allOf"] = [_given(path) for path in _required(parts)]
    parts["Group"]["properties"]["defaults"] |= {"$ref": f"{PARTS}Rule"}
    changed = parts["Override"]["properties"]
    for key in ("limits", "windows", "escalate"):
        changed[key]["anyOf"][0] |= {"$ref": f"{PARTS}{key.title()}"}
    changed["steps"]["anyOf"][0]["additionalProperties"] = {"$ref": f"{PARTS}Step"}
    return text(made)


def _required(parts: dict[str, Any]) -> list[tuple[str, ...]]:
    """The paths of what a rule needs, its maps included: these merge with those of the defaults.

    They are taken from where they stand.
    """
    rule = parts["Rule"]
    paths: list[tuple[str, ...]] = [(key,) for key in rule.pop("required")]
    for key, field in rule["properties"].items():
        for form in (field, *field.get("oneOf", ()), *field.get("anyOf", ())):
            section = parts.get(form.get("$ref", "").removeprefix(PARTS), {})
            paths += [(key, inner) for inner in section.pop("required", ())]
    return paths


def _given(path: tuple[str, ...]) -> dict[str, Any]:
    """What the defaults do not give has each rule itself."""
    first, *rest = path
    below = {"properties": {first: {"required": rest}}} if rest else {}
    given = {"defaults": {"required": [first], **below}}
    return {
        "if": {"properties": given, "required": ["defaults"]},
        "else": {"properties": {"rules": {"items": below or {"required": [first]}}}},
    }


def _parameters(params: type[BaseModel]) -> dict[str, Any]:
    """An action's parameters as they are written: a duration is text there."""
    made = params.model_json_schema(by_alias=True, mode="serialization")
    for field in made.get("properties", {}).values():
        if field.get("format") == "duration":
            field.pop("format")
            field["pattern"] = PATTERN
    return made


def message() -> str:
    """The JSON Schema of the message that a webhook receiver gets."""
    kinds: dict[Any, dict[str, Any]] = {
        str: {"type": "string"},
        bool: {"type": "boolean"},
        tuple[str, ...]: {"type": "array", "items": {"type": "string"}},
    }
    properties = {
        item.name: kinds[item.type] | {"description": MEANS[item.name]} for item in fields(Notice)
    }
    return text(
        {
            "$schema": DIALECT,
            "title": "Message",
            "description": (Notice.__doc__ or "").split("\n")[0],
            "type": "object",
            "properties": {"version": {"const": VERSION}, **properties},
            "required": ["version", *ALWAYS],
            "additionalProperties": False,
        }
    )


def text(schema: Any) -> str:
    """As it is written to a file."""
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode() + "\n"
