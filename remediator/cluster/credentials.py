"""The Secret with the daemon's own tokens: made once, never replaced; keys that a later version needs are added."""

import base64
import secrets
from typing import Any
from urllib.parse import quote

from ..errors import Conflict, TargetGone
from .kubernetes import KubernetesCluster

KEYS = ("alertmanager", "operator", "links")


async def make(cluster: KubernetesCluster, namespace: str, name: str) -> list[str]:
    """The keys that were made. Raises: ClusterError."""
    folder = f"/api/v1/namespaces/{quote(namespace)}/secrets"
    try:
        there: Any = await cluster.ask("GET", f"{folder}/{quote(name)}", "get secrets")
    except TargetGone:
        there = None
    missing = [key for key in KEYS if there is None or key not in (there.get("data") or {})]
    if not missing:
        return []
    data = {key: base64.b64encode(secrets.token_urlsafe(32).encode()).decode() for key in missing}
    if there is not None:
        patch = {"data": data, "metadata": {"resourceVersion": there["metadata"]["resourceVersion"]}}
        await cluster.ask("PATCH", f"{folder}/{quote(name)}", "patch secrets", patch, "application/merge-patch+json")
        return missing
    labels = {"app.kubernetes.io/name": "remediator", "app.kubernetes.io/component": "credentials"}
    body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name, "labels": labels}, "data": data}
    try:
        await cluster.ask("POST", folder, "create secrets", body)
    except Conflict:  # another one made it meanwhile
        return []
    return missing
