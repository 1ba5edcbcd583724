"""The guards in their order: a literal list. The limits come last, inside the begin transaction."""

from collections.abc import Callable

from ..model.verdict import Verdict
from . import (
    activity,
    approval,
    blast_radius,
    budgets,
    freshness,
    grace,
    inhibition,
    mode,
    opt_in,
    opt_out,
    ownership,
    pause,
    preconditions,
    protection,
    replaceability,
    scope,
    window,
)
from .situation import Situation

Guard = Callable[[Situation], Verdict]

FIRST: list[Guard] = [pause.check, window.check, grace.check, protection.check]
SECOND: list[Guard] = [
    pause.check,
    window.check,
    freshness.check,
    activity.check,
    grace.check,
    scope.check,
    protection.check,
    opt_in.check,
    opt_out.check,
    ownership.check,
    blast_radius.check,
    budgets.check,
    replaceability.check,
    inhibition.check,
    preconditions.check,
    approval.check,
    mode.check,
]
UNDO: list[Guard] = [pause.check, scope.check, protection.check]


def ask(guards: list[Guard], situation: Situation) -> list[Verdict]:
    """Every guard's verdict."""
    return [guard(situation) for guard in guards]
