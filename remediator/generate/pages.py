"""The reference pages that follow from the definitions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from ..guards.opt_in import ANNOTATION
from ..guards.opt_out import ANNOTATIONS
from ..model.duration import format_duration
from ..model.entry import ENTRY_KINDS
from ..model.remediation import LIVE, STATES, TRANSITIONS
from ..model.usage import Rate
from ..model.verdict import REASONS
from ..rules.schema import RuleFile
from ..settings import Settings
from ..telemetry import METRICS

END = "...\n"  # what YAML writes after a scalar that stands alone


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def reasons() -> str:
    """The closed list of reasons."""
    intro = (
        "# Reasons\n\nEvery verdict, and every end of a remediation, gives one of these reasons. A"
        " message beside it\ngives the details.\n\n"
    )
    rows = [(f"`{reason}`", spec.means) for reason, spec in REASONS.items()]
    return intro + markdown_table(("reason", "meaning"), rows)


def metrics() -> str:
    """The metrics that are exported."""
    rows = [
        (f"`remediator_{name}`", kind.__name__.lower(), ", ".join(labels) or "-", text)
        for name, (kind, text, labels) in METRICS.items()
    ]
    intro = "# Metrics\n\nServed at `/metrics` in the Prometheus text format.\n\n"
    return intro + markdown_table(("metric", "type", "labels", "meaning"), rows)


def annotations() -> str:
    """What annotations on a target or its namespace do."""
    intro = (
        "# Annotations\n\nSet them on a workload, or on a namespace for everything in it. They can"
        " only restrict what\nrules allow.\n\n"
    )
    rows = [(f"`{name}`", text) for name, text in {**ANNOTATIONS, **ANNOTATION}.items()]
    return intro + markdown_table(("annotation", "value and effect"), rows)


def history() -> str:
    """What a line of the history may record."""
    intro = (
        "# History\n\n`remediator show` prints the history of a remediation, and `remediator"
        " journal export` that of\neverything. A line has a time, a kind, often a"
        " [reason](reasons.md), and a text. Its kind is\none of these, or the [state](states.md)"
        " that the remediation came into.\n\n"
    )
    rows = [(f"`{kind}`", text) for kind, text in ENTRY_KINDS.items()]
    return intro + markdown_table(("kind", "meaning"), rows)


def settings() -> str:
    """Every process setting."""
    intro = (
        "# Settings\n\nKeys of the file that `remediator serve --config` reads. `remediator init`"
        " writes one with\ncomments. A key in a list is written `key[]`.\n\n"
    )
    rows = [(path, default, text) for path, default, text, _ in _keys(Settings, "")]
    return intro + markdown_table(("key", "default", "meaning"), rows)


def rules() -> str:
    """Every key of a rule file, with an example."""
    intro = (
        "# Rule files\n\nKeys of the YAML files in which rules are written, with one example"
        " each. A key in a list is\nwritten `key[]`. `remediator generate schema` prints a JSON"
        " Schema for editors.\n\n"
    )
    return intro + markdown_table(("key", "default", "meaning", "example"), _keys(RuleFile, ""))


def _keys(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str, str]]:
    """(path, default, description, example) of a model's fields and of the models within."""
    out: list[tuple[str, str, str, str]] = []
    for name, field in model.model_fields.items():
        inner = [m for m in _models(field.annotation) if m is not model]
        many = inner and "tuple" in str(field.annotation)
        path = f"{prefix}{field.alias or name}{'[]' if many else ''}"
        text = (field.description or "").replace("|", "\\|")
        out.append(
            (f"`{path}`", _default(field, bool(inner)), text, _example(field.alias or name, field))
        )
        for child in inner:
            out += _keys(child, f"{path}.")
    return out


def _example(name: str, field: Any) -> str:
    if not field.examples:
        return "-"
    flow: str = yaml.safe_dump(
        field.examples[0], default_flow_style=True, sort_keys=False, width=10_000
    )
    return f"`{name}: {flow.removesuffix(END).strip()}`"


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
    if isinstance(value, tuple):
        return ", ".join(f"`{written(item)}`" for item in value)
    return f"`{written(value)}`"


def written(value: Any) -> str:
    """A default as it would be written in YAML."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Rate):
        return f"{value.count}/{format_duration(value.window)}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def states() -> str:
    """The states of a remediation, and its state diagram."""
    intro = (
        "# States of a remediation\n\nA remediation in a waiting or acting state is in progress: it"
        " still does something. One that has\nended does nothing more, except as the table"
        " says.\n\n"
    )
    rows = [
        (f"`{state}`", spec.stage, spec.does, spec.severity if spec.told else "-")
        for state, spec in STATES.items()
    ]
    head = ("state", "stage", "what it does", "receivers are notified, with severity")
    arrows = "".join(
        f"    {state} --> {after}: {event}\n" for (state, event), after in TRANSITIONS.items()
    )
    ended = sorted({after for after in TRANSITIONS.values() if after not in LIVE})
    ends = "".join(f"    {after} --> [*]\n" for after in ended)
    diagram = f"```mermaid\nstateDiagram-v2\n    [*] --> queued\n{arrows}{ends}```\n"
    return f"{intro}{markdown_table(head, rows)}\n## Transitions\n\n{diagram}"


PAGES: Mapping[str, Callable[[], str]] = {
    "annotations.md": annotations,
    "history.md": history,
    "metrics.md": metrics,
    "reasons.md": reasons,
    "rules.md": rules,
    "settings.md": settings,
    "states.md": states,
}
