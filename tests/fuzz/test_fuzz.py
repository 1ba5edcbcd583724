"""A short run of the fuzzer on every target; `make fuzz` is the long one."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import run
from tests.fuzz.targets import SEEDS, TARGETS

INPUTS = 3000


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_short_run_of_each_target(name: str, tmp_path: Path) -> None:
    held, said = run(name, INPUTS, tmp_path)
    assert held, said


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_the_inputs_to_begin_with_hold(name: str) -> None:
    for data in SEEDS[name]:
        TARGETS[name](data)
