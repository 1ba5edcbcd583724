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
    return replace(made, alert=replace(made.alert, labels={"alertname": "A", "severity": severity}))


INFO, PLAIN = alert("info"), alert("critical")


@pytest.mark.parametrize("began_with", [INFO, PLAIN], ids=["overridden", "not overridden"])
@pytest.mark.parametrize("others", [(INFO, PLAIN), (PLAIN, INFO)], ids=["info first", "info last"])
async def test_a_remediation_goes_on_by_the_rule_that_it_began_with(
    doors: Doors, began_with: Episode, others: tuple[Episode, Episode]
) -> None:
    rule = doors.rules.find("r", began_with.alert)
    assert rule is not None
    assert doors.rule_of(claimed(rule, episodes=others)) == rule


async def test_a_rule_that_has_changed_is_that_of_the_first_alert(doors: Doors) -> None:
    changed = claimed(episodes=(INFO, PLAIN), rule_digest="another")
    assert doors.rule_of(changed) == doors.rules.find("r", INFO.alert)


async def test_without_alerts_a_rule_is_as_it_is_written(doors: Doors) -> None:
    assert doors.rule_of(claimed(episodes=())) == doors.rules.find("r")


async def test_a_rule_that_was_removed_is_none(doors: Doors) -> None:
    claim = claimed(episodes=(INFO,))
    gone = replace(claim, remediation=replace(claim.remediation, rule="gone"))
    assert doors.rule_of(gone) is None
