"""How long an alert goes on after a perfect repair: the look-back of its expression."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import promql_parser

from ..model.duration import parse_duration

WINDOW = re.compile(r"\[\s*([0-9a-z]+)\s*(?::\s*[0-9a-z]*\s*)?\]|offset\s+([0-9a-z]+)")
LEAST = timedelta(minutes=15)
UNKNOWN = timedelta(minutes=30)
MARGIN = timedelta(minutes=5)
DEEPEST = 5  # recording rules may name each other


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


def look_back(query: str, recorded: Mapping[str, str], depth: int = 0) -> timedelta:
    """How far back the expression reads: its windows and offsets add up where they nest.

    Its recording rules are expanded. Of a query that cannot be parsed, all of them are added.
    """
    try:
        return max(timedelta(), _reach(promql_parser.parse(query), recorded, depth))
    except ValueError:
        return sum(map(_duration, WINDOW.findall(query)), timedelta())


def _duration(found: tuple[str, str]) -> timedelta:
    try:
        return parse_duration("".join(found))
    except ValueError:
        return timedelta()


def _reach(part: Any, recorded: Mapping[str, str], depth: int) -> timedelta:
    """How far back one part of an expression reads; less than nothing with a negative offset."""
    match type(part).__name__:
        case "MatrixSelector":
            return _span(part.range) + _reach(part.vector_selector, recorded, depth)
        case "SubqueryExpr":
            own = _span(part.range) + _span(part.offset)
            return own + _reach(part.expr, recorded, depth)
        case "VectorSelector":
            text = recorded.get(part.name or "", "") if depth < DEEPEST else ""
            return _span(part.offset) + look_back(text, recorded, depth + 1)
        case "BinaryExpr":
            return max(_reach(side, recorded, depth) for side in (part.lhs, part.rhs))
        case "Call":
            parts = [_reach(argument, recorded, depth) for argument in part.args]
            return max(parts, default=timedelta())
        case "AggregateExpr" | "ParenExpr" | "UnaryExpr":
            return _reach(part.expr, recorded, depth)
    return timedelta()


def _span(given: timedelta | None) -> timedelta:
    return given or timedelta()
