"""A real cluster through kubernetes_asyncio: raw dicts, timeouts, preconditions, translated errors.

One connection pool; a token bucket of our own keeps us a polite client. The HTTP client's retries
are off: a write is sent once, and after an unclear answer the object is looked at.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import yaml
from kubernetes_asyncio import client, config

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
from .pacing import Renewing
from .translating import path_of, whole
from .transport import JSON, METADATA, Transport

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
MANY_BUDGETS = "more than one PodDisruptionBudget"
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
        self.transport = Transport(api, qps, metrics)

    async def close(self) -> None:
        """Closes the connection pool."""
        await self.transport.close()

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
            return whole(
                what, await self.transport.ask("GET", path_of(kind, namespace, name), what)
            )
        except TargetGone:
            return None

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = "", *, accept: str = JSON
    ) -> list[Object]:
        """All pages."""
        return await self.transport.items(kind, namespace, selector, fields, accept=accept)

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
        answer = await self.transport.ask(
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
            await self.transport.ask("DELETE", path, what, body=body, timeout=seconds)
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
            await self.transport.ask("POST", f"{path}/eviction", what, body=body, timeout=seconds)
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
        obj = whole("get pods", await self.transport.ask("GET", path, "get pods"))
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
                    text = await self.transport.ask(
                        "GET", f"{path}/log", "get pods/log", query, raw=True
                    )
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
        await self.transport.ask("POST", path, "create events", body=event)

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
        answer = await self.transport.ask(
            "POST", path, "create selfsubjectaccessreviews", body=review
        )
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
            await self.transport.ask("GET", "/version", "get /version")
        except ClusterError as error:
            return str(error)
        return None

    async def ask(
        self, method: str, path: str, what: str, body: Any = None, *, content_type: str = JSON
    ) -> Any:
        """One request for an object that no action knows; its decoded answer.

        Raises: ClusterError.
        """
        return await self.transport.ask(method, path, what, body=body, content_type=content_type)
