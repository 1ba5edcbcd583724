"""Rows of the journal's tables as plain objects, found by their key or by an indexed column; and
timers.

The columns and their defaults are those of `journal.tables`.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from ..timers import CLAIMED


class Row:
    """One row: an attribute for each column."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.__dict__ = columns

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the table has no column {name}")

    @property
    def columns(self) -> Mapping[str, Any]:
        """Its values by column."""
        return self.__dict__

    def _asdict(self) -> dict[str, Any]:
        return self.__dict__.copy()


@cache
def _defaults(table: sa.Table) -> dict[str, Any]:
    given = ((column.key, column.default) for column in table.columns)
    return {key: getattr(default, "arg", None) for key, default in given}


class Rows:
    """The rows of one table by their key, in the order in which they were added."""

    def __init__(self, table: sa.Table, *by: str, key: str = "id") -> None:
        self._defaults, self._key = _defaults(table), key
        self._rows: dict[Any, Row] = {}
        self._by: dict[str, dict[Any, dict[Any, Row]]] = {column: {} for column in by}
        self._last = 0

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Any) -> Row | None:
        """The row with this key, if there is one."""
        return self._rows.get(key)

    def __getitem__(self, key: Any) -> Row:
        return self._rows[key]

    def having(self, column: str, value: Any) -> list[Row]:
        """The rows that have this value in an indexed column."""
        return list(self._by[column].get(value, {}).values())

    def where(self, **values: Any) -> list[Row]:
        """The rows that have these values in any columns; one that is empty is not asked for."""
        wanted = {column: value for column, value in values.items() if value}.items()
        return [row for row in self if wanted <= row.columns.items()]

    def add(self, **values: Any) -> Row:
        """A new row. Without a key it gets the next number."""
        if self._key not in values:
            self._last += 1
            values[self._key] = self._last
        row = Row(self._defaults | values)
        key = values[self._key]
        self._rows[key] = row
        for column, index in self._by.items():
            index.setdefault(getattr(row, column), {})[key] = row
        return row

    def change(self, row: Row, **values: Any) -> None:
        """Other values in some columns."""
        for column in self._by.keys() & values.keys():
            self._unfile(row, column)
            self._by[column].setdefault(values[column], {})[getattr(row, self._key)] = row
        row.__dict__.update(values)

    def drop(self, row: Row) -> None:
        """No longer there."""
        del self._rows[getattr(row, self._key)]
        for column in self._by:
            self._unfile(row, column)

    def _unfile(self, row: Row, column: str) -> None:
        value = getattr(row, column)
        there = self._by[column][value]
        del there[getattr(row, self._key)]
        if not there:
            del self._by[column][value]


class Due:
    """What is due when, the most overdue first. What was moved or taken away is skipped when it
    comes up.
    """

    def __init__(self) -> None:
        self._at: dict[Any, datetime] = {}
        self._heap: list[tuple[datetime, Any]] = []

    def put(self, what: Any, at: datetime) -> None:
        """Due then, whenever it was due before."""
        self._at[what] = at
        heapq.heappush(self._heap, (at, what))

    def at(self, what: Any) -> datetime | None:
        """When it is due."""
        return self._at.get(what)

    def drop(self, what: Any) -> bool:
        """Not due any more. Whether it was."""
        return self._at.pop(what, None) is not None

    def first(self) -> datetime | None:
        """When the first is due."""
        heap = self._heap
        while heap and self._at.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def until(self, now: datetime, limit: int | None = None) -> list[Any]:
        """What is due by now, most overdue first; it stays due."""
        taken: dict[Any, tuple[datetime, Any]] = {}
        while len(taken) != limit and self._is_due(now):
            item = heapq.heappop(self._heap)
            taken[item[1]] = item
        for item in taken.values():
            heapq.heappush(self._heap, item)
        return list(taken)

    def _is_due(self, now: datetime) -> bool:
        first = self.first()
        return first is not None and first <= now

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._at))


class Timers:
    """One row per kind and reference."""

    def __init__(self) -> None:
        self.of: defaultdict[str, Due] = defaultdict(Due)

    def put(self, kind: str, ref: str, due_at: datetime) -> None:
        """Creates or moves a timer."""
        self.of[kind].put(ref, due_at)

    def pull(self, kind: str, refs: Iterable[str], now: datetime) -> None:
        """Makes those due that are not yet, and marks those that somebody works on."""
        for ref in refs:
            at = self.of[kind].at(ref)
            if at is not None and (at > now or at == CLAIMED):
                self.of[kind].put(ref, now)

    def __contains__(self, ref: str) -> bool:
        return any(due.at(ref) is not None for due in self.of.values())

    def drop(self, ref: str) -> None:
        """Every timer of a reference."""
        for due in self.of.values():
            due.drop(ref)

    def next(self) -> datetime | None:
        """When the first is due that nobody works on."""
        firsts = (self._unclaimed(due) for due in self.of.values())
        return min((at for at in firsts if at is not None), default=None)

    def _unclaimed(self, due: Due) -> datetime | None:
        first = due.first()
        if first != CLAIMED:
            return first
        return min((at for ref in due if (at := due.at(ref)) and at != CLAIMED), default=None)
