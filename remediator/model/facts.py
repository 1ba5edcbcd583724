"""What was observed before deciding. What could not be observed is Unknown, never a default."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .past import Past
from .sight import Sight, T
from .target import Target, Unresolved


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be observed, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """One observation of a target. Objects are raw dicts from the API server.

    `origin` is what the alert named, `target` what the rule acts on, `root` the workload that owns
    it (or itself). `object` is Unknown if it could not be read, Unresolved if there is no single
    object to act on, None if it does not exist. `beside` is another object that a plan asked for.
    `past` is what remediator did to the target before. `began` is when the trouble started: the
    alert's start minus its `for`; None if no alert is known. What a sight saw is indexed by the
    sight: `facts[PODS]`.
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
        """What the sight saw; Unknown if it was not requested, or the target has no such fact."""
        if sight.name in self.seen:
            return self.seen[sight.name]  # type: ignore[no-any-return]
        return Unknown(f"{sight.name} of {self.target} was not requested")

    def __contains__(self, sight: Sight[Any]) -> bool:
        """Whether the sight was requested and saw something."""
        return not isinstance(self[sight], Unknown)

    def saw(self, sight: Sight[T], fact: T | Unknown) -> "Facts":
        """The same facts with one more sight."""
        return replace(self, seen={**self.seen, sight.name: fact})

    @property
    def since(self) -> datetime:
        """The start of the window in which causes look: when the trouble started, or now if
        unknown.
        """
        return min(self.began or self.at, self.at)


def unseen(at: datetime, target: Target, why: Unknown | Unresolved | None) -> Facts:
    """Facts of a target of which nothing was read; None: it does not exist."""
    return Facts(at, target, target, target, why)
