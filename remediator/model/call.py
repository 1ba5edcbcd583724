"""One call to the cluster, as a value: what it assumes, what it leaves, and what proves that it took effect."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from .raw import annotations, labels, meta, ready
from .target import Target

PREFIX = "remediator.io"
STAMP = f"{PREFIX}/stamp"
MAX_REPLICAS = f"{PREFIX}/max-replicas"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
CALL_ID = "{call}"  # stands in a body for the call's id until it is sent
FIELD_MANAGER = "remediator"


class Effect(StrEnum):
    """What an object shows of a call whose answer is not known."""

    PROVED = "proved"
    OVERTAKEN = "overtaken"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. The executor adds the resourceVersion of its last reading.

    `body` is a JSON Patch (patch), the object (create), or what to read (collect). `assumes` is what `view` must show
    just before, `leaves` what it shows once the call took effect; `seen` is the object's version at planning.
    Effect proved by: the stamp, or managedFields where a subresource drops it. Not proved: sent again only where the
    object's version is still `seen`. `whole` is false of a call that was stored without its secret values: it is not sent.
    """

    verb: str
    target: Target
    body: Any = ()
    subresource: str = ""
    assumes: Mapping[str, Any] = field(default_factory=dict)
    leaves: Mapping[str, Any] = field(default_factory=dict)
    seen: int = 0
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
        """What a digest covers: all but versions, times and stamps."""
        body = [_timeless(op) for op in self.body] if self.verb == "patch" else self.body
        return {
            "verb": self.verb,
            "target": self.target.key,
            "subresource": self.subresource,
            "body": body,
        }


def _timeless(op: Mapping[str, Any]) -> Mapping[str, Any]:
    path = str(op["path"])
    if path.endswith("restartedAt") or path.endswith("stamp"):
        return {**op, "value": "*"}
    return {key: value for key, value in op.items() if key != "time"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a call returned: the answer's status, the call's id, and what `view` showed then (or what was collected)."""

    status: int
    stamp: str
    left: Mapping[str, Any] = field(default_factory=dict)


def evidence_of(call: Call, call_id: str, obj: Mapping[str, Any], status: int = 200) -> Evidence:
    """The evidence in an object that the cluster answered with."""
    return Evidence(status, call_id, view(obj, call.leaves))


def evidence_to_json(evidence: tuple[Evidence, ...]) -> list[dict[str, Any]]:
    """As the journal stores it."""
    return [asdict(item) for item in evidence]


def evidence_from_json(data: list[dict[str, Any]] | None) -> tuple[Evidence, ...]:
    """What `evidence_to_json` wrote."""
    return tuple(Evidence(**item) for item in data or [])


def template_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """A workload's pod template without what a restart and we ourselves write into it."""
    return bare_template((obj.get("spec") or {}).get("template") or {})


def bare_template(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pod template as compared: no restartedAt, none of our annotations, no pod-template-hash."""
    metadata = dict(template.get("metadata") or {})
    kept = {
        k: v
        for k, v in (metadata.get("annotations") or {}).items()
        if k != RESTARTED_AT and not k.startswith(PREFIX)
    }
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != "pod-template-hash"}
    bare = {"labels": labels} | ({"annotations": kept} if kept else {})
    return {"metadata": bare, "spec": template.get("spec") or {}}


def template_hash(template: Mapping[str, Any]) -> str:
    """A short hash of a template as compared."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def template_state(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pod template in short: its hash as compared, and its restartedAt."""
    return {
        "template": template_hash(bare_template(template)),
        "restartedAt": annotations(template).get(RESTARTED_AT),
    }


def _spec(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("spec") or {}


VIEWS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "template": lambda obj: template_hash(template_of(obj)),
    "restartedAt": lambda obj: annotations(_spec(obj).get("template") or {}).get(RESTARTED_AT),
    "replicas": lambda obj: _spec(obj).get("replicas"),
    "minReplicas": lambda obj: _spec(obj).get("minReplicas", 1),
    "labels": labels,
    "ready": ready,
}


def view(obj: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object that calls assume and leave, by name."""
    return {name: VIEWS[name](obj) for name in names}


def version_of(obj: Mapping[str, Any]) -> int:
    """What tells that somebody changed the object: its generation, else (an HPA has none) its resourceVersion."""
    generation = meta(obj).get("generation")
    return int(generation if generation is not None else meta(obj).get("resourceVersion") or 0)


def effect(call: Call, call_id: str, obj: Mapping[str, Any] | None) -> Effect:
    """Whether the call took effect, by what its object shows now."""
    if call.verb == "delete":
        gone = (
            obj is None
            or str(meta(obj).get("uid")) != call.target.uid
            or bool(meta(obj).get("deletionTimestamp"))
        )
        return Effect.PROVED if gone else Effect.ABSENT
    if obj is None or call.verb == "collect":
        return Effect.ABSENT
    if call.subresource:
        stands = view(obj, call.leaves) == dict(call.leaves) and wrote(obj, call)
        return Effect.PROVED if stands else Effect.ABSENT
    if annotations(obj).get(STAMP) != call_id:
        return Effect.ABSENT
    return Effect.PROVED if view(obj, call.leaves) == dict(call.leaves) else Effect.OVERTAKEN


def wrote(obj: Mapping[str, Any], call: Call) -> bool:
    """Whether managedFields say that we were the last to set the fields of the spec that a call leaves."""
    ours = [e for e in meta(obj).get("managedFields") or [] if e.get("manager") == FIELD_MANAGER]
    fields = [(entry.get("fieldsV1") or {}).get("f:spec") or {} for entry in ours]
    return all(any(f"f:{name}" in spec for spec in fields) for name in call.leaves)
