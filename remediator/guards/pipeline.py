"""The guards in their order: a literal list. The limits come last, inside the begin transaction."""

import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from ..model.verdict import Verdict
from . import (
    activity,
    approval,
    blast_radius,
    breaker,
    budgets,
    freshness,
    grace,
    inhibition,
    limits,
    mode,
    opt_in,
    opt_out,
    ownership,
    pause,
    preconditions,
    protection,
    replaceability,
    scope,
    storm,
    window,
)
from .situation import Before, Situation, Undoing

S = TypeVar("S", bound=Before, contravariant=True)


class Guard(Protocol[S]):
    """One question about a situation of its type."""

    __module__: str

    def __call__(self, situation: S) -> Verdict: ...


FIRST: list[Guard[Before]] = [pause.check, window.check, grace.check, protection.check]
SECOND: list[Guard[Situation]] = [
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
UNDO: list[Guard[Undoing]] = [pause.check, scope.check, protection.check]
SEES = ownership.SEES  # what guards look at before any act
DISRUPTION = (
    blast_radius.SEES | budgets.SEES | replaceability.SEES
)  # and before one that takes pods
LIMITS = [
    limits.target_lock,
    limits.cooldown,
    limits.attempts,
    limits.rates,
    limits.in_flight,
    storm.check,
    breaker.check,
]
SET_BY = {
    "pause": "`remediator pause`", "window": "`windows`", "freshness": "`max_age`, `pending`", "activity": "`sources[].alertmanager`",
    "grace": "`startup_grace`", "scope": "`groups[].scope`", "protection": "`protected_namespaces`, `scope.protected`",
    "opt_in": "`scope.opt_in`", "opt_out": "annotations", "ownership": "`owners`", "blast_radius": "`limits.blast_radius`",
    "budgets": "PodDisruptionBudgets", "replaceability": "-", "inhibition": "`unless`", "preconditions": "`when`",
    "approval": "`mode`, `approval`", "mode": "`mode`", "target_lock": "`priority`", "cooldown": "`limits.cooldown`",
    "attempts": "`limits.attempts`", "rates": "`limits.per_rule`; settings `limits`", "in_flight": "`limits.in_flight`",
    "storm": "settings `storm`", "breaker": "settings `breaker`",
}  # fmt: skip


def ask(guards: Sequence[Guard[S]], situation: S) -> list[Verdict]:
    """Every guard's verdict."""
    return [guard(situation) for guard in guards]


def described() -> Iterator[tuple[str, str, str, str]]:
    """Every guard in its order: its name, what sets it, what it is for, and at which looks it is asked."""
    for guard in SECOND:
        name, text = _said(sys.modules[guard.__module__].__doc__, "")
        yield (
            name,
            SET_BY[name],
            text,
            "first look, second look, write" if guard in FIRST else "second look, write",
        )
    for limit in LIMITS:
        shared = limit.__name__ != "check"
        name, text = (
            _said(limit.__doc__, limit.__name__)
            if shared
            else _said(sys.modules[limit.__module__].__doc__, "")
        )
        yield name, SET_BY[name], text, "second look, begin"


def _said(documentation: str | None, name: str) -> tuple[str, str]:
    """A guard's name, which begins its file's documentation where it has one of its own, and the first sentence."""
    first = " ".join((documentation or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    head, _, text = first.partition(": ")
    return (name, first) if name else (head, text)
