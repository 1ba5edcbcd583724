"""What a request says in its query and its body, and what a duration or a time in it means."""

import json
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from remediator.model.duration import format_duration
from remediator.web.replies import Mistake, asked, body_of, reply, since_of, text_of, until_of
from tests.unit.objects import HOUR, MINUTE, T


def sent(body: bytes = b"", *query: tuple[str, str]) -> Any:
    """A request with this body and this query."""

    async def read() -> bytes:
        return body

    return SimpleNamespace(query=MultiDict(query), read=read)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", {}, id="none"),
        pytest.param(b"{}", {}, id="empty"),
        pytest.param(b' {"a": null}\n', {"a": None}, id="with space around it"),
        pytest.param('{"ä": "🙂"}'.encode(), {"ä": "🙂"}, id="not ASCII"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="a name twice: the last"),
    ],
)
async def test_a_body_is_a_json_object(body: bytes, expected: Any) -> None:
    assert await body_of(sent(body)) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b" ", "not valid JSON", id="space"),
        pytest.param(b"{", "not valid JSON", id="cut off"),
        pytest.param(b"\xff\xfe\xff", "not valid JSON", id="no text"),
        pytest.param(b"[" * 100_000, "not valid JSON", id="very deep"),
        pytest.param(
            b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON", id="a number of 5000 digits"
        ),
        pytest.param(b"{'a': 1}", "not valid JSON", id="single quotes"),
        pytest.param(b"null", "must be a JSON object", id="null"),
        pytest.param(b"[{}]", "must be a JSON object", id="a list"),
        pytest.param(b'"{}"', "must be a JSON object", id="a text"),
        pytest.param(b"0", "must be a JSON object", id="zero"),
    ],
)
async def test_what_is_no_json_object_is_a_mistake_and_nothing_is_done(
    body: bytes, words: str
) -> None:
    with pytest.raises(Mistake, match=words) as mistake:
        await body_of(sent(body))
    assert "nothing was done" in str(mistake.value)


@given(st.binary(max_size=60))
async def test_any_bytes_are_an_object_or_a_mistake(body: bytes) -> None:
    try:
        assert isinstance(await body_of(sent(body)), dict)
    except Mistake:
        assert body


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), ("", ""), ("  a look \n", "a look"), ("\u00a0\u2003", "")],
    ids=["null", "empty", "space around it", "only space of other widths"],
)
def test_a_text_is_without_the_space_around_it(value: str | None, expected: str) -> None:
    assert text_of({"reason": value}, "reason") == expected
    assert text_of({}, "reason") == ""


@pytest.mark.parametrize("value", [0, 1, False, True, [], ["a"], {}, 1.5])
def test_what_is_no_text_is_a_mistake_even_if_it_is_empty(value: Any) -> None:
    with pytest.raises(Mistake, match="`reason` must be text; nothing was done"):
        text_of({"reason": value}, "reason")


def test_parameters_that_were_not_given_are_empty() -> None:
    assert asked(sent(b"", ("rule", "a")), "state", "rule") == {"state": "", "rule": "a"}
    assert asked(sent()) == {}


@pytest.mark.parametrize(
    ("names", "known"), [((), "none"), (("state", "rule"), "state, rule")], ids=["none", "two"]
)
def test_an_unknown_parameter_is_named_with_those_that_are_known(
    names: tuple[str, ...], known: str
) -> None:
    request = sent(b"", ("statr", "held"), ("rule", "a")) if names else sent(b"", ("statr", ""))
    with pytest.raises(Mistake, match=rf"unknown parameter statr; known: {known}$"):
        asked(request, *names)


DURATIONS = st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds))


@given(DURATIONS)
def test_since_a_duration_is_that_long_ago(ago: timedelta) -> None:
    assert since_of(format_duration(ago), T) == T - ago


@given(DURATIONS)
def test_a_pause_for_a_duration_ends_that_much_later(length: timedelta) -> None:
    assert until_of(format_duration(length), T) == T + length


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(minutes * MINUTE)),
)
def test_since_a_time_is_that_time_whatever_zone_it_is_written_in(
    at: datetime, zone: timezone
) -> None:
    aware = at.replace(tzinfo=UTC)
    assert since_of(aware.astimezone(zone).isoformat(), T) == aware
    assert since_of(at.isoformat() + "Z", T) == aware


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("0s", T),
        ("1h30m", T - 90 * MINUTE),
        ("2026-05-01", T - 12 * HOUR),
        ("2026-05-01T11:00:00", T - HOUR),
        ("2026-05-01T11:00:00Z", T - HOUR),
        ("2026-05-01T13:00:00+02:00", T - HOUR),
        ("2027-01-01", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_since_is_read_as_an_operator_writes_it(text: str, expected: datetime | None) -> None:
    assert since_of(text, T) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("yesterday", "-1h", "1", "1 h", "2026-13-01", "99999999999w", "²h"),
        pytest.param("9" * 5000 + "d", id="a number of 5000 digits"),
    ],
)
def test_since_what_is_neither_a_duration_nor_a_time_is_a_mistake(text: str) -> None:
    with pytest.raises(Mistake, match="neither a duration such as 2h nor a time"):
        since_of(text, T)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid duration"),
        ("soon", "invalid duration"),
        ("-1h", "invalid duration"),
        ("2026-05-01", "invalid duration"),
        ("0s", "longer than 0s"),
        ("0h0m", "longer than 0s"),
        ("999999w", "too long"),
        pytest.param("9" * 5000 + "w", "too long", id="a number of 5000 digits"),
    ],
)
def test_a_pause_that_would_not_end_or_not_begin_is_a_mistake(text: str, words: str) -> None:
    with pytest.raises(Mistake, match=rf"^for: .*{words}"):
        until_of(text, T)


def test_the_shortest_pause_lasts_a_moment() -> None:
    assert until_of("1ms", T) == T + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (T, "2026-05-01T12:00:00+00:00"),
        (90 * MINUTE, "5400.0s"),
        ({1: "a"}, {"1": "a"}),
        ("\x1b[2J\n</script>", "\x1b[2J\n</script>"),
        (None, None),
    ],
    ids=["a time", "a duration", "a number as a name", "control characters", "nothing"],
)
def test_an_answer_is_json_that_says_what_was_meant(value: Any, expected: Any) -> None:
    answer = reply({"value": value}, 409)
    assert (answer.status, answer.content_type) == (409, "application/json")
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {"value": expected}
