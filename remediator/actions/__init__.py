"""What remediator can do: one file per action, each exporting ACTION."""

from ..plugins import Registry
from .action_spec import ActionSpec

ACTIONS: Registry[ActionSpec] = Registry(__name__, ActionSpec)
