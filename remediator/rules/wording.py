"""Mistakes in words: what pydantic found, said as somebody who wrote YAML would say it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ..located import Document, Finding, Loc, suggest
from .scalars import FORMS
from .schema import (
    LATER,
    ExplicitTarget,
    Group,
    Override,
    Restore,
    Rule,
    RuleFile,
    Step,
    Verify,
)
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
    document: Document,
    error: ValidationError,
    prefix: Loc = (),
    fields: list[str] | None = None,
) -> list[Finding]:
    """Pydantic's errors as findings, each at its place.

    `fields` are those of an action's parameters or of settings.
    """
    told = innermost(error.errors(include_url=False))
    return [_worded(document, item, prefix, fields) for item in told]


def innermost(errors: Sequence[Any]) -> list[Any]:
    """Pydantic's errors, but for lists that are only too short as something in them is wrong."""
    deeper: set[Loc] = set()
    for item in errors:
        deeper |= {item["loc"][:length] for length in range(len(item["loc"]))}
    return [item for item in errors if item["type"] != "too_short" or item["loc"] not in deeper]


def _worded(
    document: Document, item: Mapping[str, Any], prefix: Loc, fields: list[str] | None
) -> Finding:
    loc = (*prefix, *keys_of(item["loc"]))
    kind, leaf = item["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        return _unknown(document, loc, leaf, fields)
    if kind == "missing":
        return document.finding(loc, "missing-field", f"`{leaf}` is required")
    if kind in PLAIN:
        return document.finding(loc, "bad-value", PLAIN[kind].format(**(item.get("ctx") or {})))
    message = str(item["msg"]).removeprefix("Value error, ")
    return document.finding(loc, "bad-value", message[:1].lower() + message[1:])


def _unknown(document: Document, loc: Loc, leaf: str, fields: list[str] | None) -> Finding:
    if fields is None and leaf in LATER:
        message = (
            f"`{leaf}` is not supported yet ({LATER[leaf]}); remove it; the rule would promise what"
            " is not enforced"
        )
        return document.finding(loc, "not-supported-yet", message, at_key=True)
    known = [name for name in (_fields(loc) if fields is None else fields) if name != leaf]
    message = f"unknown field `{leaf}`{suggest(leaf, known)}"
    return document.finding(loc, "unknown-field", message, at_key=True)


def keys_of(loc: Loc) -> Loc:
    """The place of an error without what only says which form of a value was meant."""
    return tuple(part for part in loc if part not in FORMS)


def _fields(loc: Loc) -> list[str]:
    """The fields that would have been known where `loc` stands."""
    words = [part for part in loc[:-1] if isinstance(part, str)]
    model: type[BaseModel] = SECTIONS.get(words[-1], RuleFile) if words else RuleFile
    if words[:1] == ["time_intervals"]:
        model = TimeInterval if len(words) == 1 else IntervalEntry
    if words[-2:] == ["steps", "limits"]:
        model = StepLimits
    return [field.alias or name for name, field in model.model_fields.items()]
