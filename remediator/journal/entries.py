"""The history: one line per thing that happened, and the ids of what is born."""

import secrets
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from .tables import entry

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def new_id(prefix: str) -> str:
    """A short id that can be read aloud: a letter, a dash and ten letters or digits that do not look alike."""
    return f"{prefix}-{''.join(secrets.choice(ALPHABET) for _ in range(10))}"


def write(
    c: Connection, now: datetime, remediation: str | None, kind: str, reason: str | None, text: str
) -> None:
    """Adds a line to the history."""
    c.execute(
        sa.insert(entry).values(
            at=now, remediation=remediation, kind=kind, reason=reason, text=text
        )
    )
