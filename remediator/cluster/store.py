"""What the sandbox's API server keeps: objects with versions, generations and uids."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..kinds import NATIVE

Key = tuple[str, str, str]
Made = dict[str, Any]


class Store:
    """Objects by kind, namespace and name."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.objects: dict[Key, Made] = {}
        self.version = 100

    def put(
        self,
        kind: str,
        namespace: str,
        name: str,
        body: Made,
        *,
        at: datetime | None = None,
        **metadata: Any,
    ) -> Made:
        """Adds an object."""
        self.version += 1
        base = {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{self.version}",
            "generation": 1,
            "resourceVersion": str(self.version),
            "creationTimestamp": (at or self._clock()).isoformat(),
        }
        self.objects[kind, namespace, name] = {"kind": kind, "metadata": base | metadata, **body}
        return self.objects[kind, namespace, name]

    def replace(self, kind: str, namespace: str, name: str, obj: Made) -> None:
        """Puts a newer state in an object's place; another spec is another generation."""
        old = self.objects[kind, namespace, name]
        self.version += 1
        metadata = obj["metadata"] | {"resourceVersion": str(self.version)}
        if obj.get("spec") != old.get("spec") and "generation" in old["metadata"]:
            metadata["generation"] = old["metadata"]["generation"] + 1
        self.objects[kind, namespace, name] = {**obj, "metadata": metadata}

    def write(self, obj: Made, **parts: Any) -> None:
        """Puts newer parts into an object, as a controller does: only what differs is a version."""
        if any(obj.get(part) != value for part, value in parts.items()):
            self.version += 1
            obj |= parts
            obj["metadata"] = obj["metadata"] | {"resourceVersion": str(self.version)}

    def delete(self, obj: Made) -> None:
        """Takes an object away."""
        metadata = obj["metadata"]
        del self.objects[obj["kind"], metadata["namespace"], metadata["name"]]

    def by_app(self) -> Mapping[Key, list[Made]]:
        """The objects by kind, namespace, and the label of a workload."""
        found: defaultdict[Key, list[Made]] = defaultdict(list)
        for (kind, namespace, _), obj in self.objects.items():
            found[kind, namespace, (obj["metadata"].get("labels") or {}).get("app", "")].append(obj)
        return found

    def collect(self) -> None:
        """Takes away what nothing owns any more, and what that owned: an owner is older.

        An owner of a kind that is not known here may be there.
        """
        there = {obj["metadata"]["uid"] for obj in self.objects.values()}
        for obj in list(self.objects.values()):
            owners = obj["metadata"].get("ownerReferences")
            if owners and all(one["uid"] not in there and one["kind"] in NATIVE for one in owners):
                there.discard(obj["metadata"]["uid"])
                self.delete(obj)


def reference(owner: Made) -> Made:
    """A controller's reference in what it owns."""
    metadata = owner["metadata"]
    named = {"kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {**named, "controller": True}
