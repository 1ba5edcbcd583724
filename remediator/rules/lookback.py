"""How long an alert goes on after a perfect repair: the look-back of its expression."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import promql_parser

from ..model.duration import parse_duration

WINDOW = re.compile(r"\[\s*([0-9a-z]+)\s*(?::\s*[0-9a-z]*\s*)?\]|offset\s+([0-9a-z]+)")
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LEAST = timedelta(minutes=15)
UNKNOWN = timedelta(minutes=30)
MARGIN = timedelta(minutes=5)
LONGEST = 2000  # characters: the parser is quadratic, and ends the process on deep nesting
NOTHING = timedelta()
EQUAL = "MatchOp.Equal"


def resolved_within(rule: Mapping[str, Any] | None, generator_url: str) -> timedelta:
    """max(15m, look-back + keep_firing_for + 5m) from Prometheus' rule,
    else from the query in generatorURL, else 30m.
    """
    if rule is not None:
        keep = timedelta(seconds=float(rule.get("keepFiringFor") or 0))
        return max(
            LEAST, look_back(str(rule.get("query", "")), rule.get("recorded") or {}) + keep + MARGIN
        )
    query = _query_of(generator_url)
    return max(LEAST, look_back(query, {}) + MARGIN) if query else UNKNOWN


def _query_of(generator_url: str) -> str:
    """The expression in an alert's link to Prometheus; empty if there is none."""
    try:
        return parse_qs(urlsplit(generator_url).query).get("g0.expr", [""])[0]
    except ValueError:
        return ""


def look_back(query: str, recorded: Mapping[str, str]) -> timedelta:
    """How far back the expression reads: its windows and offsets add up where they nest.

    Its recording rules (`recorded`: expressions by name) are expanded.
    """
    return _Reach(recorded).of(query)


class _Reach:
    """How far back expressions read. Each recording rule is read once, even if it names itself."""

    def __init__(self, recorded: Mapping[str, str]) -> None:
        self._recorded = recorded
        self._known: dict[str, timedelta] = {}

    def of(self, query: str) -> timedelta:
        """Of what cannot be parsed, or is too long for that, all windows and offsets are added to
        the longest of the recording rules that it names.
        """
        try:
            if len(query) <= LONGEST:
                return max(NOTHING, self._part(promql_parser.parse(query)))
        except (ValueError, RecursionError):
            pass
        own = sum(map(_duration, WINDOW.findall(query)), NOTHING)
        return own + max(map(self._named, set(NAME.findall(query))), default=NOTHING)

    def _named(self, name: str) -> timedelta:
        if name not in self._known:
            self._known[name] = NOTHING
            self._known[name] = self.of(self._recorded.get(name, ""))
        return self._known[name]

    def _part(self, part: Any) -> timedelta:
        """One part of an expression; less than nothing with a negative offset."""
        match type(part).__name__:
            case "MatrixSelector":
                return _span(part.range) + self._part(part.vector_selector)
            case "SubqueryExpr":
                return _span(part.range) + _span(part.offset) + self._part(part.expr)
            case "VectorSelector":
                return _span(part.offset) + self._named(_name_of(part))
        parts = map(self._part, _parts(part))
        return max(parts, default=NOTHING)


def _parts(part: Any) -> list[Any]:
    """The parts of an operator, a function or an aggregation."""
    given = [getattr(part, key, None) for key in ("lhs", "rhs", "expr", "param")]
    return [one for one in (*given, *getattr(part, "args", ())) if one is not None]


def _name_of(selector: Any) -> str:
    """The metric's name, however it is written."""
    matchers = selector.matchers.matchers
    named = [one.value for one in matchers if (one.name, str(one.op)) == ("__name__", EQUAL)]
    return str(selector.name or "".join(named[:1]))


def _duration(found: tuple[str, str]) -> timedelta:
    try:
        return parse_duration("".join(found))
    except ValueError:
        return NOTHING


def _span(given: timedelta | None) -> timedelta:
    return given or NOTHING
