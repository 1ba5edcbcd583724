"""Names mean one thing: no two modules, and no two public classes, have one name."""

import ast
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median

import remediator

TOPS = ("remediator", "tests", "bench", "tools")
HOME = Path(remediator.__file__).parent
MODULES = [
    path for path in sorted(HOME.rglob("*.py")) if "migrations" not in path.relative_to(HOME).parts
]
BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.match_case,
)
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


def branches(function: ast.AST) -> int:
    """The cyclomatic complexity, with comprehensions, conditional expressions, `and` and `or`."""
    count = 1
    for node in ast.walk(function):
        if isinstance(node, BRANCHES):
            count += 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
    return count


def functions() -> Iterator[tuple[str, int, int]]:
    """Each function of the package: where, its branches, its lines."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                yield f"{path.relative_to(HOME)}:{node.lineno}", branches(node), lines


def test_functions_are_of_one_thought() -> None:
    """At most 12 branches each; half of the longer ones have no more than one in four lines."""
    assert [place for place, count, _ in functions() if count > 12] == []
    dense = [count / lines for _, count, lines in functions() if lines >= 15]
    assert median(dense) <= 0.25


def test_branches_are_counted_wherever_they_hide() -> None:
    plain = ast.parse("def f(x):\n    if x:\n        return 1\n    return 0")
    packed = ast.parse("def f(x):\n    return [a or b for a, b in x if a] if x and x[0] else 0")
    assert (branches(plain), branches(packed)) == (2, 6)


def test_no_two_classes_have_one_name() -> None:
    defined = []
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined.append(node.name)
    counted = Counter(defined)
    assert [name for name, count in counted.items() if count > 1 and name not in PER_FILE] == []
