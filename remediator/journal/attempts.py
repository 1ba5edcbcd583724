"""Attempts as they are stored: plans without secrets, and what becomes of them."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.call import evidence_to_json
from ..model.decision import Ask, Decided, Hold, TakeBack
from ..model.plan import Plan, Times, times_to_json, to_json
from ..model.remediation import Attempt
from .letters import dumps
from .tables import attempt


def stored(plan: Plan, times: Times) -> dict[str, Any]:
    """A plan and its times as stored, without secrets."""
    return to_json(plan) | times_to_json(times)


def row_of(made: Attempt) -> dict[str, Any]:
    """The columns of an attempt that begins."""
    return {
        "id": made.id,
        "remediation": made.remediation,
        "number": made.number,
        "step": made.step,
        "action": made.action,
        "plan": dumps(stored(made.plan, made.times)),
        "digest": made.digest,
        "causes": dumps([asdict(cause) for cause in made.causes]),
        "begun_at": made.begun_at,
        "sent_by": made.sent_by,
    }


ADD = sa.insert(attempt)
UPDATE = sa.update(attempt).where(attempt.c.id == sa.bindparam("of_id"))


def insert(c: Connection, made: Attempt) -> None:
    """Stores an intent: durable before any call is sent."""
    c.execute(ADD, row_of(made))


def update(c: Connection, attempt_id: str, **columns: Any) -> None:
    """Changes columns of an attempt."""
    c.execute(UPDATE, {"of_id": attempt_id, **columns})


def change(c: Connection, decided: Decided) -> None:
    """Writes what changed of an attempt."""
    changed, values = changes(decided)
    if values:
        update(c, changed, **values)


def changes(decided: Decided) -> tuple[str, dict[str, Any]]:
    """The attempt that a decision changes, and the columns that do; none of most."""
    wanted = None if isinstance(decided, Hold | Ask | TakeBack) else decided.change
    if wanted is None:
        return "", {}
    values: dict[str, Any] = {
        key: value
        for key in ("applied_at", "converged_at", "relapsed_at", "proved_since", "outcome")
        if (value := getattr(wanted, key)) is not None
    }
    if wanted.plan is not None:
        values["plan"] = dumps(stored(*wanted.plan))
    if wanted.after is not None:
        values["after"] = dumps(wanted.after)
    if wanted.evidence:
        values["evidence"] = dumps(evidence_to_json(wanted.evidence))
    if wanted.clear_proof:
        values["proved_since"] = None
    if wanted.converged_at is not None:
        values["relapsed_at"] = None
    return wanted.attempt, values
