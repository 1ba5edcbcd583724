"""Names mean one thing: no two modules, and no two public classes, have one name."""

import ast
from collections import Counter
from itertools import chain
from pathlib import Path

import remediator

TOPS = ("remediator", "tests", "bench", "tools")
HOME = Path(remediator.__file__).parent
MODULES = [
    path for path in sorted(HOME.rglob("*.py")) if "migrations" not in path.relative_to(HOME).parts
]
PER_FILE = {"Params"}  # each action has its own
PER_OUTSIDE = {"client", "sandbox"}  # each thing outside has both


def test_no_two_modules_have_one_name() -> None:
    counted = Counter(path.stem for path in MODULES if path.stem not in {"__init__", *PER_OUTSIDE})
    assert [name for name, count in counted.items() if count > 1] == []


def test_no_comprehension_has_two_fors() -> None:
    """Short must not mean compressed: loops that nest are written as loops, or chained."""
    root, found = HOME.parent, []
    for path in chain.from_iterable(sorted((root / top).rglob("*.py")) for top in TOPS):
        for node in ast.walk(ast.parse(path.read_text())):
            if len(getattr(node, "generators", ())) > 1:
                found.append(f"{path}:{node.lineno}")  # type: ignore[attr-defined]
    assert found == []


def test_no_two_classes_have_one_name() -> None:
    defined = []
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined.append(node.name)
    counted = Counter(defined)
    assert [name for name, count in counted.items() if count > 1 and name not in PER_FILE] == []
