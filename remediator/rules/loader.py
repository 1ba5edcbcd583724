"""Files to a rule set: every mistake of every file at once, with its place; nothing half-loaded."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from ..errors import ConfigurationError
from ..located import Document, Finding, Loc, load_file, suggest, without_echoes
from ..model.interval import Named
from ..model.matcher import admits
from ..model.target import NAMESPACE
from . import checks
from .legible import legible
from .ruleset import LoadedRule, RuleSet, merge
from .schema import EXAMPLE, GroupHead, Override, Rule, RuleFile
from .sections import Scope, TimeInterval
from .together import together
from .wording import worded

Part = TypeVar("Part")
# if a scope is wrong itself, nothing is outside of it
ANYWHERE = Scope(namespaces=(".*",), nodes=(".*",))


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


@dataclass(frozen=True, slots=True)
class _Placed(Generic[Part]):
    """A part, and where it stands."""

    part: Part
    document: Document
    loc: Loc


@dataclass(slots=True)
class _Gathered:
    """What all documents say together, and the mistakes that were found so far.

    `named` are the rules that are there, legible or not.
    """

    found: list[Finding]
    rules: list[_Placed[LoadedRule]] = field(default_factory=list)
    overrides: list[_Placed[Override]] = field(default_factory=list)
    intervals: dict[str, Named] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)

    def add(self, document: Document) -> None:
        """One more document."""
        self.found += document.findings
        if document.data is None:
            if not document.findings:
                why = "the file is empty; it must start with `version: 1`"
                self.found.append(document.finding((), "empty", why))
            return
        _merge_defaults(document)
        self.found += _form(document)
        for loc, raw in _items(document.data, "time_intervals"):
            self._interval(raw, document, loc)
        for loc, raw in _items(document.data, "groups"):
            self._group(raw, document, loc)
        for loc, raw in _items(document.data, "overrides"):
            read = legible(Override, raw)
            if read is not None:
                self.overrides.append(_Placed(read[0], document, loc))

    def _interval(self, raw: Any, document: Document, loc: Loc) -> None:
        read = legible(TimeInterval, raw)
        if read is None:
            return
        interval = read[0]
        if interval.name in self.intervals:
            why = f"two time intervals are called `{interval.name}`"
            self.found.append(document.finding((*loc, "name"), "duplicate-interval", why))
        self.intervals[interval.name] = interval.named

    def _group(self, raw: Any, document: Document, loc: Loc) -> None:
        if not isinstance(raw, Mapping):
            return
        try:
            scope = Scope.model_validate(raw.get("scope"))
        except ValidationError:
            scope = ANYWHERE
        if not scope.namespaces and not scope.nodes:
            why = "a scope needs `namespaces` or `nodes`; an empty one selects nothing"
            self.found.append(document.finding((*loc, "scope"), "no-scope", why))
            scope = ANYWHERE
        self.found += _of_defaults(raw.get("defaults"), document, (*loc, "defaults"))
        group = GroupHead.model_construct(name=str(raw.get("name") or "unnamed"), scope=scope)
        for place, rule in _items(raw, "rules", loc):
            self._rule(rule, group, document, place)

    def _rule(self, raw: Any, group: GroupHead, document: Document, loc: Loc) -> None:
        if isinstance(raw, Mapping) and isinstance(raw.get("name"), str):
            self.named.add(raw["name"])
        read = legible(Rule, raw)
        if read is None:
            return
        rule, left = read
        line = document.finding((*loc, "name"), "", "").line
        labels = tuple(step.label for step in rule.steps)
        loaded = LoadedRule(rule, group, left, labels, document.path, line)
        self.rules.append(_Placed(loaded, document, loc))

    def content(self) -> Iterator[Finding]:
        """What cannot work, of each rule as it is and as overrides make it."""
        for placed in self.rules:
            source = placed.part
            own = list(self._of_rule(source, placed.document, placed.loc))
            yield from own
            yield from self._overridden(source, {(f.code, f.message) for f in own})

    def _of_rule(self, source: LoadedRule, document: Document, loc: Loc) -> Iterator[Finding]:
        yield from checks.of_rule(source.rule, source.group.scope, document, loc)
        for key in ("active", "mute"):
            for name in getattr(source.rule.windows, key):
                if name not in self.intervals:
                    why = f"no time interval `{name}`{suggest(name, list(self.intervals))}"
                    yield document.finding((*loc, "windows", key), "unknown-interval", why)

    def _overridden(self, source: LoadedRule, own: set[tuple[str, str]]) -> Iterator[Finding]:
        """The mistakes of a rule under its overrides that are not its own, and those of overrides
        together that have none alone.
        """
        sound: list[_Placed[Override]] = []
        for item in self.overrides:
            if source.rule.name not in item.part.rules:
                continue
            made = self._under(source, [item])
            found = [one for one in made if (one.code, one.message) not in own]
            yield from found
            if not found:
                sound.append(item)
        for chosen in together(source, [item.part for item in sound]):
            placed = [sound[number] for number in chosen]
            for finding in self._under(source, placed):
                if (finding.code, finding.message) not in own:
                    yield _together(finding, placed[0])

    def _under(self, source: LoadedRule, placed: list[_Placed[Override]]) -> list[Finding]:
        last = placed[-1]
        loc = _stands_for(source, last)
        raw = source.written(item.part for item in placed)
        try:
            rule, found = Rule.model_validate(raw), []
        except ValidationError as error:
            found = worded(last.document, error, loc)
            read = legible(Rule, raw)
            if read is None:
                return found
            rule = read[0]
        return [*found, *self._of_rule(replace(source, rule=rule), last.document, loc)]

    def names(self) -> Iterator[Finding]:
        """What overrides name that is not there, or not where they say."""
        sources = {item.part.rule.name: item.part for item in self.rules}
        for item in self.overrides:
            there = [sources[name] for name in item.part.rules if name in sources]
            yield from _of_names(item, there)
            for number, name in enumerate(item.part.rules):
                if name not in self.named:
                    why = f"no rule `{name}`{suggest(name, sorted(self.named))}"
                    place = (*item.loc, "rules", number)
                    yield item.document.finding(place, "unknown-rule", why)


def build(documents: list[Document], findings: list[Finding] | None = None) -> RuleSet:
    """Validates documents into a rule set. Raises: RuleErrors."""
    gathered = _Gathered(list(findings or []))
    for document in documents:
        gathered.add(document)
    sources = [item.part for item in gathered.rules]
    found = [*gathered.found, *gathered.content(), *gathered.names(), *_duplicates(sources)]
    told = without_echoes(found)
    if told:
        raise RuleErrors(told)
    overrides = tuple(item.part for item in gathered.overrides)
    return RuleSet(tuple(sources), overrides, gathered.intervals)


def _merge_defaults(document: Document) -> None:
    """Gives each rule what its group's defaults say, which stands there and not in the rule."""
    for loc, group in _items(document.data, "groups"):
        defaults = group.get("defaults") if isinstance(group, dict) else None
        if not isinstance(defaults, Mapping):
            continue
        for place, rule in _items(group, "rules", loc):
            if isinstance(rule, Mapping):
                group["rules"][place[-1]] = merge(defaults, rule)
                document.written_at[place] = (*loc, "defaults")


