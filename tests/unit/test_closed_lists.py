"""Every member of a closed list can happen.

Something in the source says it, beside its definition and its texts.
"""

import ast
from enum import Enum
from pathlib import Path

import pytest

import remediator
from remediator.guards.situation import Before, Situation, Undoing
from remediator.model.alert import Activity, Fate
from remediator.model.call import Effect
from remediator.model.identity import Change
from remediator.model.plan import Verified
from remediator.model.remediation import Event, Outcome, State
from remediator.model.verdict import REASONS, Decision, Reason

SOURCE = Path(remediator.__file__).parent
LISTS: list[type[Enum]] = [
    Activity, Fate, Effect, Change, Verified, Event, Outcome, State, Decision, Reason,
]  # fmt: skip
TABLES = {"TRANSITIONS", "REASONS", "STRENGTH"}  # what says something of members, but emits none


def named() -> set[tuple[str, str]]:
    """(enum, member) of every place in the source that names one, but for the tables."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            target = getattr(node, "target", None) or (getattr(node, "targets", None) or [None])[0]
            if isinstance(target, ast.Name) and target.id in TABLES:
                continue
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                    found.add((inner.value.id, inner.attr))
    return found


NAMED = named()


@pytest.mark.parametrize("kind", LISTS, ids=lambda kind: kind.__name__)
def test_every_member_of_a_closed_list_can_happen(kind: type[Enum]) -> None:
    never = [member.name for member in kind if (kind.__name__, member.name) not in NAMED]
    assert never == []


def test_every_reason_has_its_text() -> None:
    assert set(REASONS) == set(Reason)


def test_the_three_moments_of_guards_are_three_types() -> None:
    assert issubclass(Situation, Undoing)
    assert issubclass(Undoing, Before)
