"""The engine: `run_due(now)` does all that is due; as a daemon it does so whenever something wakes it or a timer is due."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from ..errors import JournalError
from ..model.remediation import LIVE
from ..ports import Notifier
from ..rules.ruleset import RuleSet
from ..telemetry import log
from . import people, triage, worker
from .doors import Doors

IDLE = 1.0
PRUNE_EVERY = timedelta(hours=1)


class Engine:
    """Triage, workers and people, each a task of its own; they share nothing but the journal."""

    def __init__(self, doors: Doors, receivers: Mapping[str, Notifier], keep: timedelta = timedelta(days=90)) -> None:
        self.doors = doors
        self._receivers = receivers
        self._keep = keep

    async def run_due(self) -> datetime | None:
        """Everything that is due now, one after the other; when the next thing is. For virtual time."""
        now = self.doors.clock.now()
        await triage.run(self.doors, now)
        while await worker.run_one(self.doors, self.doors.clock.now()):
            pass
        await people.escalate(self.doors, now)
        await people.deliver(self.doors, self._receivers, now)
        return await self.doors.journal.next_due()

    async def run(self, workers: int) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loop("triage", self._triage))
            for number in range(workers):
                group.create_task(self._loop(f"worker-{number}", self._work))
            group.create_task(self._loop("people", self._people))
            group.create_task(self._loop("housekeeping", self._keep_house, 15.0))

    async def _loop(self, name: str, body: "object", pause: float = IDLE) -> None:
        """Runs a body again and again; what it raises is logged and counted, and it goes on."""
        wake = self.doors.wake
        while True:
            try:
                await body()  # type: ignore[operator]
            except JournalError as error:
                log().error("journal_failing", task=name, why=str(error))
                await asyncio.sleep(IDLE)
            except Exception:
                self.doors.metrics.count("worker_errors_total")
                log().exception("worker_error", task=name)
                await asyncio.sleep(IDLE)
            try:
                async with asyncio.timeout(pause):  # wait_for of Python 3.11 can swallow a cancellation
                    await wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(0.005)
            wake.clear()

    async def _triage(self) -> None:
        if await triage.run(self.doors, self.doors.clock.now()):
            self.doors.wake.set()

    async def _work(self) -> None:
        while await worker.run_one(self.doors, self.doors.clock.now()):
            pass

    async def _people(self) -> None:
        now = self.doors.clock.now()
        await people.escalate(self.doors, now)
        await people.deliver(self.doors, self._receivers, now)

    async def _keep_house(self) -> None:
        counts = await self.doors.journal.counts()
        for state in LIVE:
            self.doors.metrics.set("remediations_in_progress", counts["remediations"].get(state, 0), state)
        for fate in ("pending", "unmatched", "attached"):
            self.doors.metrics.set("episodes_open", counts["episodes"].get(fate, 0), fate)
        paused = [p["scope"].split(":")[0] for p in await self.doors.journal.pauses()]
        for scope in ("all", "cluster", "namespace", "rule"):
            self.doors.metrics.set("paused", int(scope in paused), scope)
        await self.doors.journal.prune(self.doors.clock.now() - self._keep)

    async def reload(self, rules: RuleSet) -> None:
        """Swaps the rules; what had not begun under the old ones looks again."""
        self.doors.rules = rules
        self.announce_rules()
        digests = {source.rule.name: source.digest for source in rules.sources}
        await self.doors.journal.reloaded(rules.digest, digests, self.doors.clock.now())
        self.doors.wake.set()

    def announce_rules(self) -> None:
        """Sets the metrics of what is loaded."""
        metrics, rules = self.doors.metrics, self.doors.rules
        for mode in ("observe", "approve", "act"):
            metrics.set("rules_loaded", sum(s.rule.mode == mode for s in rules.sources), mode)
        metrics.set("config_last_reload_successful", 1)
        metrics.set("config_last_reload_success_timestamp_seconds", self.doors.clock.now().timestamp())
