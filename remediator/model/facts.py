"""What was observed, once, before deciding.

What could not be observed is Unknown, never a default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .past import Past
from .sight import Sight, T
from .target import Target, Unresolved


@dataclass(frozen=True, slots=True)
class Unknown:
    """Could not be observed, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at one target. Objects are raw dicts as the API server sends them.

    `origin` is what the alert named, `target` what the rule names after the climb, `root` its top
    controller (or itself). `object` is Unknown when it could not be read, Unresolved where there is
    no one object to act on, and None when it does not exist. `beside` is an object that a plan
    asked to see too. `past` is what remediator did to the target before, by its journal. `began` is
    when the trouble began: the alert's start less its `for`; None where no alert is known. What
    each sight saw is asked for by the sight: `facts[PODS]`.
    """

    at: datetime
    origin: Target
    target: Target
    root: Target
    object: Mapping[str, Any] | Unknown | Unresolved | None
    namespace: Mapping[str, Any] | Unknown | None = None
    beside: Mapping[str, Any] | Unknown | None = None
    past: Past = field(default_factory=Past)
    began: datetime | None = None
    seen: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, sight: Sight[T]) -> T | Unknown:
        """What the sight saw; Unknown where it was not asked, or the target has no such fact."""
        if sight.name in self.seen:
            return self.seen[sight.name]  # type: ignore[no-any-return]
        return Unknown(f"{sight.name} of {self.target} was not requested")

    def __contains__(self, sight: Sight[Any]) -> bool:
        """Whether the sight was asked, and saw something."""
        return not isinstance(self[sight], Unknown)

    def saw(self, sight: Sight[T], fact: T | Unknown) -> "Facts":
        """The same facts with what one more sight saw."""
        return replace(self, seen={**self.seen, sight.name: fact})

    @property
    def since(self) -> datetime:
        """From when causes look back: when the trouble began, where that is known, else now."""
        return min(self.began or self.at, self.at)


def unseen(at: datetime, target: Target, why: Unknown | Unresolved | None) -> Facts:
    """The facts of a target of which nothing was read; None: it does not exist."""
    return Facts(at, target, target, target, why)
