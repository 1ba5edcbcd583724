"""A real cluster through kubernetes_asyncio: raw dicts, timeouts, preconditions, translated errors.

One connection pool; a token bucket of our own keeps us a polite client. The HTTP client's retries are off: a write is
sent once, and after an unclear answer the object is looked at.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from kubernetes_asyncio import client, config

from .. import __version__
from ..errors import ClusterError, ConfigurationError, Conflict, Forbidden, Rejected, TargetGone, Unreachable
from ..model.facts import Facts, Sight, meta
from ..model.plan import CALL_ID, Call, Evidence, template_hash, template_of
from ..model.target import Target
from ..telemetry import Metrics
from .objects import READABLE, Object, observe

READ_TIMEOUT = 10.0
PAGE = 500
FIELD_MANAGER = "remediator"


async def connect(kubeconfig: str, context: str, qps: float, metrics: Metrics | None = None) -> "KubernetesCluster":
    """A client from a kubeconfig file, else from the pod's own ServiceAccount. Raises: ConfigurationError."""
    settings = client.Configuration()
    try:
        if kubeconfig:
            await config.load_kube_config(config_file=kubeconfig, context=context or None, client_configuration=settings)
        else:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise ConfigurationError(f"cannot reach a cluster: {error}; set cluster.kubeconfig, or run in a pod") from None
    return KubernetesCluster(client.ApiClient(settings), qps, metrics or Metrics())


class KubernetesCluster:
    """The cluster port on a real API server."""

    def __init__(self, api: client.ApiClient, qps: float, metrics: Metrics) -> None:
        self._api, self._metrics = api, metrics
        self._api.user_agent = f"remediator/{__version__}"
        self._bucket = _Bucket(qps)

    async def close(self) -> None:
        """Closes the connection pool."""
        await self._api.close()

    async def observe(self, target: Target, climb: bool, sights: frozenset[Sight], now: datetime) -> Facts:
        return await observe(self, target, climb, sights, now)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        try:
            found: Object = await self._ask("GET", _path(kind, namespace, name), f"get {READABLE[kind][2]}")
            return found
        except TargetGone:
            return None

    async def list_objects(self, kind: str, namespace: str, selector: str) -> list[Object]:
        """All pages."""
        out: list[Object] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            page = await self._ask("GET", _path(kind, namespace), f"list {READABLE[kind][2]}", query=query)
            out += page.get("items") or []
            token = meta(page).get("continue")
            if not token:
                return out
            query = {**query, "continue": token}

    async def apply(self, call: Call, call_id: str, resource_version: str, dry_run: bool = False) -> Evidence:
        path = _path(call.target.kind, call.target.namespace, call.target.name)
        body = [{"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}]
        body += [{**op, "value": call_id} if op.get("value") == CALL_ID else dict(op) for op in call.body]
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        what = f"patch {READABLE[call.target.kind][2]}"
        try:
            obj = await self._ask("PATCH", path, what, query, body, "application/json-patch+json", call.timeout.total_seconds())
        except Rejected as error:
            there = await self.get(call.target.kind, call.target.namespace, call.target.name)
            if there is None or str(meta(there).get("uid")) != call.target.uid:
                raise TargetGone(f"cannot {what} {call.target}: it is gone, or another has its name") from error
            raise
        if str(meta(obj).get("uid")) != call.target.uid:
            raise TargetGone(f"cannot {what} {call.target}: another object has its name now")
        return Evidence(
            200,
            int(meta(obj).get("generation", 0)),
            str(meta(obj).get("resourceVersion")),
            call_id,
            template_hash(template_of(obj)),
        )

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        """Creates a Kubernetes Event on the target. Raises: ClusterError."""
        group, version, _ = READABLE[target.kind]
        now = datetime.now().astimezone().isoformat()  # noqa: TID251 - an Event's own time is the wall clock's
        reference = {"apiVersion": f"{group}/{version}" if group else version, "kind": target.kind, "name": target.name}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{target.name[:200]}.", "namespace": target.namespace or "default"},
            "involvedObject": {**reference, "namespace": target.namespace, "uid": target.uid},
            "reason": reason,
            "message": message[:1000],
            "type": "Warning" if warning else "Normal",
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        path = f"/api/v1/namespaces/{quote(target.namespace or 'default')}/events"
        await self._ask("POST", path, "create events", body=event)

    async def ready(self) -> str | None:
        try:
            await self._ask("GET", "/version", "get /version")
        except ClusterError as error:
            return str(error)
        return None

    async def _ask(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float = READ_TIMEOUT,
    ) -> Any:
        verb, started, code = what.split(" ")[0], time.perf_counter(), "none"
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            async with asyncio.timeout(timeout):  # the wait for our turn included: nothing is sent after it
                await self._bucket.take()
                answer = await self._api.call_api(
                    path,
                    method,
                    query_params=list((query or {}).items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _return_http_data_only=True,
                    _request_timeout=timeout,
                )
                text, code = await answer.read(), str(answer.status)
        except TimeoutError:
            raise Unreachable(f"cannot {what}: no answer from the API server within {timeout:.0f}s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"cannot {what}: the API server is not to be reached ({type(error).__name__})") from None
        finally:
            self._metrics.count("kubernetes_requests_total", verb, code)
            self._metrics.observe("kubernetes_request_duration_seconds", time.perf_counter() - started, verb)
        return _translated(what, answer.status, text)


def _translated(what: str, status: int, text: bytes) -> Any:
    """The decoded answer, or our own error for its status."""
    try:
        data = orjson.loads(text)
    except ValueError:
        data = {}
    if 200 <= status < 300:
        return data
    message = str(data.get("message") or text[:200].decode(errors="replace")) if isinstance(data, dict) else ""
    if status in (401, 403):
        raise Forbidden(f"cannot {what}: RBAC refuses it; `remediator generate rbac` prints what is needed ({message[:300]})")
    if status == 404:
        raise TargetGone(f"cannot {what}: {message[:300]}")
    if status == 409:
        raise Conflict(f"cannot {what}: it changed meanwhile ({message[:300]})")
    if status == 429 or status >= 500:
        raise Unreachable(f"cannot {what}: the API server answered {status} ({message[:300]})")
    raise Rejected(f"cannot {what}: the API server refused it with {status}: {message[:500]}")


def _path(kind: str, namespace: str, name: str = "") -> str:
    group, version, plural = READABLE[kind]
    prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
    middle = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{prefix}{middle}/{plural}" + (f"/{quote(name)}" if name else "")


class _Bucket:
    """A token bucket: `rate` requests a second, twice that at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = 2 * rate
        self._at = 0.0

    async def take(self) -> None:
        """Waits until a request may be sent."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._tokens = min(2 * self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)
