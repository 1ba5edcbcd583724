"""One kind of objects, as the API server's watch tells of them.

A list, then a watch from its version on. It is alive while it is heard from: the API server sends a
bookmark each minute if nothing happens. What is not alive is not asked. Whatever goes wrong, the
list is made again: an expired version, a connection that ends or falls silent, an API server that
restarts.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

from ..errors import ClusterError, Expired, Forbidden, TargetGone, Unauthorized, Unreachable
from ..model.kind import Kind
from ..model.sight import Object
from ..telemetry import Metrics, log
from .kept import Kept
from .transport import SILENCE, Transport

# seconds until a list is made again, and at most, and where it is not permitted or unknown
FIRST, MOST, REFUSED = 0.5, 30.0, 600.0
STEADY = 30.0  # seconds; what has worked for so long is in order
SHORTEST = 1.0  # seconds that a watch lasts at least; one that ends at once is not opened at once


# is told of every object that was added, changed or deleted
Tell = Callable[[Kind, Object], None]


class Watch:
    """Keeps what is known of a kind up to date, as long as `run` runs."""

    def __init__(self, transport: Transport, kind: Kind, metrics: Metrics, tell: Tell) -> None:
        self._transport, self._kind, self._metrics = transport, kind, metrics
        self.kept, self._tell = Kept(kind), tell
        self._heard_at: float | None = None
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._says(alive=False)

    @property
    def alive(self) -> bool:
        """Whether what is kept is what is there."""
        return self._heard_at is not None and self._clock() - self._heard_at < SILENCE

    async def run(self) -> None:
        """Until cancelled."""
        pause = FIRST
        while True:
            started = self._clock()
            try:
                await self._list()
                while True:
                    await self._follow()
            except Exception as error:  # whatever it is, nobody else may end with it
                self._lost(error)
                if not isinstance(error, ClusterError):
                    log().exception("watch_error", kind=self._kind.name)
                # a list that succeeds is no sign of health: its watch may fail again and again
                if self._clock() - started > STEADY:
                    pause = FIRST
                await asyncio.sleep(REFUSED if _is_refused(error) else _about(pause))
                pause = min(2 * pause, MOST)

    def end(self) -> None:
        """It is not wanted any more, and nobody is to wonder why it is not alive."""
        self._heard_at = None
        self._metrics.forget("kubernetes_watch_alive", self._kind.plural)

    def _lost(self, error: Exception) -> None:
        self._heard_at = None
        self._says(alive=False)
        labels = (self._kind.plural, type(error).__name__)
        self._metrics.count("kubernetes_watches_lost_total", *labels)
        log().info("watch_lost", kind=self._kind.name, why=str(error))

    async def _list(self) -> None:
        """Everything from the start, in the place of what was kept once it is whole."""
        fresh = Kept(self._kind)
        async for found, version in self._transport.pages(self._kind, ""):
            for obj in found:
                fresh.put(obj)
            fresh.version = version
        self.kept = fresh

    async def _follow(self) -> None:
        """What happens from the newest version on, until the API server ends the watch."""
        started = self._clock()
        async with aclosing(self._transport.events(self._kind, self.kept.version)) as events:
            async for happened, obj in events:
                self._take(happened, obj)
        if self._clock() - started < SHORTEST:
            await asyncio.sleep(SHORTEST)

    def _take(self, happened: str, obj: Object) -> None:
        self._heard()
        match happened:
            case "OPENED":
                return
            case "ADDED" | "MODIFIED":
                self.kept.put(obj)
            case "DELETED":
                self.kept.drop(obj)
            case "ERROR":
                raise _error_of(self._kind, obj)
        self.kept.version = str(obj["metadata"]["resourceVersion"])
        if happened != "BOOKMARK":
            self._tell(self._kind, obj)

    def _heard(self) -> None:
        if self._heard_at is None:
            self._says(alive=True)
        self._heard_at = self._clock()

    def _says(self, *, alive: bool) -> None:
        self._metrics.set("kubernetes_watch_alive", alive, self._kind.plural)


def _is_refused(error: Exception) -> bool:
    """Whether there is no permission, or no such kind, which does not pass soon."""
    return isinstance(error, Forbidden | TargetGone) and not isinstance(error, Unauthorized)


def _about(pause: float) -> float:
    """Not everybody at once."""
    return pause * random.uniform(0.5, 1.5)


def _error_of(kind: Kind, status: Object) -> ClusterError:
    """What the API server says where it cannot go on."""
    why = f"cannot watch {kind.plural}: {status.get('message')}"
    return Expired(why) if status.get("code") == 410 else Unreachable(why)
