"""The exposition: accepted by promtool, every metric of the
table there, and no name of a target in it.
"""

import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from remediator.engine.tell import gauges
from remediator.telemetry import METRICS, Metrics, severity_of
from tests.integration.world import START, World
from tests.real.parts import binary

HOUR = timedelta(hours=1)


@pytest.fixture
async def text() -> AsyncIterator[str]:
    world = await World().start()
    gauges.announce(world.doors)
    world.crash()
    await world.deliver("Crash", severity="critical")
    await world.run()
    await world.deliver("Crash", firing=False, severity="critical")
    await world.run(timedelta(minutes=6))
    await gauges.read(world.doors, START - HOUR, world.clock.now())
    yield world.doors.metrics.render().decode()
    await world.journal.close()


async def test_promtool_has_nothing_against_it(text: str) -> None:
    done = subprocess.run(
        [binary("prometheus", "promtool"), "check", "metrics"],
        input=text,
        text=True,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_what_happened_is_counted(text: str) -> None:
    for line in (
        'remediator_remediations_total{mode="act",rule="back",state="succeeded"} 1.0',
        'remediator_remediations_total{mode="act",rule="restart",state="failed"} 0.0',
        'remediator_attempts_total{action="rollback_workload",outcome="succeeded",rule="back"} 1.0',
        'remediator_verifications_total{result="succeeded",rule="back"} 1.0',
        'remediator_calls_total{action="rollback_workload",answer="ok",verb="patch"} 1.0',
        'remediator_alert_resolution_seconds_count{remediated="true",rule="back"} 1.0',
        'remediator_episodes_total{fate="attached",severity="critical"} 1.0',
        'remediator_limit_usage_ratio{scope="global"} 0.1',
        'remediator_rules_loaded{mode="act"} 2.0',
        "remediator_config_last_reload_successful 1.0",
    ):
        assert line in text.splitlines()


async def test_no_name_of_a_target_is_a_label(text: str) -> None:
    assert "shop" not in text
    assert "Crash-web" not in text


def test_every_metric_has_a_sane_name() -> None:
    for name, (kind, what, _) in METRICS.items():
        assert what.endswith(".")
        assert name.endswith("_total") == (kind.__name__ == "Counter")
    assert "remediator_build_info" in Metrics().render().decode()


def test_severities_are_a_closed_list() -> None:
    assert [severity_of(s) for s in ("critical", "CRITICAL", "page; rm", None)] == [
        "critical",
        "critical",
        "other",
        "none",
    ]
