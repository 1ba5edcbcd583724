"""Intake: every alert of a payload is durable before it is answered; waiting requests share one commit."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ..errors import JournalUnavailable
from ..journal_port import Delivery
from ..model.alert import AlertStatus
from .doors import Doors

MOST_AT_ONCE = 64


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    stored: asyncio.Future[None]


class Intake:
    """Takes deliveries; `run` is its task. `full` at `max_waiting`, when the answer is 503."""

    def __init__(self, doors: Doors, max_waiting: int = 256) -> None:
        self._doors = doors
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(max_waiting)
        self._open = True

    async def receive(self, delivery: Delivery) -> None:
        """Returns once every alert is durable. Raises: JournalUnavailable."""
        if not self._open:
            raise JournalUnavailable("shutting down; deliver again")
        waiting = _Waiting(delivery, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise JournalUnavailable("too many deliveries are waiting; deliver again") from None
        await waiting.stored

    async def run(self) -> None:
        """Commits what waits, together, until cancelled; what waits then is told to come again."""
        try:
            while True:
                batch = [await self._queue.get()]
                while not self._queue.empty() and len(batch) < MOST_AT_ONCE:
                    batch.append(self._queue.get_nowait())
                await self._commit(batch)
        finally:
            self._open = False
            while not self._queue.empty():
                self._fail(self._queue.get_nowait(), JournalUnavailable("shutting down; deliver again"))

    async def _commit(self, batch: list[_Waiting]) -> None:
        now = self._doors.clock.now()
        try:
            await self._doors.journal.receive([w.delivery for w in batch], now)
        except asyncio.CancelledError:
            for waiting in batch:
                self._fail(waiting, JournalUnavailable("shutting down; deliver again"))
            raise
        except Exception as error:  # whatever it was: the senders must hear that nothing was accepted
            for waiting in batch:
                self._fail(waiting, JournalUnavailable(f"cannot store the alerts: {error}"))
            return
        for waiting in batch:
            if not waiting.stored.done():
                waiting.stored.set_result(None)
            self._count(waiting.delivery, now)
        self._doors.wake.set()

    @staticmethod
    def _fail(waiting: _Waiting, error: JournalUnavailable) -> None:
        if not waiting.stored.done():
            waiting.stored.set_exception(error)

    def _count(self, delivery: Delivery, now: datetime) -> None:
        metrics = self._doors.metrics
        by_status: Mapping[AlertStatus, int] = {
            status: sum(alert.status is status for alert in delivery.alerts) for status in AlertStatus
        }
        for status, count in by_status.items():
            if count:
                metrics.count("alerts_received_total", status, by=count)
        if delivery.truncated:
            metrics.count("alerts_truncated_total", by=delivery.truncated)
        if any(alert.name == self._doors.watchdog for alert in delivery.alerts):
            metrics.set("watchdog_last_seen_timestamp_seconds", now.timestamp())
