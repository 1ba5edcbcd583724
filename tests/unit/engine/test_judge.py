"""What verification decides from what it sees: proved, flapping, not converged, worse, out of
sight; and that it never waits for ever.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.engine.after.judging import JUST_AFTER, SOON, Check, judge, taken_over, too_late
from remediator.model.decision import Climb, Decided, End, TakeBack, Wait
from remediator.model.facts import Facts, Unknown
from remediator.model.plan import Seen, Verified
from remediator.model.remediation import Event, Outcome
from remediator.model.verdict import Reason
from remediator.rules.ruleset import LoadedRule
from remediator.rules.stored import from_text, to_text
from remediator.sights.pods import PODS
from tests.unit.actions.test_actions import planned
from tests.unit.engine.made import (
    MINUTE,
    RESTART,
    ROLL_BACK,
    TICK,
    TIMES,
    claimed,
    fired,
    loaded,
    short_of_pods,
    tried,
)
from tests.unit.objects import HOUR, T, facts, workload

BACK = planned(facts(), "rollback_workload")
CONVERGED, WAITING = Seen(Verified.CONVERGED), Seen(Verified.WAITING)
LOST = Seen(Verified.UNKNOWN)
QUERY = "sum(errors) < 1"
OVER = (fired(ended=20 * MINUTE),)


def check(
    seen: Seen = CONVERGED,
    rule: LoadedRule | None = None,
    *,
    done: timedelta = MINUTE,
    converged: timedelta | None = None,
    proved: timedelta | None = None,
    **more: Any,
) -> Check:
    """A check of a rollback that was applied so long ago, and converged and was proved then.

    Its rule is the loaded one if that is not said to be another.
    """
    bound = rule or loaded(ROLL_BACK)
    given: dict[str, Any] = {
        "proof": None,
        "harm": "",
        "facts": facts(),
        "within": TIMES.resolved_within,
        "loaded": bound,
        "episodes": OVER,
        "plan": BACK,
        "cancel_by": "",
        **more,
    }
    attempt = tried(
        plan=given.pop("plan"),
        applied_at=T - done,
        converged_at=None if converged is None else T - converged,
        proved_since=None if proved is None else T - proved,
    )
    claim = claimed(
        bound, [attempt], given.pop("episodes"), cancel_by=given.pop("cancel_by"), undo_of=""
    )
    stored = from_text(to_text(bound.rule))
    return Check(claim=claim, rule=stored, seen=seen, now=T, **given)


def outcome_of(decided: Decided) -> Outcome | None:
    """The outcome that the decision gives the attempt, if any."""
    assert isinstance(decided, End | Climb | Wait)
    return decided.change.outcome if decided.change else None


def test_a_change_that_converged_waits_for_its_proof() -> None:
    found = judge(check(proof=False))
    assert isinstance(found, Wait)
    assert found.change is not None
    assert (found.change.converged_at, found.change.clear_proof) == (T, True)
    assert outcome_of(found) is None


def test_a_proof_must_hold_for_a_while_before_it_is_a_success() -> None:
    found = judge(check(proof=True, converged=MINUTE))
    assert isinstance(found, Wait)
    assert found.change is not None
    assert (found.change.proved_since, found.until) == (T, T + TIMES.quiet_for)
    assert found.change.converged_at == T - MINUTE


@pytest.mark.parametrize(
    ("quiet", "succeeded"),
    [(TIMES.quiet_for - TICK, False), (TIMES.quiet_for, True)],
    ids=["a tick too short", "exactly as long as it must"],
)
def test_what_stayed_quiet_for_long_enough_has_succeeded(quiet: timedelta, succeeded: bool) -> None:
    found = judge(check(proof=True, converged=10 * MINUTE, proved=quiet))
    assert isinstance(found, End) == succeeded
    assert (outcome_of(found) is Outcome.SUCCEEDED) == succeeded


@pytest.mark.parametrize(
    ("until", "gives_way"),
    [("resolved", True), ("converged", False), (f"['{QUERY}']", False)],
)
def test_only_a_proof_by_the_alert_gives_way_to_one_that_fires_again(
    until: str, gives_way: bool
) -> None:
    rule = loaded(f"{ROLL_BACK[:-1]}, verify: {{until: {until}}}}}")
    found = judge(check(rule=rule, proof=True, converged=10 * MINUTE, proved=6 * MINUTE))
    assert isinstance(found, End)
    assert found.unless_firing is gives_way


@pytest.mark.parametrize("until", ["converged", f"['{QUERY}']"])
def test_a_success_speaks_of_the_alert_only_where_the_alert_proved_it(until: str) -> None:
    rule = loaded(f"{ROLL_BACK[:-1]}, verify: {{until: {until}}}}}")
    firing = (fired(),)
    seen = check(rule=rule, proof=True, converged=10 * MINUTE, proved=6 * MINUTE, episodes=firing)
    assert "the alert stayed quiet" not in judge(seen).why


def test_a_query_that_never_held_is_not_reported_as_an_alert() -> None:
    rule = loaded(f"{ROLL_BACK[:-1]}, verify: {{until: ['{QUERY}']}}}}")
    found = judge(check(rule=rule, proof=False, converged=HOUR, episodes=OVER))
    assert "the alert still fires" not in found.why


def test_an_alert_that_fired_between_two_checks_starts_the_quiet_time_again() -> None:
    """The journal knows that it ended a minute ago; the last check saw it quiet before that."""
    flapped = (fired(2 * MINUTE, MINUTE),)
    found = judge(check(proof=True, converged=10 * MINUTE, proved=6 * MINUTE, episodes=flapped))
    assert isinstance(found, Wait)
    assert found.until == T - MINUTE + TIMES.quiet_for
    assert found.change is not None
    assert found.change.proved_since == T - MINUTE


def test_the_quiet_time_counts_from_the_last_of_several_alerts() -> None:
    several = (fired(ended=3 * MINUTE), fired(ended=MINUTE, name="B"), fired(ended=9 * MINUTE))
    found = judge(check(proof=True, converged=10 * MINUTE, proved=3 * MINUTE, episodes=several))
    assert isinstance(found, Wait)
    assert found.until == T + 4 * MINUTE


def test_an_alert_that_comes_and_goes_until_the_time_is_over_was_not_helped() -> None:
    flapped = (fired(2 * MINUTE, MINUTE),)
    late = check(proof=True, converged=31 * MINUTE, proved=6 * MINUTE, episodes=flapped)
    found = judge(late)
    assert (outcome_of(found), found.reason) == (Outcome.INEFFECTIVE, Reason.DEADLINE)
    assert "flapping" in found.why


def test_an_alert_that_resolved_in_time_may_be_quiet_after_it() -> None:
    """Proved at the last moment, it is watched beyond the time that the proof may take."""
    found = judge(check(proof=True, converged=34 * MINUTE, proved=4 * MINUTE))
    assert isinstance(found, Wait)
    assert found.until == T + MINUTE


@pytest.mark.parametrize(
    ("lasted", "expected"),
    [(TIMES.resolved_within, None), (TIMES.resolved_within + TICK, Outcome.INEFFECTIVE)],
    ids=["exactly in time", "a tick late"],
)
def test_a_proof_that_does_not_come_in_time_was_not_given(
    lasted: timedelta, expected: Outcome | None
) -> None:
    found = judge(check(proof=False, done=HOUR, converged=lasted))
    assert outcome_of(found) is expected
    assert found.event is (Event.UNPROVED if expected else None)


def test_the_last_check_is_made_when_the_time_for_the_proof_is_over() -> None:
    found = judge(check(proof=False, converged=TIMES.resolved_within - 10 * SOON))
    assert isinstance(found, Wait)
    assert found.until == T + 10 * SOON + JUST_AFTER


@pytest.mark.parametrize(("after", "in_time"), [(SOON, True), (SOON + TICK, False)])
def test_a_proof_that_the_last_check_finds_came_in_time(after: timedelta, in_time: bool) -> None:
    ended = (fired(ended=HOUR),)
    late = check(proof=True, converged=TIMES.resolved_within + after, episodes=ended)
    assert isinstance(judge(late), Wait) is in_time


def test_a_step_before_the_next_needs_no_proof() -> None:
    rule = loaded(f"{ROLL_BACK[:-1]}, then: next}}", RESTART)
    found = judge(check(rule=rule, episodes=(fired(),)))
    assert isinstance(found, Climb)
    assert (found.rung, found.change.outcome) == (1, Outcome.CONVERGED)


def test_the_last_step_is_verified_whatever_it_says() -> None:
    rule = loaded(f"{ROLL_BACK[:-1]}, then: next}}")
    assert isinstance(judge(check(rule=rule, proof=False)), Wait)


@pytest.mark.parametrize("reloaded", [None, loaded(ROLL_BACK)], ids=["removed", "changed"])
def test_a_ladder_that_a_reload_cut_short_says_so(reloaded: LoadedRule | None) -> None:
    rule = loaded(f"{ROLL_BACK[:-1]}, then: next}}", RESTART)
    found = judge(check(rule=rule, loaded=reloaded, episodes=(fired(),)))
    assert isinstance(found, End)
    assert found.reason is not Reason.RESOLVED
    assert "continuing" not in found.why


@pytest.mark.parametrize("how", list(Verified))
def test_new_harm_is_undone_whatever_else_is_seen(how: Verified) -> None:
    found = judge(check(Seen(how), harm="critical alert B started firing", cancel_by="ann"))
    assert isinstance(found, TakeBack)
    assert (found.reason, found.until > T) == (Reason.WORSE, True)
    assert found.why.startswith("critical alert B started firing")


def test_harm_of_an_action_without_an_undo_leads_to_the_next_step() -> None:
    plan, rule = planned(facts()), loaded(RESTART, ROLL_BACK)
    found = judge(check(rule=rule, plan=plan, harm="critical alert B started firing"))
    assert isinstance(found, Climb)
    assert (found.rung, found.change.outcome) == (1, Outcome.WORSE)


@pytest.mark.parametrize("how", list(Verified))
def test_a_cancelled_verification_ends_whatever_is_seen(how: Verified) -> None:
    found = judge(check(Seen(how), proof=True, cancel_by="ann cancelled it"))
    assert isinstance(found, End)
    assert (found.event, found.reason, found.why) == (
        Event.CANCEL,
        Reason.OPERATOR,
        "ann cancelled it",
    )
    assert outcome_of(found) is Outcome.CANCELLED


def test_what_ended_without_success_is_not_undone_and_the_next_step_follows() -> None:
    seen = Seen(Verified.FAILED, "the Job failed")
    found = judge(check(seen, rule=loaded(ROLL_BACK, RESTART)))
    assert isinstance(found, Climb)
    assert (found.reason, found.why) == (Reason.UNSUCCESSFUL, "the Job failed")
    assert outcome_of(found) is Outcome.FAILED


def test_what_the_action_sees_as_worse_is_undone() -> None:
    found = judge(check(Seen(Verified.WORSE, "fewer ready pods than before")))
    assert isinstance(found, TakeBack)
    assert found.why == "fewer ready pods than before; undoing our change"


def replaced() -> Facts:
    """Another object has the name now."""
    obj = workload()
    return facts({**obj, "metadata": {**obj["metadata"], "uid": "uid-other"}})


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (facts(), Reason.ASSUMPTION_CHANGED),
        (replace(facts(), object=None), Reason.TARGET_GONE),
        (replaced(), Reason.TARGET_GONE),
        (replace(facts(), object=Unknown("no answer")), Reason.ASSUMPTION_CHANGED),
    ],
    ids=["modified", "deleted", "replaced", "not to be read"],
)
def test_an_object_that_is_gone_is_told_from_one_that_was_modified(
    seen: Facts, expected: Reason
) -> None:
    assert taken_over(BACK, seen)[0] is expected


def test_nothing_more_is_done_to_what_others_changed_although_there_is_a_next_step() -> None:
    found = judge(check(Seen(Verified.OVERTAKEN), rule=loaded(ROLL_BACK, RESTART)))
    assert isinstance(found, End)
    assert (found.event, found.reason) == (Event.FAIL, Reason.ASSUMPTION_CHANGED)
    assert outcome_of(found) is Outcome.OVERTAKEN
    assert found.why.endswith("was modified after our change; leaving it alone")


def test_the_template_that_others_left_is_kept_so_that_a_later_change_is_news() -> None:
    found = judge(check(Seen(Verified.OVERTAKEN)))
    gone = judge(check(Seen(Verified.OVERTAKEN), facts=replace(facts(), object=None)))
    assert isinstance(found, End)
    assert isinstance(gone, End)
    assert (bool(found.template), gone.template) == (True, "")


@pytest.mark.parametrize(
    ("done", "late"),
    [(TIMES.converged_within, False), (TIMES.converged_within + TICK, True), (-HOUR, False)],
    ids=["exactly in time", "a tick late", "the clock jumped back"],
)
def test_the_time_to_converge_ends_just_after_it(done: timedelta, late: bool) -> None:
    seen = check(WAITING, done=done)
    assert too_late(seen.attempt, T) is late
    assert isinstance(judge(seen), Wait) is not late


def test_what_does_not_converge_with_as_many_pods_as_before_is_left_as_it_is() -> None:
    found = judge(check(WAITING, done=11 * MINUTE))
    assert (outcome_of(found), found.reason) == (Outcome.FAILED, Reason.DEADLINE)
    assert found.why == "not converged within 10m"


def test_what_does_not_converge_with_fewer_pods_than_before_is_undone() -> None:
    found = judge(check(WAITING, done=11 * MINUTE, facts=short_of_pods(2)))
    assert isinstance(found, TakeBack)
    assert "fewer ready pods than before" in found.why


def test_what_cannot_be_undone_is_not_although_pods_are_missing() -> None:
    plan = planned(facts())
    rule = loaded(RESTART)
    found = judge(check(WAITING, rule=rule, plan=plan, done=11 * MINUTE, facts=short_of_pods(0)))
    assert outcome_of(found) is Outcome.FAILED


def test_pods_that_cannot_be_listed_are_not_fewer_pods() -> None:
    unseen = facts().saw(PODS, Unknown("no answer"))
    assert not isinstance(judge(check(WAITING, done=11 * MINUTE, facts=unseen)), TakeBack)


def test_a_pod_that_is_unready_for_a_moment_does_not_fail_what_had_converged() -> None:
    found = judge(check(WAITING, done=20 * MINUTE, converged=19 * MINUTE))
    assert isinstance(found, Wait)


def test_a_proof_starts_again_where_the_change_is_not_converged_any_more() -> None:
    found = judge(check(WAITING, done=5 * MINUTE, converged=4 * MINUTE, proved=3 * MINUTE))
    assert isinstance(found, Wait)
    assert found.change is not None
    assert found.change.clear_proof


@pytest.mark.parametrize(
    "more",
    [{"seen": LOST}, {"proof": Unknown("Alertmanager cannot be queried")}],
    ids=["the cluster", "the proof"],
)
@pytest.mark.parametrize(
    ("since", "ends"),
    [(TIMES.resolved_within + HOUR, False), (TIMES.resolved_within + HOUR + TICK, True)],
    ids=["just in time", "too late"],
)
def test_what_cannot_be_seen_is_looked_at_until_the_proof_is_long_overdue(
    more: dict[str, Any], since: timedelta, ends: bool
) -> None:
    found = judge(check(done=since + MINUTE, converged=since, **more))
    assert found.reason is Reason.UNKNOWN_FACT
    assert isinstance(found, End) is ends
    assert outcome_of(found) is (Outcome.UNKNOWN if ends else None)


def test_a_silenced_alert_keeps_when_it_converged() -> None:
    found = judge(check(proof=Unknown("the alert is silenced")))
    assert isinstance(found, Wait)
    assert (found.why, found.until > T) == ("the alert is silenced", True)
    assert found.change is not None
    assert (found.change.converged_at, found.change.clear_proof) == (T, False)


AGO = st.one_of(st.none(), st.timedeltas(-2 * HOUR, 4 * HOUR))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(Verified)),
    st.sampled_from([True, False, Unknown("no answer")]),
    st.tuples(st.timedeltas(-2 * HOUR, 4 * HOUR), AGO, AGO),
    st.sampled_from(["", "critical alert B"]),
)
def test_whatever_the_clock_says_it_ends_or_looks_again_within_a_while(
    how: Verified, proof: bool | Unknown, ago: tuple[Any, Any, Any], harm: str
) -> None:
    done, converged, proved = ago
    times = {"done": done, "converged": converged, "proved": proved}
    found = judge(check(Seen(how, "as seen"), proof=proof, harm=harm, **times))
    assert found.why
    if not isinstance(found, End):
        assert found.until > T
        ahead = max(timedelta(), -(proved or timedelta()))
        assert found.until <= T + TIMES.quiet_for + ahead


@settings(max_examples=30, deadline=None)
@given(st.timedeltas(timedelta(), 29 * MINUTE), st.timedeltas(timedelta(), 29 * MINUTE))
def test_what_takes_longer_is_looked_at_less_often_until_the_last_check(
    one: timedelta, other: timedelta
) -> None:
    def pause(lasted: timedelta) -> timedelta:
        found = judge(check(proof=False, done=HOUR, converged=lasted))
        assert isinstance(found, Wait)
        return found.until - T

    short, long = sorted((one, other))
    assert pause(short) <= pause(long) <= MINUTE


@pytest.mark.parametrize(
    ("relapsed", "fails"),
    [(TIMES.converged_within, False), (TIMES.converged_within + TICK, True)],
    ids=["just in time", "too late"],
)
def test_what_had_converged_is_not_undone_for_pods_that_are_lost_later(
    relapsed: timedelta, fails: bool
) -> None:
    late = check(WAITING, converged=HOUR, done=2 * HOUR, facts=short_of_pods(0))
    attempt = replace(late.attempt, relapsed_at=T - relapsed)
    found = judge(replace(late, claim=replace(late.claim, attempts=(attempt,))))
    assert isinstance(found, Wait) != fails
    assert outcome_of(found) is (Outcome.FAILED if fails else None)


def test_a_relapse_is_dated_when_it_is_first_seen() -> None:
    found = judge(check(WAITING, converged=HOUR, done=2 * HOUR))
    assert isinstance(found, Wait)
    assert found.change is not None
    assert (found.change.relapsed_at, found.change.clear_proof) == (T, True)


def test_pods_that_restart_where_they_are_are_not_missed() -> None:
    """They come back by themselves; undoing would restart them once more."""
    stays = replace(BACK, touches=tuple(replace(touch, stays=True) for touch in BACK.touches))
    found = judge(check(WAITING, done=11 * MINUTE, plan=stays, facts=short_of_pods(0)))
    assert outcome_of(found) is Outcome.FAILED
