"""What can be seen of a target: one file per sight, each a value; what decides by one asks facts for it."""

import sys
from typing import Any

from ..model.sight import Sight
from ..plugins import values

SIGHTS: dict[str, Sight[Any]] = {s.name: s for s in values(sys.modules[__name__], Sight)}
