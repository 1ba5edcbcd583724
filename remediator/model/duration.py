"""Durations as Prometheus writes them: 30s, 5m, 1h30m, 2d."""

import re
from datetime import timedelta

UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
PART = re.compile(r"(\d+)(ms|w|d|h|m|s)")
PATTERN = r"^([0-9]+(ms|w|d|h|m|s))+$"
"""For schemas."""


def parse_duration(text: str) -> timedelta:
    """Reads a duration. Raises: ValueError."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"invalid duration {text!r}; use a form such as 30s, 5m or 1h30m")
    try:
        seconds = sum(int(number) * UNITS[unit] for number, unit in PART.findall(text))
        return timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        raise ValueError(f"duration {text[:30]} is too long") from None


def format_duration(value: timedelta) -> str:
    """The shortest form of a duration, to the second."""
    seconds = int(value.total_seconds())
    if seconds <= 0:
        return "0s"
    out = ""
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, int(UNITS[unit]))
        out += f"{count}{unit}" if count else ""
    return out
