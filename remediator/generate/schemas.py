"""JSON Schemas that follow from the definitions: of rule files, and of messages."""

from dataclasses import fields
from typing import Any

import orjson
from pydantic import BaseModel

from ..actions import ACTIONS
from ..model.duration import PATTERN
from ..model.notice import ALWAYS, MEANS, VERSION, Notice
from ..rules.schema import RuleFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def rule_file() -> str:
    """The JSON Schema of a rule file, for editors: it knows the actions, and their parameters."""
    made = RuleFile.model_json_schema(by_alias=True, mode="serialization")
    step = made["$defs"]["Step"]
    step["properties"]["action"]["enum"] = sorted(ACTIONS)
    step["allOf"] = [
        {
            "if": {"properties": {"action": {"const": name}}, "required": ["action"]},
            "then": {"properties": {"with": _parameters(action.params)}},
        }
        for name, action in sorted(ACTIONS.items())
    ]
    return text(made)


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
