"""A real cluster through kubernetes_asyncio: raw dicts, timeouts, preconditions, translated errors.

One connection pool; a token bucket of our own keeps us a polite client. The HTTP client's retries
are off: a write is sent once, and after an unclear answer the object is looked at.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import yaml
from kubernetes_asyncio import client, config

from .. import __version__
from ..catalogue import kind_of
from ..errors import (
    ClusterError,
    ConfigurationError,
    Conflict,
    Rejected,
    TargetGone,
    Unreachable,
    Unsupported,
)
from ..kinds import EVENT, POD, WORKLOADS
from ..model.call import FIELD_MANAGER, Call, Evidence, evidence_of
from ..model.facts import Facts, Unknown
from ..model.kind import Kind
from ..model.raw import meta, status_of
from ..model.sight import Object, Sight
from ..model.target import REPLACED, Target
from ..model.text import scrubbed
from ..telemetry import Metrics
from .objects import event_of, with_id
from .observing import observe, observe_all
from .pacing import Bucket, Renewing
from .translating import items_of, path_of, translated, whole

READ_TIMEOUT = 10.0
# what reading a kubeconfig raises, besides its own error: it may hold anything
UNUSABLE = (
    config.ConfigException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    yaml.YAMLError,
)
PAGE = 500
MANY_BUDGETS = "more than one PodDisruptionBudget"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
JSON_PATCH = "application/json-patch+json"


async def connect(
    kubeconfig: str, context: str, qps: float, metrics: Metrics | None = None
) -> "KubernetesCluster":
    """A client from a kubeconfig file, else from the pod's own ServiceAccount.

    Raises: ConfigurationError.
    """
    settings = client.Configuration()
    try:
        if kubeconfig:
            loader = await config.load_kube_config(
                config_file=kubeconfig,
                context=context or None,
                client_configuration=settings,
                persist_config=False,
            )
            if "BearerToken" in settings.api_key:
                settings.refresh_api_key_hook = Renewing(loader)
        else:
            config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
        return KubernetesCluster(client.ApiClient(settings), qps, metrics or Metrics())
    except UNUSABLE as error:
        raise ConfigurationError(
            f"cannot reach a cluster: {error}; set cluster.kubeconfig, or run in a pod"
        ) from None


class KubernetesCluster:
    """The cluster port on a real API server."""

    def __init__(self, api: client.ApiClient, qps: float, metrics: Metrics) -> None:
        self._api, self._metrics = api, metrics
        self._api.user_agent = f"remediator/{__version__}"
        self._bucket = Bucket(qps)

    async def close(self) -> None:
        """Closes the connection pool."""
        renewing = self._api.configuration.refresh_api_key_hook
        if isinstance(renewing, Renewing):
            renewing.close()
        await self._api.close()

    async def observe(
        self, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        return await observe(self, target, climb, sights, now=now)

    async def observe_all(
        self, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
    ) -> tuple[Facts, ...]:
        return await observe_all(self, targets, sights, now)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            what = f"get {kind.plural}"
            return whole(what, await self._ask("GET", path_of(kind, namespace, name), what))
        except TargetGone:
            return None

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = "", *, accept: str = JSON
    ) -> list[Object]:
        """All pages."""
        out: list[Object] = []
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": str(PAGE)}
        while True:
            what = f"list {kind.plural}"
            page = await self._ask(
                "GET", path_of(kind, namespace), what, query=query, accept=accept
            )
            out += items_of(what, page)
            token = meta(page).get("continue")
            if not token:
                return out
            query = {**query, "continue": token}

    async def apply(
        self, call: Call, call_id: str, resource_version: str, dry_run: bool = False
    ) -> Evidence:
        target = call.target
        if call.verb == "collect":
            return Evidence(200, call_id, await self._collect(target, with_id(call.body, call_id)))
        what = f"{call.verb} {kind_of(target.kind).plural}"
        what += f"/{call.subresource}" if call.subresource else ""
        try:
            made = await self._made(call, call_id, what, resource_version, dry_run=dry_run)
        except Rejected as error:
            if call.verb != "create" and not await self._is_there(target):
                why = f"it {REPLACED}"
                raise TargetGone(f"cannot {what} {target}: {why}") from error
            raise
        if isinstance(made, int):
            return Evidence(made, call_id)
        if call.verb == "patch" and str(meta(made).get("uid")) != target.uid:
            raise TargetGone(f"cannot {what} {target}: another object has its name now")
        return evidence_of(call, call_id, made)

    async def _made(
        self, call: Call, call_id: str, what: str, version: str, *, dry_run: bool
    ) -> Any:
        """The object that was written; of a pod that goes, the status alone."""
        target, seconds = call.target, call.timeout.total_seconds()
        path = path_of(
            kind_of(target.kind), target.namespace, "" if call.verb == "create" else target.name
        )
        path += f"/{call.subresource}" if call.subresource else ""
        match call.verb:
            case "patch" | "create":
                body = with_id(call.body, call_id)
                return await self._write(call, path, what, body, version=version, dry_run=dry_run)
            case "delete":
                body = {"preconditions": {"uid": target.uid}}
                body |= {"dryRun": ["All"]} if dry_run else {}
                return await self._delete(target, path, what, body, seconds=seconds)
            case "evict":
                return await self._evict(target, path, dry_run, seconds)
        raise Unsupported(f"cannot {what}: unsupported verb")

    async def _write(
        self, call: Call, path: str, what: str, body: Any, *, version: str, dry_run: bool
    ) -> Any:
        """Patches an object at a version, or creates one; what the API server answered."""
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        method, content_type = "POST", JSON
        if call.verb == "patch":
            method, content_type = "PATCH", JSON_PATCH
            at_version = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
            body = [at_version, *body]
        else:
            named = {"name": call.target.name, "namespace": call.target.namespace}
            body["metadata"] |= {key: value for key, value in named.items() if value}
        answer = await self._ask(
            method,
            path,
            what,
            query,
            body=body,
            content_type=content_type,
            timeout=call.timeout.total_seconds(),
        )
        return whole(what, answer)

    async def _is_there(self, target: Target) -> bool:
        """Whether the object that was seen still has its name."""
        there = await self.get(kind_of(target.kind), target.namespace, target.name)
        return there is not None and str(meta(there).get("uid")) == target.uid

    async def _delete(
        self, target: Target, path: str, what: str, body: Any, *, seconds: float
    ) -> int:
        """200, or 404 where it was gone already. Raises: ClusterError."""
        try:
            await self._ask("DELETE", path, what, body=body, timeout=seconds)
        except TargetGone:
            return 404
        except Conflict:  # the uid is another's
            there = await self.get(kind_of(target.kind), target.namespace, target.name)
            if there is None or str(meta(there).get("uid")) != target.uid:
                return 404
            raise
        return 200

    async def _evict(self, pod: Target, path: str, dry_run: bool, seconds: float) -> int:
        """201, or 404 where it was gone already. Raises: BudgetExhausted, ClusterError."""
        options: dict[str, Any] = {"preconditions": {"uid": pod.uid}}
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": options | ({"dryRun": ["All"]} if dry_run else {}),
        }
        what = f"evict pod {pod.namespace}/{pod.name}"
        try:
            await self._ask("POST", f"{path}/eviction", what, body=body, timeout=seconds)
        except TargetGone:
            return 404
        except Unreachable as error:
            if MANY_BUDGETS in str(error):  # answered with 500, and for good
                raise Rejected(str(error)) from None
            raise
        except Conflict:  # the uid is another's
            there = await self.get(POD, pod.namespace, pod.name)
            if there is None or str(meta(there).get("uid")) != pod.uid:
                return 404
            raise
        return 201

    async def _collect(self, pod: Target, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The pod's events and the ends of its containers' logs.

        What cannot be read is said in its place.
        """
        path, lines = path_of(POD, pod.namespace, pod.name), int(wanted["log_lines"])
        obj = whole("get pods", await self._ask("GET", path, "get pods"))
        if str(meta(obj).get("uid")) != pod.uid:
            raise TargetGone(f"cannot read the logs of {pod}: it {REPLACED}")
        out: dict[str, Any] = {
            "phase": status_of(obj).get("phase"),
            "node": obj["spec"].get("nodeName"),
        }
        try:
            found = await self.list_objects(
                EVENT, pod.namespace, "", f"involvedObject.uid={pod.uid}"
            )
            out["events"] = [
                f"{e.get('type')} {e.get('reason')}: {e.get('message')}" for e in found
            ][-50:]
        except ClusterError as error:
            out["events"] = [str(error)]
        for container in obj["spec"]["containers"] if lines else []:
            for name, previous in (
                (container["name"], "false"),
                (f"{container['name']} (previous)", "true"),
            ):
                query = {
                    "container": container["name"],
                    "tailLines": str(lines),
                    "previous": previous,
                    "limitBytes": "65536",
                }
                try:
                    text = await self._ask("GET", f"{path}/log", "get pods/log", query, raw=True)
                    out.setdefault("logs", {})[name] = scrubbed(text.decode(errors="replace"))
                except ClusterError as error:
                    if previous == "false":
                        out.setdefault("logs", {})[name] = str(error)
        return out

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        """Creates a Kubernetes Event on the target. Raises: ClusterError."""
        # an Event's own time is the wall clock's
        now = datetime.now().astimezone().isoformat()  # noqa: TID251
        event = event_of(target, reason, message, warning, now=now)
        path = f"/api/v1/namespaces/{quote(target.namespace or 'default')}/events"
        await self._ask("POST", path, "create events", body=event)

    async def may(self, group: str, resource: str, verb: str, namespace: str) -> bool:
        """Whether RBAC lets us: a SelfSubjectAccessReview. Raises: ClusterError."""
        plain, _, below = resource.partition("/")
        attributes = {
            "group": group,
            "resource": plain,
            "subresource": below,
            "verb": verb,
            "namespace": namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self._ask("POST", path, "create selfsubjectaccessreviews", body=review)
        return bool(status_of(answer).get("allowed"))

    async def workloads(self) -> Sequence[str] | Unknown:
        """By their metadata alone, which is a fraction of them."""
        out: list[str] = []
        try:
            for kind in sorted(WORKLOADS, key=str):
                out += [
                    str(meta(item)["namespace"])
                    for item in await self.list_objects(kind, "", "", accept=METADATA)
                ]
        except ClusterError as error:
            return Unknown(str(error))
        return out

    async def ready(self) -> str | None:
        try:
            await self._ask("GET", "/version", "get /version")
        except ClusterError as error:
            return str(error)
        return None

    async def ask(
        self, method: str, path: str, what: str, body: Any = None, *, content_type: str = JSON
    ) -> Any:
        """One request for an object that no action knows; its decoded answer.

        Raises: ClusterError.
        """
        return await self._ask(method, path, what, body=body, content_type=content_type)

    async def _ask(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = READ_TIMEOUT,
        raw: bool = False,
        accept: str = JSON,
    ) -> Any:
        verb, started, code = what.split(" ")[0], time.perf_counter(), "none"
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            # the wait for our turn included: nothing is sent after it
            async with asyncio.timeout(timeout):
                await self._bucket.take()
                answer = await self._api.call_api(
                    path,
                    method,
                    query_params=[(key, value) for key, value in (query or {}).items() if value],
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _return_http_data_only=True,
                    _request_timeout=timeout,
                )
                text, code = await answer.read(), str(answer.status)
        except TimeoutError:
            raise Unreachable(
                f"cannot {what}: no answer from the API server within {timeout:.0f}s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(
                f"cannot {what}: API server unreachable ({type(error).__name__})"
            ) from None
        finally:
            self._metrics.count("kubernetes_requests_total", verb, code)
            self._metrics.observe(
                "kubernetes_request_duration_seconds", time.perf_counter() - started, verb
            )
        return text if raw and answer.status == 200 else translated(what, answer.status, text)
