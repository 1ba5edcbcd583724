"""JSON pointers into objects: what calls assume and leave is said with them, for any kind alike."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from .raw import conditions_of, ready
from .template import RESTARTED_AT, bare_template, template_hash

Object = Mapping[str, Any]


def escaped(key: str) -> str:
    """A key as a part of a pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


TEMPLATE = "hash:/spec/template"  # compared, and not kept: it may hold secrets
RESTARTED = f"/spec/template/metadata/annotations/{escaped(RESTARTED_AT)}"
REPLICAS = "/spec/replicas"
MIN_REPLICAS = "/spec/minReplicas"
LABELS = "/metadata/labels"
ANNOTATIONS = "/metadata/annotations"
READY = "ready:"  # whether a pod's Ready condition is true
# autoscalers and kubelets move these
DRIFTING = frozenset({REPLICAS, MIN_REPLICAS, READY, ANNOTATIONS})

SCHEMES: Mapping[str, Callable[[Any], Any]] = {
    "hash": lambda template: template_hash(bare_template(template or {})),
    "ready": ready,
}
NAMES_OF_0_2 = {  # as older journals call them
    "template": TEMPLATE,
    "restartedAt": RESTARTED,
    "replicas": REPLICAS,
    "minReplicas": MIN_REPLICAS,
    "labels": LABELS,
    "ready": READY,
}


def parts(path: str) -> list[str]:
    """The keys of a pointer's path."""
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def at(obj: Object, pointer: str) -> Any:
    """The value that a pointer names, None where there is none; what a scheme says of it.

    `condition:TYPE` is the status of a condition.
    """
    scheme, colon, path = pointer.partition(":")
    if scheme == "condition":
        return _condition_status(obj, path)
    if scheme not in SCHEMES or not colon:
        scheme, path = "", pointer
    found: Any = obj
    for part in parts(path):
        found = _below(found, part)
    return SCHEMES[scheme](found) if scheme else found


def _condition_status(obj: Object, type_: str) -> Any:
    for condition in conditions_of(obj):
        if condition.get("type") == type_:
            return condition.get("status")
    return None


def _below(place: Any, part: str) -> Any:
    """One step of a pointer, None where it leads nowhere."""
    if isinstance(place, Mapping):
        return place.get(part)
    if isinstance(place, list) and part.isdigit() and int(part) < len(place):
        return place[int(part)]
    return None


def put(obj: Object, values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of an object with values at plain pointers, which must lead somewhere."""
    made: dict[str, Any] = copy.deepcopy(dict(obj))
    for pointer, value in values.items():
        *above, last = parts(pointer)
        place: Any = made
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[int(last) if isinstance(place, list) else last] = value
    return made


def view(obj: Object, pointers: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an object that pointers name."""
    return {pointer: at(obj, pointer) for pointer in pointers}


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by pointers, where an older journal named them otherwise."""
    return {NAMES_OF_0_2.get(name, name): value for name, value in values.items()}


def said(pointer: str) -> str:
    """A pointer for a person."""
    return "readiness" if pointer == READY else pointer.removeprefix("hash:")
