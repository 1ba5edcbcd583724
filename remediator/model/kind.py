"""A kind of Kubernetes object, as a value: a custom resource is one in the file that needs it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .sight import Climb


@dataclass(frozen=True, slots=True)
class Kind:
    """What the API server calls a kind, and how an alert leads to an object of it.

    `labels` are the alert labels that name one; alerts whose names begin with `alerts` name one in
    the label `name`. `above` is one step up from an object towards the workload that it belongs to;
    None: its controller.
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
