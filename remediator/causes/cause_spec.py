"""What a cause is: one frozen value with the facts it needs and the function that finds it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..model.facts import Facts, Unknown
from ..model.sight import Sight


@dataclass(frozen=True, slots=True)
class Found:
    """What a cause found: in words, and as data."""

    why: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CauseSpec:
    """A kind of cause; `manual` is its page.

    `find` is pure, and asked only where all that it `sees` is known.

    `find` is given how far back before the trouble began a change counts. It may answer Unknown
    itself.
    """

    name: str
    manual: str
    sees: frozenset[Sight[Any]]
    find: Callable[[Facts, timedelta], Found | Unknown | None]

    def fits(self, kind: str) -> bool:
        """Whether a target of this kind can have it."""
        return all(sight.fits(kind) for sight in self.sees)
