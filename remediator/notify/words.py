"""A message in words: its title, and what a person wants to know next."""

from collections.abc import Mapping
from typing import Any

from ..model.text import one_line

SHOWN = 8  # lines of what happened; the message itself has more
GOOD = {"succeeded", "observed"}
BAD = {
    "failed",
    "ineffective",
    "unknown",
}  # it was tried; what was not (blocked, expired) is a warning


def title(message: Mapping[str, Any]) -> str:
    """One line."""
    word = (
        "Resolved"
        if message.get("closed")
        else str(message["state"]).replace("_", " ").capitalize()
    )
    cluster = f" in {message['cluster']}" if message.get("cluster") else ""
    return f"{word}: {message['rule']} on {message['target']}{cluster}"


def details(message: Mapping[str, Any]) -> list[str]:
    """Why, the plan, and the commands to go on with."""
    reason = f"{message['reason']}: " if message.get("reason") else ""
    lines = [f"{reason}{message.get('why') or ''}".strip()]
    lines += [f"plan: {message['plan']}"] if message.get("plan") else []
    lines += [str(line) for line in message.get("story") or []][-SHOWN:]
    lines += [str(message[key]) for key in ("link", "approve", "show") if message.get(key)]
    return [one_line(line) for line in lines if line]


def severity(message: Mapping[str, Any]) -> str:
    """critical, warning or info: how bad it is that people read this."""
    if message.get("closed") or message["state"] in GOOD:
        return "info"
    return "critical" if message["state"] in BAD else "warning"
