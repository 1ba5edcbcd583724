"""Which rule a remediation goes on by, where alerts with other overrides have joined it."""

from dataclasses import replace

import pytest

from remediator.engine.doors import Doors
from remediator.located import load_text
from remediator.model.alert import Episode
from remediator.rules.loader import build
from tests.integration.world import World, rule_file
from tests.unit.engine.made import claimed, fired

RULE = "name: r, match: ['alertname=\"A\"'], steps: [{action: restart_workload, if: always}]"
OVERRIDE = """\
version: 1
overrides:
  - {rules: [r], match: ['severity="info"'], escalate: {after: 7m}}
"""


@pytest.fixture
async def doors() -> Doors:
    return (await World(build([rule_file(RULE), load_text(OVERRIDE, "o.yaml")])).start()).doors


def alert(severity: str) -> Episode:
    made = fired()
    labels = {"alertname": "A", "severity": severity}
    return replace(made, id=len(severity), alert=replace(made.alert, labels=labels))


INFO, PLAIN = alert("info"), alert("critical")


@pytest.mark.parametrize("began_with", [INFO, PLAIN], ids=["overridden", "not overridden"])
@pytest.mark.parametrize("others", [(INFO, PLAIN), (PLAIN, INFO)], ids=["info first", "info last"])
async def test_a_remediation_goes_on_by_the_rule_that_it_began_with(
    doors: Doors, began_with: Episode, others: tuple[Episode, Episode]
) -> None:
    claim = claimed(episodes=others, created_for=began_with.id)
    assert doors.rule_of(claim) == doors.rules.find("r", began_with.alert)


async def test_where_nobody_knows_for_which_alert_it_began_it_is_the_first(doors: Doors) -> None:
    older = claimed(episodes=(INFO, PLAIN))
    assert doors.rule_of(older) == doors.rules.find("r", INFO.alert)


async def test_without_alerts_a_rule_is_as_it_is_written(doors: Doors) -> None:
    assert doors.rule_of(claimed(episodes=())) == doors.rules.find("r")


async def test_a_rule_that_was_removed_is_none(doors: Doors) -> None:
    claim = claimed(episodes=(INFO,))
    gone = replace(claim, remediation=replace(claim.remediation, rule="gone"))
    assert doors.rule_of(gone) is None
