"""What follows from the definitions: JSON Schema, RBAC, and the reference pages of actions, reasons, metrics and states."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from .actions import ACTIONS
from .cluster.objects import LISTED, READABLE
from .model.remediation import LIVE, TRANSITIONS
from .model.verdict import REASONS
from .rules.loader import load
from .rules.schema import RuleFile
from .telemetry import METRICS

ALWAYS = [
    *((group, plural, ("get", "list") if kind in LISTED else ("get",)) for kind, (group, _, plural) in READABLE.items()),
    ("", "events", ("create",)),
]


def schema(_paths: Sequence[Path]) -> str:
    """The JSON Schema of a rule file, for editors."""
    return json.dumps(RuleFile.model_json_schema(by_alias=True, mode="serialization"), indent=2) + "\n"


def rbac(paths: Sequence[Path]) -> str:
    """A ClusterRole with what the rules' actions need (every action's, where no rules are given); rules that only observe need no writes."""
    used = set(ACTIONS)
    if paths:
        rules = load(paths)
        modes = {name: override.mode for override in rules.overrides for name in override.rules if override.mode}
        acting = [s.rule for s in rules.sources if modes.get(s.rule.name, s.rule.mode) != "observe"]
        used = {step.action for rule in acting for step in rule.steps}
    needed: dict[tuple[str, str], set[str]] = {(group, resource): set(verbs) for group, resource, verbs in ALWAYS}
    for name in sorted(used):
        for permission in ACTIONS[name].permissions:
            needed.setdefault((permission.group, permission.resource), set()).update(permission.verbs)
    rules_ = [{"apiGroups": [g], "resources": [r], "verbs": sorted(verbs)} for (g, r), verbs in sorted(needed.items())]
    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "remediator"},
        "rules": rules_,
    }
    return str(yaml.safe_dump(role, sort_keys=False))


def actions(_paths: Sequence[Path]) -> str:
    """The actions' manual pages."""
    out = ["# Actions\n"]
    for action in ACTIONS.values():
        out.append(f"## {action.name}\n\n{action.manual.strip()}\n")
        out.append(
            f"* Targets: {', '.join(sorted(action.targets))}\n* Causes: {', '.join(sorted(action.causes))}\n* Disruption: {action.disruption}"
        )
        for name, field in action.params.model_fields.items():
            out.append(f"* `{name}` (default `{field.default}`): {field.description}")
        out.append(f"\n```yaml\n{action.example}\n```\n")
    return "\n".join(out)


def reasons(_paths: Sequence[Path]) -> str:
    """The closed list of reasons."""
    return "# Reasons\n\n| reason | means |\n|---|---|\n" + "".join(
        f"| `{reason}` | {text} |\n" for reason, text in REASONS.items()
    )


def metrics(_paths: Sequence[Path]) -> str:
    """The metrics that are exported."""
    rows = (
        f"| `remediator_{name}` | {kind.__name__.lower()} | {', '.join(labels) or '-'} | {text} |\n"
        for name, (kind, text, labels) in METRICS.items()
    )
    return "# Metrics\n\n| metric | type | labels | means |\n|---|---|---|---|\n" + "".join(rows)


def states(_paths: Sequence[Path]) -> str:
    """The state diagram of a remediation."""
    arrows = "".join(f"    {state} --> {after}: {event}\n" for (state, event), after in TRANSITIONS.items())
    ends = "".join(f"    {after} --> [*]\n" for after in sorted({a for a in TRANSITIONS.values() if a not in LIVE}))
    return f"# States of a remediation\n\n```mermaid\nstateDiagram-v2\n    [*] --> queued\n{arrows}{ends}```\n"


PAGES: dict[str, Callable[[Sequence[Path]], str]] = {
    "schema": schema,
    "rbac": rbac,
    "actions": actions,
    "reasons": reasons,
    "metrics": metrics,
    "states": states,
}
