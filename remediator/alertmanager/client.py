"""Alertmanager's API: is an alert still active, silenced or inhibited? Asked by fingerprint, per
source.

A source is one Alertmanager or a cluster of them. Every instance is asked separately; a name with
several addresses (a headless Service) stands for as many instances. One answer is a snapshot of all
alerts and of the instance's uptime, shared by all who ask within a second.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from ..model.alert import Activity, Alert
from ..model.facts import Unknown
from ..model.text import without_password
from ..telemetry import Metrics

T = TypeVar("T")
TIMEOUT = aiohttp.ClientTimeout(total=4)  # both questions to an instance, asked at once
RESOLVED_WITHIN = 2.0  # seconds that a name may take
SETTLED = timedelta(minutes=2)
REMEMBERED = timedelta(seconds=1)
# after an instance did not answer: until then it is taken to be gone
NOT_ASKED_FOR = timedelta(seconds=10)
DEFAULT_PORTS = {"http": 80, "https": 443}


class Status(BaseModel):
    """What it does with an alert."""

    state: str
    silencedBy: list[str] | None = None
    inhibitedBy: list[str] | None = None
    mutedBy: list[str] | None = None


class Listed(BaseModel):
    """An alert, as /api/v2/alerts lists it."""

    fingerprint: str
    labels: dict[str, str]
    status: Status


class ClusterStatus(BaseModel):
    """Its cluster."""

    peers: list[Any] | None = None


class Up(BaseModel):
    """/api/v2/status."""

    uptime: AwareDatetime = Field(strict=True)  # a time, and no number that could be one
    cluster: ClusterStatus | None = None
    versionInfo: dict[str, Any] | None = None
    config: dict[str, Any] | None = None

    @property
    def members(self) -> int:
        """How many instances its cluster has, itself among them."""
        return len((self.cluster and self.cluster.peers) or [self])


ALERTS, UP = TypeAdapter(list[Listed]), TypeAdapter(Up)


@dataclass(frozen=True, slots=True)
class Instance:
    """What one instance said; `why` is set if it said nothing."""

    where: str
    alerts: Mapping[str, Listed] = field(default_factory=dict)
    settled: bool = False
    peers: int = 1
    why: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What all instances of a source said, and when they were asked."""

    asked_at: datetime
    instances: tuple[Instance, ...]

    @property
    def complete(self) -> bool:
        """Whether every instance answered, and the cluster has no others."""
        answered = all(not instance.why for instance in self.instances)
        return answered and max((i.peers for i in self.instances), default=1) <= len(self.instances)

    @property
    def believed(self) -> list[Instance]:
        """Those whose lists are believed.

        Of a cluster of which somebody is silent only who has been up for a while.
        """
        answered = [instance for instance in self.instances if not instance.why]
        return (
            answered if len(answered) == len(self.instances) else [i for i in answered if i.settled]
        )

    def statuses(self, alert: Alert) -> list[Any]:
        """What those that are believed say of an alert. One with its fingerprint but other labels
        is another alert.
        """
        found = (instance.alerts.get(alert.fingerprint) for instance in self.believed)
        return [item.status for item in found if item and item.labels == dict(alert.labels)]

    @property
    def settled(self) -> bool:
        """Whether what none of them lists is no alert any more."""
        return self.complete and all(instance.settled for instance in self.instances)


