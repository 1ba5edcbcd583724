"""Texts that come from outside, made fit to be shown: labels and messages may hold anything."""

import re

# control, and what turns the direction of writing
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def one_line(text: object) -> str:
    """The text without characters that would move a terminal's
    cursor, begin a line, or hide something.
    """
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(text))
