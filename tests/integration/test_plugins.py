"""Actions, causes and sights of other distributions.

Found by entry points, used like ours, refused in words.
"""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.actions import ACTIONS
from remediator.engine.after import undo
from tests.integration.world import World

MODULE = '''
"""Wake a workload: a custom resource of its own, a sight, a cause and an action."""

from remediator.actions.action_spec import ActionSpec, Parameters
from remediator.causes.cause_spec import CauseSpec, Found
from remediator.model.kind import Kind
from remediator.model.plan import Refusal, Seen, Verified
from remediator.model.sight import Read, Sight
from remediator.model.verdict import Reason

NAP = Kind("Nap", "naps.example.com", "v1", "naps", labels=("nap",))


def look(facts, obj):
    (found,) = yield (Read(NAP, facts.target.namespace),)
    return tuple(found)


NAPS = Sight("naps", look, lists=frozenset({NAP}))
CAUSE = CauseSpec("asleep", "It sleeps.", frozenset({NAPS}), lambda facts, within: None)
MANUAL = """Wake a workload."""
ACTION = ActionSpec(
    name="wake_workload", summary="Wake it.", manual=MANUAL, params=Parameters,
    targets=frozenset({NAP}),
    calls=frozenset({("delete", NAP, "")}), disruption="none", causes=frozenset({"asleep"}),
    sees=frozenset({NAPS}), watches=frozenset(), waives=frozenset(),
    plan=lambda facts, params, causes: Refusal(Reason.NO_CAUSE, "it is awake"),
    verify=lambda plan, sent, facts: Seen(Verified.CONVERGED),
    example="{action: wake_workload}",
)
'''
RULE = """version: 1
groups:
  - name: g
    scope: {namespaces: [shop]}
    rules:
      - name: wake
        match: ['alertname="Asleep"']
        escalate: {to: [log]}
        steps: [{action: wake_workload}]
"""
POINTS = """[remediator.actions]
wake_workload = naps:ACTION
[remediator.causes]
asleep = naps:CAUSE
[remediator.sights]
naps = naps:NAPS
"""


def run(folder: Path, points: str, *arguments: str) -> tuple[int, str]:
    """`remediator …` where another distribution is installed beside ours."""
    info = folder / "naps-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: naps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    (folder / "naps.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-m", "remediator", *arguments],
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_what_another_distribution_brings_is_used_like_ours(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULE)
    code, shown = run(tmp_path, POINTS, "check", str(tmp_path / "rules.yaml"))
    assert code == 0, shown
    code, shown = run(tmp_path, POINTS, "generate", "rbac", "--rules", str(tmp_path / "rules.yaml"))
    assert code == 0, shown
    assert "naps.example.com" in shown
    pages = tmp_path / "reference"
    code, shown = run(tmp_path, POINTS, "generate", "reference", "--output", str(pages))
    assert code == 0, shown
    assert "# wake_workload" in (pages / "actions" / "wake_workload.md").read_text()
    assert "[naps](../sights/naps.md)" in (pages / "causes" / "asleep.md").read_text()
    assert (pages / "sights" / "naps.md").exists()
    assert '"wake_workload"' in run(tmp_path, POINTS, "generate", "schema")[1]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            "[remediator.actions]\nx = naps:MISSING\n",
            "cannot load remediator.actions `x` of naps: AttributeError",
        ),
        (
            "[remediator.actions]\nx = absent:ACTION\n",
            "cannot load remediator.actions `x` of naps: ModuleNotFoundError",
        ),
        (
            "[remediator.actions]\nx = naps:CAUSE\n",
            "cannot use remediator.actions `x` of naps: it is of type CauseSpec, not ActionSpec",
        ),
        (
            "[remediator.sights]\na = naps:NAPS\nb = naps:NAPS\n",
            "two of type Sight are called `naps`",
        ),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_starts(
    points: str, message: str, tmp_path: Path
) -> None:
    code, shown = run(tmp_path, points, "check", str(tmp_path))
    assert code == 2
    assert shown.startswith(f"remediator: {message}"), shown
    assert "Traceback" not in shown


async def test_an_attempt_whose_action_is_no_longer_installed_ends_and_people_are_notified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await World().start()
    world.leak()
    await world.deliver("Leak")
    await world.run(timedelta(seconds=90))
    assert [state for state, _ in await world.states()] == ["verifying"]
    monkeypatch.delitem(ACTIONS, "restart_workload")
    await world.run(timedelta(minutes=2))
    assert await world.states() == [("unknown", "unknown_fact")]
    (message,) = world.told.messages
    assert "action `restart_workload` is no longer installed" in message["why"]
    row = await world.only()
    assert await undo.ask(world.doors, row["id"], "me", world.clock.now()) is not None
    await world.journal.close()
