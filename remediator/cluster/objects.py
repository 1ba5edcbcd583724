"""Raw objects of a cluster: how they are read and written."""

from collections.abc import Mapping
from typing import Any, Protocol

from ..catalogue import kind_of
from ..model.call import CALL_ID, FIELD_MANAGER
from ..model.kind import Kind
from ..model.raw import spec_of
from ..model.sight import Object
from ..model.target import Target


class Objects(Protocol):
    """Reads raw objects.

    Raises: ClusterError's kinds; `get` answers None for what does not exist.
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None: ...

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]: ...


def on_node(objects: list[Object], fields: str) -> list[Object]:
    """Those on the node that a field selector names; all of them if it names none."""
    path, _, node = fields.partition("=")
    if path != "spec.nodeName":
        return objects
    return [obj for obj in objects if spec_of(obj).get("nodeName") == node]


def with_id(body: Any, call_id: str) -> Any:
    """A call's body with the call's id where it stands for it."""
    if isinstance(body, Mapping):
        return {key: with_id(value, call_id) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [with_id(value, call_id) for value in body]
    return call_id if body == CALL_ID else body


def event_of(
    target: Target, reason: str, message: str, warning: bool, *, now: str
) -> dict[str, Any]:
    """An Event on the target, to be created; `now` as RFC 3339."""
    kind = kind_of(target.kind)
    reference = {
        "apiVersion": f"{kind.group}/{kind.version}" if kind.group else kind.version,
        "kind": target.kind,
        "name": target.name,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "generateName": f"{target.name[:200].rstrip('-.')}.",
            "namespace": target.namespace or "default",
        },
        "involvedObject": {**reference, "namespace": target.namespace, "uid": target.uid},
        "reason": reason,
        "message": message[:1000],
        "type": "Warning" if warning else "Normal",
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
