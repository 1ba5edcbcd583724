"""What people are told: one value for every receiver, and the payload
that webhooks get, which is public and versioned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

VERSION = "1"
ALWAYS = ("remediation", "rule", "target", "state", "reason", "why", "show")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message about a remediation, a storm or a rule.

    `undo` is the undo that it is about, `story` what happened so far, `members` the workloads of a
    storm. `plan`, `digest`, `approve` and `link` are set where a plan waits for a person. `closed`
    is true of the last message about a thing. `id` is the delivery's: the same when it is delivered
    again.
    """

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
        """As a webhook gets it, and as the outbox keeps it: what says nothing is left out."""
        made: dict[str, Any] = {"version": VERSION}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ALWAYS or value:
                made[field.name] = list(value) if isinstance(value, tuple) else value
        return made


KNOWN = frozenset(field.name for field in fields(Notice))


def from_payload(data: Mapping[str, Any]) -> Notice:
    """The notice of a payload, whatever version wrote it: what is not known is left out."""
    given = {name: value for name, value in data.items() if name in KNOWN}
    for name in ("story", "members"):
        given[name] = tuple(given.get(name) or ())
    return Notice(**{**dict.fromkeys(ALWAYS, ""), **given})
