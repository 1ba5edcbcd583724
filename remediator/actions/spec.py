"""What an action is: one frozen value from which registry, schema, docs and RBAC follow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..causes.cause import CauseName
from ..model.facts import Facts, Sight
from ..model.plan import Plan, Refusal, Verification
from ..model.verdict import Reason


class Parameters(BaseModel):
    """What stands under a step's `with`; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Permission:
    """One RBAC need: the API group, the resource and the verbs."""

    group: str
    resource: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """A kind of intervention. `plan`, `verify` and `undo` are pure; `proof` is the default of a step's `verify.until`.

    `undo` plans how to take back what the plan did, by comparing and restoring, and `restored` verifies that; None where
    that cannot be.
    """

    name: str
    summary: str
    manual: str
    params: type[Parameters]
    targets: frozenset[str]
    permissions: tuple[Permission, ...]
    disruption: str
    causes: frozenset[CauseName]
    sights: frozenset[Sight]
    waives: frozenset[Reason]
    plan: Callable[[Facts, Any], Plan | Refusal]
    verify: Callable[[Plan, Mapping[str, Any], Facts], Verification]
    example: str
    proof: str = "resolved"
    undo: Callable[[Plan, Mapping[str, Any], Facts], Plan | Refusal] | None = None
    restored: Callable[[Plan, Mapping[str, Any], Facts], Verification] | None = None
