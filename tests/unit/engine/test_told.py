"""Who is told of what: at an end, at a question, of storms, and in which words."""

from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from remediator.engine import messages
from remediator.engine.messages import Audience, audience, message, story, to_all
from remediator.engine.tell.deliver import failure
from remediator.model.decision import Ask, Decided, End
from remediator.model.look import Look
from remediator.model.notice import Notice
from remediator.model.remediation import LIVE, Event, State
from remediator.model.verdict import Reason
from remediator.ports.records import Claim, Line, Storm, Written
from tests.unit.engine.made import MINUTE, claimed, loaded, remediation, tried
from tests.unit.objects import WEB, T

# docs/explanation/notifications.md and docs/reference/states.md
AT_ONCE = {State.INEFFECTIVE, State.FAILED, State.BLOCKED, State.EXPIRED, State.UNKNOWN}
ENDS = sorted(set(State) - LIVE)
PEOPLE = Audience(to=("pager", "mail"), followers=("chat",), group="c/g")
QUESTION = Notice(
    remediation="r-1", rule="r", target="t", state="awaiting_approval", reason="", why="", show=""
)


def ended(reason: Reason | None = Reason.WORSE, why: str = "because") -> End:
    return End(event=Event.FAIL, at=T, reason=reason, why=why)


def written(
    state: State,
    decided: Decided | None = None,
    before: State = State.VERIFYING,
    storms: tuple[Storm, ...] = (),
) -> Written:
    return Written(before, state, decided or ended(), (), storms)


def told(claim: Claim, what: Written, people: Audience = PEOPLE) -> dict[str, bool]:
    """The receivers that are told, and whether it is trouble."""
    return {m.receiver: m.trouble for m in messages.of(claim, people, what)}


@pytest.mark.parametrize("state", ENDS)
def test_people_are_told_at_once_of_an_end_without_success(state: State) -> None:
    names = set(told(claimed(attempts=[tried()]), written(state)))
    assert ({"pager", "mail"} <= names) == (state in AT_ONCE)
    assert "pager" in names or "mail" not in names


@pytest.mark.parametrize("state", ENDS)
def test_nobody_but_followers_is_told_of_a_rule_that_only_observes(state: State) -> None:
    assert set(told(claimed(mode="observe"), written(state))) <= {"chat"}


@pytest.mark.parametrize("state", [State.OBSERVED, State.SUCCEEDED, *sorted(AT_ONCE)])
def test_followers_are_told_of_every_end_that_says_something(state: State) -> None:
    assert "chat" in told(claimed(attempts=[tried()]), written(state))


@pytest.mark.parametrize("state", [State.OBSERVED, State.SUCCEEDED])
def test_good_news_is_no_trouble_that_has_to_be_closed(state: State) -> None:
    assert told(claimed(), written(state)) == {"chat": False}


@pytest.mark.parametrize("state", sorted(State))
def test_what_did_not_move_is_told_to_nobody(state: State) -> None:
    assert told(claimed(), written(state, before=state)) == {}


def test_a_receiver_that_follows_is_told_once() -> None:
    people = Audience(to=("pager", "chat", "pager"), followers=("chat",), group="c/g")
    sent = messages.of(claimed(attempts=[tried()]), people, written(State.FAILED))
    assert [(m.receiver, m.trouble) for m in sent] == [("pager", True), ("chat", True)]
    asks = written(State.AWAITING_APPROVAL, question(QUESTION), State.QUEUED)
    assert [m.receiver for m in messages.of(claimed(), people, asks)] == ["pager", "chat"]


def question(asked: Notice | None) -> Ask:
    return Ask(
        at=T, reason=Reason.APPROVAL_REQUIRED, why="", until=T, look=Look(T, ()), question=asked
    )


def test_a_question_goes_to_people_and_followers_and_is_trouble_only_for_those_who_decide() -> None:
    asks = written(State.AWAITING_APPROVAL, question(QUESTION), State.QUEUED)
    assert told(claimed(), asks) == {"pager": True, "mail": True, "chat": False}


def test_a_question_about_another_plan_is_asked_although_the_state_stays() -> None:
    asks = written(State.AWAITING_APPROVAL, question(QUESTION), State.AWAITING_APPROVAL)
    assert set(told(claimed(), asks)) == {"pager", "mail", "chat"}


def test_a_plan_that_goes_on_waiting_is_not_asked_about_again() -> None:
    waits = written(State.AWAITING_APPROVAL, question(None), State.AWAITING_APPROVAL)
    assert told(claimed(), waits) == {}


STORM = Storm("c/g", T - MINUTE, T + MINUTE, "many", ("pager",))
ELSEWHERE = Storm("c/other", T - MINUTE, T + MINUTE, "many", ("pager", "mail"))


