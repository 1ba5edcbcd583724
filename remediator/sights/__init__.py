"""Facts about a target, one file per sight, each a value.

A cause, an action or a guard names the sights it needs; only those are read.
"""

from typing import Any

from ..model.sight import Sight
from ..plugins import Registry

SIGHTS: Registry[Sight[Any]] = Registry(__name__, Sight)
