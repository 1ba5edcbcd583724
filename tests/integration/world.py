"""The engine on virtual time.

SQLite in memory, the sandbox cluster, Alertmanager and Prometheus in memory.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from remediator.alertmanager.sandbox import SandboxAlertmanager
from remediator.cluster.sandbox import SandboxCluster
from remediator.engine.doors import Doors
from remediator.engine.engine import Engine
from remediator.guards.situation import ProcessLimits
from remediator.journal.sql import SqlJournal
from remediator.located import Document, load_text
from remediator.model.alert import Alert, AlertStatus
from remediator.model.notice import Notice
from remediator.ports.records import Delivery
from remediator.prometheus import SandboxPrometheus
from remediator.replay import VirtualClock
from remediator.rules.loader import build
from remediator.rules.ruleset import RuleSet
from remediator.telemetry import Metrics

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Told:
    """A receiver that remembers, or fails."""

    kind = "log"

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.closed: list[Mapping[str, Any]] = []
        self.failing = 0

    async def notify(self, message: Notice, ref: str = "") -> str:
        if self.failing:
            self.failing -= 1
            raise OSError("refused")
        told = self.closed if message.closed else self.messages
        told.append(message.payload())
        return ""


def rules(*rule: str, scope: str = "shop", nodes: str = "") -> RuleSet:
    return build([rule_file(*rule, scope=scope, nodes=nodes)])


def rule_file(*rule: str, scope: str = "shop", nodes: str = "", path: str = "r.yaml") -> Document:
    """Rules in mode act, in the group g."""
    where = f"nodes: ['{nodes}']" if nodes else f"namespaces: [{scope}]"
    head = (
        f"version: 1\ngroups:\n  - name: g\n    scope: {{{where}}}\n    defaults: {{mode: act,"
        " escalate: {to: [log]}}\n    rules:\n"
    )
    return load_text(head + "".join(f"      - {{{text}}}\n" for text in rule), path)


ROLL_BACK = "name: back, match: ['alertname=\"Crash\"'], steps: [{action: rollback_workload}]"
RESTART = (
    "name: restart, match: ['alertname=\"Leak\"'], limits: {attempts: 2/6h}, steps: [{action:"
    " restart_workload}]"
)


class World:
    """One daemon without its HTTP server. `run` advances the time and does what is due."""

    def __init__(self, ruleset: RuleSet | None = None, url: str = "sqlite://") -> None:
        self.clock = VirtualClock(START)
        self.cluster = SandboxCluster(self.clock.now)
        self.alertmanager = SandboxAlertmanager()
        self.prometheus = SandboxPrometheus()
        self.journal = SqlJournal(url)
        self.told = Told()
        self.ruleset = ruleset or rules(ROLL_BACK, RESTART)
        for name in ("web", "api"):
            self.cluster.create_workload("Deployment", "shop", name, f"{name}:1")

    async def start(self) -> "World":
        await self.journal.open(self.clock.now())
        self.boot(START - timedelta(hours=1))
        return self

    def boot(self, started_at: datetime) -> None:
        """A new process on the same journal."""
        clusters = {"default": self.cluster}
        self.doors = Doors(
            journal=self.journal,
            clusters=clusters,
            watched=clusters,
            sources={"s": "default"},
            prometheus=self.prometheus,
            alertmanager=self.alertmanager,
            clock=self.clock,
            metrics=Metrics(),
            rules=self.ruleset,
            limits=ProcessLimits(),
            started_at=started_at,
        )
        self.engine = Engine(self.doors, {"log": self.told})

    async def run(
        self, duration: timedelta = timedelta(minutes=1), step: timedelta = timedelta(seconds=1)
    ) -> None:
        ends = self.clock.time + duration
        while self.clock.time < ends:
            due = await self.engine.run_due()
            self.clock.time = min(ends, max(due or ends, self.clock.time + step))
        await self.engine.run_due()

    async def deliver(
        self,
        name: str,
        app: str = "web",
        firing: bool = True,
        fingerprint: str = "",
        *,
        since: datetime | None = None,
        **labels: str,
    ) -> None:
        """An alert as Alertmanager delivers it, and lists it from then on.

        It fires since now, or since then.
        """
        now = self.clock.now()
        status = AlertStatus.FIRING if firing else AlertStatus.RESOLVED
        given = {"alertname": name, "namespace": "shop", "deployment": app, **labels}
        alert = Alert(
            fingerprint or f"{name}-{app}", status, given, {}, since or now, None if firing else now
        )
        await self.journal.receive([Delivery("s", (alert,), now)])
        self.alertmanager.delivered("s", [alert])

    def crash(self, app: str = "web") -> None:
        self.cluster.crashing.add(f"{app}:2")
        self.cluster.set_image("Deployment", "shop", app, f"{app}:2")

    def leak(self, app: str = "web") -> None:
        self.cluster.leaking.update(
            pod["metadata"]["name"] for pod in self.cluster.pods("shop", app)
        )

    async def rows(self) -> list[Any]:
        return list(reversed(await self.journal.remediations(100, None)))

    async def states(self) -> list[tuple[str, str | None]]:
        """(state, reason) of every remediation, the oldest first."""
        return [(row["state"], row["reason"]) for row in await self.rows()]

    async def only(self) -> Any:
        (row,) = await self.rows()
        return row
