"""What can be done: one file per action, each exporting ACTION; the registry is the folder."""

import sys

from ..plugins import values
from .spec import ActionSpec

ACTIONS: dict[str, ActionSpec] = {a.name: a for a in values(sys.modules[__name__], ActionSpec)}
