"""The guards in order, and which are asked at which moment.

Limits are decided last, inside the transaction that starts an attempt.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from .. import guards
from ..model.usage import Usage
from ..model.verdict import Verdict
from ..plugins import values
from .guard import Guard
from .situation import Situation

S = TypeVar("S")

GUARDS = sorted(values(sys.modules[guards.__name__], Guard), key=lambda guard: guard.order)
FIRST = [guard.first for guard in GUARDS if guard.first is not None]
SECOND = [guard.planned for guard in GUARDS if guard.planned is not None]
BEGIN = [guard.begin for guard in GUARDS if guard.begin is not None]
UNDO = [guard.undo for guard in GUARDS if guard.undo is not None]
SEES = frozenset().union(*(guard.sees for guard in GUARDS))  # before any act
DISRUPTION = frozenset().union(*(guard.sees_pods for guard in GUARDS))  # before one that takes pods


def ask(checks: Sequence[Callable[[S], Verdict]], situation: S) -> list[Verdict]:
    """Every guard's verdict."""
    return [check(situation) for check in checks]


def begin(situation: Situation, usage: Usage) -> list[Verdict]:
    """Every limit's verdict, in order."""
    found: list[Verdict] = []
    for check in BEGIN:
        found += check(situation, usage)
    return found
