"""A few hundred seeds hold every promise.

And each bug made on purpose is found by the invariant that names what it breaks.

`make simulate SEEDS=10000` plays many more. What it cannot show: how real parts answer (the
contract and e2e tests do), what no schedule here does, and code that no schedule reaches.
"""

import json
import os
import subprocess
import sys
from itertools import chain
from typing import Any

import pytest

from tests.simulation.__main__ import explain, play
from tests.simulation.mutations import MUTATIONS
from tests.simulation.schedule import ACTIVE, Happening, make, smallest

PART, PARTS = 20, 10
ONCE_BROKEN = [6492]  # two replicas and an inbox that gave an id twice


def apart(call: str) -> Any:
    """What a function of the simulation answers in a process where
    sets have the same order every time.
    """
    code = (
        f"import json; from tests.simulation.__main__ import find, play; print(json.dumps({call}))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_seeds_hold_every_promise(part: int) -> None:
    counted, steps, broken = apart(f"play(range({part * PART}, {(part + 1) * PART}))")
    assert not broken, f"{broken}\n{explain(broken[0][0])}"
    assert steps > 20 * PART
    assert sum(counted.values()) > PART


def test_seeds_that_once_broke_a_promise_hold() -> None:
    _, steps, broken = apart(f"play({ONCE_BROKEN})")
    assert not broken
    assert steps > 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "number", range(len(MUTATIONS)), ids=[mutation.__name__ for mutation, _, _ in MUTATIONS]
)
def test_a_bug_made_on_purpose_is_found_by_the_invariant_that_names_it(number: int) -> None:
    seed, found, wanted = apart(f"find({number}, {MUTATIONS[number][2]})")
    assert (seed >= 0, found) == (True, wanted)


def test_the_same_seed_plays_the_same_way_twice() -> None:
    first, second = play([3]), play([3])
    assert first == second
    assert make(3) == make(3) != make(4)


def test_a_failing_schedule_is_cut_down_to_what_it_needs() -> None:
    schedule = [Happening(float(n), "x", {"n": n}) for n in range(12)]
    least = smallest(schedule, lambda fewer: {2, 7} <= {item.what["n"] for item in fewer})
    assert [item.what["n"] for item in least] == [2, 7]


def test_schedules_have_everything_in_them() -> None:
    items = list(chain.from_iterable(map(make, range(300))))
    kinds = {item.kind if item.kind != "call" else item.what["fault"] for item in items}
    assert {
        "crash",
        "stall",
        "clock",
        "disk",
        "power",
        "hang",
        "quiet",
        "expire",
        "deaf",
        "blind",
        "recreate",
        "release",
        "reload",
        "decide",
        "undo",
    } <= kinds
    assert {"error", "conflict", "lost", "landed", "late", "slow", "recreated", "released"} <= kinds
    assert all(0 <= item.at <= ACTIVE + 61 for item in items)
