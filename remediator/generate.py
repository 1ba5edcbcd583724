"""What follows from the definitions: JSON Schema, RBAC, and the reference pages: actions, reasons, metrics, states, keys."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from .actions import ACTIONS
from .actions.workload import WORKLOADS
from .cluster.objects import ALWAYS_READ, READABLE, SEEN_BY
from .guards import pipeline
from .guards.opt_in import ANNOTATION
from .guards.opt_out import ANNOTATIONS
from .model.duration import format_duration
from .model.facts import Sight
from .model.remediation import LIVE, TRANSITIONS
from .model.usage import Rate
from .model.verdict import REASONS
from .rules.loader import load
from .rules.ruleset import RuleSet, Source
from .rules.schema import RuleFile
from .settings import Settings
from .telemetry import METRICS

Need = tuple[str, str, tuple[str, ...]]
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # a pattern that admits one namespace
LISTED = {*SEEN_BY[Sight.PODS], *SEEN_BY[Sight.REVISIONS]}  # what every rule must see
ALWAYS = [
    *((READABLE[kind][0], READABLE[kind][2], ("get",)) for kind in ALWAYS_READ),
    *((READABLE[kind][0], READABLE[kind][2], ("list",)) for kind in sorted(LISTED | WORKLOADS)),
    ("", "events", ("create",)),
]


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


def needs(loaded: RuleSet | None) -> list[Need]:
    """What RBAC the rules need anywhere (every action's, where none are given); rules that only observe need no writes."""
    whole, local = grants(loaded)
    return _merged([*whole, *(need for needs_ in local.values() for need in needs_)])


def grants(loaded: RuleSet | None) -> tuple[list[Need], dict[str, list[Need]]]:
    """What is needed in every namespace, and what in single ones beside it: where rules may act is all that is named."""
    if loaded is None:
        return _merged([*ALWAYS, *_sights(set(ACTIONS)), *_acts(set(ACTIONS))]), {}
    seen = {step.action for source in loaded.sources for step in source.rule.steps}
    everywhere: set[str] = set()
    local: dict[str, set[str]] = {}
    for source in loaded.sources:
        actions_ = {step.action for step in source.rule.steps}
        for namespaces in _acts_in(source, loaded):
            if all(NAME.fullmatch(name) for name in namespaces):
                for name in namespaces:
                    local.setdefault(name, set()).update(actions_)
            else:
                everywhere |= actions_
    whole = _merged([*ALWAYS, *_sights(seen), *_acts(everywhere)])
    return whole, {
        name: _merged(_acts(used - everywhere))
        for name, used in sorted(local.items())
        if used - everywhere
    }


def _acts_in(source: Source, loaded: RuleSet) -> Iterator[tuple[str, ...]]:
    """The namespaces (patterns) in which a rule may act: by itself, and by each override that lets it."""
    own = source.group.scope.namespaces
    if source.rule.mode != "observe":
        yield own
    for override in loaded.overrides:
        if source.rule.name in override.rules and override.mode not in (None, "observe"):
            yield override.namespaces or own


def _merged(given: Sequence[Need]) -> list[Need]:
    """Each resource once, with all its verbs."""
    merged: dict[tuple[str, str], set[str]] = {}
    for group, resource, verbs in given:
        merged.setdefault((group, resource), set()).update(verbs)
    return [
        (group, resource, tuple(sorted(verbs)))
        for (group, resource), verbs in sorted(merged.items())
    ]


def rbac(paths: Sequence[Path]) -> str:
    """A ClusterRole with what the rules' actions need, and a Role in each single namespace in which some may act."""
    whole, local = grants(load(paths) if paths else None)
    roles = [_role("ClusterRole", {"name": "remediator"}, whole)]
    roles += [
        _role("Role", {"name": "remediator", "namespace": name}, needs_)
        for name, needs_ in local.items()
    ]
    return str(yaml.safe_dump_all(roles, sort_keys=False))


def _role(kind: str, metadata: Mapping[str, str], given: Sequence[Need]) -> dict[str, Any]:
    rules_ = [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for group, resource, verbs in given
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": dict(metadata),
        "rules": rules_,
    }


def _sights(names: set[str]) -> list[Need]:
    """What the actions must see, whether they act or only observe."""
    kinds = {
        kind for name in names for sight in ACTIONS[name].sights for kind in SEEN_BY.get(sight, ())
    }
    out: list[Need] = [(READABLE[kind][0], READABLE[kind][2], ("list",)) for kind in sorted(kinds)]
    if any(Sight.ISOLATION in ACTIONS[name].sights for name in names):
        out.append((READABLE["NetworkPolicy"][0], READABLE["NetworkPolicy"][2], ("get",)))
    return out


def _acts(names: set[str]) -> list[Need]:
    """What the actions' calls need."""
    return [
        (p.group, p.resource, p.verbs) for name in sorted(names) for p in ACTIONS[name].permissions
    ]


def permissions(_paths: Sequence[Path]) -> str:
    """What every rule needs, and each action to see and to act: from which the chart makes the RBAC of its rules."""

    def shown(needs: Sequence[Need]) -> list[dict[str, Any]]:
        return [
            {"group": group, "resource": resource, "verbs": list(verbs)}
            for group, resource, verbs in needs
        ]

    table = {
        "always": shown(ALWAYS),
        "sees": {name: shown(_sights({name})) for name in sorted(ACTIONS)},
        "acts": {name: shown(_acts({name})) for name in sorted(ACTIONS)},
    }
    return "# Generated: remediator generate permissions\n" + str(
        yaml.safe_dump(table, sort_keys=False)
    )


def binding(service_account: str, paths: Sequence[Path] = ()) -> str:
    """A ServiceAccount, `namespace/name`, that is given the ClusterRole, and the Roles in single namespaces."""
    namespace, _, name = service_account.rpartition("/")
    where = namespace or "default"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": where},
    }
    _, local = grants(load(paths) if paths else None)
    given = [_binding("ClusterRole", {"name": "remediator"}, name, where)]
    given += [
        _binding("Role", {"name": "remediator", "namespace": place}, name, where) for place in local
    ]
    return "---\n" + str(yaml.safe_dump_all([account, *given], sort_keys=False))


