"""Every kind of object that can be named: built-in, or defined by an action or a sight."""

from .actions import ACTIONS
from .causes import CAUSES
from .errors import Unsupported
from .kinds import NAMED
from .model.kind import Kind
from .sights import SIGHTS


def _known() -> dict[str, Kind]:
    """By name.

    What is in a namespace comes before what holds it: labels are asked in this order.
    """
    sights = set(SIGHTS.values())
    for cause in CAUSES.values():
        sights |= cause.sees
    for action in ACTIONS.values():
        sights |= action.sees
    custom: set[Kind] = set()
    for action in ACTIONS.values():
        custom |= action.targets | {kind for _, kind, _ in action.calls}
    for sight in sights:
        custom |= sight.lists | sight.gets
    custom -= set(NAMED)
    known = [*NAMED, *sorted(custom, key=lambda kind: kind.name)]
    return {kind.name: kind for kind in sorted(known, key=lambda kind: not kind.namespaced)}


KINDS = _known()


def kind_of(name: str) -> Kind:
    """The kind of that name. Raises: Unsupported."""
    if name not in KINDS:
        raise Unsupported(f"objects of kind {name} are not supported")
    return KINDS[name]
