"""The text of a notification: what it always says, in few lines, whatever labels hold."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.notice import Notice, from_payload
from remediator.model.remediation import STATES, Severity, State
from remediator.model.text import UNSEEN
from remediator.notify.words import SHOWN, details, severity, title
from tests.contract.test_notify import MESSAGE

ANY = st.text(st.characters(codec="utf-8"), max_size=30)
NASTY = "a\nb\r\n\x1b[2J\x00\u2028\u202ec"


def notice(**more: Any) -> Notice:
    return replace(MESSAGE, **more)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "Failed: restart on Deployment/shop/web"),
        ({"cluster": "eu-1"}, "Failed: restart on Deployment/shop/web in eu-1"),
        ({"state": "awaiting_approval"}, "Awaiting approval: restart on Deployment/shop/web"),
        ({"state": "breaker_open", "target": "all"}, "Breaker open: restart on all"),
        ({"closed": True}, "Resolved: restart on Deployment/shop/web"),
        ({"rule": "", "target": "eu/shop", "state": "storm"}, "Storm: eu/shop"),
        ({"rule": "", "target": "eu/shop", "closed": True}, "Resolved: eu/shop"),
    ],
    ids=["failed", "in a cluster", "waits", "breaker", "closed", "a storm", "a storm that is over"],
)
def test_a_title_says_what_of_what_and_where(more: dict[str, Any], expected: str) -> None:
    assert title(notice(**more)) == expected


@pytest.mark.parametrize("field", ["rule", "cluster", "target", "state"])
def test_a_title_is_one_line(field: str) -> None:
    assert not UNSEEN.search(title(notice(**{field: NASTY})))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "worse: because <!channel> & so on"),
        ({"reason": ""}, "because <!channel> & so on"),
        ({"why": ""}, "worse:"),
    ],
    ids=["both", "no reason", "no words"],
)
def test_the_first_line_is_the_reason_and_why(more: dict[str, Any], expected: str) -> None:
    assert details(notice(**more))[0] == expected


def test_what_to_do_next_comes_last() -> None:
    given = notice(
        plan="restart it",
        link="https://r.example/approvals/r-1",
        approve="remediator approve r-1",
        story=("12:00:00 created", "12:00:10 asked"),
    )
    assert details(given)[1:] == [
        "plan: restart it",
        "12:00:00 created",
        "12:00:10 asked",
        "https://r.example/approvals/r-1",
        "remediator approve r-1",
        "remediator show r-1",
    ]


@pytest.mark.parametrize("count", [0, 1, SHOWN - 1, SHOWN, SHOWN + 1, 100])
def test_of_a_long_story_the_latest_lines_are_shown_in_order(count: int) -> None:
    story = tuple(f"line {number}" for number in range(count))
    shown = details(notice(story=story))[1:-1]
    assert shown == list(story[max(0, count - SHOWN) :])


@given(
    st.builds(
        Notice,
        **dict.fromkeys(("remediation", "rule", "target", "state", "reason", "why", "show"), ANY),
        story=st.lists(ANY, max_size=12).map(tuple),
        plan=ANY,
        link=ANY,
        approve=ANY,
        closed=st.booleans(),
    )
)
def test_no_text_adds_a_line_or_moves_the_cursor(given: Notice) -> None:
    lines = details(given)
    assert len(lines) <= SHOWN + 5
    assert all(lines)
    assert not UNSEEN.search("".join(lines))
    assert severity(given) in Severity


@pytest.mark.parametrize("state", sorted(State))
def test_a_state_is_as_bad_as_the_states_say_until_it_is_over(state: State) -> None:
    assert severity(notice(state=state)) == STATES[state].severity
    assert severity(notice(state=state, closed=True)) == Severity.INFO


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("ineffective", "failed", "unknown"), Severity.CRITICAL),
        (("blocked", "expired", "storm", "breaker_open", "", "new in 9.0"), Severity.WARNING),
        (("succeeded", "observed"), Severity.INFO),
    ],
    ids=["something was tried", "nothing was tried", "nothing is wrong"],
)
def test_what_was_tried_in_vain_is_critical(states: tuple[str, ...], expected: Severity) -> None:
    assert {severity(notice(state=state)) for state in states} == {expected}


@given(st.dictionaries(st.sampled_from(["id", "why", "state", "rule", "colour"]), ANY))
def test_a_payload_with_parts_missing_is_still_told(data: dict[str, str]) -> None:
    read = from_payload(data)
    assert from_payload(read.payload()) == read
    assert isinstance(title(read), str)
    assert isinstance(details(read), list)
