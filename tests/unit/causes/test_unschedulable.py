"""unschedulable: pods that the scheduler could not place, and
none that it has not looked at yet.
"""

from typing import Any

import pytest

from remediator.causes.cause_spec import Found
from remediator.causes.unschedulable import find
from remediator.model.facts import Unknown
from tests.unit.objects import HOUR, facts, pod

NO_ROOM = "0/3 nodes are available: 3 Insufficient memory."


def placed(name: str, **condition: str) -> dict[str, Any]:
    made = pod(name, ready=False)
    made["status"]["conditions"].append({"type": "PodScheduled", **condition})
    return made


def test_a_pod_without_a_node_is_named_with_the_scheduler_s_words() -> None:
    lost = placed("web-9", status="False", reason="Unschedulable", message=NO_ROOM)
    found = find(facts(pods=(lost, pod("web-1"))), HOUR)
    assert isinstance(found, Found)
    assert found.why == f"1 of 2 pods are unschedulable; the scheduler on web-9: {NO_ROOM}"
    assert found.evidence == {"pods": {"web-9": NO_ROOM}}


@pytest.mark.parametrize(
    "condition",
    [
        {"status": "True"},
        {"status": "False", "reason": "SchedulingGated"},  # somebody holds it back on purpose
        {"status": "False", "reason": "SchedulerError"},
    ],
)
def test_a_pod_that_is_placed_or_held_back_is_none(condition: dict[str, str]) -> None:
    assert find(facts(pods=(placed("web-9", **condition),)), HOUR) is None


def test_pods_that_are_not_known_tell_nothing() -> None:
    assert find(facts(pods=Unknown("RBAC")), HOUR) == Unknown("RBAC")
