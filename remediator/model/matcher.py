"""Alertmanager's matchers: `name op "value"` with =, !=, =~ and !~.

Names may be quoted and contain any UTF-8. Regular expressions are RE2, anchored at both ends. A
missing label is the empty string. Source: Alertmanager matcher/parse and pkg/labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from string import ascii_letters, digits
from typing import Any

import re2


class Operator(StrEnum):
    """How a matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


class MatcherError(ValueError):
    """Not a matcher; `offset` is the position, in characters."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label."""

    name: str
    operator: Operator
    value: str
    _pattern: Any = field(default=None, compare=False, repr=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels match."""
        actual = labels.get(self.name, "")
        match self.operator:
            case Operator.EQUAL:
                return actual == self.value
            case Operator.NOT_EQUAL:
                return actual != self.value
            case Operator.REGEX:
                return self._pattern.fullmatch(actual) is not None
        return self._pattern.fullmatch(actual) is None

    def __str__(self) -> str:
        name = self.name if self.name and not set(self.name) & RESERVED else _in_quotes(self.name)
        return f"{name}{self.operator}{_in_quotes(self.value)}"


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


RESERVED = set("{}!=~,\\\"'`") | set(" \t\r\n")
# what patterns that only list words consist of
PLAIN = set("|_- " + ascii_letters + digits)
ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
QUIET = re2.Options()
QUIET.log_errors = False


class Words(frozenset[str]):
    """What a pattern such as `a|b` matches."""

    def fullmatch(self, text: str) -> str | None:
        """The text, if it is one of the words."""
        return text if text in self else None


@lru_cache(maxsize=65536)  # of rules alone, which may be ten thousand
def compile_regex(text: str) -> Any:
    """An RE2 pattern; `fullmatch` is the anchored match. Raises: ValueError with RE2's message.

    A pattern that only lists words is a set of them: RE2 takes longer, and some kilobytes for each.
    """
    if set(text) <= PLAIN:
        return Words(text.split("|"))
    try:
        return re2.compile(text, QUIET)
    except re2.error as error:
        message = error.args[0] if error.args else error
        raise ValueError(message.decode() if isinstance(message, bytes) else str(message)) from None


def admits(patterns: Sequence[str], value: str) -> bool:
    """Whether an anchored pattern matches the value."""
    return any(compile_regex(text).fullmatch(value) is not None for text in patterns)


def parse_matcher(text: str) -> Matcher:
    """Reads one matcher. Raises: MatcherError."""
    position = _skip_blanks(text, 0)
    name, position = _word(text, position, "a label name")
    position = _skip_blanks(text, position)
    symbol = next((s for s in ("=~", "!~", "!=", "=") if text.startswith(s, position)), None)
    if symbol is None:
        raise MatcherError("expected one of = != =~ !~", position)
    value_at = _skip_blanks(text, position + len(symbol))
    value, position = ("", value_at) if value_at == len(text) else _word(text, value_at, "a value")
    position = _skip_blanks(text, position)
    if position != len(text):
        raise MatcherError(f"unexpected {text[position]!r} after the value", position)
    operator = Operator(symbol)
    if operator not in (Operator.REGEX, Operator.NOT_REGEX):
        return Matcher(name, operator, value)
    try:
        return Matcher(name, operator, value, compile_regex(value))
    except ValueError as error:
        raise MatcherError(f"bad regular expression: {error}", value_at) from None


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _word(text: str, position: int, what: str) -> tuple[str, int]:
    """A quoted string or a run of unreserved characters, and where it ends."""
    if position < len(text) and text[position] == '"':
        return _quoted(text, position)
    end = position
    while end < len(text) and text[end] not in RESERVED:
        end += 1
    if end == position:
        raise MatcherError(f"expected {what}", position)
    return text[position:end], end


def _quoted(text: str, start: int) -> tuple[str, int]:
    out: list[str] = []
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == '"':
            return "".join(out), position + 1
        if character == "\\":
            following = text[position + 1 : position + 2]
            out.append(ESCAPES.get(following, "\\" + following))
            position += 2
            continue
        out.append(character)
        position += 1
    raise MatcherError("the quote is not closed", start)
