"""What a write leaves on an object in the sandbox: the patch applied, and who set which field."""

import copy
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
    paths = [path for path in call.leaves if path.startswith("/spec/")]
    if (paths and call.proof == "managed") or call.target.kind == "HorizontalPodAutoscaler":
        _manage(made, paths, call.subresource)
    return made


def _manage(made: dict[str, Any], paths: list[str], subresource: str) -> None:
    """Notes who set the fields, as the API server does."""
    fields: dict[str, Any] = {}
    for path in paths:
        _note(fields, made, parts(path))
    entry = {"manager": FIELD_MANAGER, "subresource": subresource, "fieldsV1": fields}
    others = [e for e in meta(made).get("managedFields") or [] if e["manager"] != FIELD_MANAGER]
    made["metadata"]["managedFields"] = [*others, entry]


def _note(fields: dict[str, Any], here: Any, path: list[str]) -> None:
    """Adds a field to a set of managed ones; an item of a list goes by its name."""
    for part in path:
        if isinstance(here, list):
            here = here[int(part)]
            fields = fields.setdefault(f'k:{{"name":"{here["name"]}"}}', {})
        else:
            here = here.get(part) if isinstance(here, Mapping) else None
            fields = fields.setdefault(f"f:{part}", {})
