"""The demo plays to its end; with a part broken it exits non-zero."""

import pytest

from remediator import demo
from remediator.cluster.sandbox import SandboxCluster


async def test_the_demo_comes_to_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert await demo.run(0, leave=True) == 0
    shown = capsys.readouterr().out
    assert shown.count("=> as expected") == 4
    assert "rollout_changed" in shown
    assert "gave_up" in shown
    assert "awaiting_approval" in shown


@pytest.mark.parametrize("broken", ["apply", "observe"])
async def test_a_broken_part_fails_the_demo(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("broken for the test")

    monkeypatch.setattr(demo, "PATIENCE", 3.0)
    monkeypatch.setattr(SandboxCluster, broken, fails)
    assert await demo.run(0, leave=True) == 1
