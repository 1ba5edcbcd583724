"""no_endpoints: Services with nothing ready behind them, found
from a Service and from a workload.
"""

from typing import Any

import pytest

from remediator.causes.cause_spec import Found
from remediator.causes.no_endpoints import ENDPOINTS, Behind, find
from remediator.cluster.sandbox import SandboxCluster
from remediator.model.facts import Unknown
from remediator.model.target import Target
from tests.unit.objects import HOUR, T, facts


def seen(*behind: Behind) -> Any:
    return facts().saw(ENDPOINTS, behind)


@pytest.mark.parametrize(
    ("behind", "why"),
    [
        (Behind("front", 3, 0), "none of 3 endpoints is ready"),
        (Behind("front", 0, 0), "it selects no pods"),
    ],
)
def test_a_service_without_a_ready_endpoint_is_named_with_the_reason(
    behind: Behind, why: str
) -> None:
    found = find(seen(behind, Behind("other", 3, 1)), HOUR)
    assert isinstance(found, Found)
    assert found.why == f"no ready endpoint behind Service front ({why})"
    assert found.evidence == {"services": {"front": why}}


def test_one_ready_endpoint_is_enough_and_a_workload_may_have_no_service() -> None:
    assert find(seen(Behind("front", 3, 1)), HOUR) is None
    assert find(seen(), HOUR) is None


def test_endpoints_that_are_not_known_tell_nothing() -> None:
    assert isinstance(find(facts(), HOUR), Unknown)


async def test_it_is_found_from_the_service_and_from_the_workload() -> None:
    cluster = SandboxCluster(lambda: T)
    cluster.create_workload("Deployment", "shop", "web", "web:1")
    cluster.create_service("shop", "front", {"app": "web"})
    cluster.create_service("shop", "typo", {"app": "wbe"})
    cluster.create("Service", "shop", "by-hand", {}, status={})
    expected = {
        ("Service", "front"): (Behind("front", 3, 3),),
        ("Service", "typo"): (Behind("typo", 0, 0),),
        ("Service", "by-hand"): (),
        ("Deployment", "web"): (Behind("front", 3, 3),),
    }
    for (kind, name), behind in expected.items():
        target = Target("c", kind, "shop", name)
        there = await cluster.observe(target, False, frozenset({ENDPOINTS}), T)
        assert there[ENDPOINTS] == behind
    cluster.crashing.add("web:1")
    crashed = await cluster.observe(
        Target("c", "Deployment", "shop", "web"), False, frozenset({ENDPOINTS}), T
    )
    assert crashed[ENDPOINTS] == (Behind("front", 3, 0),)
