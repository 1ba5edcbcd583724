"""A message in words: its title, and what a person wants to know next."""

from ..model.notice import Notice
from ..model.text import one_line

SHOWN = 8  # lines of what happened; the message itself has more
GOOD = {"succeeded", "observed"}
BAD = {
    "failed",
    "ineffective",
    "unknown",
}  # it was tried; what was not (blocked, expired) is a warning


def title(message: Notice) -> str:
    """One line."""
    word = "Resolved" if message.closed else message.state.replace("_", " ").capitalize()
    cluster = f" in {message.cluster}" if message.cluster else ""
    return f"{word}: {message.rule} on {message.target}{cluster}"


def details(message: Notice) -> list[str]:
    """Why, the plan, and the commands to go on with."""
    reason = f"{message.reason}: " if message.reason else ""
    lines = [f"{reason}{message.why}".strip()]
    lines += [f"plan: {message.plan}"] if message.plan else []
    lines += message.story[-SHOWN:]
    lines += [message.link, message.approve, message.show]
    return [one_line(line) for line in lines if line]


def severity(message: Notice) -> str:
    """critical, warning or info: how bad it is that people read this."""
    if message.closed or message.state in GOOD:
        return "info"
    return "critical" if message.state in BAD else "warning"
