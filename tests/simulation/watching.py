"""What a replica's watches are told: a while later, and nothing while they are `quiet`.

The watches and what is kept of them are the daemon's own; only the wire is played.
"""

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from remediator.cluster.transport import SILENCE
from remediator.cluster.watch import Watch
from remediator.cluster.watched import WatchedCluster
from remediator.errors import Unreachable
from remediator.model.kind import Kind
from remediator.model.sight import Object

from .invariants import FRESH, Broken

if TYPE_CHECKING:
    from .world import Door, Replica, Simulation

BOOKMARK = 60.0  # seconds between two, if nothing happens
OFTEN, SELDOM = 2.0, 10.0  # seconds that a watch is behind, while things happen and after that
SLACK = 1.0
Key = tuple[str, str, str]


class Wire:
    """Lists and watches of one replica."""

    def __init__(self, sim: "Simulation", replica: "Replica", metrics: Any) -> None:
        self._sim, self._replica, self.metrics = sim, replica, metrics
        self.heard_at: dict[str, float] = {}
        self._known: dict[str, dict[Key, Object]] = {}

    def _there(self, kind: Kind) -> dict[Key, Object]:
        """What there is now. The sandbox keeps an object's newer state in its place, or changes
        it, so versions tell one from another.
        """
        objects = self._sim.cluster.objects
        return {key: copy.copy(obj) for key, obj in objects.items() if key[0] == kind.name}

    async def pages(
        self, kind: Kind, _namespace: str
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """The whole list."""
        await self._replica.reach()
        there = self._known[kind.name] = self._there(kind)
        yield copy.deepcopy(list(map(dict, there.values()))), str(self._sim.loop.now)

    async def events(self, kind: Kind, _version: str) -> AsyncIterator[tuple[str, Object]]:
        """What has changed since it was told of last, until something breaks."""
        await self._replica.reach()
        self.heard_at[kind.name] = self._sim.loop.now
        yield "OPENED", {}
        while True:
            await asyncio.sleep(OFTEN if self._sim.active else SELDOM)
            async for happened, obj in self._since(kind):
                self.heard_at[kind.name] = self._sim.loop.now
                yield happened, obj

    async def _since(self, kind: Kind) -> AsyncIterator[tuple[str, Object]]:
        now = self._sim.loop.now
        silent_for = now - self.heard_at[kind.name]
        if silent_for >= SILENCE:
            raise Unreachable(f"cannot watch {kind.plural}: nothing heard for {SILENCE:.0f}s")
        if now < self._replica.quiet_until or now < self._sim.hangs_until:
            return
        if now < self._sim.blind_until:
            raise Unreachable(f"cannot watch {kind.plural}: connection reset")
        if self._replica.expired.pop(kind.name, None):
            yield "ERROR", {"code": 410, "message": "too old resource version"}
        self._sim.passes()
        changes = list(self._changes(kind))
        for change in changes:
            yield change
        if not changes and silent_for >= BOOKMARK:
            yield "BOOKMARK", {"metadata": {"resourceVersion": str(now)}}

    def _changes(self, kind: Kind) -> list[tuple[str, Object]]:
        known, there = self._known[kind.name], self._there(kind)
        self._known[kind.name] = there
        gone = [("DELETED", known[key]) for key in known.keys() - there.keys()]
        new = [("ADDED", there[key]) for key in there.keys() - known.keys()]
        both = sorted(known.keys() & there.keys())
        changed = [key for key in both if _version(known[key]) != _version(there[key])]
        told = [*gone, *new, *(("MODIFIED", there[key]) for key in changed)]
        return copy.deepcopy(told)


def _version(obj: Object) -> Any:
    return obj["metadata"]["resourceVersion"], obj["metadata"]["uid"]


class Watching(WatchedCluster):
    """A replica's watched cluster; whoever believes a watch that is not heard from is found."""

    def __init__(self, sim: "Simulation", door: "Door") -> None:
        super().__init__(door)  # type: ignore[arg-type]
        self._sim, self._wire = sim, door.transport

    def _alive(self, kind: Kind) -> Watch | None:
        watch = super()._alive(kind)
        if watch is not None:
            silent_for = self._sim.loop.now - self._wire.heard_at[kind.name]
            if silent_for > SILENCE + SLACK:
                why = f"a {kind.name} was seen by a watch that is silent for {silent_for:.0f}s"
                self._sim.broke(Broken(FRESH, why))
        return watch
