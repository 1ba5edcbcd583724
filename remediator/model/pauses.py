"""A pause: where nothing new starts for now."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """A paused scope: `all`, `cluster:X`, `namespace:X` or `rule:X`; `until` None: no end."""

    scope: str
    reason: str
    author: str
    until: datetime | None
    at: datetime

    def lasts(self, now: datetime) -> bool:
        """Whether it holds anything now: one with an end stays stored after it."""
        return self.until is None or self.until > now
