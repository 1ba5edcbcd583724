"""What guards look at has no default.

Leave out any one of the inputs, and the type checker says so.
"""

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

from remediator.guards.situation import Before

ROOT = Path(__file__).parents[3]


def inputs() -> list[tuple[str, str]]:
    """(what is called, one of its arguments), each of which is left out once."""
    found = [("Before", field.name) for field in dataclasses.fields(Before)]
    for method in (Before.planned, Before.undoing):
        names = list(inspect.signature(method).parameters)[1:]
        found += [(f"before.{method.__name__}", name) for name in names]
    return found


def test_an_input_that_is_left_out_fails_the_type_check(tmp_path: Path) -> None:
    every = inputs()
    lines = [
        "from typing import Any",
        "from remediator.guards.situation import Before",
        "def check(before: Before, x: Any) -> None:",
    ]
    for call, left_out in every:
        given = ", ".join(f"{name}=x" for one, name in every if one == call and name != left_out)
        lines.append(f"    {call}({given})")
    for call in dict.fromkeys(call for call, _ in every):
        given = ", ".join(f"{name}=x" for one, name in every if one == call)
        lines.append(f"    {call}({given})")
    mutants = tmp_path / "mutants.py"
    mutants.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(mutants)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = {int(line) for line in re.findall(r"mutants\.py:(\d+): error", done.stdout)}
    assert wrong == set(range(4, 4 + len(every))), done.stdout + done.stderr
    for (call, left_out), number in zip(every, sorted(wrong), strict=True):
        said = f'Missing named argument "{left_out}"'
        assert re.search(rf"mutants\.py:{number}: error: {said}", done.stdout), (call, left_out)
