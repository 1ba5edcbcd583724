"""What can be done: one file per action, each exporting ACTION; the registry is the folder."""

from ..plugins import Registry
from .action_spec import ActionSpec

ACTIONS: Registry[ActionSpec] = Registry(__name__, ActionSpec)