def _of_defaults(defaults: Any, document: Document, loc: Loc) -> list[Finding]:
    """What is wrong with defaults, whether a rule uses them or not."""
    if not isinstance(defaults, Mapping):
        return []
    try:
        Rule.model_validate(merge(EXAMPLE, defaults))
    except ValidationError as error:  # what is missing may stand in the rules
        return [one for one in worded(document, error, loc) if one.code != "missing-field"]
    return []


def _form(document: Document) -> list[Finding]:
    """What is not of the form of a rule file."""
    try:
        RuleFile.model_validate(document.data)
    except ValidationError as error:
        return worded(document, error)
    return []


def _items(value: Any, key: str, loc: Loc = ()) -> list[tuple[Loc, Any]]:
    """The items of a list, if it is one, each with its place."""
    items = value.get(key) if isinstance(value, Mapping) else None
    listed = items if isinstance(items, list) else []
    return [((*loc, key, index), item) for index, item in enumerate(listed)]


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


def _stands_for(source: LoadedRule, override: _Placed[Override]) -> Loc:
    """The place of a rule as an override makes it: what it changes is written in the override."""
    written, loc = override.document.written_at, (*override.loc, "for", source.rule.name)
    written[loc] = override.loc
    for index, label in enumerate(source.labels):
        if label in (override.part.steps or {}):
            written[*loc, "steps", index] = (*override.loc, "steps", label)
    return loc


def _together(finding: Finding, first: _Placed[Override]) -> Finding:
    """A mistake that two overrides make together, told at the second."""
    line = first.document.finding(first.loc, "", "").line
    where = f"{first.document.path}:{line}"
    return replace(finding, message=f"{finding.message} (together with the override in {where})")


def _of_names(placed: _Placed[Override], sources: list[LoadedRule]) -> Iterator[Finding]:
    """Steps that the rules of an override do not have, and namespaces in which they cannot act."""
    override, document, loc = placed.part, placed.document, placed.loc
    if _elsewhere(override, sources):
        message = (
            f"{', '.join(override.namespaces)}: outside the scope of these rules, so the override"
            " changes nothing"
        )
        yield document.finding((*loc, "namespaces"), "out-of-scope", message)
    for source, label in product(sources, override.steps or {}):
        if label not in source.labels:
            known = suggest(label, sorted(source.labels))
            why = f"`{source.rule.name}` has no step `{label}`{known}"
            yield document.finding((*loc, "steps", label), "unknown-step", why, at_key=True)


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
