"""Limits as settings and rules state them: shares, storms, and a rule's breaker."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Radius:
    """How many ready pods may go at once.

    A share of them (0 to 1), a count, or both: the smaller binds.
    """

    share: float | None = 0.3
    count: int | None = None

    def of(self, pods: int) -> int:
        """How many of so many: the share rounded down, but at least one."""
        bounds = [] if self.share is None else [max(1, int(self.share * pods + 1e-9))]
        return min([*bounds, *([] if self.count is None else [self.count])], default=pods)

    def __str__(self) -> str:
        parts = [f"{self.share * 100:g}%"] if self.share is not None else []
        return " and ".join([*parts, *([str(self.count)] if self.count is not None else [])])


@dataclass(frozen=True, slots=True)
class StormLimit:
    """So many distinct roots, and such a share of the workloads in scope, in trouble at once.

    A common cause.

    Nothing but what is exempt begins then, until they were fewer for `calm`. `roots` 0 switches it
    off.
    """

    roots: int = 5
    share: float = 0.3
    calm: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class BreakerLimit:
    """A rule of whose last `of` remediations `bad` did not help or failed is
    capped at approve, until it was quiet for `quiet`.
    """

    bad: int = 3
    of: int = 5
    quiet: timedelta = timedelta(hours=6)
