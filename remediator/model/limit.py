"""Limits as written in settings and rules: shares, storms, and a rule's breaker."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Radius:
    """How many ready pods may be taken down at once: a share (0 to 1), a count, or both; the
    smaller applies.
    """

    share: float | None = 0.3
    count: int | None = None

    def of(self, pods: int) -> int:
        """How many of these: the share rounded down, but at least one."""
        bounds = [] if self.share is None else [max(1, int(self.share * pods + 1e-9))]
        return min([*bounds, *([] if self.count is None else [self.count])], default=pods)

    def __str__(self) -> str:
        parts = [f"{self.share * 100:g}%"] if self.share is not None else []
        return " and ".join([*parts, *([str(self.count)] if self.count is not None else [])])


@dataclass(frozen=True, slots=True)
class StormLimit:
    """The number of distinct workloads, and the share of those in scope, that make a storm.

    It lasts until they have been fewer for `calm`. `roots` 0 disables it.
    """

    roots: int = 5
    share: float = 0.3
    calm: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BreakerLimit:
    """If `bad` of the last `of` remediations failed or did not help, the rule needs approval until
    `quiet` has passed.
    """

    bad: int = 3
    of: int = 5
    quiet: timedelta = timedelta(hours=6)
