#!/usr/bin/env python3
"""Draws the packages by layer, and what imports what, from the code and its import contract.

Usage: tools/layers.py > docs/reference/layers.md
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "remediator"


def layers() -> list[list[str]]:
    """From the top to the bottom, as the import contract has them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = config["tool"]["importlinter"]["contracts"][0]
    return [re.split(r"\s*\|\s*", layer) for layer in contract["layers"]]


def imports(part: str) -> set[str]:
    """The parts that a package or module imports directly."""
    return set(chain.from_iterable(map(imported, files(part)))) - {part}


def files(part: str) -> list[Path]:
    folder = SOURCE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{part}.py"]


def imported(path: Path) -> Iterator[str]:
    inside = path.relative_to(SOURCE).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == len(inside):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (str(name).split(".")[0] for name in names)


def about(part: str) -> str:
    """The first line of a part's docstring."""
    folder = SOURCE / part
    path = folder / "__init__.py" if folder.is_dir() else SOURCE / f"{part}.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def page() -> str:
    """A figure with the arrows that no longer way implies, and a table."""
    rows = layers()
    numbered: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        numbered |= dict.fromkeys(row, number)
    parts = list(numbered)
    direct = {part: imports(part) & set(parts) for part in parts}
    reach: dict[str, set[str]] = {}
    for part in reversed(parts):
        reach[part] = set().union(direct[part], *(reach[to] for to in direct[part]))
    arrows: list[str] = []
    for part in parts:
        implied = set().union(*(reach[to] for to in direct[part]))
        arrows += [f"    {part} --> {to}\n" for to in sorted(direct[part] - implied)]
    table = "".join(
        f"| {number} | `{part}` | {about(part)} |\n" for part, number in numbered.items()
    )
    return (
        "# Packages by layer\n\nA package imports only packages of lower layers. Arrows that follow"
        " from others are left out.\n\n"
        f"```mermaid\nflowchart TD\n{''.join(arrows)}```\n\n"
        f"| layer | package | what it is |\n| --- | --- | --- |\n{table}"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
