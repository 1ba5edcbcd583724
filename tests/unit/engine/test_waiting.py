"""A remediation that waits: what ends it before anything is observed, how long it is held, when
people are asked and what they are asked.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediator.engine.decide.waiting import by_verdict, ended
from remediator.model.alert import Episode
from remediator.model.decision import Ask, Decided, End, Hold
from remediator.model.look import Look
from remediator.model.plan import Plan
from remediator.model.remediation import Event, Outcome, State
from remediator.model.verdict import Decision, Reason, Verdict, allow, deny, hold
from remediator.ports.records import Claim
from tests.unit.actions.test_actions import planned
from tests.unit.engine.made import MINUTE, SECOND, TICK, claimed, fired, loaded, tried
from tests.unit.objects import HOUR, T, facts

PLAN = planned(facts())
OTHER = planned(facts(), "rollback_workload")
ASKS = Verdict("approval", Decision.APPROVE, Reason.APPROVAL_REQUIRED, "needs approval")
OBSERVES = deny("mode", Reason.OBSERVE_MODE, "rule r is in observe mode; it would restart it")
PAUSED = hold("pause", Reason.PAUSED, "me paused all: x")
DENIED = deny("ownership", Reason.OWNED_ELSEWHERE, "Argo CD owns it")


def end_of(claim: Claim, rule: Any = "as it was", at: datetime = T) -> tuple[Any, Any] | None:
    """The event and the reason that end it, if any does; `rule` None: it was removed."""
    found = ended(claim, loaded() if rule == "as it was" else rule, at)
    return None if found is None else (found.event, found.reason)


def judged(claim: Claim, verdict: Verdict, look: Look | None = None, **more: Any) -> Decided:
    """What follows from a verdict; `more` are keys of the rule."""
    seen = look or Look(T, (verdict,), plan=PLAN)
    return by_verdict(claim, loaded(**more), verdict, seen, link=None)


@pytest.mark.parametrize("rule", ["as it was", None], ids=["rule loaded", "rule removed"])
@pytest.mark.parametrize("episodes", [(fired(),), (fired(ended=MINUTE),)], ids=["fires", "over"])
def test_an_operator_who_cancels_is_named_whatever_else_would_end_it(
    rule: Any, episodes: Sequence[Episode]
) -> None:
    claim = claimed(episodes=episodes, cancel_by="ann cancelled it", created_at=T - 9 * HOUR)
    found = ended(claim, loaded() if rule else None, T)
    assert found is not None
    assert (found.event, found.reason) == (Event.CANCEL, Reason.OPERATOR)
    assert (found.why, found.unless_firing) == ("ann cancelled it", False)


@pytest.mark.parametrize(("rule", "word"), [(None, "removed"), (loaded(mode="approve"), "changed")])
def test_a_rule_that_is_not_what_it_was_matches_the_alerts_again(rule: Any, word: str) -> None:
    found = ended(claimed(), rule, T)
    assert found is not None
    assert (found.event, found.reason) == (Event.SUPERSEDE, Reason.RULE_CHANGED)
    assert found.why == f"rule r was {word}"


def test_a_reload_that_writes_a_default_out_changes_nothing() -> None:
    assert end_of(claimed(), loaded(expire="1h", priority="0")) is None


@pytest.mark.parametrize(
    ("episodes", "expected"),
    [
        ((fired(ended=MINUTE),), (Event.CANCEL, Reason.RESOLVED)),
        ((fired(ended=MINUTE), fired(ended=SECOND)), (Event.CANCEL, Reason.RESOLVED)),
        ((), (Event.CANCEL, Reason.RESOLVED)),
        ((fired(ended=MINUTE), fired(name="B")), None),
    ],
    ids=["its alert is over", "both are over", "it has none", "one of two fires"],
)
def test_nothing_is_done_once_every_alert_is_over(
    episodes: Sequence[Episode], expected: tuple[Any, Any] | None
) -> None:
    assert end_of(claimed(episodes=episodes)) == expected


def test_an_end_because_all_is_over_gives_way_to_an_alert_that_joins() -> None:
    found = ended(claimed(episodes=()), loaded(), T)
    assert found is not None
    assert found.unless_firing


LIMITS: list[tuple[str, dict[str, Any], str, tuple[Any, Any]]] = [
    ("deadline", {}, "created_at", (Event.EXPIRE, Reason.DEADLINE)),
    (
        "expire",
        {"state": State.HELD, "reason": Reason.PAUSED},
        "held_since",
        (Event.EXPIRE, Reason.PAUSED),
    ),
    (
        "approval",
        {"state": State.AWAITING_APPROVAL, "reason": Reason.APPROVAL_REQUIRED},
        "changed_at",
        (Event.EXPIRE, Reason.APPROVAL_EXPIRED),
    ),
]


@pytest.mark.parametrize(("key", "more", "since", "expected"), LIMITS, ids=lambda v: str(v)[:8])
def test_a_time_limit_ends_it_just_after_it_and_not_at_it(
    key: str, more: dict[str, Any], since: str, expected: tuple[Any, Any]
) -> None:
    given = {"deadline": "5h", "expire": "5h", "approval": "{expires: 5h}"}
    limits = {**given, key: given[key].replace("5h", "20m")}
    rule = loaded(**limits)
    at_it = claimed(rule, **{**more, since: T - 20 * MINUTE})
    after = claimed(rule, **{**more, since: T - 20 * MINUTE - TICK})
    assert (end_of(at_it, rule), end_of(after, rule)) == (None, expected)


@pytest.mark.parametrize("state", [State.QUEUED, State.AWAITING_APPROVAL])
def test_only_what_is_held_ends_because_it_was_held_for_too_long(state: State) -> None:
    rule = loaded(expire="1m", approval="{expires: 9h}")
    assert end_of(claimed(rule, state=state, held_since=T - 5 * MINUTE), rule) is None


def test_an_approved_plan_does_not_expire_for_want_of_a_decision() -> None:
    rule = loaded(deadline="9h")
    claim = claimed(
        rule, state=State.AWAITING_APPROVAL, changed_at=T - 2 * HOUR, approved_digest=PLAN.digest
    )
    assert end_of(claim, rule) is None


@pytest.mark.parametrize("state", [State.QUEUED, State.HELD, State.AWAITING_APPROVAL])
def test_a_clock_that_jumped_back_ends_nothing(state: State) -> None:
    later = T + 9 * HOUR
    claim = claimed(state=state, created_at=later, changed_at=later, held_since=later)
    assert end_of(claim) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.QUEUED, Reason.DEADLINE),
        (State.HELD, Reason.PAUSED),
        (State.AWAITING_APPROVAL, Reason.APPROVAL_EXPIRED),
    ],
)
def test_a_deadline_names_what_it_was_waiting_for(state: State, expected: Reason) -> None:
    found = ended(
        claimed(state=state, reason=Reason.PAUSED, why="me paused it", created_at=T - 2 * HOUR),
        loaded(),
        T,
    )
    assert found is not None
    assert found.reason is expected
    assert found.why == "deadline of 1h passed; last reason: me paused it"


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], Event.EXPIRE),
        ([Outcome.CANCELLED], Event.EXPIRE),
        ([Outcome.INEFFECTIVE], Event.UNPROVED),
        ([Outcome.INEFFECTIVE, Outcome.CANCELLED], Event.UNPROVED),
        ([Outcome.INEFFECTIVE, Outcome.FAILED], Event.FAIL),
        ([Outcome.FAILED, Outcome.INEFFECTIVE], Event.UNPROVED),
        ([Outcome.CONVERGED], Event.FAIL),
        ([Outcome.WORSE, Outcome.CANCELLED, Outcome.CANCELLED], Event.FAIL),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, list) else str(value),
)
def test_a_ladder_that_cannot_go_on_ends_like_its_last_step(
    outcomes: list[Outcome], expected: Event
) -> None:
    made = [tried(outcome, step=number) for number, outcome in enumerate(outcomes)]
    late = ended(claimed(attempts=made, created_at=T - 2 * HOUR), loaded(), T)
    denied = judged(claimed(attempts=made), DENIED)
    assert late is not None
    assert late.event is expected
    assert denied.event is (Event.BLOCK if expected is Event.EXPIRE else expected)


def test_a_refusal_blocks_what_has_not_acted_yet() -> None:
    found = judged(claimed(), DENIED)
    assert isinstance(found, End)
    assert (found.event, found.reason) == (Event.BLOCK, Reason.OWNED_ELSEWHERE)
    assert (found.why, found.change) == ("Argo CD owns it", None)


def test_a_cancellation_that_arrives_with_the_limits_is_no_refusal() -> None:
    by_hand = deny("operator", Reason.OPERATOR, "cancelled by ann")
    found = judged(claimed(attempts=[tried(Outcome.FAILED)]), by_hand)
    assert (found.event, found.reason) == (Event.CANCEL, Reason.OPERATOR)


def test_an_observing_rule_says_that_nothing_was_against_it() -> None:
    found = judged(claimed(), OBSERVES, Look(T, (ASKS, OBSERVES), plan=PLAN), mode="observe")
    assert (found.event, found.reason) == (Event.OBSERVE, Reason.OBSERVE_MODE)


def test_an_observing_rule_says_what_would_have_kept_it_from_acting() -> None:
    found = judged(claimed(), OBSERVES, Look(T, (allow("x"), PAUSED, OBSERVES)), mode="observe")
    assert (found.event, found.reason, found.why) == (
        Event.OBSERVE,
        Reason.PAUSED,
        "me paused all: x",
    )


def test_an_observing_rule_only_observes_what_would_have_been_denied_too() -> None:
    found = judged(claimed(), DENIED, Look(T, (DENIED, OBSERVES)), mode="observe")
    assert (found.event, found.reason) == (Event.OBSERVE, Reason.OWNED_ELSEWHERE)


WAITS = st.one_of(st.none(), st.timedeltas(timedelta(seconds=-5), timedelta(days=30)))


@settings(max_examples=30)
@given(WAITS, st.integers(1, 60))
@example(-5 * SECOND, 60)
@example(TICK, 1)
def test_what_is_held_is_looked_at_again_and_not_at_once(
    wait: timedelta | None, minutes: int
) -> None:
    verdict = Verdict("g", Decision.HOLD, Reason.COOLDOWN, "later", wait)
    found = judged(claimed(), verdict, expire=f"{minutes}m")
    assert isinstance(found, Hold)
    assert T + SECOND <= found.until <= T + minutes * MINUTE


def test_a_guard_that_says_how_long_is_taken_at_its_word() -> None:
    held = judged(claimed(), hold("g", Reason.COOLDOWN, "later", 7 * MINUTE))
    assert isinstance(held, Hold)
    assert (held.until, held.reason, held.why) == (T + 7 * MINUTE, Reason.COOLDOWN, "later")


def test_the_longest_hold_is_counted_from_its_beginning() -> None:
    claim = claimed(state=State.HELD, held_since=T - 50 * MINUTE, created_at=T - 50 * MINUTE)
    held = judged(claim, hold("cooldown", Reason.COOLDOWN, "4h left", 4 * HOUR), deadline="9h")
    assert isinstance(held, Hold)
    assert held.until <= T + 10 * MINUTE + SECOND


def asked(claim: Claim, plan: Plan = PLAN, **more: Any) -> Ask:
    found = by_verdict(claim, loaded(), ASKS, Look(T, (ASKS,), plan=plan), link=None, **more)
    assert isinstance(found, Ask)
    return found


def waiting_for(plan: Plan, **more: Any) -> Claim:
    """People were asked about this plan a while ago."""
    return claimed(state=State.AWAITING_APPROVAL, asked_digest=plan.digest, **more)


def test_people_are_asked_with_the_plan_and_the_command_that_approves_it() -> None:
    question = asked(claimed()).question
    assert question is not None
    assert (question.plan, question.digest) == (PLAN.summary, PLAN.digest)
    assert question.approve == f"remediator approve r-1 --digest {PLAN.digest}"
    assert (question.state, question.reason) == ("awaiting_approval", "approval_required")
    assert question.link == ""


def test_a_link_is_for_this_plan_and_as_long_as_an_approval_may_take() -> None:
    def link(ident: str, digest: str, until: datetime) -> str:
        return f"{ident} {digest} {until - T}"

    rule, look = loaded(approval="{expires: 20m}"), Look(T, (ASKS,), plan=PLAN)
    found = by_verdict(claimed(rule), rule, ASKS, look, link=link)
    assert isinstance(found, Ask)
    assert found.question is not None
    assert found.question.link == f"r-1 {PLAN.digest} 0:20:00"


@pytest.mark.parametrize(
    ("claim", "again"),
    [
        (waiting_for(PLAN), False),
        (waiting_for(OTHER), True),
        (waiting_for(OTHER, approved_digest=OTHER.digest), True),
        (waiting_for(PLAN, approved_digest=OTHER.digest), True),
    ],
    ids=["the same plan", "another plan", "another was approved", "it was asked and superseded"],
)
def test_people_are_asked_once_for_each_plan(claim: Claim, again: bool) -> None:
    assert (asked(claim).question is not None) == again


@settings(max_examples=50)
@given(st.integers(0, 3 * 3600))
def test_a_plan_that_waits_is_renewed_soon_and_looked_at_just_after_it_expires(ago: int) -> None:
    claim = waiting_for(PLAN, changed_at=T - ago * SECOND)
    until = asked(claim).until
    assert T + 15 * SECOND <= until <= T + 30 * SECOND
    expires = claim.remediation.changed_at + HOUR
    assert until <= max(T + 15 * SECOND, expires + SECOND)


def test_an_approval_that_nothing_is_planned_for_holds() -> None:
    found = by_verdict(claimed(), loaded(), ASKS, Look(T, (ASKS,)), link=None)
    assert isinstance(found, Hold)
    assert found.reason is Reason.APPROVAL_REQUIRED


@pytest.mark.parametrize("verdict", [OBSERVES, DENIED], ids=["observes", "is denied"])
@pytest.mark.parametrize(
    ("last", "event"),
    [(Outcome.INEFFECTIVE, Event.UNPROVED), (Outcome.FAILED, Event.FAIL)],
)
def test_a_ladder_that_acted_does_not_end_observed(
    verdict: Verdict, last: Outcome, event: Event
) -> None:
    found = judged(claimed(attempts=[tried(last)]), verdict, Look(T, (verdict,)), mode="observe")
    assert isinstance(found, End)
    assert found.event is event


@pytest.mark.parametrize(
    ("modes", "event"),
    [
        (("observe", "observe"), Event.OBSERVE),
        (("observe", "act"), Event.BLOCK),
        (("act", "observe"), Event.BLOCK),
    ],
)
def test_only_what_observes_in_every_step_ends_observed_where_it_is_denied(
    modes: tuple[str, str], event: Event
) -> None:
    steps = [
        f"{{action: restart_workload, if: always, mode: {mode}, name: s{number}}}"
        for number, mode in enumerate(modes)
    ]
    rule = loaded(*steps)
    found = by_verdict(claimed(rule), rule, DENIED, Look(T, (DENIED,)), link=None)
    assert isinstance(found, End)
    assert found.event is event
