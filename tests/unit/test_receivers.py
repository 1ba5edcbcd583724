"""Kinds of receivers: each says what it needs.

What is missing, or no kind at all, is refused in words.
"""

from typing import Any

import pytest
from pydantic import ValidationError

from remediator.notify import RECEIVERS
from remediator.notify.receiver import Given
from remediator.setting_sections import ReceiverSettings


def test_the_kinds_are_those_of_the_folder() -> None:
    assert sorted(RECEIVERS) == ["apprise", "log", "pagerduty", "slack", "webhook"]
    nothing = Given("", "", "", "")
    assert [name for name, kind in RECEIVERS.items() if kind.complete(nothing)] == ["log"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "slak"}, "unknown kind `slak`; did you mean `slack`?; known: apprise, log"),
        ({"kind": "webhook"}, "receiver `r` of kind webhook needs url or url_file"),
        (
            {"kind": "slack", "channel": "C1"},
            "receiver `r` of kind slack needs token_file and channel",
        ),
        ({"kind": "apprise"}, "receiver `r` of kind apprise needs url or url_file"),
        ({"kind": "pagerduty"}, "receiver `r` of kind pagerduty needs token_file"),
        (
            {"kind": "pagerduty", "tells": "everything"},
            "pagerduty opens incidents; use `tells: trouble`",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ReceiverSettings(name="r", **given)
    assert message in str(refused.value)


def test_one_that_is_complete_is_made() -> None:
    made = ReceiverSettings(name="r", kind="webhook", url="http://127.0.0.1:9/").make()
    assert made.kind == "webhook"
