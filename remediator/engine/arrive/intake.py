"""Intake: a webhook is stored as it came before it is acknowledged. Waiting requests share one
commit.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from ...alertmanager.payload import Tally
from ...errors import JournalUnavailable
from ...ports.records import Body
from ...telemetry import severity_of
from ..doors import Doors

MOST_AT_ONCE = 64
# seconds; where webhooks crowd, a commit that waits for a few more costs each of them less
LINGER = 0.002


@dataclass(slots=True)
class _Waiting:
    body: Body
    stored: asyncio.Future[None]


class Intake:
    """Takes deliveries; `run` is its task. `full` if `max_waiting` deliveries wait; the answer is
    then 503.
    """

    def __init__(self, doors: Doors, max_waiting: int = 256) -> None:
        self._doors = doors
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(max_waiting)
        self._open = True

    async def receive(self, source: str, body: bytes, counted: Tally) -> None:
        """Returns once the body is durable. Raises: JournalUnavailable."""
        if not self._open:
            raise JournalUnavailable("shutting down; send it again")
        now = self._doors.clock.now()
        waiting = _Waiting(Body(source, now, body), asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise JournalUnavailable("too many deliveries are waiting; send it again") from None
        # answered with 2xx only after this: Alertmanager does not send it again
        await waiting.stored
        self._count(counted, now)

    async def _batch(self) -> list[_Waiting]:
        """The next delivery, and those that wait behind it."""
        batch = [await self._queue.get()]
        while not self._queue.empty() and len(batch) < MOST_AT_ONCE:
            batch.append(self._queue.get_nowait())
        return batch

    async def run(self) -> None:
        """Commits waiting deliveries together until cancelled; those still waiting then are
        refused.
        """
        crowded = False
        try:
            while True:
                if crowded:
                    await asyncio.sleep(LINGER)
                batch = await self._batch()
                await self._commit(batch)
                crowded = len(batch) > 1
        finally:
            # closed before it is emptied, so that nothing slips in behind
            self._open = False
            while not self._queue.empty():
                self._fail(
                    self._queue.get_nowait(), JournalUnavailable("shutting down; send it again")
                )

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            await self._doors.journal.store([waiting.body for waiting in batch])
        except asyncio.CancelledError:
            for waiting in batch:
                self._fail(waiting, JournalUnavailable("shutting down; send it again"))
            raise
        # whatever it was: the senders must hear that nothing was accepted
        except Exception as error:
            for waiting in batch:
                self._fail(waiting, JournalUnavailable(f"cannot store the alerts: {error}"))
            return
        for waiting in batch:
            if not waiting.stored.done():
                waiting.stored.set_result(None)
        self._doors.crowd.note(len(batch), self._doors.clock.now())
        self._doors.arrivals.set()

    @staticmethod
    def _fail(waiting: _Waiting, error: JournalUnavailable) -> None:
        if not waiting.stored.done():
            waiting.stored.set_exception(error)

    def _count(self, counted: Tally, now: datetime) -> None:
        metrics = self._doors.metrics
        for (status, severity), count in counted.alerts.items():
            metrics.count("alerts_received_total", status, severity_of(severity), by=count)
        if counted.truncated:
            metrics.count("alerts_truncated_total", by=counted.truncated)
        if self._doors.watchdog and self._doors.watchdog in counted.names:
            metrics.set("watchdog_last_seen_timestamp_seconds", now.timestamp())
