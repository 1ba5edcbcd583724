"""Annotations that forbid everything, or single actions, on an object."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .raw import annotations, timestamp
from .template import PREFIX


def against(obj: Mapping[str, Any], action: str) -> str:
    """What an object's annotations say against an action; empty if nothing."""
    notes = annotations(obj)
    if notes.get(f"{PREFIX}/disabled", "").lower() == "true":
        return f"has annotation {PREFIX}/disabled"
    if action in _words(notes.get(f"{PREFIX}/deny", "")):
        return f"has annotation {PREFIX}/deny: {action}"
    allowed = notes.get(f"{PREFIX}/allow")
    if allowed is not None and action not in _words(allowed):
        return f"has annotation {PREFIX}/allow: {allowed}"
    return ""


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(",")}


def paused(obj: Mapping[str, Any], now: datetime) -> str:
    """Until when an object's annotation pauses it; empty if it does not, or no longer."""
    until = annotations(obj).get(f"{PREFIX}/paused-until")
    if until is None:
        return ""
    try:
        over = timestamp(until)
        if over is not None and now >= over:
            return ""
    except (ValueError, TypeError):
        return f"has annotation {PREFIX}/paused-until with an unreadable time"
    return f"is paused until {until}"
