"""What one attempt will do: calls as values, what they assume, and what they touch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from .call import CALL_ID, STAMP, Call
from .pointer import ANNOTATIONS, DRIFTING, at, escaped, renamed
from .raw import annotations, meta
from .target import Target
from .verdict import Reason

if TYPE_CHECKING:
    from .facts import Facts


@dataclass(frozen=True, slots=True)
class Touch:
    """An object that a plan changes, or a workload that loses pods by it: what guards judge.

    `paths` are the written fields, as JSON pointers. `takes`: ready pods taken down at once;
    `successor`: pod template of their replacement; `away_from`: a node that does not take them.
    `waits`: the calls themselves wait for disruption budgets; `stays`: the pods restart where they
    are, and nothing replaces them; `outage`: the last ready pod may go.
    """

    target: Target
    root: Target
    paths: tuple[str, ...] = ()
    takes: int = 0
    successor: Mapping[str, Any] | None = None
    away_from: str = ""
    waits: bool = False
    stays: bool = False
    outage: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """Calls that may follow, depending on the result of the first ones; at most so many."""

    verb: str
    kind: str
    most: int

    def covers(self, call: Call) -> bool:
        """Whether it is a call of this sort."""
        return (call.verb, call.target.kind) == (self.verb, self.kind)

    def __str__(self) -> str:
        return f"{self.verb.upper()} {self.kind}, if needed, at most {self.most} times"


@dataclass(frozen=True, slots=True)
class Plan:
    """Calls, in order, and what they assume of the target.

    Guards judge `touches`; calls that `bounds` do not name are never made later. `previous` is what
    an undo restores; `before` are ready pods and restarts per pod UID at planning; `beside` is
    another object that verification needs. `brief` are locks that are needed only until the calls
    were answered.
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
    touches: tuple[Touch, ...]
    converged_within: timedelta
    bounds: tuple[Bound, ...] = ()
    beside: Target | None = None
    brief: tuple[str, ...] = ()

    @property
    def takes(self) -> bool:
        """Whether it takes ready pods away."""
        return any(touch.takes for touch in self.touches)

    def later(self) -> list[str]:
        """The calls that may follow, one line each for a person."""
        return [str(bound) for bound in self.bounds]

    @property
    def _others(self) -> list[str]:
        """What is touched beside the target and what its calls name.

        The workloads that a drain takes pods from.
        """
        named = {self.target.key, *(call.target.key for call in self.calls)}
        return sorted({touch.target.key for touch in self.touches} - named)

    @property
    def digest(self) -> str:
        """What an approval is for: what the plan would do, not what merely
        happens to be (versions, times, counts).
        """
        assumed = {key: value for key, value in self.assumptions.items() if key not in DRIFTING}
        covered: dict[str, Any] = {
            "uid": self.target.uid,
            "target": self.target.key,
            "action": self.action,
            "parameters": self.parameters,
            "calls": [call.identity for call in self.calls],
            "assumptions": assumed,
            "bounds": [str(bound) for bound in self.bounds],
        }
        if self._others:
            covered["touches"] = self._others
        text = json.dumps(covered, sort_keys=True, default=str)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Times:
    """Time limits of what follows an attempt, fixed when it starts. `restore_after` None: not
    undone.
    """

    converged_within: timedelta
    resolved_within: timedelta
    quiet_for: timedelta
    restore_after: timedelta | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An action's refusal, with the message for people."""

    reason: Reason
    why: str


class Verified(StrEnum):
    """What an action sees of its effect. FAILED ended without success and is not undone; WORSE is
    undone.
    """

    CONVERGED = "converged"
    WAITING = "waiting"
    FAILED = "failed"
    WORSE = "worse"
    OVERTAKEN = "overtaken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """What an action saw of its effect, with a message if needed."""

    how: Verified
    why: str = ""


def stamp_operations(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """JSON Patch operations that put the call's ID on the object, next to existing annotations."""
    operations: list[Mapping[str, Any]] = []
    if not annotations(obj):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    path = f"/metadata/annotations/{escaped(STAMP)}"
    operations.append({"op": "add", "path": path, "value": CALL_ID})
    return operations


