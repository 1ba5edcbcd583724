"""What was observed, once, before deciding. What could not be observed is Unknown, never a default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .past import Past
from .target import Target, Unresolved


@dataclass(frozen=True, slots=True)
class Unknown:
    """Could not be observed, and why."""

    why: str


class Sight(StrEnum):
    """A kind of fact that can be asked for."""

    TARGET = "target"
    PODS = "pods"
    REVISIONS = "revisions"
    AUTOSCALER = "autoscaler"
    ISOLATION = "isolation"
    SIBLINGS = "siblings"
    BUDGETS = "budgets"
    ROOM = "room"


DECIDING = frozenset(
    {Sight.SIBLINGS, Sight.BUDGETS, Sight.ROOM}
)  # what only guards look at, before an act


@dataclass(frozen=True, slots=True)
class Revision:
    """An older or the current pod template of a workload: a ReplicaSet (Deployment) or a ControllerRevision."""

    number: int
    name: str
    uid: str
    created_at: datetime
    template: Mapping[str, Any]
    replicas: int
    ready: int
    current: bool
    seen_healthy: bool = False


@dataclass(frozen=True, slots=True)
class Isolation:
    """Where a pod stands in its namespace: Services that list it as an endpoint, pods in quarantine, its own policy."""

    services: tuple[str, ...]
    quarantined: tuple[str, ...]
    policy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """Whether a replacement can come: the namespace's quotas, the nodes, and events of pods that could not be created."""

    quotas: tuple[Mapping[str, Any], ...]
    nodes: tuple[Mapping[str, Any], ...]
    failed: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at one target. Objects are raw dicts as the API server sends them.

    `target` is what the rule names after the climb, `root` its top controller (or itself); `owner_chain` the objects
    climbed through. `object` is Unknown when it could not be read, Unresolved where there is no one object to act on, and
    None when it does not exist. `autoscaler` is the HPA that scales the target, None where there is none; `beside` an
    object that a plan asked to see too. `siblings` are the pods of a pod's workload, `budgets` the disruption budgets of the
    namespace. `past` is what remediator did to the target before, by its journal. `began` is when the trouble began: the
    alert's start less its `for`; None where no alert is known.
    """

    at: datetime
    target: Target
    root: Target
    object: Mapping[str, Any] | Unknown | Unresolved | None
    namespace: Mapping[str, Any] | Unknown | None = None
    pods: tuple[Mapping[str, Any], ...] | Unknown = Unknown("not asked for")
    revisions: tuple[Revision, ...] | Unknown = Unknown("not asked for")
    autoscaler: Mapping[str, Any] | Unknown | None = Unknown("not asked for")
    isolation: Isolation | Unknown = Unknown("not asked for")
    beside: Mapping[str, Any] | Unknown | None = None
    siblings: tuple[Mapping[str, Any], ...] | Unknown = Unknown("not asked for")
    budgets: tuple[Mapping[str, Any], ...] | Unknown = Unknown("not asked for")
    room: Room | Unknown = Unknown("not asked for")
    past: Past = field(default_factory=Past)
    began: datetime | None = None

    @property
    def since(self) -> datetime:
        """From when causes look back: when the trouble began, where that is known, else now."""
        return min(self.began or self.at, self.at)

    @property
    def peers(self) -> tuple[Mapping[str, Any], ...] | Unknown:
        """The pods of the workload that is acted upon, or that the pod is one of."""
        return self.siblings if self.target.kind == "Pod" else self.pods


def current_revision(facts: Facts) -> Revision | None:
    """The revision that runs now, where the revisions are known."""
    revisions = facts.revisions if isinstance(facts.revisions, tuple) else ()
    return next((revision for revision in revisions if revision.current), None)
