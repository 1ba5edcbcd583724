"""A cause that was found, with its evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that was found, in words and as data."""

    name: str
    why: str
    evidence: Mapping[str, Any]
