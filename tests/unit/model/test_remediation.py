"""The state table: every live state reaches an end, ends never
move, and what is not in the table raises.
"""

import itertools

import pytest

from remediator.model.remediation import ACTING, LIVE, TRANSITIONS, Event, State, next_state
from remediator.model.verdict import REASONS, Reason


def test_every_pair_outside_the_table_raises() -> None:
    for state, event in itertools.product(State, Event):
        if (state, event) in TRANSITIONS:
            assert next_state(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(ValueError, match="cannot"):
                next_state(state, event)


def test_only_live_states_move() -> None:
    assert {state for state, _ in TRANSITIONS} == LIVE


@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_live_state_reaches_an_end(state: State) -> None:
    reached, fresh = set(), {state}
    while fresh:
        reached |= fresh
        fresh = {after for (before, _), after in TRANSITIONS.items() if before in fresh} - reached
    assert reached - LIVE


def test_success_only_comes_from_verifying() -> None:
    assert {state for (state, _), after in TRANSITIONS.items() if after is State.SUCCEEDED} == {
        State.VERIFYING
    }


def test_acting_is_entered_only_by_begin() -> None:
    entering = {
        event
        for (state, event), after in TRANSITIONS.items()
        if after in ACTING and state not in ACTING
    }
    assert entering == {Event.START}


def test_every_reason_is_documented() -> None:
    assert set(REASONS) == set(Reason)
