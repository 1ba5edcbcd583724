"""What the journal knows of limits at the moment an attempt would begin."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `window`."""

    count: int
    window: timedelta


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
class Usage:
    """Read inside the begin transaction. `ended` is the last end of an acted remediation of this rule and target."""

    locks: Mapping[str, str]
    charges: tuple[Charge, ...]
    in_flight: int
    ended: datetime | None
    ineffective_in_row: int = 0
