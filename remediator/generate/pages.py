"""The reference pages that follow from the definitions.

Actions, reasons, guards, metrics, states, keys.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from ..actions import ACTIONS
from ..catalogue import KINDS
from ..causes import CAUSES
from ..guards import pipeline
from ..guards.opt_in import ANNOTATION
from ..guards.opt_out import ANNOTATIONS
from ..model.duration import format_duration
from ..model.remediation import LIVE, STATES, TRANSITIONS
from ..model.usage import Rate
from ..model.verdict import REASONS
from ..rules.schema import RuleFile
from ..settings import Settings
from ..telemetry import METRICS


def schema(_paths: Sequence[Path]) -> str:
    """The JSON Schema of a rule file, for editors: it knows the actions, and what each takes."""
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
    return json.dumps(made, indent=2) + "\n"


def _parameters(params: type[BaseModel]) -> dict[str, Any]:
    """An action's parameters as they are written: a duration is text there."""
    made = params.model_json_schema(by_alias=True, mode="serialization")
    for field in made.get("properties", {}).values():
        if field.get("format") == "duration":
            field.pop("format")
            field["pattern"] = "^([0-9]+(ms|[smhdwy]))+$"
    return made


def actions(_paths: Sequence[Path]) -> str:
    """The actions' manual pages."""
    out = ["# Actions\n"]
    for action in ACTIONS.values():
        out.append(f"## {action.name}\n\n{action.manual.strip()}\n")
        out.append(
            f"* Targets: {', '.join(sorted(map(str, action.targets)))}\n* Causes:"
            f" {', '.join(sorted(action.causes))}\n* Disruption: {action.disruption}"
        )
        for name, field in action.params.model_fields.items():
            out.append(f"* `{name}` (default `{field.default}`): {field.description}")
        out.append(f"\n```yaml\n{action.example}\n```\n")
    return "\n".join(out)


def causes(_paths: Sequence[Path]) -> str:
    """The causes' pages."""
    out = ["# Causes\n"]
    for cause in CAUSES.values():
        users = [action.name for action in ACTIONS.values() if cause.name in action.causes]
        kinds = set(KINDS.values()).intersection(*(s.of for s in cause.sees if s.of is not None))
        out.append(f"## {cause.name}\n\n{cause.manual.strip()}\n")
        out.append(f"* Sees: {', '.join(sorted(map(str, cause.sees)))}")
        out.append(f"* Targets: {', '.join(sorted(map(str, kinds)))}")
        out.append(
            f"* Actions that are for it: {', '.join(users) or 'none of its own: say `if`'}\n"
        )
    return "\n".join(out)


def reasons(_paths: Sequence[Path]) -> str:
    """The closed list of reasons."""
    return "# Reasons\n\n| reason | means |\n|---|---|\n" + "".join(
        f"| `{reason}` | {spec.means} |\n" for reason, spec in REASONS.items()
    )


def guards(_paths: Sequence[Path]) -> str:
    """The guards in their order."""
    head = (
        "# Guards\n\nAsked in this order; every verdict is kept and shown, and the strongest"
        " decides: deny, hold, ask, allow. What cannot\nbe known holds. The first look is before"
        " anything is observed, the second has facts and a plan; begin is the transaction\nthat"
        " begins an attempt, in which no two can both pass; write is just before each write."
        " Verdicts that are not to allow are\ncounted in `remediator_verdicts_total`.\n\n| guard |"
        " set by | is for | asked |\n|---|---|---|---|\n"
    )
    rows = (
        f"| `{guard.name}` | {guard.set_by} | {guard.summary} | {guard.asked} |\n"
        for guard in pipeline.GUARDS
    )
    return head + "".join(rows)


def metrics(_paths: Sequence[Path]) -> str:
    """The metrics that are exported."""
    rows = (
        f"| `remediator_{name}` | {kind.__name__.lower()} | {', '.join(labels) or '-'} | {text} |\n"
        for name, (kind, text, labels) in METRICS.items()
    )
    return "# Metrics\n\n| metric | type | labels | means |\n|---|---|---|---|\n" + "".join(rows)


def annotations(_paths: Sequence[Path]) -> str:
    """What annotations on a target or its namespace do."""
    head = (
        "# Annotations\n\nOn a workload, or on its namespace for all that is in it. They only"
        " tighten.\n\n"
    )
    return (
        head
        + "| annotation | means |\n|---|---|\n"
        + "".join(
            f"| `{name}` | {text} |\n" for name, text in {**ANNOTATIONS, **ANNOTATION}.items()
        )
    )


def settings(_paths: Sequence[Path]) -> str:
    """Every process setting."""
    return (
        "# Settings\n\nOf the file that `serve --config` reads; `remediator init` writes one.\n\n"
        + _keys(Settings)
    )


def rules(_paths: Sequence[Path]) -> str:
    """Every key of a rule file."""
    return "# Rule files\n\n" + _keys(RuleFile)


def _keys(model: type[BaseModel]) -> str:
    return "| key | default | means |\n|---|---|---|\n" + "".join(
        f"| `{path}` | {default} | {text} |\n" for path, default, text in _rows(model, "")
    )


def _rows(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str]]:
    """(path, default, description) of a model's fields and of the models within.

    Lists are written `key[]`.
    """
    out: list[tuple[str, str, str]] = []
    for name, field in model.model_fields.items():
        inner = [m for m in _models(field.annotation) if m is not model]
        many = inner and "tuple" in str(field.annotation)
        path = f"{prefix}{field.alias or name}{'[]' if many else ''}"
        out.append(
            (path, _default(field, bool(inner)), (field.description or "").replace("|", "\\|"))
        )
        for child in inner:
            out += _rows(child, f"{path}.")
    return out


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return list(chain.from_iterable(map(_models, get_args(annotation))))


def _default(field: Any, nested: bool) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or (nested and not isinstance(value, str)) or value in ("", (), {}):
        return "-"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if isinstance(value, tuple):
        return ", ".join(
            (
                f"`{item.count}/{format_duration(item.window)}`"
                if isinstance(item, Rate)
                else f"`{item}`"
            )
            for item in value
        )
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def states(_paths: Sequence[Path]) -> str:
    """The state diagram of a remediation."""
    arrows = "".join(
        f"    {state} --> {after}: {event}\n" for (state, event), after in TRANSITIONS.items()
    )
    ends = "".join(
        f"    {after} --> [*]\n"
        for after in sorted({a for a in TRANSITIONS.values() if a not in LIVE})
    )
    rows = "".join(
        f"| `{state}` | {spec.stage} | {spec.does} | {spec.severity if spec.told else '-'} |\n"
        for state, spec in STATES.items()
    )
    head = (
        "# States of a remediation\n\n| state | | what it does | people are told at once"
        " |\n|---|---|---|---|\n"
    )
    diagram = f"```mermaid\nstateDiagram-v2\n    [*] --> queued\n{arrows}{ends}```\n"
    return f"{head}{rows}\n{diagram}"
