"""isolation: what the network sees of a pod, for quarantine."""

from dataclasses import dataclass

from ..kinds import ENDPOINT_SLICE, NETWORK_POLICY, POD
from ..model.facts import Facts
from ..model.raw import labels, meta
from ..model.sight import Looking, Object, Read, Sight
from ..model.target import Target
from ..model.template import PREFIX

QUARANTINE = f"{PREFIX}/quarantine"  # the label of a pod in quarantine


@dataclass(frozen=True, slots=True)
class Isolation:
    """Services that list the pod as an endpoint, pods in quarantine, and its own NetworkPolicy."""

    services: tuple[str, ...]
    quarantined: tuple[str, ...]
    policy: Object | None = None


def policy_name(pod: Target) -> str:
    """The name of the pod's own NetworkPolicy."""
    return f"quarantine-{pod.name[:200]}-{pod.uid[-8:]}"


def _isolation(facts: Facts, _obj: Object) -> Looking[Isolation]:
    """Services that list the pod, pods in quarantine in its namespace, and its NetworkPolicy."""
    pod = facts.target
    slices, quarantined, policy = yield (
        Read(ENDPOINT_SLICE, pod.namespace),
        Read(POD, pod.namespace, selector=QUARANTINE),
        Read(NETWORK_POLICY, pod.namespace, policy_name(pod)),
    )
    listing = {_service(item) for item in slices if pod.uid in _uids(item)}
    names = sorted(str(meta(item)["name"]) for item in quarantined)
    return Isolation(tuple(sorted(listing)), tuple(names), policy)


def _service(endpoint_slice: Object) -> str:
    name = str(meta(endpoint_slice)["name"])
    return labels(endpoint_slice).get("kubernetes.io/service-name", name)


def _uids(endpoint_slice: Object) -> set[str]:
    """The uids of the pods that it lists."""
    endpoints = endpoint_slice.get("endpoints") or []
    return {str((endpoint.get("targetRef") or {}).get("uid")) for endpoint in endpoints}


ISOLATION = Sight(
    "isolation",
    _isolation,
    lists=frozenset({ENDPOINT_SLICE, POD}),
    gets=frozenset({NETWORK_POLICY}),
    of=frozenset({POD}),
)
