"""The history: one line per thing that happened; and new IDs."""

import secrets
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.entry import EntryKind, named
from ..model.remediation import State
from ..ports.records import Line
from .tables import entry

NEWEST = 20  # lines that are sent with a message
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def new_id(prefix: str) -> str:
    """A short ID that can be read aloud: a letter, a dash, ten letters or digits that do not look
    alike.
    """
    return f"{prefix}-{''.join(secrets.choice(ALPHABET) for _ in range(10))}"


ADD = sa.insert(entry).inline()


def write(
    c: Connection,
    now: datetime,
    remediation: str | None,
    kind: EntryKind | State,
    *,
    reason: str | None,
    text: str,
) -> None:
    """Adds a line to the history."""
    line = {"at": now, "remediation": remediation, "kind": kind, "reason": reason, "text": text}
    c.execute(ADD, line)


LATEST = (
    sa.select(entry.c.at, entry.c.kind, entry.c.reason, entry.c.text)
    .where(entry.c.remediation == sa.bindparam("remediation"))
    .order_by(entry.c.id.desc())
    .limit(NEWEST)
)


def of(c: Connection, remediation: str) -> tuple[Line, ...]:
    """The latest lines of a remediation's history, oldest first."""
    rows = reversed(c.execute(LATEST, {"remediation": remediation}).all())
    return tuple(Line(row.at, named(row.kind), row.reason, row.text) for row in rows)
