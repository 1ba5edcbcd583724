"""Which overrides of a rule are looked at together: those that are not proved apart."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, combinations, islice, product

from ..model.matcher import Matcher, Operator, admits
from .ruleset import LoadedRule
from .schema import Override

MOST_PAIRS = 5000  # of one rule
MOST = 64  # alternatives of one pattern
GROUP = re.compile(r"\((?:\?:)?([^()?*+{}\\\[\]]*)\)(?![*+?{])")
PLAIN = re.compile(r"(?:[^\\.+*?()|\[\]{}^$]|\\[\W_])*")
SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
WANTS = {Operator.EQUAL, Operator.REGEX}


def together(source: LoadedRule, overrides: Sequence[Override]) -> Iterator[tuple[int, ...]]:
    """Each two that change the same step of the rule and may meet, with those that always apply
    where these two do.

    Keys depend on each other within a step only, and each has its value from one override. So what
    works alone and not together takes two: one with an action, say, and one with a parameter.
    """
    for one, other in islice(combinations(overrides, 2), MOST_PAIRS):
        if _may_meet(source, one, other):
            yield tuple(n for n, some in enumerate(overrides) if _applies_with(some, one, other))


def _applies_with(some: Override, one: Override, other: Override) -> bool:
    """Whether an override applies wherever both others do, or is one of them."""
    return set(some.match) <= {*one.match, *other.match} and some.namespaces in (
        (),
        one.namespaces,
        other.namespaces,
    )


def _may_meet(source: LoadedRule, one: Override, other: Override) -> bool:
    if not set(one.steps or ()) & set(other.steps or ()):
        return False
    scopes = [one.namespaces, other.namespaces, source.group.scope.namespaces]
    if any(_apart(*pair) for pair in combinations(filter(None, scopes), 2)):
        return False
    matchers = (*source.rule.match, *one.match, *other.match)
    return not any(_exclude(*pair) for pair in combinations(matchers, 2))


def _exclude(one: Matcher, other: Matcher) -> bool:
    """Whether no value of a label satisfies both, as far as that can be told."""
    if one.name != other.name:
        return False
    if {one.operator, other.operator} <= WANTS:
        return _apart(_patterns(one), _patterns(other))
    given, refused = (one, other) if one.operator in WANTS else (other, one)
    if given.operator not in WANTS:
        return False
    if given.value == refused.value and _is_regex(given) == _is_regex(refused):
        return True
    values = [_plain(pattern) for pattern in _alternatives(_patterns(given)[0])]
    return all(value is not None and not refused.matches({refused.name: value}) for value in values)


def _is_regex(matcher: Matcher) -> bool:
    return matcher.operator in (Operator.REGEX, Operator.NOT_REGEX)


def _patterns(matcher: Matcher) -> tuple[str]:
    return (matcher.value if _is_regex(matcher) else SPECIAL.sub(r"\\\g<0>", matcher.value),)


@lru_cache(maxsize=4096)
def _apart(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether no text matches a pattern of both."""
    ones = chain.from_iterable(map(_alternatives, one))
    others = chain.from_iterable(map(_alternatives, other))
    return all(_differ(*pair) for pair in product(ones, others))


def _differ(one: str, other: str) -> bool:
    """Whether two patterns without alternatives match nothing in common: by their texts, or by how
    they begin.
    """
    plain, others = _plain(one), _plain(other)
    if plain is not None:
        return not admits((other,), plain)
    if others is not None:
        return not admits((one,), others)
    begins, ends = _beginning(one), _beginning(other)
    return not begins.startswith(ends) and not ends.startswith(begins)


def _alternatives(pattern: str) -> list[str]:
    """A pattern without its alternatives, if they are simple; else the pattern."""
    found, done = [pattern], False
    while not done and len(found) <= MOST:
        done, rest = True, found
        found = []
        for text in rest:
            group = GROUP.search(text)
            done = done and group is None
            found += _expanded(text, group)
    return found if done else [pattern]


def _expanded(text: str, group: re.Match[str] | None) -> list[str]:
    if group is None:
        return text.split("|") if not set(text) & set("([\\") else [text]
    return [f"{text[: group.start()]}{one}{text[group.end() :]}" for one in group[1].split("|")]


def _plain(pattern: str) -> str | None:
    """The only text that a pattern matches; None if there are others."""
    return re.sub(r"\\(.)", r"\1", pattern) if PLAIN.fullmatch(pattern) else None


def _beginning(pattern: str) -> str:
    """What every text that a pattern matches begins with, as far as it is plain to see."""
    found = PLAIN.match(pattern)
    begins = found[0] if found else ""
    if "|" in pattern:
        return ""
    if pattern[len(begins) : len(begins) + 1] in set("*?{"):
        begins = re.sub(r"\\?.\Z", "", begins)
    return re.sub(r"\\(.)", r"\1", begins)
