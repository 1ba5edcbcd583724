"""room: whether a replacement pod can start."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..kinds import EVENT, NODE, RESOURCE_QUOTA
from ..model.facts import Facts
from ..model.raw import timestamp
from ..model.sight import Looking, Object, Read, Sight

LATELY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Room:
    """The namespace's quotas, the cluster's nodes, and the events of pods that were not created."""

    quotas: tuple[Object, ...]
    nodes: tuple[Object, ...]
    failed: tuple[Object, ...]


def _room(facts: Facts, _obj: Object) -> Looking[Room]:
    """Quotas, nodes and failed pod creations, which show whether a replacement can start."""
    there = facts.target.namespace
    quotas, nodes, events = yield (
        Read(RESOURCE_QUOTA, there),
        Read(NODE),
        Read(EVENT, there, fields="reason=FailedCreate"),
    )
    failed = [event for event in events if event.get("reason") == "FailedCreate"]
    lately = [event for event in failed if _age(event, facts.at) < LATELY]
    return Room(tuple(quotas), tuple(nodes), tuple(lately))


def _age(event: Object, now: datetime) -> timedelta:
    """How long ago an event was seen last."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    last = timestamp(next(filter(None, times), None))
    return now - last if last else timedelta()


ROOM = Sight("room", _room, lists=frozenset({RESOURCE_QUOTA, NODE, EVENT}))
