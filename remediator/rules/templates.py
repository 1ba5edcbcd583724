"""`{{ labels.x }}`, `{{ target.name }}`, `{{ root.namespace }}`.

Nothing else, and no language behind it.
"""

import re
from collections.abc import Mapping

from ..model.target import Target

PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.S)
KNOWN = re.compile(r"labels\.([A-Za-z_][A-Za-z0-9_]*)|(target|root)\.(kind|namespace|name)")
SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")  # what RE2's QuoteMeta must escape
# a string of PromQL, in one of its three kinds of quotes
STRING = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`""")


class AbsentLabel(LookupError):
    """The alert does not have the label that the template asks for."""


def mistakes(text: str, *, promql: bool = False, labels_only: bool = False) -> list[str]:
    """What is wrong with a template, in words.

    In PromQL a place must stand within a double-quoted string. In the names of a target, only
    labels are known.
    """
    known = "use labels.x" if labels_only else "use labels.x, target.name or root.namespace"
    found = [
        f"unknown template value `{place}`; {known}"
        for place in PLACE.findall(text)
        if not KNOWN.fullmatch(place) or (labels_only and not place.startswith("labels."))
    ]
    if "{{" in PLACE.sub("", text):
        found.append("a `{{` is not closed; add `}}`")
    if promql and PLACE.search(STRING.sub(_unless_double_quoted, text)):
        found.append("in PromQL, a template must be inside a double-quoted string")
    return found


def _unless_double_quoted(string: re.Match[str]) -> str:
    """Values are escaped for double quotes only."""
    return "" if string[0].startswith('"') else string[0]


def render(
    text: str,
    labels: Mapping[str, str],
    target: Target | None = None,
    root: Target | None = None,
    *,
    promql: bool = False,
) -> str:
    """Fills the places.

    Inside PromQL what comes in is escaped, in a regex matcher as a regex too. Raises: AbsentLabel.
    """

    def value(match: re.Match[str]) -> str:
        known = KNOWN.fullmatch(match.group(1))
        if known is None:
            raise AbsentLabel(match.group(1))
        if known.group(1):
            if not labels.get(known.group(1)):
                raise AbsentLabel(f"the alert has no label {known.group(1)}")
            return labels[known.group(1)]
        thing = target if known.group(2) == "target" else root
        if thing is None:
            raise AbsentLabel(match.group(1))
        return {"kind": thing.kind, "namespace": thing.namespace, "name": thing.name}[
            known.group(3)
        ]

    def quoted(match: re.Match[str]) -> str:
        if not match.group(0).startswith('"'):
            return match.group(0)
        regex = text[: match.start()].rstrip().endswith(("=~", "!~"))

        def fill(place: re.Match[str]) -> str:
            given = SPECIAL.sub(r"\\\g<0>", value(place)) if regex else value(place)
            return given.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

        return PLACE.sub(fill, match.group(0))

    return STRING.sub(quoted, text) if promql else PLACE.sub(value, text)
