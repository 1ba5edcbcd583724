"""An Alertmanager in memory, for tests, replay and the demo."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from ..model.alert import Activity, Alert
from ..model.facts import Unknown


class SandboxAlertmanager:
    """What was delivered to the daemon is active until it is resolved."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], Mapping[str, str]] = {}
        self.silenced: set[str] = set()
        self.unreachable = False

    def delivered(self, source: str, alerts: Sequence[Alert]) -> None:
        """Sees what the webhook received."""
        for alert in alerts:
            if alert.ends_at is None:
                self._active[source, alert.fingerprint] = alert.labels
            else:
                self._active.pop((source, alert.fingerprint), None)

    async def activity(self, source: str, alert: Alert, since: datetime | None = None) -> Activity:
        """As delivered."""
        if self.unreachable:
            return Activity.UNKNOWN
        if (source, alert.fingerprint) not in self._active:
            return Activity.NOT_LISTED
        return Activity.SILENCED if alert.fingerprint in self.silenced else Activity.ACTIVE

    async def firing(self, source: str) -> Sequence[Mapping[str, str]] | Unknown:
        """As delivered."""
        if self.unreachable:
            return Unknown("the sandbox Alertmanager is switched off")
        return [labels for (s, _), labels in self._active.items() if s == source]
