"""Objects of one kind, kept small, and found by name, namespace, label and node.

An object is kept as compressed JSON, a quarter of its text and a tenth of it decoded, and is
decoded when somebody looks at it. Nodes stay decoded, since each look at where a pod has room is at
all of them.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ..kinds import NODE
from ..model.kind import Kind
from ..model.raw import labels, meta, spec_of
from ..model.selectors import PART, selects
from ..model.sight import Object

Key = tuple[str, str]
NODE_OF = "spec.nodeName"
IMAGES = "images"  # most of a node, decoded at every look at all of them, and asked for by nobody


@dataclass(frozen=True, slots=True)
class _Entry:
    packed: bytes
    labels: Mapping[str, str]
    node: str


class Kept:
    """What is known of a kind. `version` is the newest resourceVersion that was heard of."""

    def __init__(self, kind: Kind, version: str = "") -> None:
        self._kind, self.version = kind, version
        self._entries: dict[Key, _Entry] = {}
        self._where: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._decoded: dict[Key, Object] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, obj: Object) -> None:
        """Adds an object, or its newer state. Lists and watches differ in whether they name its
        kind, so it is kept without.
        """
        self.drop(obj)
        bare = {name: part for name, part in obj.items() if name not in ("kind", "apiVersion")}
        if self._kind == NODE and "status" in bare:
            bare["status"] = {key: of for key, of in bare["status"].items() if key != IMAGES}
        packed = zlib.compress(orjson.dumps(bare), 1)
        key, node = _key(obj), str(spec_of(obj).get("nodeName") or "")
        entry = self._entries[key] = _Entry(packed, labels(obj), node)
        for place in _places(key, entry):
            self._where[place].add(key)

    def drop(self, obj: Object) -> None:
        """Takes an object out, if it is there."""
        entry = self._entries.pop(_key(obj), None)
        self._decoded.pop(_key(obj), None)
        if entry is None:
            return
        for place in _places(_key(obj), entry):
            self._where[place].discard(_key(obj))
            if not self._where[place]:
                del self._where[place]

    def get(self, namespace: str, name: str) -> Object | None:
        """An object by its name, with its kind, as the API server answers it."""
        entry = self._entries.get((namespace, name))
        if entry is None:
            return None
        group = f"{self._kind.group}/" if self._kind.group else ""
        named = {"kind": self._kind.name, "apiVersion": f"{group}{self._kind.version}"}
        return {**named, **self._unpacked((namespace, name), entry)}

    def find(self, namespace: str, selector: str, node: str) -> list[Object]:
        """Those in a namespace, or in all, that a label selector selects and, if one is named, on a
        node; by name.
        """
        parts = [part for part in PART.findall(selector) if _is_equality(part)]
        places = [("label", part) for part in parts]
        places += [("namespace", namespace)] if namespace else []
        places += [("node", node)] if node else []
        sets = [self._where.get(place, set()) for place in places]
        found = set.intersection(*sets) if sets else self._entries.keys()
        chosen = ((key, self._entries[key]) for key in sorted(found))
        return [self._unpacked(*one) for one in chosen if selects(selector, one[1].labels)]

    def _unpacked(self, key: Key, entry: _Entry) -> Object:
        if self._kind != NODE:
            return _unpacked(entry)
        if key not in self._decoded:
            self._decoded[key] = _unpacked(entry)
        return self._decoded[key]


def _key(obj: Object) -> Key:
    return str(meta(obj).get("namespace") or ""), str(meta(obj)["name"])


def _is_equality(part: str) -> bool:
    return "=" in part and " " not in part


def _places(key: Key, entry: _Entry) -> Iterator[tuple[str, str]]:
    """Where an object is found."""
    yield "namespace", key[0]
    yield "node", entry.node
    for name, value in entry.labels.items():
        yield "label", f"{name}={value}"


def _unpacked(entry: _Entry) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(zlib.decompress(entry.packed))
    return found
