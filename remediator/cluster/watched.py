"""A cluster as watches tell of it: looks without requests, while the watches of what is looked at
are alive.

Anything else is read live: kinds that are not watched, selectors that are not indexed, and what is
not there, since two watches need not be equally far.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from ..catalogue import KINDS
from ..errors import ClusterError
from ..kinds import EVENT, NODE, POD
from ..model.facts import Facts
from ..model.kind import Kind
from ..model.raw import controller, meta, spec_of
from ..model.sight import Object, Sight
from ..model.target import Target
from .client import KubernetesCluster
from .kept import NODE_OF
from .observing import LONGEST_CLIMB, observe, observe_all
from .watch import Watch

# kind, namespace and name
Named = tuple[str, str, str]
# namespace, label selector and field selector
Listed = tuple[str, str, str]
MOMENT = 10.0  # seconds for which a list of Events is looked at again


@dataclass(frozen=True, slots=True)
class _Lately:
    """A list of Events, and when it was asked for."""

    at: float
    listing: asyncio.Future[list[Object]]


class WatchedCluster:
    """What may be a moment old. Before a write, and before anything is decided for good, the
    cluster itself is looked at.
    """

    def __init__(self, live: KubernetesCluster) -> None:
        self._live, self._metrics = live, live.transport.metrics
        self._watches: dict[Kind, Watch] = {}
        self._wanted: asyncio.Queue[frozenset[Kind]] = asyncio.Queue()
        self._events: dict[Listed, _Lately] = {}

    def want(self, kinds: Iterable[Kind]) -> None:
        """Watches these kinds, and no others. Events come and go too fast to be kept."""
        self._wanted.put_nowait(frozenset(kinds) - {EVENT})

    async def run(self, tell: Callable[[list[Named]], None]) -> None:
        """Until cancelled. `tell` is given the names of whatever something happens to."""
        told = partial(self._told, tell)
        running: dict[Kind, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                wanted = await self._wanted.get()
                for kind in running.keys() - wanted:
                    running.pop(kind).cancel()
                    self._watches.pop(kind).end()
                for kind in wanted - running.keys():
                    self._watches[kind] = Watch(self._live.transport, kind, self._metrics, told)
                    running[kind] = group.create_task(self._watches[kind].run())

    async def observe(
        self, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        return await observe(self, target, climb, sights, now=now)

    async def observe_all(
        self, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
    ) -> tuple[Facts, ...]:
        return await observe_all(self, targets, sights, now)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        watch = self._alive(kind)
        found = watch.kept.get(namespace, name) if watch is not None else None
        self._count(found is not None)
        return found if found is not None else await self._live.get(kind, namespace, name)

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        path, _, node = fields.partition("=")
        if kind == EVENT:
            return await self._lately(namespace, selector, fields)
        watch = self._alive(kind) if path in ("", NODE_OF) else None
        self._count(watch is not None)
        if watch is not None:
            return watch.kept.find(namespace, selector, node)
        return await self._live.list_objects(kind, namespace, selector, fields)

    async def _lately(self, namespace: str, selector: str, fields: str) -> list[Object]:
        """Events as they were listed a moment ago, since all that is held in a namespace looks at
        the same ones again and again.
        """
        key, now = (namespace, selector, fields), asyncio.get_running_loop().time()
        self._forget_events(now - MOMENT)
        self._count(key in self._events)
        if key not in self._events:
            listing = asyncio.ensure_future(self._live.list_objects(EVENT, *key))
            self._events[key] = _Lately(now, listing)
        try:
            # others may wait for it too, even if this look ends before
            return await asyncio.shield(self._events[key].listing)
        except ClusterError:
            self._events.pop(key, None)
            raise

    def _forget_events(self, before: float) -> None:
        self._events = {one: last for one, last in self._events.items() if last.at > before}

    def _told(self, tell: Callable[[list[Named]], None], kind: Kind, obj: Object) -> None:
        """Something happened to an object: to what controls it, and to its node, too."""
        namespace, name = str(meta(obj).get("namespace") or ""), str(meta(obj)["name"])
        names, node = [(kind.name, namespace, name)], spec_of(obj).get("nodeName")
        names += [(NODE.name, "", str(node))] if node and kind == POD else []
        tell(names + list(self._above(namespace, obj)))

    def _above(self, namespace: str, obj: Object | None) -> Iterator[Named]:
        """What controls an object, and what controls that, as far as it is watched."""
        for _ in range(LONGEST_CLIMB):
            owner = controller(obj) if obj is not None else None
            if owner is None:
                return
            kind, name = str(owner["kind"]), str(owner["name"])
            yield kind, namespace, name
            watch = self._watches.get(KINDS[kind]) if kind in KINDS else None
            obj = watch.kept.get(namespace, name) if watch is not None else None

    def _alive(self, kind: Kind) -> Watch | None:
        watch = self._watches.get(kind)
        return watch if watch is not None and watch.alive else None

    def _count(self, kept: bool) -> None:
        self._metrics.count("kubernetes_reads_total", "watch" if kept else "live")
