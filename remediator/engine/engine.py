"""The engine: `run_due(now)` does all that is due.

As a daemon it does so whenever something wakes it or a timer is due.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from ..errors import JournalError
from ..model.alert import Episode
from ..model.seal import head_number
from ..ports import Notifier
from ..rules.ruleset import RuleSet
from ..telemetry import log
from . import worker
from .after import absent, restore, revive
from .arrive import triage
from .doors import LULL, Doors
from .tell import gauges, incidents
from .tell.deliver import deliver, undeliverable
from .tell.escalate import close, escalate

IDLE = 1.0
SHORTEST = 0.05
GIVE_WAY = 0.1  # seconds after which what is due and gives way is asked for again
HASTE = 0.5  # seconds between two rounds of waking: all that happened in between in one
HOUSEKEEPING = 15.0
PRUNE_EVERY = timedelta(hours=1)
SWEEP_EVERY = timedelta(minutes=2)
INCIDENTS_EVERY = timedelta(seconds=1)
BREATH = 0.02


class Engine:
    """Triage, workers, escalation, notification and revival, each a task of its own.

    None waits for another's slowness.
    """

    def __init__(
        self, doors: Doors, receivers: Mapping[str, Notifier], keep: timedelta = timedelta(days=90)
    ) -> None:
        self.doors = doors
        self._receivers = receivers
        self._keep = keep
        self._looked_at = self._pruned_at = doors.clock.now()
        self._swept_at = self._looked_at
        self._incidents_at = self._looked_at - INCIDENTS_EVERY
        self._swept_to: Episode | None = None
        # what a predecessor left is looked at first
        self._triaged_at = self._looked_at - timedelta(seconds=IDLE)

    async def run_due(self) -> datetime | None:
        """Everything that is due now, one after the other; when the next thing is.

        For virtual time.
        """
        now = self.doors.clock.now()
        await triage.unpack(self.doors, now)
        await triage.pending(self.doors, now)
        await self._hasten()
        while await worker.run_one(self.doors, self.doors.clock.now()):
            pass
        await self._escalate()
        await self._incidents(now)
        await self._revive()
        await self._sweep(now)
        for name in self._receivers:
            await deliver(self.doors, self._receivers, name, self.doors.clock.now())
        await undeliverable(self.doors, self._receivers, self.doors.clock.now())
        return await self.doors.journal.next_due()

    async def run(self, workers: int) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loop("triage", self._triage, self.doors.arrivals))
            for number in range(workers):
                group.create_task(
                    self._loop(f"worker-{number}", self._work, self.doors.wake.subscribe())
                )
            for name in self._receivers:
                group.create_task(
                    self._loop(
                        f"notify-{name}", functools.partial(self._notify, name), asyncio.Event()
                    )
                )
            for name, body in (("escalation", self._escalate), ("revival", self._revive)):
                group.create_task(self._loop(name, body, asyncio.Event()))
            group.create_task(self._loop("news", self._hasten, asyncio.Event()))
            group.create_task(self._loop("sealer", self._seal, asyncio.Event()))
            group.create_task(self._loop("housekeeping", self._keep_house, asyncio.Event()))

    async def _loop(
        self, name: str, body: Callable[[], Awaitable[float]], news: asyncio.Event
    ) -> None:
        """Runs a body again and again: at news, or when the time that it answers is over.

        What it raises is logged and counted.
        """
        while True:
            # before the body, so that what arrives while it runs is not missed
            news.clear()
            pause = IDLE
            try:
                pause = await body()
            except JournalError as error:
                log().error("journal_failing", task=name, why=str(error))
            except Exception:
                self.doors.metrics.count("worker_errors_total")
                log().exception("worker_error", task=name)
            with contextlib.suppress(TimeoutError):
                # wait_for of Python 3.11 can swallow a cancellation
                async with asyncio.timeout(pause):
                    await news.wait()

    async def _triage(self) -> float:
        now = self.doors.clock.now()
        await triage.unpack(self.doors, now)
        if abs((now - self._triaged_at).total_seconds()) >= IDLE:  # a clock may jump back
            await triage.pending(self.doors, now)
            self._triaged_at = now
        return (
            LULL.total_seconds()
            if self.doors.crowd.defers(self.doors.settle, self.doors.clock.now())
            else IDLE
        )

    async def _work(self) -> float:
        while await worker.run_one(self.doors, self.doors.clock.now()):
            pass
        due = await self.doors.journal.next_work()
        left = (due - self.doors.clock.now()).total_seconds() if due else IDLE
        return min(IDLE, max(SHORTEST, left)) if left > 0 else GIVE_WAY

    async def _hasten(self) -> float:
        """Wakes those who wait for what has happened to objects."""
        now = self.doors.clock.now()
        woken = self.doors.news.take(now)
        if woken:
            await self.doors.journal.hasten(woken, now)
            self.doors.wake.set()
        return HASTE

    async def _escalate(self) -> float:
        await escalate(self.doors, self.doors.clock.now())
        await close(self.doors, self.doors.clock.now())
        return IDLE

    async def _notify(self, name: str) -> float:
        await deliver(self.doors, self._receivers, name, self.doors.clock.now())
        return IDLE

    async def _revive(self) -> float:
        await revive.run(self.doors, self.doors.clock.now())
        await restore.run(self.doors, self.doors.clock.now())
        return IDLE

    async def _incidents(self, now: datetime) -> None:
        """Looks at storms and breakers, which change by the second at most."""
        if abs(now - self._incidents_at) >= INCIDENTS_EVERY:
            await incidents.watch(self.doors, now)
            self._incidents_at = now

    async def _sweep(self, now: datetime) -> None:
        """Goes through what is open, some at a time, once in a while."""
        if self._swept_to or abs(now - self._swept_at) >= SWEEP_EVERY:
            self._swept_to = await absent.sweep(self.doors, self._swept_to, now)
            self._swept_at = now

    async def _seal(self) -> float:
        """Seals what was written since.

        The head goes where an owner of the database cannot rewrite it.
        """
        head = await self.doors.journal.seal(self.doors.clock.now())
        if head is not None:
            number, digest = head
            self.doors.metrics.set("journal_sealed_entries", number)
            self.doors.metrics.set("journal_head", head_number(digest))
            log().info("journal_sealed", number=number, digest=digest)
        return IDLE

    async def _keep_house(self) -> float:
        now = self.doors.clock.now()
        await undeliverable(self.doors, self._receivers, now)
        await incidents.watch(self.doors, now)
        await gauges.read(self.doors, self._looked_at, now)
        self._looked_at = now
        await self._sweep(now)
        if abs(now - self._pruned_at) > PRUNE_EVERY:
            longest = self.doors.longest_window()
            while await self.doors.journal.prune(now - self._keep, now, longest):
                await asyncio.sleep(BREATH)  # in slices, so that writers do not wait for all of it
            self._pruned_at = now
        return HOUSEKEEPING

    async def reload(self, rules: RuleSet) -> None:
        """Swaps the rules; what had not begun under the old ones looks again."""
        self.doors.rules = rules
        # before the journal is told: what it wakes must find the new rules
        gauges.announce(self.doors)
        await self.doors.journal.reloaded(rules.digest, self.doors.clock.now())
        self.doors.wake.set()
