"""A kind of Kubernetes object, as a value. A custom resource needs one in its own file."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .sight import Climb


@dataclass(frozen=True, slots=True)
class Kind:
    """How the API server names a kind, and how an alert leads to an object of it.

    `labels` are alert labels that name one; for alerts whose names start with `alerts`, the label
    `name` does. `above` is one step up from an object to what owns it; None: its controller.
    """

    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True
    labels: tuple[str, ...] = ()
    alerts: str = ""
    above: Climb | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.name


def among(kind: str, kinds: Iterable[Kind]) -> bool:
    """Whether the name is that of one of the kinds."""
    return any(kind == one.name for one in kinds)
