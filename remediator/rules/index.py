"""Which of many rules may hold for an alert, without trying each.

An item (a rule, an override) holds if all that it demands does. It waits under one of its demands,
the one that the fewest others share: under values of a label, or under regular expressions for it.
An alert finds what waits under its own values by one lookup per label, and what waits under
expressions by one pass of an RE2 set per label. So the cost depends on what is found, not on how
many there are. What is found may hold and has to be tried; what is not found cannot hold.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import Any

import re2

from ..model.matcher import Matcher, Operator, Words, compile_regex

# patterns in one RE2 set, and the bytes that its automaton may take
PATTERNS, MEMORY = 1000, 16 << 20
ANYTHING = "(?s).*"


class Derived(Enum):
    """What is demanded of an alert beside its labels."""

    NAMESPACE = auto()
    RULE = auto()


Key = str | Derived


@dataclass(frozen=True, slots=True)
class Demand:
    """A label has one of these values, or one that a pattern matches in full."""

    label: Key
    values: frozenset[str]
    patterns: tuple[str, ...] = ()


def demanded(label: Key, patterns: Iterable[str]) -> Iterator[Demand]:
    """What anchored patterns of a label demand, as far as an index can use it.

    That is nothing if they admit an empty value, which is that of a label that is absent.
    """
    values: set[str] = set()
    others: list[str] = []
    for pattern in patterns:
        compiled = compile_regex(pattern)
        if compiled.fullmatch("") is not None:
            return
        if isinstance(compiled, Words):
            values |= compiled
        else:
            others.append(pattern)
    yield Demand(label, frozenset(values), tuple(others))


def of_matchers(matchers: Iterable[Matcher]) -> Iterator[Demand]:
    """What matchers demand. Those that exclude something demand nothing."""
    for matcher in matchers:
        if matcher.operator == Operator.EQUAL and matcher.value:
            yield Demand(matcher.name, frozenset({matcher.value}))
        elif matcher.operator == Operator.REGEX:
            yield from demanded(matcher.name, [matcher.value])


class Index:
    """Items by their demands; an item is a number, from 0."""

    def __init__(self, items: Sequence[Iterable[Demand]]) -> None:
        demands = [tuple(each) for each in items]
        shared = Counter(chain.from_iterable(map(_keys, chain.from_iterable(demands))))
        self._always: list[int] = []
        self._by_value: dict[tuple[Key, str], list[int]] = {}
        by_pattern: dict[Key, dict[str, list[int]]] = {}
        for number, each in enumerate(demands):
            if not each:
                self._always.append(number)
                continue
            chosen = min(each, key=lambda one: (sum(shared[k] for k in _keys(one)), one.patterns))
            for value in chosen.values:
                self._by_value.setdefault((chosen.label, value), []).append(number)
            for pattern in chosen.patterns:
                by_pattern.setdefault(chosen.label, {}).setdefault(pattern, []).append(number)
        self._by_pattern = {label: _Patterns(waiting) for label, waiting in by_pattern.items()}

    def find(self, known: Iterable[tuple[Key, str]]) -> list[int]:
        """The items that may hold for these values, in order."""
        found = set(self._always)
        for label, value in known:
            found.update(self._by_value.get((label, value), ()))
            if label in self._by_pattern:
                found.update(self._by_pattern[label].find(value))
        return sorted(found)


def _keys(demand: Demand) -> Iterator[tuple[Key, str, bool]]:
    """What of a demand others may share."""
    for value in demand.values:
        yield demand.label, value, False
    for pattern in demand.patterns:
        yield demand.label, pattern, True


class _Patterns:
    """The items that wait under patterns for one label."""

    def __init__(self, waiting: Mapping[str, list[int]]) -> None:
        all_of, starts = list(waiting.items()), range(0, len(waiting), PATTERNS)
        self._sets = [_PatternSet(dict(all_of[first : first + PATTERNS])) for first in starts]

    def find(self, value: str) -> Iterator[int]:
        for each in self._sets:
            yield from each.find(value)


class _PatternSet:
    """An RE2 set, which matches all of its patterns in one pass.

    A set whose automaton outgrows its memory answers that nothing matches, so the first pattern
    matches anything: if it does not, each pattern is tried by itself.
    """

    def __init__(self, waiting: Mapping[str, list[int]]) -> None:
        self._patterns, self._items = list(waiting), list(waiting.values())
        options = re2.Options()
        options.log_errors, options.max_mem = False, MEMORY
        self._set: Any = re2.Set.FullMatchSet(options)
        try:
            for pattern in (ANYTHING, *self._patterns):
                self._set.Add(pattern)
            self._set.Compile()
        except re2.error:  # too large together
            self._set = None

    def find(self, value: str) -> Iterator[int]:
        matched = self._set.Match(value) if self._set is not None else None
        if not matched:
            matched = self._one_by_one(value)
        for number in matched:
            if number:
                yield from self._items[number - 1]

    def _one_by_one(self, value: str) -> Iterator[int]:
        for number, pattern in enumerate(self._patterns, 1):
            if compile_regex(pattern).fullmatch(value) is not None:
                yield number
