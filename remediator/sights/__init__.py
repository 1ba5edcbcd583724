"""What can be seen of a target: one file per sight, each a value.

What decides by one asks facts for it.
"""

from typing import Any

from ..model.sight import Sight
from ..plugins import Registry

SIGHTS: Registry[Sight[Any]] = Registry(__name__, Sight)
