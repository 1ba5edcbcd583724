"""Which deliveries belong to one episode: a pure decision.

Source: what Alertmanager really sends: repeats, an earlier startsAt after a merge, resolved first
or never, a late firing, and the old startsAt after Prometheus reconnected.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .alert import Alert, AlertStatus

SLACK = timedelta(minutes=1)


class Change(StrEnum):
    """What a delivery does to the episodes of its key."""

    OPEN = "open"
    REFRESH = "refresh"
    REOPEN_LATER = "reopen_later"
    REPLACE = "replace"
    CLOSE = "close"
    RECORD_CLOSED = "record_closed"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a key: start and last delivery of the open episode, and the end of the last
    closed one.
    """

    open_start: datetime | None = None
    last_seen: datetime | None = None
    closed_end: datetime | None = None


def decide(alert: Alert, known: Known) -> Change:
    """OPEN a new episode, REFRESH the open one, REPLACE it by a new one, CLOSE it, and so on.

    REOPEN_LATER: firing with a startsAt within the last closed episode, by a late delivery or after
    Prometheus reconnected; triage finds out which.
    """
    if alert.status is AlertStatus.FIRING:
        return _firing(alert, known)
    ends_at = alert.ends_at or alert.starts_at
    if known.open_start is not None:
        return Change.CLOSE if ends_at >= known.open_start else Change.DUPLICATE
    if known.closed_end is not None and ends_at <= known.closed_end:
        return Change.DUPLICATE
    return Change.RECORD_CLOSED


def _firing(alert: Alert, known: Known) -> Change:
    if known.open_start is not None and known.last_seen is not None:
        # the sender's clock may be ahead of ours
        latest = max(known.open_start, known.last_seen + SLACK)
        return Change.REFRESH if alert.starts_at <= latest else Change.REPLACE
    late = known.closed_end is not None and alert.starts_at <= known.closed_end
    return Change.REOPEN_LATER if late else Change.OPEN
