"""The kinds of lines in the history, besides the states of a remediation."""

from collections.abc import Mapping
from enum import StrEnum


class EntryKind(StrEnum):
    """What a line of the history records; a line about a state has the name of the state."""

    CREATED = "created"
    ATTACHED = "attached"
    STARTED = "started"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    ESCALATED = "escalated"
    UNREADABLE = "unreadable"
    PAUSED = "paused"
    RESUMED = "resumed"
    STORM = "storm"
    STORM_OVER = "storm_over"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    BREAKER_RESET = "breaker_reset"
    PRUNED = "pruned"


ENTRY_KINDS: Mapping[EntryKind, str] = {
    EntryKind.CREATED: "a remediation was created for an alert, or for an undo",
    EntryKind.ATTACHED: "a remediation took over the alerts of a younger one for the same target",
    EntryKind.STARTED: "an attempt started; the text is its plan",
    EntryKind.APPROVED: "an operator approved the plan",
    EntryKind.DENIED: "an operator denied the plan",
    EntryKind.CANCELLED: "an operator cancelled it, or it ended as `cancelled`",
    EntryKind.RETRIED: "an operator had its alerts matched again",
    EntryKind.ESCALATED: "its receivers were notified that it takes too long",
    EntryKind.UNREADABLE: "a stored row could not be read and was set aside for an hour",
    EntryKind.PAUSED: "an operator paused a scope",
    EntryKind.RESUMED: "an operator resumed a scope",
    EntryKind.STORM: "a storm began; new remediations hold",
    EntryKind.STORM_OVER: "the storm is over",
    EntryKind.BREAKER_OPENED: "a rule's circuit breaker opened; it needs approval",
    EntryKind.BREAKER_CLOSED: "the circuit breaker closed",
    EntryKind.BREAKER_RESET: "an operator reset the circuit breaker",
    EntryKind.PRUNED: "ended remediations were pruned, up to the seal that is named",
}

RENAMED: Mapping[str, EntryKind] = {
    "born": EntryKind.CREATED,
    "begin": EntryKind.STARTED,
    "retry": EntryKind.RETRIED,
    "pause": EntryKind.PAUSED,
    "resume": EntryKind.RESUMED,
    "calm": EntryKind.STORM_OVER,
    "reset": EntryKind.BREAKER_RESET,
}
"""Words of older versions. Stored lines keep theirs, since their seals cover them."""


def named(kind: str) -> str:
    """A stored line's kind in the current wording."""
    return RENAMED.get(kind, kind)
