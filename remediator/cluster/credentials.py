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
    missing = [key for key in KEYS if key not in _data(there)]
    if not missing:
        return []
    known = _data(await _read(cluster, f"{folder}/{quote(earlier)}")) if earlier else {}
    data = {key: known.get(key) or _token() for key in missing}
    if there is None:
        return missing if await _create(cluster, folder, name, data) else []
    version = {"resourceVersion": there["metadata"]["resourceVersion"]}
    await cluster.ask(
        "PATCH",
        f"{folder}/{quote(name)}",
        "patch secrets",
        {"data": data, "metadata": version},
        content_type="application/merge-patch+json",
    )
    return missing


def _data(secret: Any) -> dict[str, str]:
    """The values of a Secret, none of one that is not there."""
    return dict((secret or {}).get("data") or {})


def _token() -> str:
    return base64.b64encode(secrets.token_urlsafe(32).encode()).decode()


async def _create(cluster: KubernetesCluster, folder: str, name: str, data: dict[str, str]) -> bool:
    """False if another one made it meanwhile."""
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
    except Conflict:
        return False
    return True


async def _read(cluster: KubernetesCluster, path: str) -> Any:
    try:
        return await cluster.ask("GET", path, "get secrets")
    except TargetGone:
        return None
