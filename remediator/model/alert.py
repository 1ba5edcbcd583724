"""An alert as Alertmanager delivers it, and the episode of one firing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .verdict import Reason


class AlertStatus(StrEnum):
    """`alerts[].status` of the webhook."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One element of `alerts` in a webhook payload. Source: Alertmanager webhook v4.

    `ends_at` is None while firing (Alertmanager sends the year 1 for it).
    """

    fingerprint: str
    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None
    generator_url: str = ""

    @property
    def name(self) -> str:
        """The `alertname` label, empty where it is missing."""
        return self.labels.get("alertname", "")


class Fate(StrEnum):
    """What became of an episode."""

    PENDING = "pending"
    UNMATCHED = "unmatched"
    ATTACHED = "attached"
    STALE = "stale"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of one alert, as stored in the journal. `confirmed_at`: when it was last known to
    be active.
    """

    id: int
    source: str
    alert: Alert
    open: bool
    fate: Fate
    reason: Reason | None
    last_seen: datetime
    confirmed_at: datetime
    deliveries: int
    rules_digest: str
    reopened: bool = False

    @property
    def fingerprint(self) -> str:
        """Alertmanager's fingerprint of the alert's labels."""
        return self.alert.fingerprint


class Activity(StrEnum):
    """What an Alertmanager says about a fingerprint now."""

    ACTIVE = "active"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    NOT_LISTED = "not_listed"
    UNKNOWN = "unknown"
