"""The only module that reads YAML: every value knows its file, line and column.

Duplicate keys and the traps of YAML 1.1 are refused.
"""

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Loc = tuple[str | int, ...]
WIDEST = 400  # of a line that is shown
TRAPS = [
    (re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+"), "YAML reads {0} as a number in base 60; quote it"),
    (re.compile(r"\+[0-9].*"), "YAML drops the sign of {0}; write the number without `+`"),
    (
        re.compile(r"(?i)yes|no|on|off|y|n"),
        "YAML 1.1 reads {0} as a truth value; write true or false, or quote it",
    ),
    (
        re.compile(r"0[0-7]+"),
        "YAML 1.1 reads {0} as an octal number; quote it or drop the leading zero",
    ),
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake (or warning) in a file, to be shown with its line and a caret.

    Lines and columns start at 1.
    """

    path: str
    line: int
    column: int
    width: int
    code: str
    message: str
    source: str = ""
    severity: str = "error"

    def render(self) -> str:
        """file:line:column, the line, a caret under what is wrong, and what to do."""
        head = f"{self.path}:{self.line}:{self.column}  {self.severity}  {self.code}"
        if not self.source:
            return f"{head}\n     {self.message}"
        gutter, shown = f"{self.line:>5} | ", self.source[:WIDEST]
        caret = " " * (len(gutter) + min(self.column, WIDEST) - 1) + "^" * min(self.width, WIDEST)
        return f"{head}\n{gutter}{shown}\n{caret} {self.message}"


@dataclass(slots=True)
class Document:
    """Plain data, with the position of each part."""

    path: str
    lines: list[str]
    most: int = 1000
    data: Any = None
    keys: dict[Loc, Node] = field(default_factory=dict)
    values: dict[Loc, Node] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    written_at: dict[Loc, Loc] = field(default_factory=dict)
    """Where else to look for a part that does not stand at its own place."""

    def finding(
        self, loc: Loc, code: str, message: str, at_key: bool = False, *, severity: str = "error"
    ) -> Finding:
        """A finding at a place, or at its nearest parent that stands in the file."""
        place = loc
        nodes = self.keys if at_key else self.values
        node = self._node(nodes, place)
        while place and node is None:
            place = place[:-1]
            node = self._node(self.values, place)
        if node is None:
            return Finding(
                self.path, 1, 1, 1, code, message, self.lines[0] if self.lines else "", severity
            )
        start, end = node.start_mark, node.end_mark
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        width = end.column - start.column if end.line == start.line else len(line) - start.column
        return Finding(
            self.path,
            start.line + 1,
            start.column + 1,
            max(1, width),
            code,
            message,
            line,
            severity,
        )

    def _node(self, nodes: Mapping[Loc, Node], place: Loc) -> Node | None:
        """The node at a place, or where the longest part of it is written."""
        if place in nodes:
            return nodes[place]
        for length in range(len(place), 0, -1):
            elsewhere = self.written_at.get(place[:length])
            if elsewhere is not None:
                return nodes.get((*elsewhere, *place[length:]))
        return None


class _Loader(yaml.SafeLoader):
    """SafeLoader without YAML 1.1's implicit dates, base 60 and words for truth."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in [
    ("tag:yaml.org,2002:null", r"(?:~|null|)\Z", ["~", "n", ""]),
    ("tag:yaml.org,2002:bool", r"(?:true|false)\Z", list("tf")),
    ("tag:yaml.org,2002:int", r"-?(?:0|[1-9][0-9]*)\Z", list("-0123456789")),
    ("tag:yaml.org,2002:float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z", list("-0123456789")),
]:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def load_text(text: str, path: str) -> Document:
    """Reads one YAML document; what is wrong is in `findings`, and then `data` may be partial."""
    document = Document(path, text.splitlines(), most=1000 + 10 * len(text))
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _build(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        source = document.lines[line] if line < len(document.lines) else ""
        message = f"cannot read the YAML: {error.problem or error.context}"
        document.findings.append(Finding(path, line + 1, column + 1, 1, "yaml", message, source))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        document.findings.append(
            Finding(path, 1, 1, 1, "yaml", f"cannot read the YAML: {error or 'nested too deeply'}")
        )
    return document


def load_file(path: Path) -> Document:
    """Reads one YAML file. Raises: OSError."""
    try:
        return load_text(path.read_bytes().decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        document = Document(str(path), [], most=0)
        line = error.object.count(b"\n", 0, error.start) + 1
        why = "not UTF-8 text; save the file as UTF-8"
        document.findings.append(Finding(str(path), line, 1, 1, "yaml", why))
        return document


def _build(loader: _Loader, node: Node, loc: Loc, document: Document) -> Any:
    document.values[loc] = node
    if len(document.values) > document.most:
        raise yaml.YAMLError("its aliases expand to more than a rule file may contain")
    if isinstance(node, SequenceNode):
        return [
            _build(loader, child, (*loc, index), document) for index, child in enumerate(node.value)
        ]
    if isinstance(node, MappingNode):
        return _build_mapping(loader, node, loc, document)
    assert isinstance(node, ScalarNode)
    if node.style is None:
        for pattern, advice in TRAPS:
            if pattern.fullmatch(node.value):
                document.findings.append(
                    document.finding(loc, "yaml-trap", advice.format(f"`{node.value}`"))
                )
    try:
        node.value.encode()  # escapes can make halves of characters
        return loader.construct_object(node)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        document.findings.append(
            document.finding(
                loc, "yaml", f"`{node.value[:80]}` is not a valid {node.tag.rsplit(':', 1)[-1]}"
            )
        )
        return None


def _build_mapping(
    loader: _Loader, node: MappingNode, loc: Loc, document: Document
) -> dict[Hashable, Any]:
    out: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value if isinstance(key_node, ScalarNode) else None
        if key is None:
            document.findings.append(document.finding(loc, "yaml", "a key must be a plain word"))
            continue
        place = (*loc, key)
        if key in out:
            document.keys[(*place, "again")] = key_node
            where = document.keys[place].start_mark.line + 1
            message = f"duplicate key `{key}`; first set in line {where}"
            document.findings.append(
                document.finding((*place, "again"), "duplicate-key", message, at_key=True)
            )
            continue
        document.keys[place] = key_node
        out[key] = _build(loader, value_node, place, document)
    return out


def without_echoes(found: Iterable[Finding]) -> list[Finding]:
    """Each mistake once, by place: where YAML itself says why a value is bad, it is told there what
    to write instead.
    """
    at: dict[tuple[str, int, int], dict[str, list[str]]] = {}
    out = sorted(dict.fromkeys(found), key=lambda one: (one.path, one.line, one.column))
    for one in out:
        said = at.setdefault((one.path, one.line, one.column), {})
        said.setdefault(one.code, []).append(one.message)
    return [told for one in out if (told := _told(one, at[one.path, one.line, one.column]))]


def _told(one: Finding, beside: Mapping[str, list[str]]) -> Finding | None:
    """A finding as it is told, given what is said at its place by code; None if another says it."""
    if one.code == "bad-value" and beside.keys() & {"yaml", "yaml-trap"}:
        return None
    if one.code == "yaml-trap" and "bad-value" in beside:
        why = one.message.partition(";")[0]
        return replace(one, message="; ".join([why, *beside["bad-value"]]))
    return one


def suggest(word: str, known: list[str]) -> str:
    """ "; did you mean …?" if something similar is known, else what is known; or nothing."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known: {', '.join(sorted(known))}" if 0 < len(known) <= 20 else ""
