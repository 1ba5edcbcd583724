"""The journal in memory: the same rows as in a database, without SQL.

For replays, and for tests of rules: nothing outlives the process, and nothing waits for a disk.
"""

from datetime import datetime

from .forgetting import Forgetting


class MemoryJournal(Forgetting):
    """The whole port. Its history is not sealed: nobody else can reach it."""

    async def open(self, now: datetime) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def ping(self) -> None:
        """It always answers."""

    def stuck_for(self) -> float:
        return 0.0

    async def next_due(self) -> datetime | None:
        firsts = (self.timers.next(), self.undecided.first(), self.unsent.first())
        return min((at for at in firsts if at is not None), default=None)

    def size(self) -> int:
        return 0

    async def seal(self, now: datetime) -> tuple[int, str] | None:
        return None
