"""Texts in raw objects: what is made of a name is a valid name."""

import pytest

from remediator.cluster.objects import event_of
from remediator.model.target import Target


@pytest.mark.parametrize("end", [".b", "-b", ".-b", "bb"])
def test_an_event_on_an_object_with_a_long_name_has_a_valid_one(end: str) -> None:
    target = Target("c", "Deployment", "shop", "a" * (201 - len(end)) + end)
    name = event_of(target, "Why", "text", False, now="2026-05-01T12:00:00Z")["metadata"]
    assert name["generateName"].endswith(("a.", "b."))
