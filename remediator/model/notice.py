"""A notification: one value for every receiver, and the payload that webhooks get.

The payload is public and versioned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

VERSION = "1"
ALWAYS = ("remediation", "rule", "target", "state", "reason", "why", "show")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message about a remediation, a storm or a rule."""

    remediation: str
    rule: str
    target: str
    state: str
    reason: str
    why: str
    show: str
    cluster: str = ""
    undo: str = ""
    story: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    plan: str = ""
    digest: str = ""
    approve: str = ""
    link: str = ""
    closed: bool = False
    id: str = ""

    def payload(self) -> dict[str, Any]:
        """As webhooks get it, and as the outbox stores it; empty optional fields are omitted."""
        made: dict[str, Any] = {"version": VERSION}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ALWAYS or value:
                made[field.name] = list(value) if isinstance(value, tuple) else value
        return made


MEANS: Mapping[str, str] = {
    "remediation": "ID of the remediation, or of the storm or breaker.",
    "rule": "Name of the rule; empty for a storm.",
    "target": "What is acted on, as Kind/namespace/name; for a storm the cluster and the group.",
    "state": "State of the remediation, or `storm`, `breaker_open` and the like.",
    "reason": "One of the reasons; may be empty.",
    "why": "The reason in words.",
    "show": "Command that shows the whole story.",
    "cluster": "Name of the cluster.",
    "undo": "ID of the undo that the message is about.",
    "story": "The latest lines of the history, oldest first.",
    "members": "Workloads that are part of a storm.",
    "plan": "Summary of the plan that waits for approval.",
    "digest": "Digest of that plan.",
    "approve": "Command that approves it.",
    "link": "Link to a page on which it can be approved or denied.",
    "closed": "True for the last message about a remediation, storm or breaker.",
    "id": "ID of the delivery; a repeated delivery has the same.",
}
"""Each field of a notice, for the schema of the payload."""

KNOWN = frozenset(field.name for field in fields(Notice))


def from_payload(data: Mapping[str, Any]) -> Notice:
    """The notice of a payload of any version; unknown fields are ignored."""
    given = {name: value for name, value in data.items() if name in KNOWN}
    for name in ("story", "members"):
        given[name] = tuple(given.get(name) or ())
    return Notice(**{**dict.fromkeys(ALWAYS, ""), **given})
