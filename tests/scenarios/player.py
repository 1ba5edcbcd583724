"""A scenario is a file: rules, what happens at which time, and how it must end.

It is played on virtual time.

The process can die before or after any of its effects: any transaction of the journal, any call to
the cluster. What is left then, the journal and the cluster, is kept as it is at that moment, and a
new process goes on from there.
"""

import hashlib
import pickle
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from remediator.journal import claims
from remediator.journal.sql import SqlJournal
from remediator.journal.tables import attempt, metadata
from remediator.model.duration import parse_duration
from remediator.rules.ruleset import RuleSet
from tests.integration.world import START, World, rules

FOLDER = Path(__file__).parent
STEP = timedelta(seconds=2)
UNSEEN = {"lease_until", "token"}  # what a new process takes no notice of
ID = re.compile(r"\b[ru]-[a-z0-9]{10}\b")


@dataclass(slots=True)
class Scenario:
    """One file."""

    name: str
    ruleset: RuleSet
    workloads: Mapping[str, Mapping[str, Any]]
    play: list[tuple[timedelta, str, Mapping[str, Any]]]
    until: timedelta
    ends: Mapping[str, Any]


def load(path: Path) -> Scenario:
    """Reads a scenario."""
    data = yaml.safe_load(path.read_text())
    play: list[tuple[timedelta, str, Mapping[str, Any]]] = []
    for line in data["play"]:
        at = parse_duration(line.pop("at"))
        (kind, what), *more = line.items()
        play.append((at, kind, {"what": what, **dict(more)}))
    workloads = data.get("workloads") or {}
    return Scenario(
        path.stem,
        rules(*data["rules"]),
        workloads,
        play,
        parse_duration(data["until"]),
        data["ends"],
    )


SCENARIOS = sorted(FOLDER.glob("*.yaml"))


class Crash(BaseException):
    """The process is gone."""


@dataclass(slots=True)
class Moment:
    """All that a crash leaves: the journal, the cluster and the world
    around, and which line of the play was under way.
    """

    label: str
    journal: bytes
    around: bytes
    line: int
    digest: str = ""


