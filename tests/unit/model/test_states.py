"""States and verdicts: what may follow what, who is told, and which verdict decides.

Nothing that has acted ends as if it had not, and nothing that has not acted is told as a failure.
"""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model import decision
from remediator.model.remediation import (
    ACTING,
    LIVE,
    STATES,
    TRANSITIONS,
    WAITING,
    Event,
    Severity,
    Stage,
    State,
    next_state,
)
from remediator.model.verdict import (
    REASONS,
    Decision,
    Reason,
    Verdict,
    allow,
    deny,
    hold,
    strongest,
)
from tests.unit.objects import MINUTE, T


def following(*states: State) -> set[State]:
    return {after for (before, _), after in TRANSITIONS.items() if before in states}


def reachable(start: State, without: frozenset[State] = frozenset()) -> set[State]:
    """Every state that may come after one, by ways that avoid some."""
    reached: set[State] = set()
    fresh = {start}
    while fresh:
        fresh = following(*fresh) - reached - without
        reached |= fresh
    return reached


def test_states_are_waiting_acting_or_ended() -> None:
    assert {State.QUEUED, State.HELD, State.AWAITING_APPROVAL} == WAITING
    assert {State.EXECUTING, State.VERIFYING, State.UNDOING} == ACTING
    assert set(STATES) == set(State)
    assert {state for state in State if STATES[state].stage is not Stage.ENDED} == LIVE


def test_what_acts_never_ends_as_if_it_had_not() -> None:
    assert not following(*ACTING) & {State.OBSERVED, State.BLOCKED, State.EXPIRED}
    assert not following(*ACTING) & {State.HELD, State.AWAITING_APPROVAL}


def test_what_never_acted_is_never_a_success_and_never_in_doubt() -> None:
    ends = reachable(State.QUEUED, frozenset({State.EXECUTING}))
    assert not ends & {State.SUCCEEDED, State.UNKNOWN, State.VERIFYING, State.UNDOING}


def test_every_state_can_come_about() -> None:
    assert reachable(State.QUEUED) == set(State)


@pytest.mark.parametrize("state", sorted(WAITING))
@pytest.mark.parametrize(
    ("event", "after"),
    [
        (Event.HOLD, State.HELD),
        (Event.ASK, State.AWAITING_APPROVAL),
        (Event.OBSERVE, State.OBSERVED),
        (Event.BLOCK, State.BLOCKED),
        (Event.START, State.EXECUTING),
        (Event.EXPIRE, State.EXPIRED),
        (Event.CANCEL, State.CANCELLED),
        (Event.SUPERSEDE, State.SUPERSEDED),
    ],
)
def test_whatever_waits_may_begin_be_held_or_be_given_up(
    state: State, event: Event, after: State
) -> None:
    assert next_state(state, event) is after


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.UNDOING, Event.CANCEL),
        (State.UNDOING, Event.PROVED),
        (State.EXECUTING, Event.PROVED),
        (State.EXECUTING, Event.SUPERSEDE),
        (State.EXECUTING, Event.START),
        (State.VERIFYING, Event.START),
        (State.QUEUED, Event.PROVED),
        (State.QUEUED, Event.APPLIED),
        (State.HELD, Event.CLIMB),
        *itertools.product(sorted(set(State) - LIVE), [Event.START, Event.CANCEL, Event.HOLD]),
    ],
)
def test_what_makes_no_sense_in_a_state_is_refused(state: State, event: Event) -> None:
    with pytest.raises(ValueError, match=f"cannot {event} a remediation that is {state}"):
        next_state(state, event)


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_whatever_happens_an_end_is_final_and_a_start_comes_before_a_success(
    events: list[Event],
) -> None:
    state, begun = State.QUEUED, False
    for event in events:
        was = state
        if (state, event) in TRANSITIONS:
            state = next_state(state, event)
            assert was in LIVE
        begun = begun or (event is Event.START and state is State.EXECUTING)
        assert begun or state not in ACTING | {State.SUCCEEDED, State.UNKNOWN}