@pytest.mark.parametrize(
    ("storms", "attempts", "expected"),
    [
        ((STORM,), [], {"mail", "chat"}),
        ((ELSEWHERE,), [], {"pager", "mail", "chat"}),
        ((ELSEWHERE, STORM), [], {"mail", "chat"}),
        ((), [], {"pager", "mail", "chat"}),
        ((STORM,), [tried()], {"pager", "mail", "chat"}),
    ],
    ids=["its storm", "a storm elsewhere", "both", "none any more", "it acted before"],
)
def test_a_storm_speaks_for_what_it_kept_from_acting_to_those_it_told(
    storms: tuple[Storm, ...], attempts: Any, expected: set[str]
) -> None:
    what = written(State.EXPIRED, ended(Reason.STORM), State.HELD, storms)
    assert set(told(claimed(attempts=attempts), what)) == expected


@pytest.mark.parametrize("reason", [Reason.ASSUMPTION_CHANGED, Reason.TARGET_GONE])
@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("timed", {"chat"}),
        ("worse", {"pager", "mail", "chat"}),
        ("asked", {"pager", "mail", "chat"}),
    ],
)
def test_a_timed_undo_of_what_others_changed_pages_nobody(
    reason: Reason, why: str, expected: set[str]
) -> None:
    claim = claimed(id="u-1", undo_of="r-1", undo_why=why)
    assert set(told(claim, written(State.BLOCKED, ended(reason)))) == expected


def test_a_timed_undo_that_failed_for_another_reason_pages() -> None:
    claim = claimed(id="u-1", undo_of="r-1", undo_why="timed")
    assert "pager" in told(claim, written(State.FAILED, ended(Reason.REJECTED)))


def test_people_are_those_of_the_rule_as_it_is_loaded_now() -> None:
    claim = claimed(loaded(escalate="{to: [old]}"))
    now = loaded(escalate="{to: [new]}")
    assert audience(claim, now, ("chat",)) == Audience(("new",), ("chat",), "c/g")


def test_people_are_those_of_the_rule_as_it_was_where_it_was_removed() -> None:
    claim = claimed(loaded(escalate="{to: [old]}"))
    assert audience(claim, None, ()) == Audience(("old",), (), "")


def test_an_undo_is_told_in_the_thread_of_what_it_undoes() -> None:
    undo = remediation(id="u-1", undo_of="r-1")
    said = message(undo, State.FAILED, "deadline", "not restored")
    assert (said.remediation, said.undo, said.show) == ("r-1", "u-1", "remediator show u-1")


def test_a_message_names_the_target_the_cluster_and_the_command() -> None:
    said = message(remediation(), State.FAILED, "worse", "because", closed=True)
    assert (said.remediation, said.undo, said.rule) == ("r-1", "", "r")
    assert (said.target, said.cluster) == ("Deployment/shop/web", WEB.cluster)
    assert (said.show, said.closed) == ("remediator show r-1", True)


def line(text: str, reason: str | None = None, later: timedelta = timedelta()) -> Line:
    return Line(T + later, "held", reason, text)


def test_the_story_has_a_line_for_each_entry_in_its_order() -> None:
    assert story([line("one"), line("two", "paused", MINUTE)]) == (
        "12:00:00 held: one",
        "12:01:00 held paused: two",
    )
    assert story(()) == ()


@settings(max_examples=30)
@given(st.text(max_size=400), st.sampled_from([None, "paused"]))
@example("x" * 5000, None)
def test_a_long_entry_is_cut_and_never_lost(text: str, reason: str | None) -> None:
    (said,) = story([line(text, reason)])
    assert said.startswith("12:00:00 held")
    assert len(said) <= 300


@settings(max_examples=30)
@given(st.lists(st.sampled_from("abc")))
def test_each_receiver_gets_one_message_in_the_order_in_which_it_was_named(
    names: list[str],
) -> None:
    got = [m.receiver for m in to_all(names, QUESTION)]
    assert sorted(got) == sorted(set(names))
    assert got == sorted(got, key=names.index)


SECRET = "T0/very-secret"
HOOK = URL(f"https://hooks.example.org/{SECRET}")


def refused(status: int) -> aiohttp.ClientResponseError:
    """What aiohttp raises for an answer that is no success."""
    request = aiohttp.RequestInfo(HOOK, "POST", CIMultiDictProxy(CIMultiDict()), HOOK)
    return aiohttp.ClientResponseError(request, (), status=status, message="no")


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.InvalidURL(HOOK),
        aiohttp.InvalidUrlClientError(HOOK),
        aiohttp.ServerDisconnectedError(),
        TimeoutError(),
        OSError("refused"),
        aiohttp.ClientError("the receiver answered 500"),
        OSError("refused " * 500),
    ],
    ids=lambda error: type(error).__name__,
)
def test_why_a_receiver_failed_is_said_shortly_and_without_its_url(error: Exception) -> None:
    said = failure(error)
    assert said.startswith(type(error).__name__)
    assert len(said) <= 300
    assert SECRET not in said


@pytest.mark.parametrize(
    "error",
    [aiohttp.NonHttpUrlClientError(f"hooks://example.org/{SECRET}"), refused(404)],
    ids=lambda error: type(error).__name__,
)
def test_no_error_shows_the_secret_url_of_a_receiver(error: Exception) -> None:
    assert SECRET not in failure(error)
