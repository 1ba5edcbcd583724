"""Notices: one value for every receiver.

The payload is versioned, and read again whatever wrote it.
"""

from typing import Any

from remediator.model.notice import ALWAYS, VERSION, Notice, from_payload

SAID: dict[str, Any] = {name: name for name in ALWAYS}


def test_a_payload_is_read_again_as_it_was() -> None:
    notice = Notice(**SAID, story=("one", "two"), members=("a",), plan="restart", closed=True)
    assert from_payload(notice.payload()) == notice


def test_what_says_nothing_is_left_out_but_for_what_every_message_has() -> None:
    payload = Notice(**{**SAID, "reason": ""}).payload()
    assert payload == {"version": VERSION, **SAID, "reason": ""}


def test_what_another_version_wrote_is_read_as_far_as_it_is_known() -> None:
    old = from_payload({"remediation": "r-1", "state": "failed", "colour": "red"})
    assert (old.remediation, old.state, old.why, old.story) == ("r-1", "failed", "", ())
