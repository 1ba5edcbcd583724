"""Disruption budgets: which pods they cover, and whether the API server would evict one now.

Source: kubernetes pkg/registry/core/pod/storage/eviction.go.
"""

from collections.abc import Iterable

from .pointer import at
from .raw import labels, meta, ready, selected, status_of
from .sight import Object


def covers(budget: Object, pod: Object) -> bool:
    """Whether it is the pod's. An empty selector covers every pod of the namespace, a missing one
    none (policy/v1).
    """
    same = meta(budget).get("namespace") == meta(pod).get("namespace")
    selector = at(budget, "/spec/selector")
    return same and selector is not None and selected(selector, labels(pod))


def permit(budgets: Iterable[Object], pod: Object) -> bool:
    """Whether the pod's budgets allow its eviction now. One that has not started needs none."""
    return status_of(pod).get("phase") == "Pending" or all(
        _permits(budget, pod) for budget in budgets
    )


def _permits(budget: Object, pod: Object) -> bool:
    """An unready pod needs no disruption where enough others are healthy, or any may go."""
    status = status_of(budget)
    if not ready(pod):
        healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        always = at(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow"
        if always or healthy >= desired > 0:
            return True
    return bool(status.get("disruptionsAllowed"))
