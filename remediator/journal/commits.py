"""Commits that are shared: writes that wait for the one thread that writes go in one transaction, a
savepoint each, so that the disk is waited for once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

MOST = 32
Function = Callable[[Connection], Any]
# runs a function in a transaction; `True` waits for the disk
Transact = Callable[[Function, bool], Any]


@dataclass(frozen=True, slots=True)
class _Write:
    """`synced`: the disk is waited for before anybody goes on."""

    function: Function
    synced: bool
    done: Future[Any] = field(default_factory=Future)

    def end(self, answer: Any) -> None:
        """The one that waits for it goes on."""
        if isinstance(answer, _Raised):
            self.done.set_exception(answer.error)
        else:
            self.done.set_result(answer)


class Commits:
    """The writes of a SQLite file, in the order in which they were asked for."""

    def __init__(self, thread: ThreadPoolExecutor, transact: Transact) -> None:
        self._thread, self._transact = thread, transact
        self._waiting: deque[_Write] = deque()

    async def write(self, function: Function, *, synced: bool) -> Any:
        """What the function answers, once it is committed. Raises: what it raises; what the commit
        raises.
        """
        write = _Write(function, synced)
        self._waiting.append(write)
        self._thread.submit(self._go_on)
        return await asyncio.wrap_future(write.done)

    def _go_on(self) -> None:
        """Commits what waits; nothing, if an earlier commit brought it along."""
        together = self._next()
        if not together:
            return
        try:
            # what must be on the disk takes the others along
            answers = self._transact(
                lambda c: _all(c, together), any(write.synced for write in together)
            )
        except BaseException as error:
            answers = [_Raised(error)] * len(together)
        for write, answer in zip(together, answers, strict=True):
            write.end(answer)

    def _next(self) -> list[_Write]:
        """The writes of the next commit, without those that nobody waits for any more."""
        taken = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        return [write for write in taken if write.done.set_running_or_notify_cancel()]


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a write raised: it is taken back, and the others are not."""

    error: BaseException


def _all(c: Connection, together: list[_Write]) -> list[Any]:
    """What each comes to. One that is alone needs no savepoint."""
    if len(together) == 1:
        return [together[0].function(c)]
    return [_one(c, write.function) for write in together]


def _one(c: Connection, function: Function) -> Any:
    """One write within its savepoint. Raises: DBAPIError of a database that fails: it may have
    ended the whole transaction, so that nothing more may be written in it.
    """
    savepoint = c.begin_nested()
    try:
        answer = function(c)
    except BaseException as error:
        if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
            raise
        savepoint.rollback()
        return _Raised(error)
    savepoint.commit()
    return answer
