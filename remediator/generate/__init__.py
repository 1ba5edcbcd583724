"""What follows from the definitions: schemas, RBAC, and the reference pages."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..web import openapi
from . import pages, parts, rbac, schemas

PRINTED: dict[str, Callable[[Sequence[Path]], str]] = {
    "schema": lambda _paths: schemas.rule_file(),
    "rbac": rbac.rbac,
    "permissions": rbac.permissions,
}
"""What `remediator generate` prints, for these rule files where they matter."""


def reference() -> dict[str, str]:
    """Every page and schema of the reference: path to text."""
    return {
        **{path: page() for path, page in pages.PAGES.items()},
        **parts.pages(),
        "rules.schema.json": schemas.rule_file(),
        "message.schema.json": schemas.message(),
        "openapi.json": schemas.text(openapi.document()),
        "rbac.yaml": rbac.rbac(()),
    }
