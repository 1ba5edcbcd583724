"""Counts the workloads where a group may act, which the share of a storm refers to. Cached for a
while.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from ..model.facts import Unknown
from ..model.matcher import admits
from ..ports import Cluster

REMEMBERED = timedelta(minutes=5)


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
