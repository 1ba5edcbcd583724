"""Two replicas on one journal and one cluster, on virtual
time, while things happen and go wrong.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import orjson
import sqlalchemy as sa

from remediator.alertmanager.payload import decode, tally
from remediator.alertmanager.sandbox import SandboxAlertmanager
from remediator.cluster.sandbox import SandboxCluster
from remediator.engine import engine as engine_module
from remediator.engine.after import undo as undoing
from remediator.engine.arrive.intake import Intake
from remediator.engine.doors import Doors
from remediator.engine.engine import Engine
from remediator.errors import ClusterError, Conflict, JournalError, JournalUnavailable, Unreachable
from remediator.guards.situation import ProcessLimits
from remediator.journal import aftermath, claims, entries, remediations, seals
from remediator.journal import inbox as inbox_of
from remediator.journal.sql import SqlJournal
from remediator.journal.tables import episode, inbox, metadata, remediation
from remediator.model.alert import Activity, Alert, AlertStatus
from remediator.model.call import Call, Evidence
from remediator.model.facts import Facts, Unknown, unseen
from remediator.model.kind import Kind
from remediator.model.limit import BreakerLimit, StormLimit
from remediator.model.notice import Notice
from remediator.model.remediation import Remediation
from remediator.model.sight import Object, Sight
from remediator.model.target import Target
from remediator.model.usage import Rate
from remediator.prometheus import SandboxPrometheus
from remediator.rules.looking import watched
from remediator.telemetry import Metrics

from .disk import Disk
from .invariants import P1, STORM, Broken, Landed, Watch
from .loop import VirtualLoop
from .rules import ruleset
from .schedule import ACTIVE, APPS, Happening
from .watching import Watching, Wire

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=10)
LIMITS = ProcessLimits(
    root=(Rate(4, WINDOW),),
    namespace=(Rate(6, WINDOW),),
    everything=(Rate(7, WINDOW),),
    grace=timedelta(seconds=10),
    storm=StormLimit(roots=STORM, calm=timedelta(seconds=60)),
    breaker=BreakerLimit(quiet=timedelta(minutes=5)),
)
TIMEOUT = 10.0
REQUESTS = (1, 9)  # a look is so many of them, one after the other; each may take its whole time
# virtual seconds until all must have ended once everything is calm: an undo that waited too long
# comes an hour later
PATIENCE = 6000.0
PROBE = 5.0
IDLE = 20.0  # seconds between looks of a task that nothing wakes
WORKLOADS_IN_ALL = 12  # as the census counts: four in trouble are a storm
# these need the lease
WRITES = {
    made.__name__
    for made in (
        remediations.begin,
        remediations.send,
        remediations.extend,
        remediations.settle,
        remediations.retarget,
        claims.renew,
    )
}
# these change nothing that an invariant speaks of
LOOKS = {
    made.__name__
    for made in (
        claims.claim,
        seals.write,
        inbox_of.unreadable,
        aftermath.restore_later,
        aftermath.revive_later,
    )
}


class Crash(BaseException):
    """The process is gone."""


class Clock:
    """A replica's clock: the true time, and how wrong it is."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop, self.offset = loop, timedelta()

    def now(self) -> datetime:
        """Aware, in UTC."""
        return START + timedelta(seconds=self._loop.now) + self.offset


