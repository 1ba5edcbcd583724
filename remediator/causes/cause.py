"""What the facts say is wrong, with its evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CauseName(StrEnum):
    """The closed list of causes."""

    ROLLOUT_CHANGED = "rollout_changed"
    OOM_KILLED = "oom_killed"
    CRASH_LOOP = "crash_loop"


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause found, in words and as data."""

    name: CauseName
    why: str
    evidence: Mapping[str, Any]
