"""One call to the cluster, as a value: what it assumes, what it leaves, and what proves that it
took effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from .managed import managed
from .pointer import parts, renamed, view
from .raw import annotations, meta
from .target import Target
from .template import PREFIX, RESTARTED_AT

STAMP = f"{PREFIX}/stamp"
MAX_REPLICAS = f"{PREFIX}/max-replicas"
CALL_ID = "{call}"  # stands in a body for the call's id until it is sent
FIELD_MANAGER = "remediator"


class Effect(StrEnum):
    """What an object shows of a call whose answer is unknown."""

    PROVED = "proved"
    OVERTAKEN = "overtaken"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. The executor adds the resourceVersion of its last read.

    `body` is a JSON Patch (patch), the object (create), or what to read (collect). `assumes` is
    what pointers must show just before, `leaves` what they show once the call took effect; `seen`
    is the object's version at planning. `proof` names what shows that it took effect; without one,
    it is only sent again while the object's version is still `seen`. `whole` is false for a call
    that was stored without its secret values; it is never sent. `touch` is the key of what it
    touches, if that is not its target.
    """

    verb: str
    target: Target
    body: Any = ()
    subresource: str = ""
    assumes: Mapping[str, Any] = field(default_factory=dict)
    leaves: Mapping[str, Any] = field(default_factory=dict)
    seen: int = 0
    proof: str = "stamp"
    touch: str = ""
    timeout: timedelta = timedelta(seconds=10)
    whole: bool = True

    def describe(self) -> str:
        """One line for a person."""
        what = f"{self.verb.upper()} {self.target}" + (
            f"/{self.subresource}" if self.subresource else ""
        )
        return (
            f"{what} ({', '.join(str(op['path']) for op in self.body)})"
            if self.verb == "patch"
            else what
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the digest covers: everything except versions, times and stamps."""
        body = [_timeless(op) for op in self.body] if self.verb == "patch" else self.body
        return {
            "verb": self.verb,
            "target": self.target.key,
            "subresource": self.subresource,
            "body": body,
        }


def _timeless(op: Mapping[str, Any]) -> Mapping[str, Any]:
    path = str(op["path"])
    if parts(path)[-1:] in ([RESTARTED_AT], [STAMP]):
        return {**op, "value": "*"}
    value = op.get("value")
    if isinstance(value, Mapping) and "lastTransitionTime" in value:
        return {**op, "value": {**value, "lastTransitionTime": "*"}}
    return op


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a call returned: the status, the call's ID, and the values of `view` (or what was
    collected).
    """

    status: int
    stamp: str
    left: Mapping[str, Any] = field(default_factory=dict)


def evidence_of(call: Call, call_id: str, obj: Mapping[str, Any], status: int = 200) -> Evidence:
    """The evidence in an object that the cluster returned."""
    return Evidence(status, call_id, view(obj, call.leaves))


def evidence_to_json(evidence: tuple[Evidence, ...]) -> list[dict[str, Any]]:
    """As the journal stores it."""
    return [asdict(item) for item in evidence]


def evidence_from_json(data: list[dict[str, Any]] | None) -> tuple[Evidence, ...]:
    """What `evidence_to_json` wrote."""
    return tuple(Evidence(**{**item, "left": renamed(item["left"])}) for item in data or [])


def bound(call: Call, call_id: str) -> Call:
    """The call with its ID in the name of the object it creates, if the name contains a
    placeholder.
    """
    if CALL_ID not in call.target.name:
        return call
    name = call.target.name.replace(CALL_ID, call_id.replace(".", "-"))
    return replace(call, target=replace(call.target, name=name))


def version_of(obj: Mapping[str, Any]) -> int:
    """What changes when someone modifies the object: its generation, or its resourceVersion if it
    has none (HPA).
    """
    generation = meta(obj).get("generation")
    return int(generation if generation is not None else meta(obj).get("resourceVersion") or 0)


def effect(call: Call, call_id: str, obj: Mapping[str, Any] | None) -> Effect:
    """Whether the call took effect, by what its object shows now."""
    return PROOFS[call.proof](call, call_id, obj)


def ours(name: str) -> bool:
    """Whether a field manager is this daemon."""
    return name == FIELD_MANAGER


def _stamped(call: Call, call_id: str, obj: Mapping[str, Any] | None) -> Effect:
    """The object carries the call's ID, and shows what the call left."""
    if obj is None or annotations(obj).get(STAMP) != call_id:
        return Effect.ABSENT
    return Effect.PROVED if view(obj, call.leaves) == dict(call.leaves) else Effect.OVERTAKEN


def _managed(call: Call, _call_id: str, obj: Mapping[str, Any] | None) -> Effect:
    """managedFields say that we set these values, for subresources that drop the stamp."""
    if obj is None or view(obj, call.leaves) != dict(call.leaves):
        return Effect.ABSENT
    set_by_us = all(managed(obj, pointer, ours) for pointer in call.leaves)
    return Effect.PROVED if set_by_us else Effect.ABSENT


def _gone(call: Call, _call_id: str, obj: Mapping[str, Any] | None) -> Effect:
    """The object no longer exists, or is being deleted."""
    if obj is None or str(meta(obj).get("uid")) != call.target.uid:
        return Effect.PROVED
    return Effect.PROVED if meta(obj).get("deletionTimestamp") else Effect.ABSENT


def _moved(call: Call, _call_id: str, obj: Mapping[str, Any] | None) -> Effect:
    """What the call assumed has changed, by us or someone else; it is not sent again."""
    if obj is None:
        return Effect.ABSENT
    same = view(obj, call.assumes) == dict(call.assumes)
    return Effect.ABSENT if same else Effect.PROVED


def _read(_call: Call, _call_id: str, _obj: Mapping[str, Any] | None) -> Effect:
    """It changes nothing; without an answer it is read again."""
    return Effect.ABSENT


Proof = Callable[[Call, str, Mapping[str, Any] | None], Effect]
PROOFS: Mapping[str, Proof] = {
    "stamp": _stamped,
    "managed": _managed,
    "gone": _gone,
    "moved": _moved,
    "read": _read,
}
