"""Label selectors: as the API's query parameter, and what one selects."""

import re
from collections.abc import Mapping
from typing import Any

from ..errors import ClusterError

PART = re.compile(r"(?:[^,(]|\([^)]*\))+")
SET = re.compile(r"(\S+) (in|notin) \(([^)]*)\)")


def selector_text(selector: Mapping[str, Any]) -> str:
    """A LabelSelector as the API's query parameter.

    An empty one selects nothing, and is an error here.
    """
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(expression.get("values") or [])
        forms = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append(forms[expression["operator"]])
    if not parts:
        raise ClusterError("the workload's selector is empty; it selects nothing")
    return ",".join(parts)


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a query parameter that `selector_text` wrote selects an object with these labels.

    An empty one selects all.
    """
    return all(_holds(part, labels) for part in PART.findall(selector))


def _holds(part: str, labels: Mapping[str, str]) -> bool:
    among = SET.fullmatch(part)
    if among:
        key, word, values = among.groups()
        return (labels.get(key) in values.split(",")) == (word == "in")
    if part.startswith("!"):
        return part[1:] not in labels
    key, equals, value = part.partition("=")
    return labels.get(key) == value if equals else key in labels
