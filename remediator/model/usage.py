"""What the journal knows of limits at the moment an attempt would begin."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .duration import format_duration


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `window`."""

    count: int
    window: timedelta

    def __str__(self) -> str:
        return f"{self.count}/{format_duration(self.window)}"


@dataclass(frozen=True, slots=True)
class Charge:
    """One begun attempt; never refunded."""

    remediation: str
    rule: str
    action: str
    namespace: str
    root_key: str
    target_key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock; one that only `verifying` yields to a higher priority."""

    remediation: str
    verifying: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """Which charges a limit counts: those whose columns have these values.

    None named = every charge.
    """

    limit: str
    rate: Rate
    where: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Troubled:
    """A root of which an alert fires now."""

    key: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be read: locks by key, what limits count, the rule's last ends, a storm's row.

    `troubled`: the roots of which alerts fire, where they need not be counted now.
    """

    locks: tuple[str, ...]
    counted: tuple[Counted, ...] = ()
    ends: int = 5
    group: str = ""
    troubled: tuple[Troubled, ...] | None = None

    def in_trouble(self, count: Callable[[], tuple[Troubled, ...]]) -> tuple[Troubled, ...]:
        """Those roots, counted only where they are needed and were not counted before."""
        return count() if self.troubled is None else self.troubled


@dataclass(frozen=True, slots=True)
class Ended:
    """How an acting remediation ended.

    `good` is None where nobody can know, or somebody stepped in.
    """

    good: bool | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """Read inside the begin transaction.

    `ended` is the last end of an acted remediation of this rule and target.

    `used_up` holds the limits that have no room now, each with the time of the oldest charge that
    fills it: it frees one window later. `begun` says whether this remediation has made an attempt.
    `ineffective_in_row` counts its last ends that did not help. `ends` are those of the rule on all
    targets, the newest first, since its breaker was last reset; `troubled` are the roots of which
    alerts fire now; `storm_until` is the end of the scope's storm.
    """

    locks: Mapping[str, Holder]
    used_up: Mapping[Counted, datetime]
    begun: bool
    in_flight: int
    ended: datetime | None
    ineffective_in_row: int
    ends: tuple[Ended, ...]
    troubled: tuple[Troubled, ...]
    storm_until: datetime | None
