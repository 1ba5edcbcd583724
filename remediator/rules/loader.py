"""Files to a rule set: every mistake of every file at once, with its place; nothing half-loaded."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..actions import ACTIONS
from ..errors import ConfigurationError
from ..located import Document, Finding, Loc, load_file, suggest
from ..model.interval import Named
from . import templates
from .ruleset import RuleSet, Source, merge
from .schema import (
    LATER,
    Approval,
    Escalate,
    ExplicitTarget,
    Group,
    IntervalEntry,
    Limits,
    Override,
    Owners,
    Restore,
    Rule,
    RuleFile,
    Scope,
    Step,
    StepLimits,
    TimeInterval,
    Unless,
    Verify,
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


class RuleErrors(ConfigurationError):
    """What is wrong with the files; `findings` has each mistake."""

    def __init__(self, findings: list[Finding]) -> None:
        count = len(findings)
        super().__init__(f"cannot load the rules: {count} mistake{'s' if count != 1 else ''}")
        self.findings = findings


def rule_files(paths: Iterable[Path]) -> list[Path]:
    """The YAML files named, and those in the folders named, in order of name. Hidden ones (ConfigMap's ..data) are not files of ours."""
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            out += sorted(p for p in path.iterdir() if p.suffix in {".yaml", ".yml"} and not p.name.startswith("."))
        else:
            out.append(path)
    return out


def load(paths: Iterable[Path]) -> RuleSet:
    """Reads all files. Raises: RuleErrors with every mistake."""
    documents: list[Document] = []
    findings: list[Finding] = []
    for path in rule_files(paths):
        try:
            documents.append(load_file(path))
        except OSError as error:
            findings.append(Finding(str(path), 1, 1, 1, "unreadable", f"cannot read the file: {error.strerror}"))
    return build(documents, findings)


def build(documents: list[Document], findings: list[Finding] | None = None) -> RuleSet:
    """Validates documents into a rule set. Raises: RuleErrors."""
    found = list(findings or [])
    sources: list[Source] = []
    overrides: list[tuple[Override, Document, int]] = []
    intervals: dict[str, Named] = {}
    windowed: list[tuple[Windows, Document, Loc]] = []
    for document in documents:
        found += document.findings
        if document.data is None:
            found += [] if document.findings else [document.finding((), "empty", "the file is empty; it must say `version: 1`")]
            continue
        parsed = _parse(document, found)
        if parsed is None:
            continue
        for i, interval in enumerate(parsed.time_intervals):
            if interval.name in intervals:
                message = f"two time intervals are called `{interval.name}`"
                found.append(document.finding(("time_intervals", i, "name"), "duplicate-interval", message))
            intervals[interval.name] = interval.named
        for g, group in enumerate(parsed.groups):
            if not group.scope.namespaces and not group.scope.nodes:
                found.append(
                    document.finding(
                        ("groups", g, "scope"), "no-scope", "a scope needs `namespaces` or `nodes`; an empty one selects nothing"
                    )
                )
            for r, rule in enumerate(group.rules):
                raw = document.data["groups"][g]["rules"][r]  # `_merge_defaults` has merged them
                loc: Loc = ("groups", g, "rules", r)
                found += _check_rule(rule, document, loc)
                windowed.append((rule.windows, document, loc))
                sources.append(Source(rule, group, raw, document.path, document.finding((*loc, "name"), "", "").line))
        overrides += [(override, document, index) for index, override in enumerate(parsed.overrides)]
        for index, override in enumerate(parsed.overrides):
            if override.windows:
                windowed.append((_windows(override, document, index, found), document, ("overrides", index)))
    for windows, document, loc in windowed:
        for key in ("active", "mute"):
            unknown = [name for name in getattr(windows, key) if name not in intervals]
            message = "no time interval `{}`{}"
            found += [
                document.finding((*loc, "windows", key), "unknown-interval", message.format(n, suggest(n, list(intervals))))
                for n in unknown
            ]
    found += _duplicates(sources)
    found += _check_overrides(sources, overrides)
    traps = {(f.path, f.line, f.column) for f in found if f.code == "yaml-trap"}
    told = [f for f in found if f.code != "bad-value" or (f.path, f.line, f.column) not in traps]  # the trap says why
    if told:
        raise RuleErrors(sorted(told, key=lambda f: (f.path, f.line, f.column)))
    return RuleSet(tuple(sources), tuple(override for override, _, _ in overrides), intervals)


def _windows(override: Override, document: Document, index: int, found: list[Finding]) -> Windows:
    try:
        return Windows.model_validate(override.windows)
    except ValidationError as error:
        found += [
            _finding(document, item, ("overrides", index, "windows"), list(Windows.model_fields)) for item in error.errors()
        ]
        return Windows()


def _parse(document: Document, findings: list[Finding]) -> RuleFile | None:
    before = len(findings)
    findings += _not_yet(document, document.data, ())
    if isinstance(document.data, dict):
        _merge_defaults(document.data)
    try:
        parsed = RuleFile.model_validate(document.data if len(findings) == before else _without_later(document.data))
    except ValidationError as error:
        errors = error.errors()
        deeper = {item["loc"][:length] for item in errors for length in range(len(item["loc"]))}
        findings += [
            _finding(document, i) for i in errors if not _is_later(i) and not (i["type"] == "too_short" and i["loc"] in deeper)
        ]
        findings += _check_raw_steps(document)
        return None
    return parsed if len(findings) == before else None


def _merge_defaults(data: dict[str, Any]) -> None:
    groups = data.get("groups")
    for group in groups if isinstance(groups, list) else []:
        if not isinstance(group, dict) or not isinstance(group.get("rules"), list):
            continue
        defaults = group.get("defaults")
        if isinstance(defaults, dict):
            group["rules"] = [merge(defaults, rule) if isinstance(rule, dict) else rule for rule in group["rules"]]


def _not_yet(document: Document, value: Any, loc: Loc) -> list[Finding]:
    """Keys of the format that this version cannot honour: refused when set, never ignored."""
    found: list[Finding] = []
    if isinstance(value, Mapping):
        for key, child in value.items():
            place = (*loc, key)
            if key in LATER and "with" not in loc:
                message = f"`{key}` is not supported yet ({LATER[key]}); remove it, or the rule would promise what nothing keeps"
                found.append(document.finding(place, "not-supported-yet", message, at_key=True))
            elif key == "target" and child in ("node", "none"):
                message = f"`target: {child}` is not supported yet: no action of this version takes one"
                found.append(document.finding(place, "not-supported-yet", message))
            else:
                found += _not_yet(document, child, place)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found += _not_yet(document, child, (*loc, index))
    return found


def _without_later(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_later(v) for k, v in value.items() if k not in LATER}
    return [_without_later(v) for v in value] if isinstance(value, list) else value


def _is_later(item: Mapping[str, Any]) -> bool:
    return any(part in LATER for part in item["loc"])


def _finding(document: Document, item: Mapping[str, Any], prefix: Loc = (), fields: list[str] | None = None) -> Finding:
    loc: Loc = (*prefix, *(part for part in item["loc"] if part not in _UNION_TAGS))
    if len(loc) > 4 and loc not in document.values and loc not in document.keys and loc[2] == "rules":
        loc = (loc[0], loc[1], "defaults", *loc[4:]) if _in_defaults(document, loc) else loc
    kind, leaf = item["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        known = fields if fields is not None else _fields(loc)
        return document.finding(loc, "unknown-field", f"no field `{leaf}` here{suggest(leaf, known)}", at_key=True)
    if kind == "missing":
        return document.finding(loc, "missing-field", f"`{leaf}` is required")
    message = str(item["msg"]).removeprefix("Value error, ")
    return document.finding(loc, "bad-value", message[:1].lower() + message[1:])


_UNION_TAGS = {
    "ExplicitTarget",
    "literal['object','workload']",
    "tuple[str, ...]",
    "literal['resolved','converged']",
    "function-before[_duration(), timedelta]",
}


def _in_defaults(document: Document, loc: Loc) -> bool:
    return (loc[0], loc[1], "defaults", *loc[4:5]) in document.keys


def _fields(loc: Loc) -> list[str]:
    """The fields that would have been known where `loc` stands."""
    words = [part for part in loc[:-1] if isinstance(part, str)]
    model: type[BaseModel] = SECTIONS.get(words[-1], RuleFile) if words else RuleFile
    if words[:1] == ["time_intervals"]:
        model = TimeInterval if len(words) == 1 else IntervalEntry
    if words[-2:] == ["steps", "limits"]:
        model = StepLimits
    return [field.alias or name for name, field in model.model_fields.items()]


def _check_rule(rule: Rule, document: Document, loc: Loc) -> list[Finding]:
    found: list[Finding] = []
    labels: set[str] = set()
    for index, step in enumerate(rule.steps):
        place = (*loc, "steps", index)
        found += _check_action(step.action, step.with_, document, place)
        if step.label in labels:
            found.append(document.finding(place, "duplicate-step", f"two steps are called `{step.label}`; give one a `name`"))
        labels.add(step.label)
        action = ACTIONS.get(step.action)
        if action and not action.causes and step.if_ is None:
            message = f"`{step.action}` is for no cause of its own; say which with `if`, or `if: always`"
            found.append(document.finding(place, "no-cause-named", message))
        if action and step.restore.after and action.undo is None:
            found.append(document.finding((*place, "restore"), "cannot-restore", f"`{step.action}` cannot be taken back"))
        for q, query in enumerate(step.when):
            found += [document.finding((*place, "when", q), "bad-template", m) for m in templates.mistakes(query, promql=True)]
    for q, query in enumerate(rule.when):
        found += [document.finding((*loc, "when", q), "bad-template", m) for m in templates.mistakes(query, promql=True)]
    if isinstance(rule.target, ExplicitTarget):
        for key in ("namespace", "name"):
            found += [
                document.finding((*loc, "target", key), "bad-template", m) for m in templates.mistakes(getattr(rule.target, key))
            ]
    least = min((rate.count for rate in rule.limits.attempts), default=0)
    if len(rule.steps) > least:
        message = (
            f"the ladder has {len(rule.steps)} steps but `limits.attempts` allows {least}: its last steps could never be tried"
        )
        found.append(document.finding((*loc, "steps"), "ladder-too-long", message, at_key=True))
    return found


def _check_raw_steps(document: Document) -> list[Finding]:
    """The steps of a file that does not parse otherwise: their mistakes belong into the same answer."""
    found: list[Finding] = []
    for place, value in _lists(document.data, ("groups", "rules", "steps")):
        if isinstance(value, Mapping) and isinstance(value.get("action"), str) and isinstance(value.get("with", {}), Mapping):
            found += _check_action(value["action"], value.get("with", {}), document, place)
    return found


def _lists(value: Any, keys: tuple[str, ...], loc: Loc = ()) -> list[tuple[Loc, Any]]:
    """The items below nested lists: groups[].rules[].steps[], whatever else is wrong around them."""
    if not keys:
        return [(loc, value)]
    inner = value.get(keys[0]) if isinstance(value, Mapping) else None
    items = inner if isinstance(inner, list) else []
    return [found for index, item in enumerate(items) for found in _lists(item, keys[1:], (*loc, keys[0], index))]


def _check_action(name: str, parameters: Mapping[str, Any], document: Document, place: Loc) -> list[Finding]:
    action = ACTIONS.get(name)
    if action is None:
        return [document.finding((*place, "action"), "unknown-action", f"no action `{name}`{suggest(name, list(ACTIONS))}")]
    try:
        action.params.model_validate(dict(parameters))
    except ValidationError as error:
        fields = list(action.params.model_fields)
        return [_finding(document, item, (*place, "with"), fields) for item in error.errors()]
    return []


def _duplicates(sources: list[Source]) -> list[Finding]:
    seen: dict[str, Source] = {}
    found: list[Finding] = []
    for source in sources:
        first = seen.setdefault(source.rule.name, source)
        if first is not source:
            message = f"the rule name `{source.rule.name}` is used in {first.path}:{first.line} too"
            found.append(Finding(source.path, source.line, 1, 1, "duplicate-rule", message))
    return found


def _check_overrides(sources: list[Source], overrides: list[tuple[Override, Document, int]]) -> list[Finding]:
    names = {source.rule.name: source for source in sources}
    found: list[Finding] = []
    for override, document, index in overrides:
        for n, name in enumerate(override.rules):
            loc: Loc = ("overrides", index)
            if name not in names:
                found.append(
                    document.finding((*loc, "rules", n), "unknown-rule", f"no rule `{name}`{suggest(name, list(names))}")
                )
                continue
            labels = {step.label for step in names[name].rule.steps}
            unknown = [label for label in override.steps or {} if label not in labels]
            found += [
                document.finding(
                    (*loc, "steps", u), "unknown-step", f"`{name}` has no step `{u}`{suggest(u, sorted(labels))}", at_key=True
                )
                for u in unknown
            ]
            if unknown:
                continue
            try:
                rule = names[name].with_override(override).rule
            except ValidationError as error:
                found += [_finding(document, {**item, "loc": item["loc"]}, loc) for item in error.errors()]
                continue
            found += _check_rule(rule, document, loc)
    return found
