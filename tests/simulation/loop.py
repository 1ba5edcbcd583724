"""An event loop on virtual time: when nothing is ready it jumps to the next timer.

No threads, no sockets, no waiting.
"""

import asyncio
import selectors
from typing import Any


class _Jumping(selectors.DefaultSelector):
    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        """Nothing ever comes from outside; the wait is added to the time."""
        if timeout is None:
            raise RuntimeError(
                "nothing is ready and no timer is set: everything waits for something that cannot"
                " come"
            )
        if timeout > 0:
            self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`now` is in seconds since the loop was made."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self.now
