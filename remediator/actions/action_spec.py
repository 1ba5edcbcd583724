"""What an action is: one frozen value from which registry, schema, docs and RBAC follow."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..model.call import Call, Evidence
from ..model.cause import Cause
from ..model.facts import Facts
from ..model.kind import Kind
from ..model.plan import Plan, Refusal, Seen
from ..model.sight import Sight
from ..model.verdict import Reason


class Parameters(BaseModel):
    """What stands under a step's `with`; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# What an action may call: the verb, the kind, the subresource. RBAC follows, and nothing else is
# sent.
Write = tuple[str, Kind, str]
Sent = tuple[Evidence, ...]
Causes = tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """A kind of intervention. `plan`, `next`, `verify` and `undo` are pure.

    `sees` is what must be seen to plan it, `watches` to verify it, go on with it and take it back.
    What is `disruptive` takes pods away: what guards must see before that is seen too. `proof` is
    the default of a step's `verify.until`. `next` gives the calls that depend on what the first
    ones brought, within the plan's bounds. `undo` plans how to take back what was done, by
    comparing and restoring, and `restored` verifies that; None where that cannot be. `ending` is
    what a timed undo does instead. `restore_after` is the default of a step's `restore.after`:
    quiet since resolved. A storm does not hold what is `storm_exempt`: it takes nothing away that
    serves.
    """

    name: str
    summary: str
    manual: str
    params: type[Parameters]
    targets: frozenset[Kind]
    calls: frozenset[Write]
    disruption: str
    causes: frozenset[str]
    sees: frozenset[Sight[Any]]
    watches: frozenset[Sight[Any]]
    waives: frozenset[Reason]
    plan: Callable[[Facts, Any, Causes], Plan | Refusal]
    verify: Callable[[Plan, Sent, Facts], Seen]
    example: str
    proof: str = "resolved"
    next: Callable[[Plan, Sent, Facts], tuple[Call, ...]] | None = None
    undo: Callable[[Plan, Sent, Facts], Plan | Refusal] | None = None
    restored: Callable[[Plan, Sent, Facts], Seen] | None = None
    ending: Callable[[Plan, Sent, Facts], Plan | Refusal] | None = None
    restore_after: timedelta | None = None
    storm_exempt: bool = False
    disruptive: bool = True
