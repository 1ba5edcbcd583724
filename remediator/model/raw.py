"""Reading raw objects as the API server sends them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any


def meta(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object's metadata, empty where it has none."""
    return obj.get("metadata") or {}


def spec_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object's spec, empty where it has none."""
    return obj.get("spec") or {}


def status_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object's status, empty where it has none."""
    return obj.get("status") or {}


def conditions_of(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conditions in the object's status."""
    return list(status_of(obj).get("conditions") or [])


def finished(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's containers have ended for good."""
    return status_of(pod).get("phase") in ("Succeeded", "Failed")


def annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """The object's annotations, empty where it has none."""
    return meta(obj).get("annotations") or {}


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's labels, empty where it has none."""
    return dict(meta(obj).get("labels") or {})


def controller(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference that controls the object."""
    return next((o for o in meta(obj).get("ownerReferences") or [] if o.get("controller")), None)


def timestamp(text: str | None) -> datetime | None:
    """A Kubernetes time as an aware datetime."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's Ready condition is true and it is not going away."""
    return condition(pod, "Ready") is not None and not meta(pod).get("deletionTimestamp")


def container_statuses(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statuses of a pod's containers, those of its init containers first."""
    status = status_of(pod)
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


# why a container waits for its image. Source: kubernetes pkg/kubelet/images/types.go
CANNOT_PULL = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)


def named_statuses(
    pods: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The status of every container of the pods, with its name as pod/container."""
    for pod in pods:
        for status in container_statuses(pod):
            yield f"{meta(pod).get('name')}/{status.get('name')}", status


def waiting_reason(status: Mapping[str, Any]) -> str:
    """Why a container waits (its status), empty where it does not."""
    return str(((status.get("state") or {}).get("waiting") or {}).get("reason") or "")


def restarts(pod: Mapping[str, Any]) -> int:
    """The restarts of all containers of a pod."""
    return sum(int(s.get("restartCount") or 0) for s in container_statuses(pod))


def selected(selector: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects an object with these labels.

    An empty one selects everything.
    """
    if any(given.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(one, given) for one in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    """Whether labels meet one requirement; none of an operator that is not known."""
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return given.get(key) in values
        case "NotIn":
            return given.get(key) not in values
        case "Exists":
            return key in given
        case "DoesNotExist":
            return key not in given
        case "Gt":
            return _compared(given.get(key), values, 1)
        case "Lt":
            return _compared(given.get(key), values, -1)
    return False


def _compared(given: str | None, values: list[str], sign: int) -> bool:
    """Whether a label's number is above (1) or below (-1) the one value; for nodes only."""
    try:
        return sign * (int(given or "") - int(values[0])) > 0
    except (ValueError, IndexError):
        return False


def condition(obj: Mapping[str, Any], type_: str, status: str = "True") -> Mapping[str, Any] | None:
    """The condition of a type, where it has the status."""
    for item in conditions_of(obj):
        if item.get("type") == type_ and item.get("status") == status:
            return item
    return None
