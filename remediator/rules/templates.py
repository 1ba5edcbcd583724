"""`{{ labels.x }}`, `{{ target.name }}`, `{{ root.namespace }}`: nothing else, and no language behind it."""

import re
from collections.abc import Mapping

from ..model.target import Target

PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.S)
KNOWN = re.compile(r"labels\.([A-Za-z_][A-Za-z0-9_]*)|(target|root)\.(kind|namespace|name)")
IN_QUOTES = re.compile(r'"(?:[^"\\]|\\.)*"')


class AbsentLabel(LookupError):
    """The alert does not have the label that the template asks for."""


def mistakes(text: str, promql: bool = False) -> list[str]:
    """What is wrong with a template, in words; in PromQL a place must stand within a double-quoted string."""
    found = [
        f"`{place}` is no template value; use labels.x, target.name or root.namespace"
        for place in PLACE.findall(text)
        if not KNOWN.fullmatch(place)
    ]
    if promql and PLACE.search(IN_QUOTES.sub("", text)):
        found.append("inside PromQL a template must stand within a double-quoted string")
    return found


def render(
    text: str, labels: Mapping[str, str], target: Target | None = None, root: Target | None = None, promql: bool = False
) -> str:
    """Fills the places; inside PromQL what comes in is escaped. Raises: AbsentLabel."""

    def fill(match: re.Match[str]) -> str:
        known = KNOWN.fullmatch(match.group(1))
        if known is None:
            raise AbsentLabel(match.group(1))
        if known.group(1):
            if not labels.get(known.group(1)):
                raise AbsentLabel(f"the alert has no label {known.group(1)}")
            value = labels[known.group(1)]
        else:
            thing = target if known.group(2) == "target" else root
            if thing is None:
                raise AbsentLabel(match.group(1))
            value = {"kind": thing.kind, "namespace": thing.namespace, "name": thing.name}[known.group(3)]
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") if promql else value

    return PLACE.sub(fill, text)
