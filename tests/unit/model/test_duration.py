"""Durations as people write them."""

from datetime import timedelta

import pytest

from remediator.model.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("1w", 604800), ("250ms", 0.25)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-5m", "5 m", "1y", "1.5h", "5m "])
def test_anything_else_is_refused_with_a_form_to_use(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid duration .*; use a form such as"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["99999999999999999999w", "9" * 400 + "s", "1000000000d"])
def test_one_that_no_clock_can_hold_is_refused_as_too_long(text: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1s", "5m", "1h30m", "2d1h"])
def test_what_is_written_reads_as_it_was(text: str) -> None:
    assert format_duration(parse_duration(text)) == text
