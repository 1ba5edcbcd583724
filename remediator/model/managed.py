"""Who owns a field, by managedFields.

Source: structured-merge-diff, fieldpath serialization.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from .pointer import Object, parts
from .raw import meta


def managed(obj: Object, pointer: str, mine: Callable[[str], bool]) -> bool:
    """Whether one of the managers set the field, or something in it."""
    if "/" not in pointer:
        return False  # it names no field
    path = parts(pointer[pointer.find("/") :])
    for entry in meta(obj).get("managedFields") or []:
        set_by_it = mine(str(entry.get("manager", "")))
        if set_by_it and _sets(entry.get("fieldsV1") or {}, obj, path):
            return True
    return False


def _sets(fields: Mapping[str, Any], here: Any, path: list[str]) -> bool:
    """Whether the field set contains the path."""
    if not path:
        return True
    if isinstance(here, list):
        item = here[int(path[0])] if path[0].isdigit() and int(path[0]) < len(here) else {}
        found = [fields[key] for key in fields if key.startswith("k:") and _is(item, key[2:])]
        return any(_sets(below, item, path[1:]) for below in found)
    below = fields.get(f"f:{path[0]}")
    if below is None:
        return False
    inside = here.get(path[0]) if isinstance(here, Mapping) else None
    return _sets(below, inside, path[1:])


def _is(item: Mapping[str, Any], key: str) -> bool:
    """Whether a list's item is the one that a key of the field set names."""
    return all(item.get(name) == value for name, value in json.loads(key).items())
