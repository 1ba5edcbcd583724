"""A pause: where nothing is done for now, because somebody said so."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """A scope that somebody paused: `all`, `cluster:X`, `namespace:X` or `rule:X`.

    `until` None is until it is resumed.
    """

    scope: str
    reason: str
    author: str
    until: datetime | None
    at: datetime
