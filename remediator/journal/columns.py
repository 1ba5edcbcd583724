"""Which columns of a remediation change when it starts, is superseded, or is decided: pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson

from ..model.decision import Ask, AttemptChange, Climb, Decided, End, Hold, Wait
from ..model.look import Look
from ..model.remediation import ACTING, Event, Remediation, State, next_state
from ..model.verdict import Decision, Reason, Verdict
from ..ports.records import Intent
from .letters import dumps


def started(state: State, intent: Intent) -> dict[str, Any]:
    """An attempt begins."""
    return {
        "state": next_state(state, Event.START),
        "acted": True,
        "reason": None,
        "why": "",
        "held_since": None,
        "changed_at": intent.attempt.begun_at,
        "look": dumps(intent.look.as_json()),
    }


def cancelled(operator: str) -> Verdict:
    """Why nothing begins any more."""
    return Verdict("operator", Decision.DENY, Reason.OPERATOR, f"cancelled by {operator}")


def still(
    remediation: Remediation,
    row: Any,
    decided: Decided,
    fires: Callable[[], bool],
) -> Decided:
    """The decision, or an immediate wait if its basis changed."""
    match decided:
        case End(unless_firing=True):
            return _firing_again(decided) if fires() else decided
        case Ask():
            changed = row.approved_digest != remediation.approved_digest
            return _as_it_was(row, decided.at) if changed else decided
    return decided


def _firing_again(ends: End) -> Wait:
    made = ends.change
    again = AttemptChange(made.attempt, clear_proof=True) if made else None
    why = "an alert is firing again"
    return Wait(at=ends.at, reason=None, why=why, until=ends.at, change=again)


def _as_it_was(row: Any, now: datetime) -> Wait:
    reason = Reason(row.reason) if row.reason else None
    return Wait(at=now, reason=reason, why=row.why, until=now)


def superseded(state: State, reason: Reason, why: str, now: datetime) -> dict[str, Any]:
    """It ends in favour of another."""
    return {
        "state": next_state(state, Event.SUPERSEDE),
        "live": False,
        "ended_at": now,
        "changed_at": now,
        "reason": reason,
        "why": why,
    }


def moves(row: Any, decided: Decided) -> tuple[State, State]:
    """Its state before the decision, and after."""
    state = State(row.state)
    return state, next_state(state, decided.event) if decided.event else state


def waits_for_turn(row: Any) -> bool:
    """Whether its rule was acting on as many targets as it may when it was looked at last."""
    return row.reason == Reason.TOO_MANY_IN_FLIGHT and not row.undo_of


def had_a_place(row: Any) -> bool:
    """Whether it acts, or may have its turn now: if it is neither any more, another has."""
    return waits_for_turn(row) or (row.state in ACTING and not row.undo_of)


def passes_on(row: Any, after: State, decided: Decided) -> bool:
    """Whether the next remediation of its rule gets its turn."""
    stays = after in ACTING or decided.reason is Reason.TOO_MANY_IN_FLIGHT
    return had_a_place(row) and not stays


def columns_of(row: Any, state: State, after: State, decided: Decided) -> dict[str, Any]:
    """The columns that change."""
    values: dict[str, Any] = {"reason": decided.reason, "why": decided.why, "lease_until": None}
    # people have the whole time for each plan
    if after is not state or (isinstance(decided, Ask) and decided.question):
        values |= {"state": after, "changed_at": decided.at}
    if after is State.HELD:
        values["held_since"] = row.held_since or decided.at
    if after in ACTING:
        values["held_since"] = None
    return values | _values_of(row, decided)


def _values_of(row: Any, decided: Decided) -> dict[str, Any]:
    """The columns that change with the kind of decision."""
    values: dict[str, Any] = {}
    if isinstance(decided, Ask | Climb):
        values |= {"held_since": None, "approved_digest": "", "approved_by": ""}
    if isinstance(decided, Climb):
        values |= {"rung": decided.rung, "look": dumps(_without_asked(row.look))}
    if isinstance(decided, Hold | Ask | End) and decided.look is not None:
        values["look"] = dumps(_with_asked(decided, decided.look, row.look))
    if isinstance(decided, End):
        values |= {"live": False, "ended_at": decided.at, "ended_template": decided.template}
    return values


def _with_asked(decided: Decided, look: Look, before: str) -> Mapping[str, Any]:
    """The evaluation, and the plan that approval was asked for, once."""
    shown = look.as_json()
    asked = shown["digest"] if isinstance(decided, Ask) else orjson.loads(before).get("asked")
    return {**shown, "asked": asked} if asked else shown


def _without_asked(before: str) -> Mapping[str, Any]:
    return {key: value for key, value in orjson.loads(before).items() if key != "asked"}
