"""What a write leaves on an object in the sandbox: the patch applied, and who set which field."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import jsonpatch

from ..errors import Rejected
from ..model.call import FIELD_MANAGER, Call
from ..model.pointer import parts
from ..model.raw import meta
from .objects import with_id


def patched(obj: Mapping[str, Any], call: Call, call_id: str) -> dict[str, Any]:
    """The object with the call's JSON Patch applied; managedFields say who set a count.

    Raises: Rejected.
    """
    try:
        made = dict(jsonpatch.apply_patch(copy.deepcopy(dict(obj)), with_id(call.body, call_id)))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise Rejected(f"cannot patch {call.target}: {error}") from None
    released(made, obj)
    paths = [path for path in call.leaves if path.startswith("/spec/")]
    if (paths and call.proof == "managed") or call.target.kind == "HorizontalPodAutoscaler":
        _manage(made, paths, call.subresource)
    return made


def released(made: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Takes the fields whose values are others than before from who had set them."""
    entries = meta(made).get("managedFields") or []
    for entry in entries:
        entry["fieldsV1"] = _unchanged(entry.get("fieldsV1") or {}, before, made)
    if entries:
        made["metadata"]["managedFields"] = [entry for entry in entries if entry["fieldsV1"]]


def _unchanged(fields: Mapping[str, Any], before: Any, now: Any) -> dict[str, Any]:
    """The part of a set of managed fields whose values are the same as before."""
    kept = {}
    for key, below in fields.items():
        old, new = _at(before, key), _at(now, key)
        rest = below if old == new else _unchanged(below, old, new)
        if rest or old == new:
            kept[key] = rest
    return kept


def _at(here: Any, key: str) -> Any:
    """What a key of a set of managed fields names: a field, or an item of a list."""
    if isinstance(here, list):
        wanted = json.loads(key[2:]).items() if key.startswith("k:") else ()
        return next((item for item in here if wanted and wanted <= item.items()), None)
    return here.get(key[2:]) if isinstance(here, Mapping) else None


def _manage(made: dict[str, Any], paths: list[str], subresource: str) -> None:
    """Notes who set the fields, beside what it set before, as the API server does."""
    entries = meta(made).get("managedFields") or []
    mine = {"manager": FIELD_MANAGER, "subresource": subresource}
    there = [entry for entry in entries if mine.items() <= entry.items()]
    fields: dict[str, Any] = there[0]["fieldsV1"] if there else {}
    for path in paths:
        _note(fields, made, parts(path))
    if not there:
        made["metadata"]["managedFields"] = [*entries, {**mine, "fieldsV1": fields}]


def _note(fields: dict[str, Any], here: Any, path: list[str]) -> None:
    """Adds a field to a set of managed ones; an item of a list goes by its name."""
    for part in path:
        if isinstance(here, list):
            here = here[int(part)]
            fields = fields.setdefault(f'k:{{"name":"{here["name"]}"}}', {})
        else:
            here = here.get(part) if isinstance(here, Mapping) else None
            fields = fields.setdefault(f"f:{part}", {})
