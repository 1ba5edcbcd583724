"""Pods of the target cannot be created because a ResourceQuota of its namespace is used up.

Found only if both hold: a pod was rejected in the last minutes, and a quota has no room for a pod
like it.
"""

from collections.abc import Iterator
from datetime import timedelta

from ..model.facts import Facts, Unknown
from ..model.quota import lacks
from ..model.raw import condition, meta
from ..model.sight import Object
from ..sights.revisions import REVISIONS
from ..sights.room import ROOM, Room
from .cause_spec import CauseSpec, Found


def find(facts: Facts, _changed_within: timedelta) -> Found | Unknown | None:
    """The quotas without room for another pod of the workload, where one was refused of late."""
    room, revisions, workload = facts[ROOM], facts[REVISIONS], facts.object
    if isinstance(room, Unknown):
        return room
    if isinstance(revisions, Unknown):
        return revisions
    assert isinstance(workload, dict)
    owners = {facts.target.uid, *(revision.uid for revision in revisions)}
    if not _refused(room, owners) and not _failing(workload):
        return None
    full = dict(_full(room, workload["spec"]["template"]))
    if not full:
        return None
    shown = ", ".join(f"{name} ({used})" for name, used in sorted(full.items())[:3])
    return Found(f"no room for another pod in quota {shown}", {"quotas": full})


def _refused(room: Room, owners: set[str]) -> bool:
    """Whether a pod of one of the owners was not created."""
    return any(str((e.get("involvedObject") or {}).get("uid")) in owners for e in room.failed)


def _failing(workload: Object) -> bool:
    """Whether a Deployment says that it cannot create its pods."""
    return condition(workload, "ReplicaFailure") is not None


def _full(room: Room, template: Object) -> Iterator[tuple[str, str]]:
    """What has no room for one more pod of the template, and how much of it is used."""
    for quota in room.quotas:
        for key, used, most in lacks(quota, template, {}):
            yield f"{meta(quota).get('name')}/{key}", f"{used} of {most} used"


CAUSE = CauseSpec("quota_exceeded", __doc__, frozenset({ROOM, REVISIONS}), find)
