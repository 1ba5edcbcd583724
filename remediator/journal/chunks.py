"""Long lists in parts: a statement takes only so many values."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
CHUNK = 400


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in their order, some at a time."""
    for at in range(0, len(values), CHUNK):
        yield values[at : at + CHUNK]
