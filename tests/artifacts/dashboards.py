"""The shipped dashboards, read."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "dashboards").glob("*.json"))
VALUES = {"$__rate_interval": "1m", "$__range": "1h", "$job": ".+", "$instance": ".+"}


def panels(path: Path) -> list[Any]:
    """Its panels, rows left out."""
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def queries(path: Path) -> Iterator[tuple[str, str]]:
    """(panel, query) with every variable replaced, as Grafana does."""
    for panel in panels(path):
        for target in panel["targets"]:
            yield panel["title"], replaced(target["expr"])


def replaced(expr: str) -> str:
    for name, value in VALUES.items():
        expr = expr.replace(name, value)
    assert not re.search(r"\$[a-z_]+", expr), expr
    return expr