CRITICAL = {State.INEFFECTIVE, State.FAILED, State.UNKNOWN}


def test_people_are_told_at_once_of_every_end_without_success_that_is_not_their_own() -> None:
    told = {state for state in State if STATES[state].told}
    assert told == {*CRITICAL, State.BLOCKED, State.EXPIRED}
    assert all(STATES[state].followed for state in told)
    assert {state for state in State if STATES[state].severity is Severity.CRITICAL} == CRITICAL


def test_a_change_of_the_rules_only_revives_what_the_rules_had_ended() -> None:
    assert {state for state in State if STATES[state].by_reload} == {State.OBSERVED, State.BLOCKED}


def test_each_decision_is_an_event_that_some_state_allows() -> None:
    assert (decision.Hold.event, decision.Ask.event) == (Event.HOLD, Event.ASK)
    assert decision.Retry.event is decision.Climb.event is Event.CLIMB
    assert (decision.Applied.event, decision.TakeBack.event) == (Event.APPLIED, Event.UNDO)
    assert decision.Wait(at=T, reason=None, why="", until=T).event is None
    end = decision.End(event=Event.FAIL, at=T, reason=Reason.DEADLINE, why="too long")
    assert next_state(State.VERIFYING, end.event) is State.FAILED


ASK = Verdict("approval", Decision.APPROVE, Reason.APPROVAL_REQUIRED)
HOLD, DENY = hold("pause", Reason.PAUSED, "x"), deny("scope", Reason.OUT_OF_SCOPE, "y")
VERDICTS = st.sampled_from([allow("mode"), ASK, HOLD, DENY, hold("storm", Reason.STORM, "z")])
RANK = [Decision.ALLOW, Decision.APPROVE, Decision.HOLD, Decision.DENY]


@given(st.lists(VERDICTS, min_size=1))
def test_the_strongest_verdict_decides_and_the_first_of_equals(verdicts: list[Verdict]) -> None:
    top = max(RANK.index(verdict.decision) for verdict in verdicts)
    first = next(verdict for verdict in verdicts if RANK.index(verdict.decision) == top)
    assert strongest(verdicts) is first


@given(st.lists(VERDICTS), st.lists(VERDICTS))
def test_no_further_verdict_ever_makes_the_answer_weaker(
    some: list[Verdict], more: list[Verdict]
) -> None:
    before, after = strongest(some).decision, strongest([*some, *more]).decision
    assert RANK.index(after) >= RANK.index(before)


def test_nothing_against_it_is_allowed() -> None:
    assert strongest([]).decision is Decision.ALLOW


def test_a_hold_says_when_to_look_again_and_a_denial_does_not() -> None:
    assert HOLD.retry_after is not None
    assert HOLD.retry_after > timedelta()
    assert hold("g", Reason.STORM, "", MINUTE).retry_after == MINUTE
    assert (DENY.retry_after, allow("g").retry_after) == (None, None)


def test_a_verdict_is_shown_in_plain_words() -> None:
    assert DENY.as_json() == {
        "guard": "scope",
        "verdict": "deny",
        "reason": "out_of_scope",
        "why": "y",
    }
    assert allow("mode").as_json()["reason"] is None


def test_reasons_that_pass_by_themselves_and_those_that_say_nothing_of_the_rule() -> None:
    holds = {reason for reason, spec in REASONS.items() if spec.holds}
    stepped_in = {reason for reason, spec in REASONS.items() if spec.stepped_in}
    for_good = {reason for reason, spec in REASONS.items() if not spec.clears}
    rollouts = {Reason.ROLLOUT_RUNNING, Reason.PAUSED_ROLLOUT}
    assert holds == {Reason.NO_CAUSE, Reason.UNKNOWN_FACT, *rollouts}
    assert stepped_in == {Reason.ASSUMPTION_CHANGED, Reason.TARGET_GONE, Reason.OPERATOR}
    assert for_good == {Reason.APPROVAL_EXPIRED, Reason.DEADLINE, Reason.OPERATOR}
