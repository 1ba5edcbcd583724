"""What the engine needs from the world, as protocols: cluster, Prometheus, journal, clock, …"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from ..model.alert import Activity, Alert
from ..model.call import Call, Evidence
from ..model.facts import Facts, Unknown
from ..model.notice import Notice
from ..model.sight import Sight
from ..model.target import Target


class Clock(Protocol):
    """The time, aware and in UTC."""

    def now(self) -> datetime: ...


class Looks(Protocol):
    """What is in a Kubernetes cluster. What cannot be read is Unknown."""

    async def observe(
        self, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts: ...

    async def observe_all(
        self, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
    ) -> tuple[Facts, ...]:
        """The facts of several objects at one moment, without climbing to their owners."""


class Cluster(Looks, Protocol):
    """The two verbs of a Kubernetes cluster. Raises: kinds of ClusterError from `apply`."""

    async def apply(
        self, call: Call, call_id: str, resource_version: str, dry_run: bool = False
    ) -> Evidence: ...

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        """Creates a Kubernetes Event on the target; a failure is ignored."""

    async def workloads(self) -> Sequence[str] | Unknown:
        """The namespace of every Deployment, StatefulSet and DaemonSet."""

    async def ready(self) -> str | None:
        """None if the API server answers, else why not."""


class Prometheus(Protocol):
    """Instant queries and the rules API."""

    async def holds(self, query: str) -> bool | Unknown:
        """Whether the query returns a non-empty vector."""

    async def alerting_rule(self, alertname: str) -> Mapping[str, Any] | Unknown | None:
        """The alerting rule of that name, its expression's recording rules under `recorded`."""


class Alertmanager(Protocol):
    """What one Alertmanager says about its alerts."""

    async def activity(self, source: str, alert: Alert, since: datetime | None = None) -> Activity:
        """As of a time after `since`, so that a delivery is not judged by an older answer."""

    async def firing(self, source: str) -> Sequence[Mapping[str, str]] | Unknown:
        """The labels of every active alert."""


class Notifier(Protocol):
    """One receiver; `kind` is its metric label. Raises: OSError or an aiohttp error if the message
    was not accepted.

    `ref` is what the receiver returned for an earlier message about the same remediation (a
    thread); empty at first.
    """

    kind: str

    async def notify(self, message: Notice, ref: str = "") -> str: ...
