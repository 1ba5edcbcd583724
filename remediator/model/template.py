"""Pod templates as compared.

Without what a restart, a controller and we ourselves write into them.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .raw import annotations, meta, spec_of

PREFIX = "remediator.io"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def template_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """A workload's pod template as compared."""
    return bare_template(spec_of(obj).get("template") or {})


def bare_template(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pod template as compared: no restartedAt, none of our annotations, no pod-template-hash."""
    notes = {
        key: value
        for key, value in annotations(template).items()
        if key != RESTARTED_AT and not key.startswith(f"{PREFIX}/")
    }
    labels = dict(meta(template).get("labels") or {})
    labels.pop("pod-template-hash", None)
    bare = {"labels": labels} | ({"annotations": notes} if notes else {})
    return {"metadata": bare, "spec": spec_of(template)}


def template_hash(template: Mapping[str, Any]) -> str:
    """A short hash of a template as compared."""
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
