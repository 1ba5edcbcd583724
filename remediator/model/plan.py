"""What one attempt will do, concretely: calls as values, and what they assume."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from .facts import Facts, annotations, meta
from .target import Target
from .verdict import Reason

PREFIX = "remediator.io"
STAMP = f"{PREFIX}/stamp"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
CALL_ID = "{call}"  # stands in a body for the call's id until it is sent


@dataclass(frozen=True, slots=True)
class Call:
    """One write: a JSON Patch on one object. The executor adds the resourceVersion of its last reading.

    Effect proved by: the object carries this call's stamp. Not proved: sent again only where the object's generation
    is still the intent's.
    """

    verb: str
    target: Target
    body: tuple[Mapping[str, Any], ...]
    timeout: timedelta = timedelta(seconds=10)

    def describe(self) -> str:
        """One line for a person."""
        fields = ", ".join(str(op["path"]) for op in self.body)
        return f"{self.verb.upper()} {self.target} ({fields})"


@dataclass(frozen=True, slots=True)
class Plan:
    """Calls and what they assume of the target.

    `before` are ready pods and restarts per pod uid at planning; `leaves` is what the target's template will be once the calls took effect (`template_state`), which proves that they did.
    """

    action: str
    target: Target
    parameters: Mapping[str, Any]
    calls: tuple[Call, ...]
    assumptions: Mapping[str, Any]
    locks: tuple[str, ...]
    summary: str
    previous: Mapping[str, Any]
    leaves: Mapping[str, Any]
    before: Mapping[str, Any]
    writes: tuple[str, ...]
    converged_within: timedelta

    @property
    def digest(self) -> str:
        """What an approval is for: all but resourceVersions, times and stamps."""
        calls = [
            {"verb": call.verb, "target": call.target.key, "body": [_timeless(op) for op in call.body]} for call in self.calls
        ]
        covered = {
            "uid": self.target.uid,
            "target": self.target.key,
            "action": self.action,
            "parameters": self.parameters,
            "calls": calls,
            "assumptions": self.assumptions,
        }
        return "sha256:" + hashlib.sha256(json.dumps(covered, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _timeless(op: Mapping[str, Any]) -> Mapping[str, Any]:
    path = str(op["path"])
    if path.endswith("restartedAt") or path.endswith("stamp"):
        return {**op, "value": "*"}
    return {key: value for key, value in op.items() if key != "time"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An action's own no, with the words for a person."""

    reason: Reason
    why: str


class Verification(StrEnum):
    """What an action sees of its effect, asked again and again."""

    CONVERGED = "converged"
    WAITING = "waiting"
    WORSE = "worse"
    OVERTAKEN = "overtaken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a call returned."""

    status: int
    generation: int
    resource_version: str
    stamp: str
    template_hash: str = ""


def template_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """A workload's pod template without what a restart and we ourselves write into it."""
    template = (obj.get("spec") or {}).get("template") or {}
    return bare_template(template)


def bare_template(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pod template as compared: no restartedAt, none of our annotations, no pod-template-hash."""
    metadata = dict(template.get("metadata") or {})
    kept = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != RESTARTED_AT and not k.startswith(PREFIX)}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != "pod-template-hash"}
    bare = {"labels": labels} | ({"annotations": kept} if kept else {})
    return {"metadata": bare, "spec": template.get("spec") or {}}


def template_hash(template: Mapping[str, Any]) -> str:
    """A short hash of a template as compared."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def template_state(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pod template in short: its hash as compared, and its restartedAt."""
    return {"template": template_hash(bare_template(template)), "restartedAt": annotations(template).get(RESTARTED_AT)}


def stamp_operations(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The JSON Patch operations that put the call's id on the object, next to what is already there."""
    operations: list[Mapping[str, Any]] = []
    if not annotations(obj):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    operations.append({"op": "add", "path": f"/metadata/annotations/{PREFIX}~1stamp", "value": CALL_ID})
    return operations


def pods_before(facts: Facts) -> Mapping[str, Any]:
    """Ready pods and restarts per pod uid, to tell *worse* later."""
    pods = facts.pods if isinstance(facts.pods, tuple) else ()
    return {"ready": sum(ready(pod) for pod in pods), "restarts": {str(meta(p).get("uid")): restarts(p) for p in pods}}


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's Ready condition is true and it is not going away."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    going = bool(meta(pod).get("deletionTimestamp"))
    return not going and any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def restarts(pod: Mapping[str, Any]) -> int:
    """The restarts of all containers of a pod."""
    return sum(int(s.get("restartCount") or 0) for s in (pod.get("status") or {}).get("containerStatuses") or [])


def redacted(value: Any) -> Any:
    """Without the values of environment variables, which may be secrets: what may be stored and shown."""
    if isinstance(value, Mapping):
        hidden = "value" in value and "name" in value and len(value) == 2
        return {k: "(redacted)" if hidden and k == "value" else redacted(v) for k, v in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list | tuple) else value


def to_json(plan: Plan) -> dict[str, Any]:
    """A plan as the journal stores and `show` prints it: never enough to send it again, since secrets are left out."""
    data: dict[str, Any] = redacted(asdict(plan))
    data["converged_within"] = plan.converged_within.total_seconds()
    data["calls"] = [{**c, "timeout": call.timeout.total_seconds()} for c, call in zip(data["calls"], plan.calls, strict=True)]
    data["digest"] = plan.digest
    return data


def from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `to_json` wrote."""
    calls = tuple(
        Call(c["verb"], Target(**c["target"]), tuple(c["body"]), timedelta(seconds=c["timeout"])) for c in data["calls"]
    )
    plain = ("action", "parameters", "assumptions", "summary", "previous", "leaves", "before")
    rest = {key: data[key] for key in plain}
    return Plan(
        calls=calls,
        target=Target(**data["target"]),
        locks=tuple(data["locks"]),
        writes=tuple(data["writes"]),
        converged_within=timedelta(seconds=data["converged_within"]),
        **rest,
    )
