"""The tree of an earlier commit, measured by the benches of this one."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# what measures; what is measured comes from the commit
OURS = ("bench", "tests/real")
LONGEST = 900.0


@contextmanager
def earlier(commit: str) -> Iterator[Path | None]:
    """A folder with that commit, and our benches in it; None where this clone does not know it."""
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True
    )
    if known.returncode:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(tree), commit)
        try:
            for part in OURS:
                shutil.rmtree(tree / part)
                shutil.copytree(ROOT / part, tree / part)
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True)


def figures(tree: Path, name: str, *options: str) -> dict[str, float]:
    """What one measure finds in a tree; nothing where it fails there, which is said."""
    command = [sys.executable, "-m", "bench.measure", name, *options]
    try:
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        print(f"{name} in {tree}: no result within {LONGEST:.0f} s", file=sys.stderr)
        return {}
    if done.returncode:
        print(f"{name} in {tree}: {done.stderr.strip()[-2000:]}", file=sys.stderr)
        return {}
    return dict(json.loads(done.stdout))
