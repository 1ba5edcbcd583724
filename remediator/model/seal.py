"""The head of the sealed history."""


def head_number(digest: str) -> int:
    """The head of the sealed history as a number that a metric holds exactly: its first 48 bits."""
    return int(digest[:12], 16)
