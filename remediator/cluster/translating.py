"""The API server's paths, and its answers: decoded, or as our own errors by status."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from ..errors import (
    BudgetExhausted,
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    Rejected,
    TargetGone,
    Unauthorized,
    Unreachable,
)
from ..model.kind import Kind
from ..model.pointer import Object
from ..model.raw import meta

NO_SUCH_PATH = b"404 page not found"  # the API server's answer for kinds that it does not know


def translated(what: str, status: int, text: bytes) -> Any:
    """The decoded answer, or our own error for its status."""
    try:
        data = orjson.loads(text)
    except ValueError:
        data = None
    if not 200 <= status < 300:
        raise _error_of(what, status, data if isinstance(data, dict) else {}, text)
    if not isinstance(data, dict):
        raise not_ours(what, text)
    return data


def whole(what: str, answer: Any) -> Object:
    """An object that the API server answered with. Raises: Unreachable, if it is none."""
    if not meta(answer).get("uid"):
        raise not_ours(what, orjson.dumps(answer))
    found: Object = answer
    return found


def items_of(what: str, answer: Any) -> list[Object]:
    """The objects of a page of a list. Raises: Unreachable, if it is none."""
    if "items" not in answer:
        raise not_ours(what, orjson.dumps(answer))
    return list(answer["items"] or [])


def event_in(what: str, line: bytes) -> tuple[str, Object]:
    """The type and the object of a line of a watch. Raises: Unreachable, if it is none."""
    try:
        event = orjson.loads(line)
        happened, obj = event["type"], event["object"]
        if happened != "ERROR" and not meta(obj)["resourceVersion"]:
            raise not_ours(what, line)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise not_ours(what, line) from None
    return str(happened), obj


def not_ours(what: str, text: bytes) -> Unreachable:
    """The error for an answer that no API server gives, such as a proxy's page: it says nothing of
    what is in the cluster, nor of what has been done.
    """
    shown = text[:100].decode(errors="replace")
    return Unreachable(f"cannot {what}: the answer is not from a Kubernetes API server ({shown})")


def _error_of(what: str, status: int, data: Mapping[str, Any], text: bytes) -> ClusterError:
    """Our own error for a status that is no success; `data` is a Status object, or empty."""
    whole = str(data.get("message") or text[:200].decode(errors="replace"))
    message = whole[:300]
    match status:
        case 401:
            why = "the API server rejected the credential; check the kubeconfig"
            return Unauthorized(f"cannot {what}: {why} ({message})")
        case 403:
            why = "RBAC does not allow it; `remediator generate rbac` prints the permissions needed"
            return Forbidden(f"cannot {what}: {why} ({message})")
        case 404 if data.get("kind") == "Status" or text.startswith(NO_SUCH_PATH):
            return TargetGone(f"cannot {what}: {message}")
        case 404:
            return not_ours(what, text)
        case 409:
            return Conflict(f"cannot {what}: it changed in the meantime ({message})")
        case 410:
            return Expired(f"cannot {what}: {message}")
        case 429 if _by_a_budget(data):
            return BudgetExhausted(f"cannot {what}: {message}")
    if status == 429 or status >= 500:
        return Unreachable(f"cannot {what}: the API server answered {status} ({message})")
    return Rejected(f"cannot {what}: the API server rejected it with {status}: {whole[:500]}")


def _by_a_budget(data: Mapping[str, Any]) -> bool:
    details = data.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    for cause in causes if isinstance(causes, list) else ():
        if isinstance(cause, dict) and cause.get("reason") == "DisruptionBudget":
            return True
    return False


def path_of(kind: Kind, namespace: str, name: str = "") -> str:
    """The URL path of an object, or of all objects of a kind. Raises: Rejected, for what would lead
    to another place.
    """
    if {namespace, name} & {".", ".."}:
        raise Rejected(f"{namespace}/{name} cannot be the name of a {kind.name}")
    prefix = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    middle = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{prefix}{middle}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")
