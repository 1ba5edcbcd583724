"""quota_exceeded: a pod was refused, and a quota is full; neither alone is a cause."""

from typing import Any

import pytest

from remediator.causes.cause_spec import Found
from remediator.causes.quota_exceeded import find
from remediator.model.facts import Unknown
from remediator.sights.room import Room
from tests.unit.objects import HOUR, facts, node, workload


def quota(**used_of: tuple[str, str]) -> dict[str, Any]:
    keys = {key.replace("_", "."): value for key, value in used_of.items()}
    hard = {key: most for key, (_, most) in keys.items()}
    used = {key: amount for key, (amount, _) in keys.items()}
    return {"metadata": {"name": "q"}, "status": {"hard": hard, "used": used}}


def refused(uid: str = "uid-rs-2") -> dict[str, Any]:
    return {"reason": "FailedCreate", "involvedObject": {"uid": uid}}


def failing() -> dict[str, Any]:
    made = workload()
    made["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True"}]
    return made


FULL, ROOMY = quota(pods=("3", "3")), quota(pods=("2", "3"))


def room(*quotas: Any, failed: tuple[Any, ...] = ()) -> Room:
    return Room(quotas, (node(),), failed)


@pytest.mark.parametrize(
    "seen",
    [
        facts(room=room(FULL, failed=(refused(),))),
        facts(room=room(FULL, failed=(refused("uid-web"),))),
        facts(failing(), room=room(FULL)),
        facts(room=room(ROOMY, FULL, failed=(refused(),))),
    ],
)
def test_a_refused_pod_and_a_full_quota_are_a_cause(seen: Any) -> None:
    found = find(seen, HOUR)
    assert isinstance(found, Found)
    assert found.why == "no room for another pod in quota q/pods (3 of 3 used)"
    assert found.evidence == {"quotas": {"q/pods": "3 of 3 used"}}


def test_what_the_template_asks_for_counts() -> None:
    made = workload()
    resources = {"requests": {"memory": "64Mi"}}
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    tight = quota(requests_memory=("1000Mi", "1Gi"), limits_cpu=("9", "9"))
    found = find(facts(made, room=room(tight, failed=(refused(),))), HOUR)
    assert isinstance(found, Found)
    assert list(found.evidence["quotas"]) == ["q/requests.memory"]


@pytest.mark.parametrize(
    "seen",
    [
        facts(room=room(FULL)),  # it may be full by design
        facts(room=room(ROOMY, failed=(refused(),))),  # refused for another reason
        facts(room=room(FULL, failed=(refused("uid-of-another"),))),
        facts(room=room(failed=(refused(),))),
    ],
)
def test_one_alone_is_none(seen: Any) -> None:
    assert find(seen, HOUR) is None


def test_what_is_not_known_tells_nothing() -> None:
    assert find(facts(room=Unknown("RBAC")), HOUR) == Unknown("RBAC")
    blind = facts(room=room(FULL, failed=(refused(),)), revisions=Unknown("timeout"))
    assert find(blind, HOUR) == Unknown("timeout")
