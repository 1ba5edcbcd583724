"""What can be done: one file per action, each exporting ACTION; the registry is this list."""

from . import quarantine_pod, restart_workload, rollback_workload, scale_workload
from .spec import ActionSpec

MODULES = (quarantine_pod, restart_workload, rollback_workload, scale_workload)
ACTIONS: dict[str, ActionSpec] = {module.ACTION.name: module.ACTION for module in MODULES}
