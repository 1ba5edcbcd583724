"""The rules that are loaded: which one an alert matches, and why the others do not.

Only rules that may match are tried, which an index finds. Scope is part of matching; order is file,
then position; the first match wins unless it says `continue`.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from ..model.alert import Alert
from ..model.interval import Named
from ..model.matcher import Matcher, admits
from ..model.target import Target, Unresolved
from ..model.verdict import Reason
from . import templates
from .index import Demand, Derived, Index, Key, demanded, of_matchers
from .schema import ExplicitTarget, GroupHead, Override, Rule
from .sections import Scope
from .targets import alert_namespace, named, resolve


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule, its group and where it stands.

    `raw` is the rule's data with the group's defaults merged in. `labels` name its steps for
    overrides: as they were written, whatever an override has made of them.
    """

    rule: Rule
    group: GroupHead
    raw: Mapping[str, Any]
    labels: tuple[str, ...]
    path: str
    line: int

    def under(self, overrides: Iterable[Override]) -> "LoadedRule":
        """The rule as these make it, one after the other. Raises: pydantic.ValidationError."""
        raw = self.written(overrides)
        return replace(self, rule=Rule.model_validate(raw), raw=raw)

    def written(self, overrides: Iterable[Override]) -> Mapping[str, Any]:
        """The rule's data as these make it."""
        raw = self.raw
        for override in overrides:
            patch = {
                key: getattr(override, key)
                for key in ("mode", "limits", "windows", "escalate")
                if getattr(override, key) is not None
            }
            steps = [
                merge(step, (override.steps or {}).get(label, {}))
                for step, label in zip(raw["steps"], self.labels, strict=True)
            ]
            raw = {**merge(raw, patch), "steps": steps}
        return raw

    def group_in(self, cluster: str) -> str:
        """The rule's group in a cluster, which is what storms go by."""
        return f"{cluster}/{self.group.name}"

    @property
    def digest(self) -> str:
        """The digest of the rule as it binds, its group's scope included."""
        return digest_of(self.rule, self.group.scope)


@lru_cache(maxsize=4096)
def _dump(rule_json: str, scope_json: str) -> str:
    return hashlib.sha256((rule_json + scope_json).encode()).hexdigest()[:16]


