"""image_pull: every way in which an image cannot be had, of
init containers too, and nothing else.
"""

from typing import Any

import pytest

from remediator.causes.cause_spec import Found
from remediator.causes.image_pull import find
from remediator.model.facts import Unknown
from remediator.model.raw import CANNOT_PULL
from tests.unit.objects import HOUR, facts, pod


def waits(reason: str) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason}}, "image": "shop/web:nope"}


@pytest.mark.parametrize("reason", sorted(CANNOT_PULL))
def test_a_container_that_waits_for_its_image_is_named_with_it(reason: str) -> None:
    found = find(facts(pods=(pod("a", **waits(reason)), pod("b"))), HOUR)
    assert isinstance(found, Found)
    assert found.why == "1 containers cannot pull their image: shop/web:nope"
    assert found.evidence == {"containers": {"a/app": {"image": "shop/web:nope", "reason": reason}}}


def test_an_init_container_s_image_counts_too() -> None:
    made = pod("a")
    made["status"]["initContainerStatuses"] = [{"name": "migrate", **waits("ErrImagePull")}]
    found = find(facts(pods=(made,)), HOUR)
    assert isinstance(found, Found)
    assert list(found.evidence["containers"]) == ["a/migrate"]


@pytest.mark.parametrize("reason", ["ContainerCreating", "CrashLoopBackOff", "PodInitializing"])
def test_other_reasons_to_wait_are_no_matter_of_images(reason: str) -> None:
    assert find(facts(pods=(pod("a", **waits(reason)),)), HOUR) is None


def test_pods_that_are_not_known_tell_nothing() -> None:
    assert find(facts(pods=Unknown("RBAC")), HOUR) == Unknown("RBAC")
