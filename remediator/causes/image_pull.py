"""A container of the target is waiting because its image cannot be pulled.

The tag does not exist, access is denied, or the registry does not answer.
"""

from datetime import timedelta

from ..model.facts import Facts, Unknown
from ..model.raw import CANNOT_PULL, named_statuses, waiting_reason
from ..sights.pods import PODS
from .cause_spec import CauseSpec, Found


def find(facts: Facts, _changed_within: timedelta) -> Found | Unknown | None:
    """The containers that wait for their image, by pod: init containers too."""
    pods = facts[PODS]
    if isinstance(pods, Unknown):
        return pods
    waiting = {}
    for name, status in named_statuses(pods):
        reason = waiting_reason(status)
        if reason in CANNOT_PULL:
            waiting[name] = {"image": str(status.get("image")), "reason": reason}
    if not waiting:
        return None
    images = sorted({what["image"] for what in waiting.values()})
    why = f"{len(waiting)} containers cannot pull their image: {', '.join(images[:3])}"
    return Found(why, {"containers": waiting})


CAUSE = CauseSpec("image_pull", __doc__, frozenset({PODS}), find)
