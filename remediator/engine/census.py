"""Counts the workloads where a group may act, and those in trouble, from which storms are told.
Both go through very much, so they are remembered for a while.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from ..model.facts import Unknown
from ..model.matcher import admits
from ..model.usage import Troubled
from ..ports import Cluster
from ..ports.journal import Journal

REMEMBERED = timedelta(minutes=5)
MOMENT = timedelta(seconds=1)


class Census:
    """Counts by namespace in every cluster. A failed count is not repeated sooner than a successful
    one.
    """

    def __init__(self, clusters: Mapping[str, Cluster]) -> None:
        self._clusters = clusters
        self._counted: dict[str, tuple[datetime, Counter[str] | None]] = {}
        self._in_scope: dict[tuple[str, tuple[str, ...]], int] = {}

    async def count(self, cluster: str, namespaces: tuple[str, ...], now: datetime) -> int | None:
        """The workloads in the namespaces that match the patterns; None if unknown."""
        read_at, counts = self._counted.get(cluster, (now - 2 * REMEMBERED, None))
        if not timedelta() <= now - read_at < REMEMBERED:
            door = self._clusters.get(cluster)
            found = await door.workloads() if door else Unknown("no such cluster")
            counts = None if isinstance(found, Unknown) else Counter(found)
            self._counted[cluster] = (now, counts)
            self._in_scope = {
                key: value for key, value in self._in_scope.items() if key[0] != cluster
            }
        if counts is None:
            return None
        key = (cluster, namespaces)
        if key not in self._in_scope:
            self._in_scope[key] = sum(
                count for name, count in counts.items() if admits(namespaces, name)
            )
        return self._in_scope[key]


class Trouble:
    """The roots of which alerts fire, in every cluster, as they were a moment ago."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._counted: dict[str, tuple[datetime, tuple[Troubled, ...]]] = {}

    async def lately(self, cluster: str, now: datetime) -> tuple[Troubled, ...]:
        """Good enough to hold something; what is to act counts them in the transaction that starts
        it.
        """
        read_at, found = self._counted.get(cluster, (now - MOMENT, ()))
        if not timedelta() <= now - read_at < MOMENT:
            found = await self._journal.troubled(cluster)
            self._counted[cluster] = (now, found)
        return found
