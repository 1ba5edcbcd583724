"""autoscaler: the HorizontalPodAutoscaler that scales the target."""

from ..kinds import HORIZONTAL_POD_AUTOSCALER
from ..model.facts import Facts
from ..model.sight import Looking, Object, Read, Sight


def _autoscaler(facts: Facts, _obj: Object) -> Looking[Object | None]:
    """The HorizontalPodAutoscaler whose scaleTargetRef is the target; None if there is none."""
    target = facts.target
    (found,) = yield (Read(HORIZONTAL_POD_AUTOSCALER, target.namespace),)
    for item in found:
        scaled = item["spec"]["scaleTargetRef"]
        if (scaled["kind"], scaled["name"]) == (target.kind, target.name):
            return item  # type: ignore[no-any-return]
    return None


AUTOSCALER = Sight("autoscaler", _autoscaler, lists=frozenset({HORIZONTAL_POD_AUTOSCALER}))
