"""The Secret with the daemon's own tokens: made once, never replaced.

Keys that a later version needs are added.
"""

import base64
import secrets
from typing import Any
from urllib.parse import quote

from ..errors import Conflict, TargetGone
from .client import KubernetesCluster

KEYS = ("alertmanager", "operator", "links")


async def make(
    cluster: KubernetesCluster, namespace: str, name: str, earlier: str = ""
) -> list[str]:
    """The keys that were made, or taken over from an earlier Secret. Raises: ClusterError."""
    folder = f"/api/v1/namespaces/{quote(namespace)}/secrets"
    there = await _read(cluster, f"{folder}/{quote(name)}")
    missing = [key for key in KEYS if there is None or key not in (there.get("data") or {})]
    if not missing:
        return []
    before = await _read(cluster, f"{folder}/{quote(earlier)}") if earlier else None
    known = (before or {}).get("data") or {}
    data = {
        key: known.get(key) or base64.b64encode(secrets.token_urlsafe(32).encode()).decode()
        for key in missing
    }
    if there is not None:
        patch = {
            "data": data,
            "metadata": {"resourceVersion": there["metadata"]["resourceVersion"]},
        }
        await cluster.ask(
            "PATCH",
            f"{folder}/{quote(name)}",
            "patch secrets",
            patch,
            content_type="application/merge-patch+json",
        )
        return missing
    labels = {"app.kubernetes.io/name": "remediator", "app.kubernetes.io/component": "credentials"}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "labels": labels},
        "data": data,
    }
    try:
        await cluster.ask("POST", folder, "create secrets", body)
    except Conflict:  # another one made it meanwhile
        return []
    return missing


async def _read(cluster: KubernetesCluster, path: str) -> Any:
    try:
        return await cluster.ask("GET", path, "get secrets")
    except TargetGone:
        return None
