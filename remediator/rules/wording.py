"""Mistakes in words: what pydantic found, said as somebody who wrote YAML would say it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ..located import Document, Finding, Loc, suggest
from .schema import ExplicitTarget, Group, Override, Restore, Rule, RuleFile, Step, Verify
from .sections import (
    Approval,
    Escalate,
    IntervalEntry,
    Limits,
    Owners,
    Scope,
    StepLimits,
    TimeInterval,
    Unless,
    Windows,
)

SECTIONS: dict[str, type[BaseModel]] = {
    "groups": Group,
    "rules": Rule,
    "defaults": Rule,
    "overrides": Override,
    "scope": Scope,
    "limits": Limits,
    "steps": Step,
    "verify": Verify,
    "restore": Restore,
    "escalate": Escalate,
    "owners": Owners,
    "approval": Approval,
    "unless": Unless,
    "target": ExplicitTarget,
    "windows": Windows,
}


_UNION_TAGS = {
    "ExplicitTarget",
    "literal['object','workload']",
    "tuple[str, ...]",
    "literal['resolved','converged']",
    "function-before[_duration(), timedelta]",
}
PLAIN: dict[str, str] = {  # by pydantic's type of error
    "tuple_type": "write a list, such as [a, b]",
    "list_type": "write a list, such as [a, b]",
    "string_type": "write text; quote it if YAML would read it as something else",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "dict_type": "write keys and values, such as {{key: value}}",
    "mapping_type": "write keys and values, such as {{key: value}}",
    "model_type": "write keys and values, such as {{key: value}}",
    "model_attributes_type": "write keys and values, such as {{key: value}}",
    "too_short": "it must not be empty",
    "string_too_short": "it must not be empty",
    "greater_than": "it must be more than {gt}",
    "less_than": "it must be less than {lt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than_equal": "it must be {le} or less",
    "literal_error": "write one of {expected}",
}


def worded(
    document: Document, item: Mapping[str, Any], prefix: Loc = (), fields: list[str] | None = None
) -> Finding:
    """One of pydantic's errors as a finding at its place."""
    given = (*prefix, *(part for part in item["loc"] if part not in _UNION_TAGS))
    loc = _written_at(document, given)
    kind, leaf = item["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        known = fields if fields is not None else _fields(loc)
        return document.finding(
            loc, "unknown-field", f"unknown field `{leaf}`{suggest(leaf, known)}", at_key=True
        )
    if kind == "missing":
        return document.finding(loc, "missing-field", f"`{leaf}` is required")
    if kind in PLAIN:
        return document.finding(loc, "bad-value", PLAIN[kind].format(**(item.get("ctx") or {})))
    message = str(item["msg"]).removeprefix("Value error, ")
    return document.finding(loc, "bad-value", message[:1].lower() + message[1:])


def _written_at(document: Document, loc: Loc) -> Loc:
    """The place in the file: the group's defaults, for what a rule has from them."""
    if len(loc) <= 4 or loc[2] != "rules" or loc in document.values or loc in document.keys:
        return loc
    defaults: Loc = (loc[0], loc[1], "defaults")
    return (*defaults, *loc[4:]) if (*defaults, loc[4]) in document.keys else loc


def _fields(loc: Loc) -> list[str]:
    """The fields that would have been known where `loc` stands."""
    words = [part for part in loc[:-1] if isinstance(part, str)]
    model: type[BaseModel] = SECTIONS.get(words[-1], RuleFile) if words else RuleFile
    if words[:1] == ["time_intervals"]:
        model = TimeInterval if len(words) == 1 else IntervalEntry
    if words[-2:] == ["steps", "limits"]:
        model = StepLimits
    return [field.alias or name for name, field in model.model_fields.items()]
