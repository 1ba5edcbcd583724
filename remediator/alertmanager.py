"""Alertmanager's API: is an alert still active, silenced or inhibited? Asked by fingerprint, per source."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from .model.alert import Activity, Alert
from .model.facts import Unknown
from .model.matcher import Matcher, Operator

TIMEOUT = aiohttp.ClientTimeout(total=5)
SETTLED = timedelta(minutes=2)
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class AlertmanagerApi:
    """The port over HTTP: one URL per source. An Alertmanager younger than `settled` is not believed when it lists nothing."""

    def __init__(self, urls: Mapping[str, str], clock: Callable[[], datetime], settled: timedelta = SETTLED) -> None:
        self._urls = urls
        self._clock = clock
        self._settled = settled
        self._session: aiohttp.ClientSession | None = None

    async def activity(self, source: str, alert: Alert) -> Activity:
        """What the source's Alertmanager says of the alert; UNKNOWN where it cannot be asked."""
        found = await self._alerts(source, [("filter", text) for text in _exactly(alert.labels)])
        if isinstance(found, Unknown):
            return Activity.UNKNOWN
        mine = next((item for item in found if _same(item, alert)), None)
        if mine is None:
            return Activity.NOT_LISTED if await self._is_settled(source) else Activity.UNKNOWN
        status = mine.get("status") or {}
        if status.get("silencedBy"):
            return Activity.SILENCED
        if status.get("inhibitedBy") or status.get("mutedBy"):
            return Activity.INHIBITED
        return Activity.ACTIVE if status.get("state") == "active" else Activity.UNKNOWN

    async def firing(self, source: str) -> Sequence[Mapping[str, str]] | Unknown:
        """The labels of all active alerts, silenced ones too: a silence does not stop an alert from being true."""
        found = await self._alerts(source, [])
        return found if isinstance(found, Unknown) else [item.get("labels") or {} for item in found]

    async def _alerts(self, source: str, query: Sequence[tuple[str, str]]) -> list[dict[str, Any]] | Unknown:
        answer = await self._get(source, "/api/v2/alerts", query)
        return answer if isinstance(answer, Unknown) else list(answer)

    async def _is_settled(self, source: str) -> bool:
        status = await self._get(source, "/api/v2/status", [])
        if isinstance(status, Unknown):
            return False
        try:
            uptime = datetime.fromisoformat(str(status.get("uptime")).replace("Z", "+00:00"))
        except ValueError:
            return False
        return self._clock() - uptime >= self._settled

    async def _get(self, source: str, path: str, query: Sequence[tuple[str, str]]) -> Any:
        url = self._urls.get(source)
        if not url:
            return Unknown(f"source {source} has no Alertmanager configured")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        try:
            async with self._session.get(url.rstrip("/") + path, params=list(query)) as answer:
                if answer.status != 200:
                    return Unknown(f"Alertmanager answered {answer.status}")
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Unknown(f"Alertmanager could not be asked: {type(error).__name__}")

    async def close(self) -> None:
        """Closes the connections."""
        if self._session:
            await self._session.close()


def _same(item: Mapping[str, Any], alert: Alert) -> bool:
    """Whether it is the very alert: a fingerprint alone is what whoever posted it says."""
    return item.get("fingerprint") == alert.fingerprint and item.get("labels") == dict(alert.labels)


def _exactly(labels: Mapping[str, str]) -> list[str]:
    """Matchers that admit little more than this alert, so that a thousand others of its name are not sent along."""
    plain = [(name, value) for name, value in sorted(labels.items()) if PLAIN_NAME.fullmatch(name) and len(value) < 200]
    return [str(Matcher(name, Operator.EQUAL, value)) for name, value in plain[:20]]


class SandboxAlertmanager:
    """In memory: what was delivered to the daemon is active until it is resolved."""

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

    async def activity(self, source: str, alert: Alert) -> Activity:
        """As delivered."""
        if self.unreachable:
            return Activity.UNKNOWN
        if alert.fingerprint in self.silenced:
            return Activity.SILENCED
        return Activity.ACTIVE if (source, alert.fingerprint) in self._active else Activity.NOT_LISTED

    async def firing(self, source: str) -> Sequence[Mapping[str, str]] | Unknown:
        """As delivered."""
        if self.unreachable:
            return Unknown("the sandbox Alertmanager is switched off")
        return [labels for (s, _), labels in self._active.items() if s == source]