def digest_of(rule: Rule, scope: Scope) -> str:
    """A short digest of a rule and its scope.

    Keys that say no more than the default change nothing, nor do new ones.
    """
    return _dump(
        rule.model_dump_json(by_alias=True, exclude_defaults=True),
        scope.model_dump_json(exclude_defaults=True),
    )


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merge, everything else replaces."""
    out = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched, with overrides applied, and the target before the climb."""

    loaded: LoadedRule
    target: Target

    @property
    def rule(self) -> Rule:
        """The rule as it binds."""
        return self.loaded.rule


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a rule did not match."""

    rule: str
    reason: Reason
    why: str


@dataclass(slots=True)
class RuleSet:
    """All rules. `digest` tells one set from another.

    `_matching` finds the rules that may match, scope included. Of rules with the same
    matchers `_alike` has the first, and `_wanting` finds of these what may match in any scope: they
    tell why an alert has no match.
    """

    sources: tuple[LoadedRule, ...]
    overrides: tuple[Override, ...] = ()
    intervals: Mapping[str, Named] = field(default_factory=dict)
    digest: str = ""
    _index: dict[str, int] = field(default_factory=dict)
    _matching: Index = field(init=False)
    _wanting: Index = field(init=False)
    _alike: list[int] = field(init=False)
    _overriding: Index = field(init=False)
    _effective: dict[tuple[int, tuple[int, ...]], LoadedRule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = [s.digest for s in self.sources] + [
            o.model_dump_json(by_alias=True) for o in self.overrides
        ]
        parts += [repr(self.intervals[name]) for name in sorted(self.intervals)]
        self.digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        alike: dict[tuple[Matcher, ...], int] = {}
        for index, source in enumerate(self.sources):
            self._index[source.rule.name] = index
            alike.setdefault(source.rule.match, index)
        self._alike = list(alike.values())
        self._matching = Index([_of_rule(source) for source in self.sources])
        self._wanting = Index([of_matchers(self.sources[one].rule.match) for one in self._alike])
        self._overriding = Index([_of_override(override) for override in self.overrides])

    def match(self, alert: Alert, cluster: str) -> tuple[list[Match], Reason | None]:
        """The matches in order, or why there are none (the most telling reason)."""
        found: list[Match] = []
        known = _known(alert, alert_namespace(alert.labels))
        for index in self._matching.find(known):
            answer = self._try(index, alert, cluster)
            if isinstance(answer, Match):
                found.append(answer)
                if not answer.rule.continue_:
                    break
        if found:
            return found, None
        wanting = (self._try(self._alike[one], alert, cluster) for one in self._wanting.find(known))
        reasons = (answer.reason for answer in wanting if isinstance(answer, WhyNot))
        return found, next((one for one in reasons if one != Reason.UNMATCHED), Reason.UNMATCHED)

    def explain(self, alert: Alert, cluster: str) -> list[Match | WhyNot]:
        """Every rule's answer, in order: for a person."""
        out: list[Match | WhyNot] = []
        over = ""
        for index, source in enumerate(self.sources):
            answer = self._try(index, alert, cluster)
            if isinstance(answer, Match) and over:
                why = f"`{over}` matched first and does not set `continue`"
                answer = WhyNot(source.rule.name, Reason.SHADOWED, why)
            elif isinstance(answer, Match) and not answer.rule.continue_:
                over = source.rule.name
            out.append(answer)
        return out

    def find(self, name: str, alert: Alert | None = None) -> LoadedRule | None:
        """The rule of that name, with the overrides that apply to the alert."""
        index = self._index.get(name)
        if index is None:
            return None
        source = self.sources[index]
        return (
            self._overridden(index, alert, self._target(source.rule, alert, ""))
            if alert
            else source
        )

    def bound(self, source: LoadedRule) -> Iterator[LoadedRule]:
        """The rule as it is, and as each of its overrides makes it."""
        yield source
        for override in self.overrides:
            if source.rule.name in override.rules:
                yield source.under([override])

    @property
    def names(self) -> Container[str]:
        """Of all rules."""
        return self._index.keys()

    def named(self, names: Sequence[str]) -> tuple[Named, ...]:
        """The time intervals of these names.

        That they exist was checked when the rules were loaded.
        """
        return tuple(self.intervals[name] for name in names if name in self.intervals)

    def in_scope(self, source: LoadedRule, target: Target) -> bool:
        """Whether the group may act on the target."""
        if target.namespace:
            return admits(source.group.scope.namespaces, target.namespace)
        return admits(source.group.scope.nodes, target.name)

    def _try(self, index: int, alert: Alert, cluster: str) -> Match | WhyNot:
        source = self.sources[index]
        name = source.rule.name
        mismatch = _mismatch(source.rule, alert)
        if mismatch:
            return WhyNot(name, Reason.UNMATCHED, mismatch)
        target = self._target(source.rule, alert, cluster)
        if isinstance(target, Unresolved):
            return WhyNot(name, target.reason, target.why)
        outside = self._outside(source, alert, target)
        if outside:
            return WhyNot(name, Reason.OUT_OF_SCOPE, outside)
        return Match(self._overridden(index, alert, target), target)

    def _outside(self, source: LoadedRule, alert: Alert, target: Target) -> str:
        """What is outside the scope of the rule's group: the alert, the target, or nothing."""
        group = source.group
        outside = f"is outside the scope of group `{group.name}`"
        if target.namespace:
            origin, scope = _origin(source.rule, alert, target), group.scope
            admitted = scope.alerts if scope.alerts is not None else scope.namespaces
            if not admits(admitted, origin):
                return f"the alert's namespace {origin!r} {outside}"
        return "" if self.in_scope(source, target) else f"{target} {outside}"

    def _target(self, rule: Rule, alert: Alert, cluster: str) -> Target | Unresolved:
        if not isinstance(rule.target, ExplicitTarget):
            return resolve(alert.labels, cluster)
        try:
            namespace = templates.render(rule.target.namespace, alert.labels)
            name = templates.render(rule.target.name, alert.labels)
        except templates.AbsentLabel as error:
            return Unresolved(Reason.NO_TARGET, str(error))
        return named(cluster, rule.target.kind, namespace, name)

    def _overridden(self, index: int, alert: Alert, target: Target | Unresolved) -> LoadedRule:
        source = self.sources[index]
        namespace = (
            target.namespace if isinstance(target, Target) else alert_namespace(alert.labels)
        )
        known = _known(alert, namespace, source.rule.name)
        chosen = tuple(
            number
            for number in self._overriding.find(known)
            if _applies(self.overrides[number], source.rule.name, namespace, alert)
        )
        if not chosen:
            return source
        if (index, chosen) not in self._effective:
            self._effective[index, chosen] = self._under(source, chosen)
        return self._effective[index, chosen]

    def _under(self, source: LoadedRule, chosen: tuple[int, ...]) -> LoadedRule:
        try:
            return source.under(self.overrides[number] for number in chosen)
        except ValidationError:  # several together, which nobody foresaw: it must not act
            only = source.rule.model_copy(update={"mode": "observe"})
            return replace(source, rule=only)


def _mismatch(rule: Rule, alert: Alert) -> str:
    """The first matcher that does not hold, and why; empty where all do."""
    for matcher in rule.match:
        if matcher.matches(alert.labels):
            continue
        if matcher.name not in alert.labels:
            return f"{matcher} does not match: the alert has no such label"
        actual = alert.labels[matcher.name]
        return f'{matcher} does not match: the alert has {matcher.name}="{actual}"'
    return ""


def _origin(rule: Rule, alert: Alert, target: Target) -> str:
    """The namespace that an alert is of: the one that the rule's template takes from it."""
    templated = isinstance(rule.target, ExplicitTarget) and "{{" in rule.target.namespace
    return target.namespace if templated else alert_namespace(alert.labels)


def _applies(override: Override, rule: str, namespace: str, alert: Alert) -> bool:
    """Whether an override changes a rule for an alert of a namespace."""
    return (
        rule in override.rules
        and (not override.namespaces or admits(override.namespaces, namespace))
        and all(matcher.matches(alert.labels) for matcher in override.match)
    )


def _known(alert: Alert, namespace: str, rule: str = "") -> tuple[tuple[Key, str], ...]:
    """What an index is asked by."""
    return (*alert.labels.items(), (Derived.NAMESPACE, namespace), (Derived.RULE, rule))


def _of_rule(source: LoadedRule) -> Iterator[Demand]:
    """What a rule demands. A scope demands a namespace of the alert only where no node is in it,
    and where the rule does not name its target.
    """
    yield from of_matchers(source.rule.match)
    scope = source.group.scope
    if not scope.nodes and not isinstance(source.rule.target, ExplicitTarget):
        yield from demanded(Derived.NAMESPACE, scope.namespaces)


def _of_override(override: Override) -> Iterator[Demand]:
    yield Demand(Derived.RULE, frozenset(override.rules))
    yield from of_matchers(override.match)
    if override.namespaces:
        yield from demanded(Derived.NAMESPACE, override.namespaces)
