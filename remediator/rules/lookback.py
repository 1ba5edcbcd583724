"""How long an alert goes on after a perfect repair: the look-back of its expression."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..model.duration import parse_duration

WINDOW = re.compile(r"\[\s*([0-9a-z]+)\s*(?::\s*[0-9a-z]*\s*)?\]|offset\s+([0-9a-z]+)")
LEAST = timedelta(minutes=15)
UNKNOWN = timedelta(minutes=30)
MARGIN = timedelta(minutes=5)


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
    """The longest window or offset in the expression, with its recording rules expanded."""
    found = [timedelta()]
    for window, offset in WINDOW.findall(query):
        try:
            found.append(parse_duration(window or offset))
        except ValueError:
            continue
    if depth < 5:
        inner = [
            look_back(text, recorded, depth + 1) for name, text in recorded.items() if name in query
        ]
        return max(found) + max(inner, default=timedelta())
    return max(found)
