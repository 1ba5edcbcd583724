"""How an attempt goes on or ends: given back before its call, applied, and what the ladder does
after each outcome.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.engine.act.ladder import applied, cancelled, give_back, next_rung, overtaken
from remediator.engine.after import undo
from remediator.model.call import Evidence
from remediator.model.decision import Applied, Climb, End, Retry, Wait
from remediator.model.remediation import Event, Outcome, State, next_state
from remediator.model.verdict import Decision, Reason, Verdict, hold
from remediator.rules.ruleset import LoadedRule
from tests.unit.actions.test_actions import planned
from tests.unit.actions.test_drain_node import TWO
from tests.unit.engine.made import (
    MINUTE,
    RESTART,
    ROLL_BACK,
    SECOND,
    claimed,
    loaded,
    remediation,
    tried,
)
from tests.unit.objects import T

PAUSED = hold("pause", Reason.PAUSED, "me paused all: x", 30 * SECOND)
TWO_STEPS = loaded(ROLL_BACK, RESTART)
ANSWER = Evidence(200, "r-1.1")
DRAIN = planned(TWO, "drain_node")


def after(
    outcome: Outcome, rule: LoadedRule | None = TWO_STEPS, step: int = 0, **more: Any
) -> Climb | End:
    """What follows for a claim of two steps whose step ended like this."""
    claim = claimed(TWO_STEPS, [tried(step=step)], **more)
    return next_rung(claim, rule, T, outcome, reason=Reason.WORSE, why="because")


def test_what_is_given_back_before_its_call_is_tried_again_later_with_the_reason() -> None:
    found = give_back(tried(applied_at=None), T, PAUSED)
    assert isinstance(found, Retry)
    assert (found.reason, found.why, found.until) == (Reason.PAUSED, PAUSED.why, T + 30 * SECOND)
    assert (found.change.attempt, found.change.outcome) == ("r-1.1", Outcome.CANCELLED)


@pytest.mark.parametrize("unsent", [True, False])
def test_only_an_attempt_of_which_nothing_was_sent_is_refunded(unsent: bool) -> None:
    found = give_back(tried(applied_at=None), T, PAUSED, unsent=unsent)
    assert isinstance(found, Retry)
    assert found.unsent is unsent


def test_further_calls_that_are_held_leave_the_attempt_as_it_was_before_them() -> None:
    """The first call stands; the second is forgotten, and comes again at the next check."""
    longer = replace(DRAIN, calls=(*DRAIN.calls, DRAIN.calls[0]))
    made = tried(plan=longer, evidence=(ANSWER,))
    found = give_back(made, T, PAUSED)
    assert isinstance(found, Applied)
    assert found.change.plan == (DRAIN, made.times)
    assert (found.change.evidence, found.change.applied_at) == ((ANSWER,), None)
    assert (found.change.outcome, found.unlock, found.until) == (None, (), T + 30 * SECOND)


@settings(max_examples=30)
@given(st.one_of(st.none(), st.timedeltas(timedelta(), timedelta(days=1))), st.booleans())
def test_what_is_given_back_comes_again_after_a_while_and_never_at_once(
    wait: timedelta | None, done: bool
) -> None:
    verdict = Verdict("g", Decision.HOLD, Reason.PAUSED, "later", wait)
    found = give_back(tried(applied_at=T if done else None), T, verdict)
    assert isinstance(found, Applied | Retry)
    assert found.until >= T + (wait or SECOND)


def test_an_attempt_whose_calls_were_answered_is_verified_and_frees_its_brief_locks() -> None:
    made = tried(plan=DRAIN, applied_at=None, evidence=(ANSWER,))
    found = applied(made, T, DRAIN, " (found applied)")
    assert (found.change.applied_at, found.change.evidence) == (T, (ANSWER,))
    assert found.unlock == DRAIN.brief
    assert found.why == f"under way: {DRAIN.summary} (found applied); verifying"
    assert T < found.until <= T + 5 * SECOND


def test_the_time_to_converge_counts_from_the_first_calls_and_not_from_further_ones() -> None:
    made = tried(applied_at=T - 5 * MINUTE, evidence=(ANSWER,))
    assert applied(made, T, made.plan).change.applied_at == T - 5 * MINUTE


def test_what_was_answered_before_a_cancellation_is_kept() -> None:
    found = cancelled(tried(evidence=(ANSWER,)), T, "ann cancelled it")
    assert (found.event, found.reason, found.why) == (
        Event.CANCEL,
        Reason.OPERATOR,
        "ann cancelled it",
    )
    assert found.change is not None
    assert (found.change.outcome, found.change.evidence) == (Outcome.CANCELLED, (ANSWER,))


def test_an_object_that_somebody_changed_after_our_call_is_left_alone() -> None:
    made = tried()
    found = overtaken(made, made.plan.calls[0], T)
    assert (found.event, found.reason) == (Event.FAIL, Reason.ASSUMPTION_CHANGED)
    assert found.change is not None
    assert found.change.outcome is Outcome.OVERTAKEN
    assert "Deployment/shop/web" in found.why


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.SUCCEEDED}))
def test_the_next_step_follows_whatever_the_last_one_came_to(outcome: Outcome) -> None:
    found = after(outcome)
    assert isinstance(found, Climb)
    assert (found.rung, found.reason, found.why) == (1, Reason.WORSE, "because")
    assert (found.change.attempt, found.change.outcome) == ("r-1.1", outcome)
    assert T < found.until <= T + 5 * SECOND


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.INEFFECTIVE, State.INEFFECTIVE),
        (Outcome.UNKNOWN, State.UNKNOWN),
        (Outcome.FAILED, State.FAILED),
        (Outcome.WORSE, State.FAILED),
        (Outcome.OVERTAKEN, State.FAILED),
    ],
)
def test_the_last_step_ends_it_in_the_state_that_says_what_happened(
    outcome: Outcome, expected: State
) -> None:
    found = after(outcome, step=1)
    assert isinstance(found, End)
    assert next_state(State.VERIFYING, found.event) is expected
    assert found.change is not None
    assert (found.change.attempt, found.change.outcome) == ("r-1.2", outcome)


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        (None, {}),
        (loaded(ROLL_BACK, RESTART, mode="approve"), {}),
        (loaded(ROLL_BACK), {}),
        (TWO_STEPS, {"undo_of": "r-0"}),
    ],
    ids=["the rule was removed", "it was changed", "it lost its second step", "an undo"],
)
def test_no_further_step_is_taken(rule: LoadedRule | None, more: dict[str, Any]) -> None:
    found = after(Outcome.FAILED, rule, **more)
    assert isinstance(found, End)
    assert found.event is Event.FAIL


def waiting_for(state: State, why: str = "", rule: LoadedRule | None = TWO_STEPS) -> Any:
    """What a remediation decides whose undo is in this state."""
    own = remediation(TWO_STEPS, id="u-1", state=state, why=why, undo_of="r-1")
    claim = claimed(TWO_STEPS, [tried()], undo=own, state=State.UNDOING)
    return undo.wait(claim, rule, T)


@pytest.mark.parametrize(
    "state",
    [
        State.QUEUED,
        State.HELD,
        State.AWAITING_APPROVAL,
        State.EXECUTING,
        State.VERIFYING,
        State.UNDOING,
    ],
)
def test_a_remediation_waits_while_its_undo_is_in_progress(state: State) -> None:
    found = waiting_for(state)
    assert isinstance(found, Wait)
    assert (found.reason, found.change) == (Reason.WORSE, None)
    assert found.until > T
    assert "u-1" in found.why


def test_the_ladder_goes_on_from_what_was_before_once_it_is_undone() -> None:
    found = waiting_for(State.SUCCEEDED)
    assert isinstance(found, Climb)
    assert (found.rung, found.change.outcome) == (1, Outcome.WORSE)
    assert found.why == "made things worse; u-1 undid it"


@pytest.mark.parametrize(
    "state",
    [State.FAILED, State.BLOCKED, State.CANCELLED, State.EXPIRED, State.UNKNOWN, State.SUPERSEDED],
)
def test_no_step_is_taken_on_top_of_a_change_that_could_not_be_undone(state: State) -> None:
    found = waiting_for(state, why="the target was modified")
    assert isinstance(found, End)
    assert (found.event, found.reason) == (Event.FAIL, Reason.WORSE)
    assert "u-1 could not undo it: the target was modified" in found.why
