"""What can be done: one file per action, each exporting ACTION; the registry is this list."""

from . import restart_workload, rollback_workload
from .spec import ActionSpec

ACTIONS: dict[str, ActionSpec] = {action.name: action for action in (restart_workload.ACTION, rollback_workload.ACTION)}
