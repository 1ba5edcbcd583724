"""`make simulate SEEDS=10000`: plays seeds on all processors.

A failing one prints itself and the least that it needs.
"""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import structlog

from .mutations import MUTATIONS
from .schedule import make, smallest
from .world import Simulation

PART = 25
MOST_SEEDS = 300  # within which a mutation must be found


def play(seeds: Iterable[int]) -> tuple[Counter[str], int, list[tuple[int, str]]]:
    """Plays some seeds: faults injected, steps checked, and what did not hold."""
    counted: Counter[str] = Counter()
    steps, broken = 0, []
    with quiet():
        for seed in seeds:
            simulation = Simulation(seed, make(seed))
            found = simulation.run()
            counted += simulation.counted
            steps += simulation.watch.steps
            if found is not None:
                broken.append((seed, str(found)))
    return counted, steps, broken


@contextmanager
def quiet() -> Iterator[None]:
    """No log: thousands of daemons live here.

    Garbage is collected when a part is over, which is soon enough.
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        structlog.configure(**before)


def explain(seed: int) -> str:
    """A failing seed's least schedule, and what happened in it."""

    def name(happenings: list[Any]) -> str:
        found = Simulation(seed, happenings).run()
        return found.name if found else ""

    wanted = name(make(seed))
    least = smallest(make(seed), lambda fewer: name(fewer) == wanted)
    simulation = Simulation(seed, least)
    found = simulation.run()
    return "\n".join([f"seed {seed}: {found}", "with the least that it needs:", *simulation.trace])


def find(number: int, least: int = 0) -> tuple[int, str, str]:
    """Looks for a mutation: the seed that found it, the invariant
    that did, and the one that was to.
    """
    mutation, wanted, _ = MUTATIONS[number]
    others: Counter[str] = Counter()
    with quiet(), mutation():
        for seed in range(least, least + MOST_SEEDS):
            found = Simulation(seed, make(seed)).run()
            if found is not None and found.name == wanted:
                return seed, found.name, wanted
            if found is not None:
                others[found.name] += 1
    return -1, ", ".join(others), wanted


def main() -> int:
    """Seeds first, then the mutations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play this one and say what happened")
    given = parser.parse_args()
    # sets have an order too: a seed plays the same way in every process
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    if given.seed is not None:
        with quiet():
            simulation = Simulation(given.seed, make(given.seed))
            found = simulation.run()
        print("\n".join(simulation.trace))
        print(explain(given.seed) if found else "everything held")
        return int(found is not None)
    started, counted, steps, broken, done = time.monotonic(), Counter[str](), 0, [], 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        ends = given.first + given.seeds
        parts = [
            pool.submit(play, range(at, min(at + PART, ends)))
            for at in range(given.first, ends, PART)
        ]
        for part in as_completed(parts):
            more, checked, found_ = part.result()
            counted, steps, done = counted + more, steps + checked, done + PART
            broken += found_
            for seed, what in found_:
                print(f"\nseed {seed}: {what}", flush=True)
            passed = time.monotonic() - started
            print(
                f"\r{min(done, given.seeds)} of {given.seeds} seeds, {passed:.0f}s",
                end="",
                file=sys.stderr,
                flush=True,
            )
        print(file=sys.stderr)
        faults = ", ".join(f"{count} {what}" for what, count in counted.most_common())
        seconds = time.monotonic() - started
        print(
            f"{given.seeds} seeds in {seconds:.0f}s: {steps} steps checked, {sum(counted.values())}"
            f" faults ({faults}), {len(broken)} broken"
        )
        for seed, _ in sorted(broken)[:3]:
            print(explain(seed))
        alive = 0
        for mutation, result in zip(
            MUTATIONS,
            pool.map(find, range(len(MUTATIONS)), [first for _, _, first in MUTATIONS]),
            strict=True,
        ):
            seed, name, wanted = result
            alive += seed < 0
            how = (
                f"killed by `{name}`, seed {seed}"
                if seed >= 0
                else f"ALIVE (wanted `{wanted}`, found {name or 'nothing'})"
            )
            print(f"mutation {mutation[0].__name__}: {how}")
    return int(bool(broken or alive))


if __name__ == "__main__":
    sys.exit(main())
