"""What one attempt will do, concretely: calls as values, and what they assume."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from .call import CALL_ID, PREFIX, Call
from .facts import Facts
from .raw import annotations, meta
from .target import Target
from .verdict import Reason

DRIFTING = {
    "replicas",
    "minReplicas",
    "ready",
}  # an autoscaler moves these; a plan that sets one says so in its calls


@dataclass(frozen=True, slots=True)
class Plan:
    """Calls, one after the other, and what they assume of the target.

    `bounds` says which calls may follow that depend on what the first ones bring ("delete Pod": how many at most).
    `previous` is what an undo puts back, `before` are ready pods and restarts per pod uid at planning; `beside` is an
    object that verification must see too. `takes` is how many ready pods it takes away at once, `successor` the pod
    template of what replaces them. `brief` are those of its locks that are needed only until its calls were answered.
    """

    action: str
    target: Target
    parameters: Mapping[str, Any]
    calls: tuple[Call, ...]
    assumptions: Mapping[str, Any]
    locks: tuple[str, ...]
    summary: str
    previous: Mapping[str, Any]
    before: Mapping[str, Any]
    writes: tuple[str, ...]
    converged_within: timedelta
    bounds: Mapping[str, int] = field(default_factory=dict)
    beside: Target | None = None
    takes: int = 0
    successor: Mapping[str, Any] | None = None
    brief: tuple[str, ...] = ()

    def later(self) -> list[str]:
        """The calls that may follow, one line each for a person."""
        kinds = {tuple(kind.split(" ", 1)): most for kind, most in self.bounds.items()}
        return [
            f"{verb.upper()} {kind}, where needed, {most} times at most"
            for (verb, kind), most in kinds.items()
        ]

    @property
    def digest(self) -> str:
        """What an approval is for: what the plan would do, not what merely happens to be (versions, times, counts)."""
        covered = {
            "uid": self.target.uid,
            "target": self.target.key,
            "action": self.action,
            "parameters": self.parameters,
            "calls": [call.identity for call in self.calls],
            "assumptions": {
                name: value for name, value in self.assumptions.items() if name not in DRIFTING
            },
            "bounds": self.bounds,
        }
        return (
            "sha256:"
            + hashlib.sha256(json.dumps(covered, sort_keys=True, default=str).encode()).hexdigest()[
                :24
            ]
        )


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


def stamp_operations(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The JSON Patch operations that put the call's id on the object, next to what is already there."""
    operations: list[Mapping[str, Any]] = []
    if not annotations(obj):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    operations.append(
        {"op": "add", "path": f"/metadata/annotations/{PREFIX}~1stamp", "value": CALL_ID}
    )
    return operations


def gone(plan: Plan, facts: Facts) -> bool:
    """Whether the plan's object is certainly not there any more: deleted, or another has its name."""
    obj = facts.object
    return obj is None or (
        isinstance(obj, Mapping) and str(meta(obj).get("uid")) != plan.target.uid
    )


def redacted(value: Any) -> Any:
    """Without the values of environment variables, which may be secrets: what may be stored and shown."""
    if isinstance(value, Mapping):
        hidden = "value" in value and "name" in value and len(value) == 2
        return {
            k: "(redacted)" if hidden and k == "value" else redacted(v) for k, v in value.items()
        }
    return [redacted(item) for item in value] if isinstance(value, list | tuple) else value


def call_to_json(call: Call) -> dict[str, Any]:
    """A call as the journal stores it, without secrets."""
    data = asdict(call)
    shown = dict(redacted(data))
    whole = call.whole and shown["body"] == (
        list(data["body"]) if isinstance(data["body"], tuple) else data["body"]
    )
    return shown | {"timeout": call.timeout.total_seconds(), "whole": whole}


def call_from_json(data: Mapping[str, Any]) -> Call:
    """The call that `call_to_json` wrote."""
    body = tuple(data["body"]) if isinstance(data["body"], list) else data["body"]
    return Call(
        **{
            **data,
            "target": Target(**data["target"]),
            "body": body,
            "timeout": timedelta(seconds=data["timeout"]),
        }
    )


def to_json(plan: Plan) -> dict[str, Any]:
    """A plan as the journal stores and `show` prints it: secrets are left out."""
    data: dict[str, Any] = redacted(asdict(plan))
    data["converged_within"] = plan.converged_within.total_seconds()
    data["calls"] = [call_to_json(call) for call in plan.calls]
    del data["successor"]  # it is in the call
    data["digest"] = plan.digest
    return data


def from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `to_json` wrote."""
    plain = ("action", "parameters", "assumptions", "summary", "previous", "before", "bounds")
    return Plan(
        calls=tuple(map(call_from_json, data["calls"])),
        target=Target(**data["target"]),
        locks=tuple(data["locks"]),
        writes=tuple(data["writes"]),
        converged_within=timedelta(seconds=data["converged_within"]),
        beside=Target(**data["beside"]) if data["beside"] else None,
        takes=data.get("takes", 0),
        brief=tuple(data.get("brief", ())),
        **{key: data[key] for key in plain},
    )
