"""`make fuzz INPUTS=1000000`: coverage-guided, each target in a process of its own.

A finding is kept as a file and ends the run.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "fixtures" / "alertmanager"
SLOWEST = 5  # seconds for one input: anything longer is a hang
LARGEST = 4096


def one(name: str, arguments: list[str]) -> None:
    """Fuzzes one target; never returns."""
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["remediator"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def corpus(name: str, folder: Path) -> None:
    """Inputs to begin with."""
    from tests.fuzz.targets import SEEDS

    seeds = (
        [path.read_bytes() for path in sorted(FIXTURES.glob("*.json"))]
        if name == "webhook"
        else SEEDS[name]
    )
    for number, data in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(data)


def run(name: str, inputs: int, kept: Path) -> tuple[bool, str]:
    """One target, so many inputs: whether it held, and what the fuzzer said last."""
    with tempfile.TemporaryDirectory() as folder:
        corpus(name, Path(folder))
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--one",
            name,
            folder,
            f"-atheris_runs={inputs}",
            f"-timeout={SLOWEST}",
            f"-max_len={LARGEST}",
            f"-artifact_prefix={kept}/{name}-",
            "-rss_limit_mb=2048",
            "-verbosity=1",
            "-print_final_stats=1",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
    told = [line for line in lines if " cov: " in line]
    rang = done.returncode == -signal.SIGALRM and any(
        line.startswith(f"Done {inputs} ") for line in lines
    )
    if done.returncode == 0 or rang:  # the fuzzer's own alarm may ring while its interpreter ends
        return True, told[-1].partition(" exec/s")[0] if told else ""
    said = [line for line in lines if not line.startswith(("#", "INFO", "WARNING", "stat::"))]
    return False, "\n".join(said)[-3000:]


def main() -> int:
    """All targets, the inputs shared among them."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--kept", type=Path, default=Path("fuzz-findings"))
    given = parser.parse_args()
    given.kept.mkdir(exist_ok=True)
    each, findings = given.inputs // len(TARGETS), 0
    for name in TARGETS:
        started = time.monotonic()
        held, said = run(name, each, given.kept)
        findings += not held
        print(
            f"{name:10} {each} inputs in {time.monotonic() - started:.0f}s:"
            f" {'held' if held else 'FINDING'}  {said}",
            flush=True,
        )
    print(f"{each * len(TARGETS)} inputs, {findings} findings")
    if not findings and not os.listdir(given.kept):
        given.kept.rmdir()
    return int(bool(findings))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
    sys.exit(main())