def unannotated(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The assumption of a stamp: an object without annotations still has none."""
    return {} if annotations(obj) else {ANNOTATIONS: at(obj, ANNOTATIONS)}


def gone(plan: Plan, facts: "Facts") -> bool:
    """Whether the plan's object is certainly gone."""
    obj = facts.object
    return obj is None or (
        isinstance(obj, Mapping) and str(meta(obj).get("uid")) != plan.target.uid
    )


def redacted(value: Any, variable: bool = True) -> Any:
    """Without the values of environment variables, which may be secrets.

    What may be stored and shown. A `variable` stands in a list, or is the value that an operation
    writes; elsewhere a map of `name` and `value` is something else, such as labels.
    """
    if isinstance(value, Mapping):
        hidden = variable and set(value) == {"name", "value"}
        return {
            key: "(redacted)" if hidden and key == "value" else redacted(inner, key == "value")
            for key, inner in value.items()
        }
    value = _columns(value) if is_dataclass(value) else value
    return [redacted(item) for item in value] if isinstance(value, list | tuple) else value


def _columns(value: Any, *but: str) -> dict[str, Any]:
    """A dataclass as plain data without secrets, but for these fields."""
    names = (field.name for field in fields(value) if field.name not in but)
    return {name: redacted(getattr(value, name), name == "value") for name in names}


def call_to_json(call: Call) -> dict[str, Any]:
    """A call as the journal stores it, without secrets."""
    shown = _columns(call)
    body = list(call.body) if isinstance(call.body, tuple) else call.body
    whole = call.whole and shown["body"] == body
    return shown | {"timeout": call.timeout.total_seconds(), "whole": whole}


def call_from_json(data: Mapping[str, Any]) -> Call:
    """The call that `call_to_json`, or that of an older version, wrote."""
    body = tuple(data["body"]) if isinstance(data["body"], list) else data["body"]
    own: dict[str, Any] = {
        "target": Target(**data["target"]),
        "body": body,
        "timeout": timedelta(seconds=data["timeout"]),
        "assumes": renamed(data["assumes"]),
        "leaves": renamed(data["leaves"]),
        "proof": data.get("proof") or _proof_of_0_2(data),
    }
    return Call(**{**data, **own})


def _proof_of_0_2(data: Mapping[str, Any]) -> str:
    """What older versions, which did not say so, took as proof."""
    by_verb = {"delete": "gone", "collect": "read"}
    return by_verb.get(data["verb"], "managed" if data["subresource"] else "stamp")


def to_json(plan: Plan) -> dict[str, Any]:
    """A plan as the journal stores and `show` prints it: secrets are left out."""
    return _columns(plan, "calls", "touches") | {
        "converged_within": plan.converged_within.total_seconds(),
        "calls": list(map(call_to_json, plan.calls)),
        # a successor is in the call
        "touches": [_columns(touch, "successor") for touch in plan.touches],
    }


def times_to_json(times: Times) -> dict[str, float]:
    """Times in seconds, as the journal keeps them beside the plan."""
    return {
        "converged_within": times.converged_within.total_seconds(),
        "resolved_within": times.resolved_within.total_seconds(),
        "quiet_for": times.quiet_for.total_seconds(),
        "restore_after": times.restore_after.total_seconds() if times.restore_after else 0.0,
    }


def times_from_json(data: Mapping[str, Any]) -> Times:
    """The times that `times_to_json` wrote; an undo of an older version has no `restore_after`."""
    restore = timedelta(seconds=data.get("restore_after", 0.0))
    return Times(
        converged_within=timedelta(seconds=data["converged_within"]),
        resolved_within=timedelta(seconds=data["resolved_within"]),
        quiet_for=timedelta(seconds=data["quiet_for"]),
        restore_after=restore or None,
    )


def from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `to_json`, or that of an older version, wrote."""
    return Plan(
        action=data["action"],
        target=Target(**data["target"]),
        parameters=data["parameters"],
        calls=tuple(map(call_from_json, data["calls"])),
        assumptions=renamed(data["assumptions"]),
        locks=tuple(data["locks"]),
        summary=data["summary"],
        previous=renamed(data["previous"]),
        before=data["before"],
        touches=_touches(data),
        converged_within=timedelta(seconds=data["converged_within"]),
        bounds=_bounds(data["bounds"]),
        beside=Target(**data["beside"]) if data["beside"] else None,
        brief=tuple(data.get("brief", ())),
    )


def _touches(data: Mapping[str, Any]) -> tuple[Touch, ...]:
    if "touches" not in data:  # as versions up to 0.2 wrote it
        target = Target(**data["target"])
        return (Touch(target, target, takes=data.get("takes", 0), outage=True),)
    made = []
    for touch in data["touches"]:
        target, root = Target(**touch["target"]), Target(**touch["root"])
        own = {"target": target, "root": root, "paths": tuple(touch["paths"])}
        made.append(Touch(**{**touch, **own}))
    return tuple(made)


def _split(kind: str) -> tuple[str, str]:
    verb, _, kind = kind.partition(" ")
    return verb, kind


def _bounds(data: Any) -> tuple[Bound, ...]:
    if isinstance(data, Mapping):  # as versions up to 0.2 wrote it
        return tuple(Bound(*_split(kind), most) for kind, most in data.items())
    return tuple(Bound(**bound) for bound in data)
