"""What follows from the definitions: JSON Schema, RBAC, and the reference pages."""

from collections.abc import Callable, Sequence
from pathlib import Path

from . import pages, rbac

PAGES: dict[str, Callable[[Sequence[Path]], str]] = {
    "schema": pages.schema,
    "rbac": rbac.rbac,
    "permissions": rbac.permissions,
    "actions": pages.actions,
    "causes": pages.causes,
    "guards": pages.guards,
    "reasons": pages.reasons,
    "metrics": pages.metrics,
    "states": pages.states,
    "annotations": pages.annotations,
    "settings": pages.settings,
    "rules": pages.rules,
}
