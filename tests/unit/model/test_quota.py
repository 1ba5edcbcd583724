"""A ResourceQuota counts the pods that are in all of its scopes, and no others."""

from typing import Any

import pytest

from remediator.model.quantity import asked
from remediator.model.quota import lacks

ELSEWHERE = {"podAffinityTerm": {"namespaces": ["billing"]}, "weight": 1}


def template(requests: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "resources": {"requests": requests or {}}}]
    return {"spec": {"containers": containers, **spec}}


def full(**spec: Any) -> dict[str, Any]:
    """A quota that has no room for a pod."""
    return {"spec": spec, "status": {"hard": {"pods": "3"}, "used": {"pods": "3"}}}


def by_class(operator: str, *values: str) -> dict[str, Any]:
    one = {"scopeName": "PriorityClass", "operator": operator, "values": list(values)}
    return {"scopeSelector": {"matchExpressions": [one]}}


SMALL = template({"memory": "1Gi"})
ENDING = template(activeDeadlineSeconds=60)
HIGH = template(priorityClassName="high")
PREFERS = {"preferredDuringSchedulingIgnoredDuringExecution": [ELSEWHERE]}


@pytest.mark.parametrize(
    ("spec", "pod", "counts"),
    [
        ({}, SMALL, True),
        ({"scopes": ["Terminating"]}, SMALL, False),
        ({"scopes": ["Terminating"]}, ENDING, True),
        ({"scopes": ["NotTerminating"]}, ENDING, False),
        ({"scopes": ["BestEffort"]}, template(), True),
        ({"scopes": ["BestEffort"]}, template({"memory": "0"}), True),
        ({"scopes": ["BestEffort"]}, template({"nvidia.com/gpu": "1"}), True),
        ({"scopes": ["NotBestEffort"]}, template({"cpu": "1m"}), True),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, SMALL, True),
        ({"scopes": ["NotBestEffort", "Terminating"]}, SMALL, False),
        ({"scopes": ["PriorityClass"]}, HIGH, True),
        ({"scopes": ["PriorityClass"]}, SMALL, False),
        (by_class("In", "high", "low"), HIGH, True),
        (by_class("In", "low"), HIGH, False),
        (by_class("In", "low"), SMALL, False),
        (by_class("NotIn", "low"), HIGH, True),
        (by_class("DoesNotExist"), SMALL, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, SMALL, False),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            template(affinity={"podAntiAffinity": PREFERS}),
            True,
        ),
        ({"scopes": ["OfAKindThatCameLater"]}, SMALL, False),
    ],
)
def test_which_pods_a_quota_counts(spec: Any, pod: Any, counts: bool) -> None:
    assert list(lacks(full(**spec), pod, {})) == ([("pods", "3", "3")] if counts else [])


def test_what_leaves_makes_room() -> None:
    assert list(lacks(full(), SMALL, asked(SMALL))) == []
