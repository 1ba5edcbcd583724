"""Which overrides of a rule are looked at together: those that one alert may bring together, as
far as an example can show it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, combinations, groupby, islice

from ..model.matcher import Matcher, Operator, admits
from .ruleset import LoadedRule
from .schema import Override

MOST_PAIRS = 5000  # of one rule
GROUP = re.compile(r"\(([^()]*)\)")


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
    if not _share_a_place(one.namespaces, other.namespaces, source.group.scope.namespaces):
        return False
    matchers = sorted((*source.rule.match, *one.match, *other.match), key=lambda one: one.name)
    named = groupby(matchers, key=lambda one: one.name)
    return all(_has_a_value(list(group)) for _, group in named)


@lru_cache(maxsize=4096)
def _share_a_place(*scopes: tuple[str, ...]) -> bool:
    """Whether a namespace is found that all of these admit; an empty one admits every namespace."""
    lists = [patterns for patterns in scopes if patterns]
    places = chain.from_iterable(map(_examples, chain.from_iterable(lists)))
    return not lists or any(all(admits(some, place) for some in lists) for place in places)


def _has_a_value(matchers: Sequence[Matcher]) -> bool:
    """Whether a value of their label is found that satisfies all of them."""
    tried = chain(["", "x"], *map(_values, matchers))
    return any(all(one.matches({one.name: value}) for one in matchers) for value in tried)


def _values(matcher: Matcher) -> Iterable[str]:
    if matcher.operator in (Operator.REGEX, Operator.NOT_REGEX):
        return _examples(matcher.value)
    return [matcher.value]


def _examples(pattern: str) -> Iterator[str]:
    """Texts that a pattern might match: its alternatives, with something in place of dots."""
    group = GROUP.search(pattern)
    if group is not None:
        before, after = pattern[: group.start()], pattern[group.end() :]
        for one in group[1].removeprefix("?:").split("|")[:9]:
            yield from _examples(f"{before}{one}{after}")
        return
    for one in pattern.split("|"):
        yield one.replace(".*", "").replace(".+", "x").replace("\\", "")
        yield one.replace(".*", "x").replace(".+", "x").replace("\\", "")