@dataclass(slots=True)
class Stage:
    """One scenario on one world. `moments` are filled while it is watched."""

    scenario: Scenario
    journal: SqlJournal
    world: World = field(init=False)
    line: int = 0
    moments: list[Moment] = field(default_factory=list)
    watched: bool = False

    async def set(self) -> "Stage":
        """The world as it is before the play."""
        with self.journal._engine.begin() as c:
            for table in metadata.sorted_tables:
                c.execute(sa.delete(table))
        self.world = World(self.scenario.ruleset)
        for name, spec in self.scenario.workloads.items():
            given = {"kind": "Deployment", "image": f"{name}:1", **spec}
            self.world.cluster.create_workload(
                given.pop("kind"), "shop", name, given.pop("image"), **given
            )
        self.world.journal = self.journal
        self._boot()
        return self

    def go_on(self, moment: Moment) -> "Stage":
        """A new process finds what the old one left."""
        raw = self.journal._engine.raw_connection()
        raw.driver_connection.deserialize(moment.journal)  # type: ignore[union-attr]
        self.world = World(self.scenario.ruleset)
        around = pickle.loads(moment.around)
        for name, value in around.items():
            setattr(self.world, name, value)
        self.world.journal, self.line = self.journal, moment.line
        edited = self.world.told.__dict__.get("rules")
        if edited:  # the files as they are now
            self.world.ruleset = rules(*edited)
        with self.journal._engine.begin() as c:
            # the journal's lock proves that its holder is gone
            claims.free(c, self.world.clock.now())
        self._boot()
        return self

    def _boot(self) -> None:
        self.world.boot(self.world.clock.now() - timedelta(hours=1))
        for name in ("_run", "_note"):  # every transaction that may write
            self.journal.__dict__.pop(name, None)
            if self.watched:
                setattr(self.journal, name, self._watch(getattr(self.journal, name)))
        if self.watched:
            self.world.cluster.apply = self._watch(  # type: ignore[assignment, method-assign]
                type(self.world.cluster).apply.__get__(self.world.cluster)
            )

    def _watch(self, effect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watched(*arguments: Any, **named: Any) -> Any:
            label = f"{len(self.moments) // 2} {getattr(arguments[0], '__name__', 'apply')}"
            self.moments.append(self._moment(f"before {label}"))
            answer = await effect(*arguments, **named)
            self.moments.append(self._moment(f"after {label}"))
            return answer

        return watched

    def _moment(self, label: str) -> Moment:
        raw = self.journal._engine.raw_connection()
        journal = raw.driver_connection.serialize()  # type: ignore[union-attr]
        apply = self.world.cluster.__dict__.pop("apply", None)
        names = ("clock", "cluster", "alertmanager", "prometheus", "told")
        around = pickle.dumps({name: getattr(self.world, name) for name in names})
        if apply:
            self.world.cluster.apply = apply  # type: ignore[method-assign]
        return Moment(label, journal, around, self.line, self._digest(around))

    def _digest(self, around: bytes) -> str:
        """Of all that a new process would see.

        Two moments that are equal in it need to be tried once.
        """
        made = hashlib.sha256(around + str(self.line).encode())
        with self.journal._engine.connect() as c:
            for table in metadata.sorted_tables:
                columns = [column for column in table.c if column.name not in UNSEEN]
                made.update(
                    repr(
                        c.execute(sa.select(*columns).order_by(*table.primary_key.columns)).all()
                    ).encode()
                )
        return made.hexdigest()

    async def run(self) -> None:
        """Plays on to the end."""
        while self.line < len(self.scenario.play):
            at, kind, what = self.scenario.play[self.line]
            await self._until(at)
            await getattr(self, f"_{kind}")(**what)
            self.line += 1
        await self._until(self.scenario.until)

    async def _until(self, at: timedelta) -> None:
        left = START + at - self.world.clock.time
        if left > timedelta():
            await self.world.run(left, STEP)

    async def end(self) -> dict[str, Any]:
        """How it ended, without what a crash may change.

        Ids, times, and what people were told twice.
        """
        rows = await self.world.rows()
        objects = self.world.cluster.objects
        with self.journal._engine.connect() as c:
            outcomes = [
                o for o in c.execute(sa.select(attempt.c.outcome)).scalars() if o != "cancelled"
            ]
        return {
            "states": sorted(f"{row['state']} {row['reason'] or ''}".strip() for row in rows),
            "calls": sorted(ID.sub("ID", what) for _, what in self.world.cluster.calls),
            "doubled": [
                call
                for call, count in Counter(call for call, _ in self.world.cluster.calls).items()
                if count > 1
            ],
            "outcomes": sorted(str(outcome) for outcome in outcomes),
            "workloads": {
                name: [
                    obj["spec"].get("replicas"),
                    obj["spec"]["template"]["spec"]["containers"][0]["image"],
                ]
                for (kind, _, name), obj in sorted(objects.items())
                if kind in ("Deployment", "StatefulSet", "DaemonSet")
            },
            "told": sorted(
                {f"{m['state']} {m['reason'] or ''}".strip() for m in self.world.told.messages}
            ),
        }

    async def _alert(self, what: str, app: str = "web", **labels: Any) -> None:
        await self.world.deliver(what, app, **labels)

    async def _resolve(self, what: str, app: str = "web", **labels: Any) -> None:
        await self.world.deliver(what, app, firing=False, **labels)

    async def _release(self, what: str, image: str, crashes: bool = False) -> None:
        """A new release by somebody else."""
        if crashes:
            self.world.cluster.crashing.add(image)
        kind = next(kind for kind, _, name in self.world.cluster.objects if name == what)
        self.world.cluster.set_image(kind, "shop", what, image)

    async def _crashes(self, what: str, really: bool = True) -> None:
        """An image that does not run (any more), or does again."""
        (self.world.cluster.crashing.add if really else self.world.cluster.crashing.discard)(what)

    async def _leak(self, what: str) -> None:
        self.world.leak(what)

    async def _autoscaler(self, what: str, least: int, most: int) -> None:
        if ("HorizontalPodAutoscaler", "shop", what) not in self.world.cluster.objects:
            self.world.cluster.create_autoscaler("shop", what, "Deployment", least, most=most)

    async def _suspect(self, what: str, firing: bool = True) -> None:
        """An alert on the first pod of a workload, or on the one that it was about before."""
        known = self.world.told.__dict__.setdefault(
            "suspect", str(self.world.cluster.pods("shop", what)[0]["metadata"]["name"])
        )
        await self.world.deliver(
            "Suspect", deployment="", pod=known, fingerprint="suspect", firing=firing
        )

    async def _approve(self, what: str) -> None:
        await self._decided(what, True)

    async def _deny(self, what: str) -> None:
        await self._decided(what, False)

    async def _decided(self, operator: str, approve: bool) -> None:
        for row in await self.journal.remediations(10, "awaiting_approval"):
            await self.journal.decide(row["id"], "", operator, approve, now=self.world.clock.now())

    async def _silence(self, what: str, really: bool = True) -> None:
        (
            self.world.alertmanager.silenced.add
            if really
            else self.world.alertmanager.silenced.discard
        )(what)

    async def _pause(self, what: str) -> None:
        await self.journal.pause(what, "a look", "me", None, now=self.world.clock.now())

    async def _resume(self, what: str) -> None:
        await self.journal.resume(what, "me", self.world.clock.now())

    async def _cancel(self, what: str) -> None:
        for row in await self.journal.remediations(10, what):
            await self.journal.cancel(row["id"], "me", self.world.clock.now())

    async def _undo(self, what: str) -> None:
        from remediator.engine.after import undo

        for row in await self.journal.remediations(10, what):
            if not row["undo_of"]:
                await undo.ask(self.world.doors, row["id"], "me", self.world.clock.now())

    async def _reload(self, what: list[str]) -> None:
        self.world.told.__dict__["rules"] = what
        self.world.ruleset = rules(*what)
        await self.world.engine.reload(self.world.ruleset)
