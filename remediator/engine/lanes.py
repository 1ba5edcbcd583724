"""Lanes: what only waits gives way to what is new, acts, or is to be verified or undone.

However many are held, an act has to wait for the rest of a look at most.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MOST = 1  # looks at what only waits, at the same time
PATIENCE = 0.5  # seconds after which one is made though others are under way: those may take long


class Slice:
    """One slice of work, before and after it is known which it is. `may_wait`: it may be one of
    what only waits.
    """

    def __init__(self, lanes: "Lanes", may_wait: bool) -> None:
        self._lanes, self.may_wait, self._urgent = lanes, may_wait, False
        lanes.waiting += may_wait

    def urgent(self) -> None:
        """It is one that others give way to."""
        self.end()
        self._urgent = True
        self._lanes.urgent += 1

    def end(self) -> None:
        """It is over."""
        self._lanes.waiting -= self.may_wait
        self._lanes.urgent -= self._urgent
        self.may_wait = self._urgent = False


_MINE: ContextVar[Slice] = ContextVar("slice")


def leave() -> None:
    """The slice that calls it goes on to wait for others, rather than to keep them waiting: the
    next of what only waits may be looked at meanwhile.
    """
    mine = _MINE.get(None)
    if mine is not None and mine.may_wait:
        mine.end()


class Lanes:
    """Counts the slices that are under way: `urgent` ones, and `waiting` ones, or those that are
    about to become either.
    """

    def __init__(self) -> None:
        self.urgent = self.waiting = 0
        self._waited_at = float("-inf")

    @contextmanager
    def slice(self) -> Iterator[Slice]:
        """The next slice of work, which is still to be claimed."""
        now = asyncio.get_running_loop().time()
        held_up = self.urgent and now - self._waited_at < PATIENCE
        made = Slice(self, self.waiting < MOST and not held_up)
        if made.may_wait:
            self._waited_at = now
        before = _MINE.set(made)
        try:
            yield made
        finally:
            made.end()
            _MINE.reset(before)