class AlertmanagerApi:
    """The port over HTTP. An instance younger than `settled` is not trusted when it does not list
    an alert.
    """

    def __init__(
        self,
        urls: Mapping[str, tuple[str, ...]],
        clock: Callable[[], datetime],
        settled: timedelta = SETTLED,
        remembered: timedelta = REMEMBERED,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._urls = urls
        self._clock = clock
        self._settled, self._remembered = settled, remembered
        self._metrics = metrics or Metrics()
        self._session: aiohttp.ClientSession | None = None
        self._snapshots: dict[str, Snapshot] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        self._silent: dict[str, tuple[datetime, str]] = {}

    async def activity(self, source: str, alert: Alert, since: datetime | None = None) -> Activity:
        """What the source's instances say of the alert, asked after `since`.

        UNKNOWN where that cannot be known.

        Muted by one is muted. Not listed is only what no instance lists, each of them settled: a
        pod that has just started lists nothing yet, and one that does not answer might list it.
        """
        snapshot = await self._seen(source, since)
        mine = snapshot.statuses(alert)
        if any(status.silencedBy for status in mine):
            return Activity.SILENCED
        if any(status.inhibitedBy or status.mutedBy for status in mine):
            return Activity.INHIBITED
        if any(status.state == "active" for status in mine):
            return Activity.ACTIVE
        return Activity.NOT_LISTED if snapshot.settled and not mine else Activity.UNKNOWN

    async def firing(self, source: str) -> Sequence[Mapping[str, str]] | Unknown:
        """The labels of all active alerts, silenced ones too.

        A silence does not stop an alert from being true.
        """
        snapshot = await self._seen(source, None)
        believed = snapshot.believed
        if not believed:
            why = next(
                (instance.why for instance in snapshot.instances if instance.why),
                "no Alertmanager is configured",
            )
            return Unknown(f"Alertmanager of source {source}: {why}")
        # what has just started does not list all yet
        if not any(instance.settled for instance in believed):
            return Unknown(
                f"Alertmanager of source {source}: it started less than {self._settled} ago, so"
                " its list may be incomplete"
            )
        alerts: dict[str, Listed] = {}
        for one in believed:
            alerts |= one.alerts
        return [item.labels for item in alerts.values()]

    async def _seen(self, source: str, since: datetime | None) -> Snapshot:
        """The last snapshot where it is recent enough, else a new one.

        Callers that arrive meanwhile share it, or the next one.
        """
        came = self._clock()
        async with self._asking.setdefault(source, asyncio.Lock()):
            last, now = self._snapshots.get(source), self._clock()
            recent = (
                last is not None
                and timedelta() <= now - last.asked_at
                and (now - last.asked_at < self._remembered or last.asked_at >= came)
            )
            if last is not None and recent and (since is None or last.asked_at > since):
                return last
            targets: list[tuple[str, str]] = []
            for url in self._urls.get(source, ()):
                targets += await addresses(url)
            instances = await asyncio.gather(
                *(self._instance(url, host, now) for url, host in targets)
            )
            self._snapshots[source] = Snapshot(now, tuple(instances))
            return self._snapshots[source]

    async def _instance(self, url: str, host: str, now: datetime) -> Instance:
        """One instance's alerts and status.

        Which of the two came first does not matter: both are of one process.
        """
        until, why = self._silent.get(url, (now, ""))
        if now < until and until - now <= NOT_ASKED_FOR:  # a clock may jump back
            return Instance(url, why=why)
        try:
            alerts, status = await asyncio.gather(
                self._get(url, host, "/api/v2/alerts", ALERTS),
                self._get(url, host, "/api/v2/status", UP),
            )
        # ValueError: a name or a password that no request can be made with
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, _Refused) as error:
            why = (
                f"cannot query {without_password(url)}:"
                f" {error if isinstance(error, _Refused) else type(error).__name__}"
            )
            self._silent[url] = (now + NOT_ASKED_FOR, why)
            self._metrics.count("alertmanager_queries_total", "error")
            return Instance(url, why=why)
        self._silent.pop(url, None)
        self._metrics.count("alertmanager_queries_total", "ok")
        listed = {item.fingerprint: item for item in alerts}
        return Instance(url, listed, now - status.uptime >= self._settled, status.members)

    async def _get(self, url: str, host: str, path: str, shape: TypeAdapter[T]) -> T:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        named: dict[str, Any] = {}
        if host != url:
            by_name = urlsplit(host)
            named["headers"] = {"Host": by_name.netloc.rpartition("@")[2]}
            if by_name.scheme == "https":
                named["server_hostname"] = by_name.hostname
        async with self._session.get(url + path, **named) as answer:
            if answer.status != 200:
                raise _Refused(f"it answered {answer.status}")
            text = await answer.read()
        try:
            return shape.validate_json(text)
        except ValidationError:
            raise _Refused(f"the server answering {path} is not Alertmanager") from None

    async def close(self) -> None:
        """Closes the connections."""
        if self._session:
            await self._session.close()


class _Refused(Exception):
    """Not an answer of an Alertmanager."""


async def addresses(url: str) -> list[tuple[str, str]]:
    """(URL by address, URL by name) of each instance behind a URL, in one address family.

    A name that cannot be resolved in time, or that is none, stands for itself; asking it reports
    the error.
    """
    plain = url.rstrip("/")
    try:
        parts = urlsplit(plain)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
    except ValueError:
        return [(plain, plain)]
    user, at, _ = parts.netloc.rpartition("@")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            async with asyncio.timeout(RESOLVED_WITHIN):
                found = await asyncio.get_running_loop().getaddrinfo(
                    parts.hostname, port, family=family, type=socket.SOCK_STREAM
                )
        except TimeoutError:
            break
        except (OSError, UnicodeError):  # not found, or no name that could be
            continue
        hosts = sorted({str(address[4][0]) for address in found})
        shown = [f"[{host}]" if family == socket.AF_INET6 else host for host in hosts]
        return [
            (urlunsplit((parts.scheme, f"{user}{at}{host}:{port}", parts.path, "", "")), plain)
            for host in shown
        ]
    return [(plain, plain)]
