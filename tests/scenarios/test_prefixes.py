"""Killed before and after every transaction and every call, in every scenario.

A new process comes to the same end, with one act.

Moments that leave the very same journal, cluster and time are tried once.
"""

from pathlib import Path

import pytest

from remediator.journal.sql import SqlJournal
from tests.integration.world import START
from tests.scenarios.player import SCENARIOS, Stage, load


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
async def test_killed_at_every_effect_it_comes_to_the_same_end(path: Path) -> None:
    scenario = load(path)
    journal = SqlJournal("sqlite://")
    await journal.open(START)
    whole = await Stage(scenario, journal, watched=True).set()
    await whole.run()
    expected = await whole.end()
    for key, value in scenario.ends.items():
        assert expected[key] == value, key
    assert expected["doubled"] == []
    moments = {moment.digest: moment for moment in reversed(whole.moments)}
    for moment in reversed(moments.values()):
        stage = Stage(scenario, journal).go_on(moment)
        await stage.run()
        assert await stage.end() == expected, (
            f"killed {moment.label} of {len(whole.moments) // 2} effects"
        )
    print(
        f"{scenario.name}: {len(whole.moments) // 2} effects, {len(whole.moments)} crashes,"
        f" {len(moments)} that differ"
    )
    await journal.close()


def test_there_is_a_scenario_for_every_action_and_every_way_to_end() -> None:
    text = "\n".join(path.read_text() for path in SCENARIOS)
    for word in (
        "rollback_workload",
        "restart_workload",
        "scale_workload",
        "quarantine_pod",
        "mode: approve",
        "undo",
        "resume",
        "reload",
    ):
        assert word in text, word
    for state in (
        "succeeded",
        "ineffective",
        "failed",
        "blocked",
        "superseded",
        "cancelled",
        "expired",
        "observed",
    ):
        assert state in text, state
