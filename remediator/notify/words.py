"""The text of a notification: its title, and the details below it."""

from ..model.notice import Notice
from ..model.remediation import STATES, Severity, State
from ..model.text import one_line

KNOWN = frozenset(map(str, State))
SHOWN = 8  # lines of what happened; the message itself has more


def title(message: Notice) -> str:
    """One line."""
    word = "Resolved" if message.closed else message.state.replace("_", " ").capitalize()
    rule = f"{message.rule} on " if message.rule else ""
    cluster = f" in {message.cluster}" if message.cluster else ""
    return one_line(f"{word}: {rule}{message.target}{cluster}")


def details(message: Notice) -> list[str]:
    """Why, the plan, and the commands to go on with."""
    reason = f"{message.reason}: " if message.reason else ""
    lines = [f"{reason}{message.why}".strip()]
    lines += [f"plan: {message.plan}"] if message.plan else []
    lines += message.story[-SHOWN:]
    lines += [message.link, message.approve, message.show]
    return [one_line(line) for line in lines if line]


def severity(message: Notice) -> Severity:
    """How bad it is; a message about a rule or a storm is a warning."""
    if message.closed:
        return Severity.INFO
    return STATES[State(message.state)].severity if message.state in KNOWN else Severity.WARNING
