"""The values of a rule file as they are written: durations, limits, matchers, time ranges.

Each is read into the model's own type, and written back as text.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PlainSerializer, Tag, WithJsonSchema

from ..causes import CAUSES
from ..located import suggest
from ..model.duration import PATTERN, format_duration, parse_duration
from ..model.interval import MONTHS, WEEKDAYS, parse_range, parse_time, zone
from ..model.limit import Radius
from ..model.matcher import Matcher, MatcherError, compile_regex, parse_matcher
from ..model.usage import Rate


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"invalid duration {value!r}; use a form such as 30s, 5m or 1h30m")
    return parse_duration(value)


def as_rate(value: Any) -> Rate:
    """A number per duration. Raises: ValueError."""
    if isinstance(value, Rate):
        return value
    count, slash, window = str(value).partition("/")
    if not slash or not count.isdecimal():
        raise ValueError(f"invalid limit {value!r}; use a number per duration, such as 3/6h")
    rate = Rate(int(count), parse_duration(window))
    if rate.window <= timedelta():
        raise ValueError(f"invalid limit {value!r}; the duration must be more than 0")
    return rate


def _rates(value: Any) -> tuple[Rate, ...]:
    return (
        tuple(as_rate(item) for item in value)
        if isinstance(value, list | tuple)
        else (as_rate(value),)
    )


def _matcher(value: Any) -> Matcher:
    if isinstance(value, Matcher):
        return value
    if not isinstance(value, str):
        raise ValueError(
            f"invalid matcher {value!r}; use a form such as 'alertname=\"PodCrashLooping\"'"
        )
    try:
        return parse_matcher(value)
    except MatcherError as error:
        raise ValueError(f"bad matcher at character {error.offset + 1}: {error}") from None


def _regex(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"invalid regular expression {value!r}")
    compile_regex(value)
    return value


def _radius(value: Any) -> Radius:
    if isinstance(value, Radius):
        return value
    shares: list[float] = []
    counts: list[int] = []
    for item in value if isinstance(value, list | tuple) else [value]:
        text = str(item)
        if (
            text.endswith("%")
            and text[:-1].replace(".", "", 1).isdigit()
            and float(text[:-1]) <= 100
        ):
            shares.append(float(text[:-1]) / 100)
        elif isinstance(item, int) and not isinstance(item, bool) and item >= 0:
            counts.append(item)
        else:
            raise ValueError(
                f"invalid blast_radius {item!r}; use a percentage such as 30%, a number of pods, or"
                " both: [2, 30%]"
            )
    if not shares and not counts:
        raise ValueError(
            "an empty blast_radius allows nothing; use a percentage such as 30%, or a number of"
            " pods"
        )
    return Radius(min(shares, default=None), min(counts, default=None))


def _radius_text(radius: Radius) -> list[int | str]:
    parts: list[int | str] = [] if radius.count is None else [radius.count]
    return [*parts, *([] if radius.share is None else [f"{radius.share * 100:g}%"])]


def _intervals(names: Sequence[str], least: int, most: int) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("write a list")
        return tuple(
            item if isinstance(item, tuple) else parse_range(str(item), names, least, most)
            for item in value
        )

    return parse


def _zone(value: Any) -> str:
    zone(str(value))
    return str(value)


def _times(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError("write a list of {start_time, end_time}")
    out = []
    for item in value:
        if isinstance(item, tuple):
            out.append(item)
            continue
        if not isinstance(item, Mapping) or set(item) != {"start_time", "end_time"}:
            raise ValueError("each of `times` needs `start_time` and `end_time`, and nothing else")
        start, end = parse_time(str(item["start_time"])), parse_time(str(item["end_time"]))
        if end <= start:
            raise ValueError(
                f"{item['start_time']} to {item['end_time']} ends before it starts; split it in"
                " two at midnight"
            )
        out.append((start, end))
    return tuple(out)


def _cause(value: Any) -> Any:
    words = [*CAUSES, "any", "always"]
    if value not in words:
        raise ValueError(
            f"unknown cause `{value}`{suggest(str(value), words)}; known: {', '.join(words)}"
        )
    return value


def _causes(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


FORMS = ("\0word", "\0other")
A_WORD, OTHERWISE = map(Tag, FORMS)
BY_FORM = Discriminator(lambda value: FORMS[not isinstance(value, str)])
"""A word or something else: a mistake in one is not told as a mistake in the other too."""


def _one_or_more(item: Mapping[str, Any], least: int = 0) -> dict[str, Any]:
    """The JSON Schema of one item, or of a list of them."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": least}]}


def _spans(*kinds: str) -> WithJsonSchema:
    """Of ranges such as `1:5`, or single values."""
    return WithJsonSchema({"type": "array", "items": {"type": list(kinds)}})


# The JSON Schema is of what may be written, which is more than what is written out.
DURATION = {"type": "string", "pattern": PATTERN}
RATE = {"type": "string", "pattern": f"^[0-9]+/{PATTERN.removeprefix('^')}"}
RADIUS = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+%$"}]
}
CAUSE = {"enum": [*CAUSES, "any", "always"], "type": "string"}
TIME = {
    "type": "object",
    "properties": {
        "start_time": {"type": "string", "description": "Such as 09:00."},
        "end_time": {"type": "string", "description": "Such as 17:00, which is excluded."},
    },
    "required": ["start_time", "end_time"],
    "additionalProperties": False,
}
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(DURATION),
]
Rates = Annotated[
    tuple[Rate, ...],
    BeforeValidator(_rates),
    PlainSerializer(lambda rates: [str(rate) for rate in rates], return_type=list),
    WithJsonSchema(_one_or_more(RATE)),
]
Ranges = tuple[tuple[int, int], ...]
RadiusText = Annotated[
    Radius,
    BeforeValidator(_radius),
    PlainSerializer(_radius_text, return_type=list),
    WithJsonSchema(_one_or_more(RADIUS, least=1)),
]
MatcherText = Annotated[Matcher, BeforeValidator(_matcher), PlainSerializer(str, return_type=str)]
Regex = Annotated[str, BeforeValidator(_regex)]
Mode = Literal["observe", "approve", "act"]
Policy = Literal["refuse", "warn", "allow"]
CauseWord = Annotated[str, BeforeValidator(_cause)]
CauseWords = Annotated[
    Annotated[tuple[CauseWord, ...], Field(min_length=1)] | None,
    BeforeValidator(_causes),
    WithJsonSchema({"anyOf": [*_one_or_more(CAUSE, least=1)["anyOf"], {"type": "null"}]}),
]
Times = Annotated[Ranges, BeforeValidator(_times), WithJsonSchema({"type": "array", "items": TIME})]
Weekdays = Annotated[Ranges, BeforeValidator(_intervals(WEEKDAYS, 0, 6)), _spans("string")]
DaysOfMonth = Annotated[
    Ranges, BeforeValidator(_intervals((), -31, 31)), _spans("string", "integer")
]
Months = Annotated[Ranges, BeforeValidator(_intervals(MONTHS, 1, 12)), _spans("string", "integer")]
Years = Annotated[Ranges, BeforeValidator(_intervals((), 1970, 9999)), _spans("string", "integer")]
Zone = Annotated[str, BeforeValidator(_zone)]
