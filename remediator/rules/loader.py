"""Files to a rule set: every mistake of every file at once, with its place; nothing half-loaded."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import ConfigurationError
from ..located import Document, Finding, Loc, load_file, suggest, without_echoes
from ..model.interval import Named
from ..model.matcher import admits
from ..model.target import NAMESPACE
from . import checks
from .ruleset import LoadedRule, RuleSet, merge
from .schema import LATER, Group, Override, RuleFile
from .sections import TimeInterval, Windows
from .wording import worded


class RuleErrors(ConfigurationError):
    """What is wrong with the files; `findings` has each mistake."""

    def __init__(self, findings: list[Finding]) -> None:
        count = len(findings)
        super().__init__(f"cannot load the rules: {count} mistake{'s' if count != 1 else ''}")
        self.findings = findings


def rule_files(paths: Iterable[Path]) -> list[Path]:
    """The YAML files named, and those in the folders named, in order of name.

    Hidden ones (ConfigMap's ..data) are not files of ours.
    """
    out: list[Path] = []
    for path in paths:
        out += sorted(filter(_is_rule_file, path.iterdir())) if path.is_dir() else [path]
    return out


def _is_rule_file(path: Path) -> bool:
    return path.suffix in {".yaml", ".yml"} and not path.name.startswith(".")


def load(paths: Iterable[Path]) -> RuleSet:
    """Reads all files. Raises: RuleErrors with every mistake."""
    documents: list[Document] = []
    findings: list[Finding] = []
    for path in rule_files(paths):
        try:
            documents.append(load_file(path))
        except OSError as error:
            findings.append(
                Finding(str(path), 1, 1, 1, "unreadable", f"cannot read the file: {error.strerror}")
            )
    return build(documents, findings)


@dataclass(slots=True)
class _Gathered:
    """What all documents say together, and the mistakes that were found so far."""

    found: list[Finding]
    loaded: list[LoadedRule] = field(default_factory=list)
    overrides: list[tuple[Override, Document, int]] = field(default_factory=list)
    intervals: dict[str, Named] = field(default_factory=dict)
    windowed: list[tuple[Windows, Document, Loc]] = field(default_factory=list)

    def add(self, document: Document) -> None:
        """One more document."""
        self.found += document.findings
        if document.data is None:
            if not document.findings:
                why = "the file is empty; it must start with `version: 1`"
                self.found.append(document.finding((), "empty", why))
            return
        parsed = _parse(document, self.found)
        if parsed is None:
            return
        for index, interval in enumerate(parsed.time_intervals):
            self._interval(interval, document, index)
        for index, group in enumerate(parsed.groups):
            self._group(group, document, index)
        for index, override in enumerate(parsed.overrides):
            self.overrides.append((override, document, index))
            if override.windows:
                windows = _windows(override, document, index, self.found)
                self.windowed.append((windows, document, ("overrides", index)))

    def _interval(self, interval: TimeInterval, document: Document, index: int) -> None:
        if interval.name in self.intervals:
            why = f"two time intervals are called `{interval.name}`"
            loc = ("time_intervals", index, "name")
            self.found.append(document.finding(loc, "duplicate-interval", why))
        self.intervals[interval.name] = interval.named

    def _group(self, group: Group, document: Document, index: int) -> None:
        if not group.scope.namespaces and not group.scope.nodes:
            why = "a scope needs `namespaces` or `nodes`; an empty one selects nothing"
            self.found.append(document.finding(("groups", index, "scope"), "no-scope", why))
        assert document.data is not None
        for number, rule in enumerate(group.rules):
            # `_merge_defaults` has merged them
            raw = document.data["groups"][index]["rules"][number]
            loc: Loc = ("groups", index, "rules", number)
            self.found += checks.of_rule(rule, group.scope, document, loc)
            self.windowed.append((rule.windows, document, loc))
            line = document.finding((*loc, "name"), "", "").line
            labels = tuple(step.label for step in rule.steps)
            self.loaded.append(LoadedRule(rule, group, raw, labels, document.path, line))

    def unknown_intervals(self) -> Iterator[Finding]:
        """Time intervals that are named in windows, and nowhere defined."""
        for windows, document, loc in self.windowed:
            for key in ("active", "mute"):
                for name in getattr(windows, key):
                    if name not in self.intervals:
                        why = f"no time interval `{name}`{suggest(name, list(self.intervals))}"
                        place = (*loc, "windows", key)
                        yield document.finding(place, "unknown-interval", why)


def build(documents: list[Document], findings: list[Finding] | None = None) -> RuleSet:
    """Validates documents into a rule set. Raises: RuleErrors."""
    gathered = _Gathered(list(findings or []))
    for document in documents:
        gathered.add(document)
    found = [*gathered.found, *gathered.unknown_intervals(), *_duplicates(gathered.loaded)]
    found += _check_overrides(gathered.loaded, gathered.overrides)
    told = without_echoes(found)
    if told:
        raise RuleErrors(sorted(told, key=lambda f: (f.path, f.line, f.column)))
    overrides = tuple(override for override, _, _ in gathered.overrides)
    return RuleSet(tuple(gathered.loaded), overrides, gathered.intervals)


def _windows(override: Override, document: Document, index: int, found: list[Finding]) -> Windows:
    try:
        return Windows.model_validate(override.windows)
    except ValidationError as error:
        found += [
            worded(document, item, ("overrides", index, "windows"), list(Windows.model_fields))
            for item in error.errors()
        ]
        return Windows()


def _parse(document: Document, findings: list[Finding]) -> RuleFile | None:
    before = len(findings)
    findings += _not_yet(document, document.data, ())
    if isinstance(document.data, dict):
        _merge_defaults(document.data)
    try:
        parsed = RuleFile.model_validate(
            document.data if len(findings) == before else _without_later(document.data)
        )
    except ValidationError as error:
        errors = error.errors()
        deeper: set[Loc] = set()
        for item in errors:
            deeper |= {item["loc"][:length] for length in range(len(item["loc"]))}
        findings += [
            worded(document, i)
            for i in errors
            if not _is_later(i) and not (i["type"] == "too_short" and i["loc"] in deeper)
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
            group["rules"] = [
                merge(defaults, rule) if isinstance(rule, dict) else rule for rule in group["rules"]
            ]


def _not_yet(document: Document, value: Any, loc: Loc) -> list[Finding]:
    """Keys of the format that this version cannot honour: refused when set, never ignored."""
    found: list[Finding] = []
    if isinstance(value, Mapping):
        for key, child in value.items():
            place = (*loc, key)
            if key in LATER and "with" not in loc:
                message = (
                    f"`{key}` is not supported yet ({LATER[key]}); remove it; the rule would"
                    " promise what is not enforced"
                )
                found.append(document.finding(place, "not-supported-yet", message, at_key=True))
            elif key == "target" and child in ("node", "none"):
                message = f"`target: {child}` is not supported yet: no action supports it"
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


def _check_raw_steps(document: Document) -> list[Finding]:
    """The steps of a file that does not parse otherwise.

    Their mistakes belong into the same answer.
    """
    found: list[Finding] = []
    for place, value in _lists(document.data, ("groups", "rules", "steps")):
        if (
            isinstance(value, Mapping)
            and isinstance(value.get("action"), str)
            and isinstance(value.get("with", {}), Mapping)
        ):
            found += checks.of_action(value["action"], value.get("with", {}), document, place)
    return found


def _lists(value: Any, keys: tuple[str, ...], loc: Loc = ()) -> list[tuple[Loc, Any]]:
    """The items below nested lists.

    Groups[].rules[].steps[], whatever else is wrong around them.
    """
    if not keys:
        return [(loc, value)]
    inner = value.get(keys[0]) if isinstance(value, Mapping) else None
    items = inner if isinstance(inner, list) else []
    found: list[tuple[Loc, Any]] = []
    for index, item in enumerate(items):
        found += _lists(item, keys[1:], (*loc, keys[0], index))
    return found


def _duplicates(sources: list[LoadedRule]) -> list[Finding]:
    seen: dict[str, LoadedRule] = {}
    found: list[Finding] = []
    for source in sources:
        first = seen.setdefault(source.rule.name, source)
        if first is not source:
            message = (
                f"the rule name `{source.rule.name}` is already used in {first.path}:{first.line}"
            )
            found.append(Finding(source.path, source.line, 1, 1, "duplicate-rule", message))
    return found


def _check_override(
    loaded: LoadedRule, override: Override, document: Document, loc: Loc
) -> list[Finding]:
    """What an override makes of one rule that cannot work."""
    found: list[Finding] = []
    for label in override.steps or {}:
        if label not in loaded.labels:
            known = suggest(label, sorted(loaded.labels))
            why = f"`{loaded.rule.name}` has no step `{label}`{known}"
            place = (*loc, "steps", label)
            found.append(document.finding(place, "unknown-step", why, at_key=True))
    if found:
        return found
    try:
        rule = loaded.with_override(override).rule
    except ValidationError as error:
        return [worded(document, {**item, "loc": item["loc"]}, loc) for item in error.errors()]
    return checks.of_rule(rule, loaded.group.scope, document, loc)


def _check_overrides(
    sources: list[LoadedRule], overrides: list[tuple[Override, Document, int]]
) -> list[Finding]:
    names = {source.rule.name: source for source in sources}
    found: list[Finding] = []
    for override, document, index in overrides:
        loc: Loc = ("overrides", index)
        if _elsewhere(override, [names[name] for name in override.rules if name in names]):
            message = (
                f"{', '.join(override.namespaces)}: outside the scope of these rules, so the"
                " override changes nothing"
            )
            found.append(document.finding((*loc, "namespaces"), "out-of-scope", message))
        for number, name in enumerate(override.rules):
            if name in names:
                found += _check_override(names[name], override, document, loc)
                continue
            why = f"no rule `{name}`{suggest(name, list(names))}"
            found.append(document.finding((*loc, "rules", number), "unknown-rule", why))
    return found


def _elsewhere(override: Override, sources: list[LoadedRule]) -> bool:
    """Whether its namespaces are all plain names, and none of
    them is in the scope of a rule of it.
    """
    named = override.namespaces
    if not named or not sources or not all(NAMESPACE.match(place) for place in named):
        return False
    return not any(
        admits(source.group.scope.namespaces, place) for source, place in product(sources, named)
    )
