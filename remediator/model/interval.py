"""Time intervals in Alertmanager's format.

Source: Alertmanager's timeinterval package.
"""

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = tuple(name.lower() for name in calendar.month_name if name)
MINUTES_A_DAY = 24 * 60
TIME = re.compile(r"([0-9]{1,3}):([0-5][0-9])")
SHORTEST_MONTH, LONGEST_MONTH = 28, 31
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Interval:
    """One entry of a time interval; a time is in it if every given field matches.

    `times` are minutes of the day, the end excluded; weekdays count from Sunday = 0; days of the
    month may be negative (-1 is the last). All other ranges include both ends.
    """

    times: tuple[Range, ...] = ()
    weekdays: tuple[Range, ...] = ()
    days_of_month: tuple[Range, ...] = ()
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()
    location: str = "UTC"

    def contains(self, moment: datetime) -> bool:
        """Whether a moment is in it, in the time zone of its location."""
        local = moment.astimezone(zone(self.location))
        days = calendar.monthrange(local.year, local.month)[1]
        minute = local.hour * 60 + local.minute
        return (
            (not self.times or any(start <= minute < end for start, end in self.times))
            and _within(local.isoweekday() % 7, self.weekdays)
            and _on_days(local.day, self.days_of_month, days)
            and _within(local.month, self.months)
            and _within(local.year, self.years)
        )


@dataclass(frozen=True, slots=True)
class Named:
    """A time interval: its name, and entries of which one must match."""

    name: str
    entries: tuple[Interval, ...]

    def contains(self, moment: datetime) -> bool:
        """Whether a moment is in one of its entries."""
        return any(entry.contains(moment) for entry in self.entries)


def _within(value: int, ranges: Sequence[Range]) -> bool:
    return not ranges or any(start <= value <= end for start, end in ranges)


def _on_days(day: int, spans: Sequence[Range], days: int) -> bool:
    return not spans or any(_on_day(day, span, days) for span in spans)


def _on_day(day: int, span: Range, days: int) -> bool:
    start, end = (bound if bound > 0 else days + bound + 1 for bound in span)
    return start <= day <= min(end, days)


@lru_cache
def zone(location: str) -> tzinfo:
    """A time zone by its name. Raises: ValueError."""
    if location == "UTC":
        return UTC
    try:
        return ZoneInfo(location)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"unknown time zone {location!r}; use a name such as Europe/Berlin"
        ) from None


def parse_time(text: str) -> int:
    """Minutes of the day of `HH:MM`, 24:00 included. Raises: ValueError."""
    found = TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"invalid time of day {text!r}; use a form such as 09:00")
    value = int(found[1]) * 60 + int(found[2])
    if value > MINUTES_A_DAY:
        raise ValueError(f"{text!r} is later than 24:00")
    return value


def parse_range(text: str, names: Sequence[str], least: int, most: int) -> Range:
    """`start:end` or one value, by name or by number. Raises: ValueError."""
    start, colon, end = text.partition(":")
    low = _bound(start, names, least, most)
    high = _bound(end, names, least, most) if colon else low
    if _never(low, high):
        raise ValueError(f"{text!r} ends before it starts")
    return low, high


def _never(low: int, high: int) -> bool:
    """Whether nothing is from `low` to `high`. Days of a month below 0 count from its end, so these
    are compared in the month that suits them best.
    """
    if low > 0 > high:
        return low > LONGEST_MONTH + high + 1
    if low < 0 < high:
        return SHORTEST_MONTH + low + 1 > high
    return high < low


def _bound(text: str, names: Sequence[str], least: int, most: int) -> int:
    word = text.strip().lower()
    if word in names:
        return names.index(word) + (1 if names is MONTHS else 0)
    try:
        value = int(word)
    except ValueError:
        known = f"{names[0]} to {names[-1]}, or " if names else ""
        raise ValueError(f"invalid {text!r}; expected {known}{least} to {most}") from None
    if names is WEEKDAYS:
        raise ValueError(f"invalid {text!r}; expected {names[0]} to {names[-1]}")
    if not least <= value <= most or (least < 0 and value == 0):
        raise ValueError(f"invalid {text!r}; expected {least} to {most}")
    return value
