"""A Service has no ready endpoint: it selects no pods, or none of the selected pods is ready.

Checked for the Service that the alert is about, and for each Service that selects the workload's
pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from ..kinds import ENDPOINT_SLICE, SERVICE, WORKLOADS
from ..model.facts import Facts, Unknown
from ..model.raw import labels, meta, spec_of
from ..model.sight import Looking, Object, Read, Sight
from .cause_spec import CauseSpec, Found


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind a Service: how many endpoints it lists, and how many of them are ready."""

    service: str
    listed: int
    ready: int


def _endpoints(facts: Facts, obj: Object) -> Looking[tuple[Behind, ...]]:
    """For each Service with a selector that leads to the target: its endpoints, and how many are
    ready.
    """
    there = facts.target.namespace
    services, slices = yield (Read(SERVICE, there), Read(ENDPOINT_SLICE, there))
    if facts.target.kind == SERVICE.name:
        mine = [service for service in services if meta(service)["name"] == facts.target.name]
    else:
        pods = labels(obj["spec"]["template"])
        mine = [service for service in services if selector(service).items() <= pods.items()]
    return tuple(_behind(service, slices) for service in mine if selector(service))


def selector(service: Object) -> Mapping[str, str]:
    """The labels of the pods that a Service is for."""
    return spec_of(service).get("selector") or {}


def _behind(service: Object, slices: list[Object]) -> Behind:
    name, listed, ready = str(meta(service)["name"]), 0, 0
    for item in slices:
        if labels(item).get("kubernetes.io/service-name") == name:
            endpoints = item.get("endpoints") or []
            listed += len(endpoints)
            ready += sum((e.get("conditions") or {}).get("ready", True) for e in endpoints)
    return Behind(name, listed, ready)


ENDPOINTS = Sight(
    "endpoints",
    _endpoints,
    lists=frozenset({SERVICE, ENDPOINT_SLICE}),
    of=WORKLOADS | {SERVICE},
)


def find(facts: Facts, _changed_within: timedelta) -> Found | Unknown | None:
    """The Services without a ready endpoint."""
    endpoints = facts[ENDPOINTS]
    if isinstance(endpoints, Unknown):
        return endpoints
    empty = {behind.service: _why(behind) for behind in endpoints if not behind.ready}
    if not empty:
        return None
    shown = ", ".join(f"{name} ({why})" for name, why in sorted(empty.items())[:3])
    return Found(f"no ready endpoint behind Service {shown}", {"services": empty})


def _why(behind: Behind) -> str:
    return f"none of {behind.listed} endpoints is ready" if behind.listed else "it selects no pods"


CAUSE = CauseSpec("no_endpoints", __doc__, frozenset({ENDPOINTS}), find)
