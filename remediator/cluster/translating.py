"""The API server's paths, and its answers: decoded, or as our own errors by status."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from ..errors import (
    BudgetExhausted,
    ClusterError,
    Conflict,
    Forbidden,
    Rejected,
    TargetGone,
    Unreachable,
)
from ..model.kind import Kind


def translated(what: str, status: int, text: bytes) -> Any:
    """The decoded answer, or our own error for its status."""
    try:
        data = orjson.loads(text)
    except ValueError:
        data = {}
    if 200 <= status < 300:
        return data
    raise _error_of(what, status, data if isinstance(data, dict) else {}, text)


def _error_of(what: str, status: int, data: Mapping[str, Any], text: bytes) -> ClusterError:
    """Our own error for a status that is no success; `data` is a Status object, or empty."""
    whole = str(data.get("message") or text[:200].decode(errors="replace"))
    message = whole[:300]
    match status:
        case 401:
            why = "the API server rejected the credential; check the kubeconfig"
            return Forbidden(f"cannot {what}: {why} ({message})")
        case 403:
            why = "RBAC does not allow it; `remediator generate rbac` prints the permissions needed"
            return Forbidden(f"cannot {what}: {why} ({message})")
        case 404:
            return TargetGone(f"cannot {what}: {message}")
        case 409:
            return Conflict(f"cannot {what}: it changed in the meantime ({message})")
        case 429 if _by_a_budget(data):
            return BudgetExhausted(f"cannot {what}: {message}")
    if status == 429 or status >= 500:
        return Unreachable(f"cannot {what}: the API server answered {status} ({message})")
    return Rejected(f"cannot {what}: the API server rejected it with {status}: {whole[:500]}")


def _by_a_budget(data: Mapping[str, Any]) -> bool:
    causes = (data.get("details") or {}).get("causes") or []
    return any(cause.get("reason") == "DisruptionBudget" for cause in causes)


def path_of(kind: Kind, namespace: str, name: str = "") -> str:
    """The URL path of an object, or of all objects of a kind."""
    prefix = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    middle = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{prefix}{middle}/{kind.plural}" + (f"/{quote(name)}" if name else "")
