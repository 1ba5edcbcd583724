"""Texts that come from outside, made fit to be shown: labels and messages may hold anything."""

import re

# control, what has no width, what turns the direction of writing, and bytes that were no text
UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)


def one_line(text: object) -> str:
    """The text without characters that would move a terminal's
    cursor, begin a line, hide something, or that cannot be encoded.
    """
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(text))
