"""The benches run: a short round of each, so that none of them rots.

Figures are not judged here.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import SHORT
from bench.run import rows
from tests.real.parts import binary

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=390
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.timeout(400)
def test_every_case_of_the_bench_runs() -> None:
    binary("kubernetes", "kube-apiserver")
    text = run("bench.run", "--short")
    found = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    assert [line[1].strip() for line in found] == ["what", *(row.what for row in rows(SHORT))]
    assert all(re.search(r"[0-9]", line[3]) for line in found[1:])
    assert text.count("xychart-beta") == 3


def test_the_growth_bench_runs() -> None:
    text = run("bench.growth", "--remediations", "2000", "--episodes", "10000")
    assert len(re.findall(r"median +[0-9.]+ ms", text)) >= 25