class Hands(SqlJournal):
    """One replica's hands on the common journal.

    Each transaction is an effect before or after which it may die.
    """

    def __init__(self, common: SqlJournal, replica: "Replica") -> None:
        self.__dict__.update(common.__dict__)
        self._replica = replica

    async def _run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        def act() -> Any:
            answer = self._written(function, *arguments, **named)
            self._replica.sim.disk.waited()
            return answer

        return await self._replica.effect(act, function.__name__)

    async def _note(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        def act() -> Any:
            self._replica.sim.disk.hastes()
            return self._written(function, *arguments, **named)

        return await self._replica.effect(act, function.__name__)

    def _written(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._replica.sim.fenced(function.__name__, (*arguments, *named.values()))
        return self._transact(self._engine, partial(function, **named), *arguments)

    async def _read(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        await self._replica.breathe()
        return self._transact(self._engine, partial(function, **named), *arguments)

    async def _look(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await self._read(function, *arguments, **named)


class Counted(Metrics):
    """A replica's metrics: an error that nobody expected is found,
    though the engine goes on after it.
    """

    def __init__(self, sim: "Simulation") -> None:
        super().__init__()
        self._sim = sim

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Counts; an unexpected error breaks the run."""
        if name == "worker_errors_total":
            self._sim.broke(sys.exc_info()[1] or RuntimeError(name))
        super().count(name, *labels, by=by)


class Replica:
    """A process: an engine and an intake; it dies at an effect and is born again."""

    def __init__(self, sim: "Simulation", number: int) -> None:
        self.sim, self.number, self.clock = sim, number, Clock(sim.loop)
        self.dead, self.since, self.full_until, self.stalled_until = True, 0.0, -1.0, -1.0
        self.dies_in, self.dies_after, self.down = 0, False, 0.0
        # when it dies, its machine goes down, and all that runs there
        self.with_power = self.once_begun = False
        self.stalls_in, self.stalls_for = 0, 0.0
        self.quiet_until, self.expired = -1.0, dict[str, bool]()
        self.ended = False
        self._task: asyncio.Task[None] | None = None

    def boot(self) -> None:
        """A new process on the same journal."""
        sim = self.sim
        if self.ended:
            return
        self.dead, self.since = False, sim.loop.now
        self.journal = Hands(sim.journal, self)
        metrics = Counted(sim)
        door = Door(sim, self, metrics)
        self.watching = Watching(sim, door) if sim.watches else None
        self.doors = Doors(
            journal=self.journal,
            clusters=(clusters := {"default": door}),
            watched={"default": self.watching} if self.watching else clusters,
            sources={"s": "default"},
            prometheus=SandboxPrometheus(),
            alertmanager=sim.alertmanager,
            clock=self.clock,
            metrics=metrics,
            rules=sim.rules,
            limits=LIMITS,
            started_at=self.clock.now(),
            settle=timedelta(seconds=2),
        )
        self.engine, self.intake = Engine(self.doors, {"log": sim}), Intake(self.doors)
        self._task = sim.loop.create_task(self._live())

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.engine.run(2 - self.number))
                group.create_task(self.intake.run())
                if self.watching is not None:
                    self.watching.want(watched(self.sim.rules))
                    group.create_task(self.watching.run(self.doors.tell))
        except* Crash:
            self.sim.loop.call_later(self.down, self.boot)
        except* Exception as group_:
            self.sim.broke(group_.exceptions[0])

    async def stop(self) -> None:
        """Ends it for good."""
        self.dead = self.ended = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def will_crash(self, effects: int, after: bool, down: float) -> None:
        """It dies at one of its next effects."""
        self.dies_in, self.dies_after, self.down = effects, after, down

    def will_lose_power(self, effects: int, after: bool, down: float, *, begun: bool) -> None:
        """Its machine goes down at one of its next effects; `begun`: once an attempt has."""
        self.will_crash(effects, after, down)
        self.with_power, self.once_begun = True, begun

    async def breathe(self) -> None:
        """Others go on meanwhile."""
        if self.dead:
            raise Crash
        await asyncio.sleep(self.sim.rng.choice((0.0, 0.0, 0.0, 0.003, 0.02)))
        while self.sim.loop.now < self.stalled_until:  # the whole process is suspended
            await asyncio.sleep(self.stalled_until - self.sim.loop.now)
            self.since = self.sim.loop.now
        if self.dead:
            raise Crash

    async def reach(self) -> None:
        """A request reaches the API server. Raises: Unreachable."""
        await asyncio.sleep(0.002)
        if self.sim.loop.now < self.sim.hangs_until:
            await asyncio.sleep(TIMEOUT)
            raise Unreachable("no answer from the API server within 10s")
        if self.sim.loop.now < self.sim.blind_until:
            raise Unreachable("API server unreachable")

    async def effect(self, act: Callable[[], Any], name: str) -> Any:
        """Something that stays. The process may die just before it, or just after."""
        await self.breathe()
        self.once_begun = self.once_begun and name != "begin"
        counts = name not in LOOKS and not self.once_begun
        if counts and self.stalls_in == 1:
            self.stalled_until = max(self.stalled_until, self.sim.loop.now + self.stalls_for)
            self.sim.count("stall")
        self.stalls_in = max(0, self.stalls_in - counts)
        await self.breathe()
        if self.sim.loop.now < self.full_until:
            raise JournalUnavailable("the disk is full")
        mine = counts and self.dies_in == 1
        self.dies_in = max(0, self.dies_in - counts)
        if mine and not self.dies_after:
            self._die()
        answer = act()
        if name not in LOOKS:
            self.sim.check()
        if mine:
            self._die()
        return answer

    def _die(self) -> None:
        self.dead = True
        self.sim.count("crash")
        if self.with_power:
            self.with_power = False
            self.sim.lose_power()
        raise Crash


class Door:
    """One replica's door to the cluster.

    Requests get lost, come late, and land though nobody waits any more.
    """

    def __init__(self, sim: "Simulation", replica: Replica, metrics: Metrics) -> None:
        self._sim, self._replica = sim, replica
        self.transport = Wire(sim, replica, metrics)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, where no watch tells of it."""
        await self._replica.breathe()
        await self._replica.reach()
        return await self._sim.cluster.get(kind, namespace, name)

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        """Several, where no watch tells of them."""
        await self._replica.breathe()
        await self._replica.reach()
        return await self._sim.cluster.list_objects(kind, namespace, selector, fields)

    async def observe(
        self, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        await self._replica.breathe()
        if self._sim.loop.now < self._sim.hangs_until:
            await asyncio.sleep(self._sim.rng.randint(*REQUESTS) * TIMEOUT)
            return unseen(now, target, Unknown("no answer from the API server within 10s"))
        if self._sim.loop.now < self._sim.blind_until:
            return unseen(now, target, Unknown("API server unreachable"))
        return await self._sim.cluster.observe(target, climb, sights, now)

    async def observe_all(
        self, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
    ) -> tuple[Facts, ...]:
        return tuple([await self.observe(target, False, sights, now) for target in targets])

    async def apply(
        self, call: Call, call_id: str, resource_version: str, dry_run: bool = False
    ) -> Evidence:
        sim = self._sim
        sim.watch.sent.add(call_id)
        # nothing in a process can know that it is suspended between a check and a system call
        await asyncio.sleep(0.001)
        if self._replica.dead:
            raise Crash
        fault = sim.faults.pop(0) if sim.faults else ""
        if sim.loop.now < sim.hangs_until:
            fault = "lost"
        if fault:
            sim.count(fault)
        if fault == "error":
            raise Unreachable("the API server answered 503")
        if fault == "conflict":
            raise Conflict("it changed in the meantime")
        if fault in ("recreated", "released") and call.target.kind == "Deployment":
            changed = (
                sim._recreate(call.target.name)
                if fault == "recreated"
                else sim._release(call.target.name, "web:9")
            )
            await changed
        answer: asyncio.Future[Evidence] = sim.loop.create_future()
        lands_in = {
            "lost": None,
            "landed": 0.0,
            "late": sim.rng.uniform(1, 9),
            "slow": sim.rng.uniform(1, 9),
        }.get(fault, 0.005)
        if lands_in is not None:
            sim.loop.call_later(lands_in, sim.land, call, call_id, resource_version, answer)
        try:
            async with asyncio.timeout(TIMEOUT):
                result = await (
                    asyncio.shield(answer)
                    if fault not in ("landed", "late", "lost")
                    else asyncio.sleep(TIMEOUT + 1)
                )
        except TimeoutError:
            result = None
        if self._replica.dead:
            raise Crash
        if result is None:
            raise Unreachable("no answer from the API server within 10s")
        return result

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        return

    async def workloads(self) -> Sequence[str] | Unknown:
        return ["shop"] * WORKLOADS_IN_ALL

    async def ready(self) -> str | None:
        return None


class Ears(SandboxAlertmanager):
    """Alertmanager, which nobody can ask while `deaf_until` is not over."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop, self.deaf_since, self.deaf_until = loop, 0.0, -1.0

    @property
    def deaf_for(self) -> float:
        """For how long nobody could ask."""
        return self._loop.now - self.deaf_since if self._loop.now < self.deaf_until else 0.0

    async def activity(self, source: str, alert: Alert, since: datetime | None = None) -> Activity:
        return Activity.UNKNOWN if self.deaf_for else await super().activity(source, alert)


class Blank:
    """One journal in memory for all simulations of a process, emptied before each.

    Its statements stay compiled.
    """

    def __init__(self) -> None:
        self._journal: SqlJournal | None = None

    async def take(self) -> SqlJournal:
        """The journal, empty."""
        if self._journal is None:
            self._journal = SqlJournal("sqlite://")
            await self._journal.open(START)
        with self._journal._engine.begin() as c:
            for table in metadata.sorted_tables:
                c.execute(sa.delete(table))
        return self._journal


BLANK = Blank()


class Simulation:
    """One schedule, played. `trace` says what happened."""

    kind = "log"

    def __init__(self, seed: int, happenings: list[Happening], replicas: int = 2) -> None:
        self.seed, self.happenings = seed, happenings
        self.rng, self.ids = random.Random(f"faults {seed}"), random.Random(f"ids {seed}")
        self.loop = VirtualLoop()
        self.cluster = SandboxCluster(lambda: START + timedelta(seconds=self.loop.now))
        self.alertmanager = Ears(self.loop)
        # every other world is watched
        self.watches, self.active, self._passed_at = seed % 2 == 0, True, 0.0
        self.journal: SqlJournal
        self.rules = ruleset()
        self.replicas = [Replica(self, number) for number in range(replicas)]
        self.watch: Watch
        self.disk: Disk
        self.faults: list[str] = []
        self.hangs_until = self.blind_until = self.paused_until = -1.0
        self.paused_since, self.pause_ends = 0.0, START
        self.alerts: dict[str, dict[str, Any]] = {}
        self.acked: set[str] = set()
        self.counted: Counter[str] = Counter()
        self.trace: list[str] = []
        self.broken: Broken | None = None
        self._claimed: tuple[str, Remediation] | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def _new_id(self, prefix: str) -> str:
        """Ids that are the same when the seed is."""
        return f"{prefix}-{''.join(self.ids.choice(entries.ALPHABET) for _ in range(10))}"

    def count(self, what: str) -> None:
        """Counts something that went wrong."""
        self.counted[what] += 1
        self.note(f"          {what}")

    def note(self, text: str) -> None:
        """Adds to the trace."""
        self.trace.append(text if text[:1] != " " else f"{self.loop.now:7.1f}s {text.strip()}")

    def broke(self, error: BaseException) -> None:
        """Remembers the first thing that does not hold; the loop ends at its next turn."""
        found = (
            error
            if isinstance(error, Broken)
            else Broken("no unexpected error", f"{type(error).__name__}: {error}")
        )
        self.broken = self.broken or found

    def check(self) -> None:
        """After every step."""
        claimed, self._claimed = self._claimed, None
        try:
            if claimed is not None:
                self.watch.leased(*claimed)
            self.watch.step(self.loop.now)
        except Broken as error:
            self.broke(error)

    def fenced(self, name: str, arguments: tuple[Any, ...]) -> None:
        """What is about to be written for a remediation that was claimed.

        Noted, and judged once it was written.
        """
        first = arguments[0] if arguments else None
        self._claimed = (name, first) if isinstance(first, Remediation) and name in WRITES else None

    def lose_power(self) -> None:
        """All replicas run on one machine, which goes down."""
        for replica in self.replicas:
            replica.dead = True
        if self.disk.lose():
            self.count("power loss")

    async def notify(self, message: Notice, ref: str = "") -> str:
        """People are told."""
        return ""

    def land(
        self, call: Call, call_id: str, resource_version: str, answer: "asyncio.Future[Evidence]"
    ) -> None:
        """A request reaches the API server."""
        target = call.target
        before = self.cluster.objects.get((target.kind, target.namespace, target.name))
        uid = before["metadata"]["uid"] if before else ""
        made, error = _at_once(self.cluster.apply(call, call_id, resource_version))
        if error is None and made is not None and made.status == 200 and call.verb != "collect":
            self.note(f"  landed {call_id}: {call.describe()}")
            paused = self.loop.now - self.paused_since if self.loop.now < self.paused_until else 0.0
            deaf = self.alertmanager.deaf_for if not call_id.startswith("u-") else 0.0
            try:
                self.watch.landed(
                    Landed(call_id, call.describe(), uid, self.loop.now, deaf, paused)
                )
            except Broken as broken:
                self.broke(broken)
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
            answer.exception()  # whoever waits may be gone
        else:
            answer.set_result(made)  # type: ignore[arg-type]

    def passes(self) -> None:
        """Controllers go on though nobody looks."""
        if self.loop.now - self._passed_at >= 1:
            self._passed_at = self.loop.now
            self.cluster._advance()

    def run(self) -> Broken | None:
        """Plays the schedule to its end; what does not hold, or None."""
        asyncio.set_event_loop(self.loop)
        random.seed(self.seed)  # pauses before a watch begins anew
        self.loop.set_exception_handler(lambda _loop, context: None)
        saved, random_id = (engine_module.IDLE, engine_module.HOUSEKEEPING), entries.new_id
        entries.new_id = self._new_id
        engine_module.IDLE, engine_module.HOUSEKEEPING = IDLE, 60.0
        try:
            self.loop.run_until_complete(self._play())
        finally:
            engine_module.IDLE, engine_module.HOUSEKEEPING = saved
            entries.new_id = random_id
            self.loop.close()
            asyncio.set_event_loop(None)
        return self.broken

    async def _play(self) -> None:
        for app in APPS:
            self.cluster.create_workload("Deployment", "shop", app, f"{app}:1")
        self.journal = await BLANK.take()
        self.disk = Disk(self.journal._engine)
        self.watch = Watch(self.journal._engine, self.cluster.objects)
        for replica in self.replicas:
            replica.boot()
        for item in self.happenings:
            await self._until(item.at)
            if self.broken:
                break
            self.note(str(item))
            try:
                await self._perform(item)
            except (JournalError, Crash) as error:
                self.note(f"  refused: {error}")
        if not self.broken:
            await self._calm_down()
        for replica in self.replicas:
            await replica.stop()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await asyncio.sleep(200)  # births that were to come

    async def _until(self, at: float) -> None:
        while self.loop.now < at and not self.broken:
            await asyncio.sleep(min(PROBE, at - self.loop.now))
            self._probe()

    def _probe(self) -> None:
        able = [r for r in self.replicas if not r.dead]
        alive = [self.loop.now - max(r.since, r.stalled_until, r.full_until) for r in able]
        wrong = max(abs(replica.clock.offset) for replica in self.replicas)
        try:
            now = START + timedelta(seconds=self.loop.now)
            self.watch.told_in_time(now - wrong, max(alive, default=0.0))
        except Broken as error:
            self.broke(error)

    async def _calm_down(self) -> None:
        """All alerts resolve and nothing goes wrong any more: everything must come to an end."""
        await self._until(ACTIVE)
        self.active = False
        self.hangs_until = self.blind_until = self.alertmanager.deaf_until = -1.0
        self.faults.clear()
        self.alertmanager.silenced.clear()
        for replica in self.replicas:
            replica.dies_in, replica.stalls_in, replica.full_until = 0, 0, -1.0
            replica.quiet_until = -1.0
        for ident in list(self.alerts):
            await self._perform(Happening(self.loop.now, "resolves", {"id": ident}))
            if ident in self.acked:
                await self._perform(
                    Happening(self.loop.now, "deliver", {"id": ident, "firing": False})
                )
        self._nothing_lost()
        ends = self.loop.now + PATIENCE
        while self.loop.now < ends and not self.broken:
            await self._until(self.loop.now + 20)
            left = [
                *self.watch.unfinished(),
                *(["a delivery is on its way"] if self._sending else []),
            ]
            if not left:
                break
        else:
            if not self.broken:
                self.broke(
                    Broken(P1, f"not ended {PATIENCE:.0f}s after all was calm: {'; '.join(left)}")
                )

    def _nothing_lost(self) -> None:
        """Every alert that was answered 200 is in the journal.

        Its episode, or the webhook as it came.
        """
        with self.journal._engine.connect() as c:
            known = set(c.execute(sa.select(episode.c.fingerprint)).scalars())
            waiting = list(c.execute(sa.select(inbox.c.body)).scalars())
        known |= {item.fingerprint for item in chain.from_iterable(map(_alerts, waiting))}
        lost = self.acked - known
        if lost and not self.broken:
            self.broke(Broken(P1, f"accepted and not in the journal: {', '.join(sorted(lost))}"))

    async def _perform(self, item: Happening) -> None:
        handler: Callable[..., Awaitable[None]] = getattr(self, f"_{item.kind}")
        await handler(
            **{
                ("for_" if key == "for" else "ident" if key == "id" else key): value
                for key, value in item.what.items()
            }
        )

    async def _fires(self, alert: str, app: str, ident: str) -> None:
        if ("Deployment", "shop", app) not in self.cluster.objects:
            return
        labels = {"alertname": alert, "namespace": "shop", "deployment": app, "severity": "warning"}
        if alert == "Crash":
            self.cluster.crashing.add(f"{app}:2")
            self.cluster.set_image("Deployment", "shop", app, f"{app}:2")
        elif alert in ("Leak", "Ask"):
            self.cluster.leaking.update(
                pod["metadata"]["name"] for pod in self.cluster.pods("shop", app)
            )
        elif alert == "Suspect":
            pods = self.cluster.pods("shop", app)
            labels = {
                "alertname": alert,
                "namespace": "shop",
                "pod": pods[0]["metadata"]["name"] if pods else f"{app}-gone",
            }
        self.alerts[ident] = {
            "labels": labels,
            "starts": START + timedelta(seconds=self.loop.now),
            "ends": None,
        }
        self._tell_alertmanager(ident, True)

    async def _resolves(self, ident: str) -> None:
        if ident in self.alerts and self.alerts[ident]["ends"] is None:
            self.alerts[ident]["ends"] = START + timedelta(seconds=self.loop.now)
            self._tell_alertmanager(ident, False)

    def _tell_alertmanager(self, ident: str, firing: bool) -> None:
        alert = self.alerts[ident]
        status = AlertStatus.FIRING if firing else AlertStatus.RESOLVED
        self.alertmanager.delivered(
            "s", [Alert(ident, status, alert["labels"], {}, alert["starts"], alert["ends"])]
        )

    async def _deliver(self, ident: str, firing: bool) -> None:
        if ident in self.alerts:
            task = self.loop.create_task(self._send(ident, firing))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, ident: str, firing: bool) -> None:
        """As Alertmanager does: again and again until somebody takes it."""
        alert = self.alerts[ident]
        ended = None if firing else alert["ends"] or START + timedelta(seconds=self.loop.now)
        item = {
            "status": "firing" if firing else "resolved",
            "labels": alert["labels"],
            "annotations": {},
            "fingerprint": ident,
            "startsAt": alert["starts"],
            "endsAt": ended,
        }
        body = orjson.dumps({"version": "4", "alerts": [item]})
        while True:
            alive = [replica for replica in self.replicas if not replica.dead]
            if alive:
                replica = self.rng.choice(alive)
                try:
                    async with asyncio.timeout(TIMEOUT):
                        await replica.intake.receive("s", body, tally(decode(body)))
                    self.acked.add(ident)
                    self._nothing_lost()
                    return
                except (JournalError, TimeoutError, Crash):
                    self.note(f"  not accepted: {ident}")
            await asyncio.sleep(self.rng.uniform(1, 8))

    async def _crash(self, replica: int, effects: int, after: bool, down: float) -> None:
        self.replicas[replica % len(self.replicas)].will_crash(effects, after, down)

    async def _power(self, replica: int, **how: Any) -> None:
        self.replicas[replica % len(self.replicas)].will_lose_power(**how)

    async def _call(self, fault: str, count: int) -> None:
        self.faults += [fault] * count

    async def _blind(self, for_: float) -> None:
        self.blind_until = self.loop.now + for_
        self.count("blind")

    async def _deaf(self, for_: float) -> None:
        if not self.alertmanager.deaf_for:
            self.alertmanager.deaf_since = self.loop.now
        self.alertmanager.deaf_until = max(self.alertmanager.deaf_until, self.loop.now + for_)
        self.count("deaf")

    async def _hang(self, for_: float) -> None:
        self.hangs_until = self.loop.now + for_
        self.count("hang")

    async def _quiet(self, replica: int, for_: float) -> None:
        """What is watched falls silent, though the API server answers."""
        self.replicas[replica % len(self.replicas)].quiet_until = self.loop.now + for_
        if self.watches:
            self.count("quiet")

    async def _expire(self, replica: int) -> None:
        kinds = watched(self.rules)
        self.replicas[replica % len(self.replicas)].expired = dict.fromkeys(map(str, kinds), True)
        if self.watches:
            self.count("expired")

    async def _disk(self, replica: int, for_: float) -> None:
        self.replicas[replica % len(self.replicas)].full_until = self.loop.now + for_
        self.count("disk full")

    async def _stall(self, replica: int, effects: int, for_: float) -> None:
        stalled = self.replicas[replica % len(self.replicas)]
        stalled.stalls_in, stalled.stalls_for = effects, for_

    async def _clock(self, replica: int, by: float) -> None:
        self.replicas[replica % len(self.replicas)].clock.offset += timedelta(seconds=by)
        self.paused_until = min(self.paused_until, self._in_force())
        self.count("clock jump")

    async def _release(self, app: str, image: str) -> None:
        if ("Deployment", "shop", app) in self.cluster.objects:
            self.watch.touched[app] = self.loop.now
            self.cluster.set_image("Deployment", "shop", app, image)

    async def _replicas(self, app: str, count: int) -> None:
        if ("Deployment", "shop", app) in self.cluster.objects:
            self.watch.touched[app] = self.loop.now
            self.cluster.edit(
                "Deployment", "shop", app, lambda obj: obj["spec"].update(replicas=count)
            )

    async def _recreate(self, app: str) -> None:
        """Deleted and made again by the same name: another object."""
        self.watch.touched[app] = self.loop.now
        mine = [
            key
            for key, obj in self.cluster.objects.items()
            if key[1] == "shop" and _app(obj) == app
        ]
        for key in mine:
            self.cluster.remove(*key)
        self.cluster.create_workload("Deployment", "shop", app, f"{app}:1")

    async def _annotate(self, app: str) -> None:
        if ("Deployment", "shop", app) in self.cluster.objects:
            self.cluster.annotate("Deployment", "shop", app, "team", value=f"t{self.loop.now:.0f}")

    async def _silence(self, app: str, for_: float) -> None:
        mine = [ident for ident in self.alerts if f"-{app}-" in ident]
        self.alertmanager.silenced.update(mine)
        self.loop.call_later(for_, self.alertmanager.silenced.difference_update, mine)

    async def _pause(self, for_: float) -> None:
        now = START + timedelta(seconds=self.loop.now)
        # until the last of their clocks says so
        wrong = max(replica.clock.offset for replica in self.replicas)
        until = now + timedelta(seconds=for_) + max(wrong, timedelta())
        await self.journal.pause("all", "x", "me", until, now=now)
        self.paused_since, self.pause_ends = self.loop.now, until
        self.paused_until = self._in_force()

    def _in_force(self) -> float:
        """Until when the pause binds whichever replica's clock is ahead."""
        ends = (self.pause_ends - START).total_seconds()
        return min(ends - replica.clock.offset.total_seconds() for replica in self.replicas)

    async def _decide(self, approve: bool) -> None:
        for row in await self.journal.remediations(20, "awaiting_approval"):
            await self.journal.decide(
                row["id"], "", "me", approve, now=self.replicas[0].clock.now()
            )

    async def _cancel(self) -> None:
        for ident in self._some(remediation.c.live):
            await self.journal.cancel(ident, "me", self.replicas[0].clock.now())

    async def _undo(self) -> None:
        for ident in self._some(~remediation.c.live, remediation.c.acted):
            await undoing.ask(self.replicas[0].doors, ident, "me", self.replicas[0].clock.now())

    async def _retry(self) -> None:
        for ident in self._some(~remediation.c.live):
            await self.journal.retry(ident, "me", self.replicas[0].clock.now())

    def _some(self, *where: Any) -> list[str]:
        query = (
            sa.select(remediation.c.id)
            .where(remediation.c.undo_of == "", *where)
            .order_by(remediation.c.created_at)
            .limit(1)
        )
        with self.journal._engine.connect() as c:
            return list(c.execute(query).scalars())

    async def _reload(self, rules: int) -> None:
        self.rules = ruleset(rules)
        for replica in self.replicas:
            if not replica.dead:
                try:
                    await replica.engine.reload(self.rules)
                except Crash:
                    self.note("  crashed while it reloaded")


def _app(obj: Mapping[str, Any]) -> str:
    named = (obj["metadata"].get("labels") or {}).get("app")
    return str(named or (obj["metadata"]["name"] if obj["kind"] == "Deployment" else ""))


def _at_once(coroutine: Any) -> tuple[Evidence | None, ClusterError | None]:
    """What a coroutine that waits for nothing answers."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value, None
    except ClusterError as error:
        return None, error
    raise AssertionError("the sandbox waited for something")


def _alerts(body: bytes) -> Sequence[Any]:
    """The alerts of a stored webhook."""
    return decode(body).alerts