def _binding(
    kind: str, metadata: Mapping[str, str], account: str, namespace: str
) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "remediator"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }


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


def guards(_paths: Sequence[Path]) -> str:
    """The guards in their order."""
    head = (
        "# Guards\n\nAsked in this order; every verdict is kept and shown, and the strongest decides: deny, hold, ask, allow. What cannot\n"
        "be known holds. The first look is before anything is observed, the second has facts and a plan; begin is the transaction\n"
        "that begins an attempt, in which no two can both pass; write is just before each write. Verdicts that are not to allow are\n"
        "counted in `remediator_verdicts_total`.\n\n"
        "| guard | set by | is for | asked |\n|---|---|---|---|\n"
    )
    rows = (
        f"| `{name}` | {keys} | {text} | {asked} |\n"
        for name, keys, text, asked in pipeline.described()
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
    head = "# Annotations\n\nOn a workload, or on its namespace for all that is in it. They only tighten.\n\n"
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
    """(path, default, description) of a model's fields and of the models within; lists are written `key[]`."""
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
    return [model for part in get_args(annotation) for model in _models(part)]


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
            f"`{item.count}/{format_duration(item.window)}`"
            if isinstance(item, Rate)
            else f"`{item}`"
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
    return f"# States of a remediation\n\n```mermaid\nstateDiagram-v2\n    [*] --> queued\n{arrows}{ends}```\n"


PAGES: dict[str, Callable[[Sequence[Path]], str]] = {
    "schema": schema,
    "rbac": rbac,
    "permissions": permissions,
    "actions": actions,
    "guards": guards,
    "reasons": reasons,
    "metrics": metrics,
    "states": states,
    "annotations": annotations,
    "settings": settings,
    "rules": rules,
}
