"""An in-memory cluster behind the same port: workloads whose rollouts progress with the clock.

It knows the kinds and verbs that the actions use and raises Unsupported for anything else. What a
pod does follows from its image: one whose tag is in `crashing` never becomes ready; pods named in
`leaking` were killed for memory.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..errors import BudgetExhausted, ClusterError, Conflict, Rejected, TargetGone, Unsupported
from ..kinds import ENDPOINT_SLICE, POD_DISRUPTION_BUDGET, WORKLOAD_NAMES
from ..model.budget import covers, permit
from ..model.call import Call, Evidence, evidence_of
from ..model.facts import Facts, Unknown
from ..model.kind import Kind
from ..model.raw import finished, labels, meta, ready, status_of
from ..model.selectors import selects
from ..model.sight import Object, Sight
from ..model.target import REPLACED, Target
from .controllers import START, Controllers
from .objects import on_node, with_id
from .observing import observe, observe_all
from .patching import patched, released
from .store import Store

PATCHABLE = {*WORKLOAD_NAMES, "HorizontalPodAutoscaler", "Pod", "Node", "Certificate"}
CREATABLE = {"NetworkPolicy", "Job"}
SUBRESOURCES = {"", "scale", "resize", "status"}
DELETABLE = {"Pod", "NetworkPolicy"}


class SandboxCluster:
    """The cluster port in memory.

    `clock` gives the time; `calls` lists every write that took effect; `objects` is what there is.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ticked = clock()
        self._store = Store(clock)
        self.objects = self._store.objects
        self._controllers = Controllers(self._store)
        self.crashing, self.leaking = self._controllers.crashing, self._controllers.leaking
        self.calls: list[tuple[str, str]] = []
        self.events: list[tuple[str, str, str]] = []
        self.failures: list[ClusterError] = []
        up = {"type": "Ready", "status": "True"}
        self._store.put("Node", "", "node-1", {"spec": {}, "status": {"conditions": [up]}})

    def create_workload(
        self, kind: str, namespace: str, name: str, image: str, *, replicas: int = 3, **more: Any
    ) -> None:
        """Adds a workload with its pods running and ready.

        `more` goes into its spec, `labels` onto all of it.
        """
        if kind not in WORKLOAD_NAMES:
            raise Unsupported(f"the sandbox has no {kind}")
        mine = {"app": name}
        extra = more.pop("labels", {})
        template = {
            "metadata": {"labels": mine | extra},
            "spec": {"containers": [{"name": "app", "image": image}]},
        }
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": mine},
            "template": template,
            **more,
        }
        if kind == "DaemonSet":
            spec.pop("replicas")
        body = {"spec": spec, "status": {}, "nodes": replicas}
        self._store.put(kind, namespace, name, body, labels=mine | extra)
        if ("Namespace", "", namespace) not in self.objects:
            self._store.put("Namespace", "", namespace, {})
        self._controllers.step(self._clock() - START)
        self._controllers.step(self._clock())

    def create_service(self, namespace: str, name: str, selector: Mapping[str, str]) -> None:
        """Adds a Service."""
        self._store.put("Service", namespace, name, {"spec": {"selector": dict(selector)}})

    def create_autoscaler(
        self, namespace: str, name: str, kind: str, least: int, *, most: int, **metadata: Any
    ) -> None:
        """Adds an HPA of the workload of the same name."""
        scaled = {"apiVersion": "apps/v1", "kind": kind, "name": name}
        spec = {"scaleTargetRef": scaled, "minReplicas": least, "maxReplicas": most}
        self._store.put("HorizontalPodAutoscaler", namespace, name, {"spec": spec}, **metadata)
        del self.objects["HorizontalPodAutoscaler", namespace, name]["metadata"]["generation"]

    def create(
        self,
        kind: str,
        namespace: str,
        name: str,
        spec: Mapping[str, Any],
        *,
        status: Mapping[str, Any],
    ) -> None:
        """Adds an object that no controller of the sandbox moves.

        A disruption budget, a quota, a node.
        """
        self._store.put(kind, namespace, name, {"spec": dict(spec), "status": dict(status)})

    def set_image(self, kind: str, namespace: str, name: str, image: str) -> None:
        """What a person's new release does."""
        self.edit(
            kind,
            namespace,
            name,
            lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image=image),
        )

    def annotate(self, kind: str, namespace: str, name: str, key: str, *, value: str) -> None:
        """What `kubectl annotate` does."""
        self.edit(
            kind,
            namespace,
            name,
            lambda obj: obj["metadata"].setdefault("annotations", {}).update({key: value}),
        )

    def edit(
        self, kind: str, namespace: str, name: str, change: Callable[[dict[str, Any]], Any]
    ) -> None:
        """What `kubectl edit` does; what a person sets is no longer ours."""
        obj = copy.deepcopy(self.objects[kind, namespace, name])
        change(obj)
        released(obj, self.objects[kind, namespace, name])
        self._replace(kind, namespace, name, obj)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """What `kubectl delete` does; what it owned goes soon."""
        del self.objects[kind, namespace, name]

    async def observe(
        self, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        return await observe(self, target, climb, sights, now=now)

    async def observe_all(
        self, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
    ) -> tuple[Facts, ...]:
        return await observe_all(self, targets, sights, now)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        self._advance()
        return copy.deepcopy(self.objects.get((kind.name, namespace, name)))

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        self._advance()
        if kind == ENDPOINT_SLICE:
            return self._slices(namespace)
        there: list[Object] = [
            obj
            for (name, n, _), obj in sorted(self.objects.items())
            if name == kind.name and namespace in ("", n) and selects(selector, labels(obj))
        ]
        return copy.deepcopy(on_node(there, fields))

    def _slices(self, namespace: str) -> list[Object]:
        """What the endpoint controller would list.

        The pods that each Service selects, ready or not.
        """
        there = [(kind, obj) for (kind, n, _), obj in self.objects.items() if n == namespace]
        pods = [obj for kind, obj in there if kind == "Pod"]
        services = [obj for kind, obj in there if kind == "Service"]
        return [_slice(service, pods) for service in services if service["spec"].get("selector")]

    async def apply(
        self, call: Call, call_id: str, resource_version: str, dry_run: bool = False
    ) -> Evidence:
        self._advance()
        if self.failures:
            raise self.failures.pop(0)
        target = call.target
        obj = self.objects.get((target.kind, target.namespace, target.name))
        here = obj if obj is not None and meta(obj)["uid"] == target.uid else None
        match call.verb:
            case "create" if target.kind in CREATABLE:
                if obj is not None:
                    raise Conflict(f"cannot create {target}: it already exists")
                done = self._created(target, with_id(call.body, call_id), dry_run=dry_run)
            case "delete" | "evict" if target.kind in DELETABLE:
                return self._removed(call, call_id, here, dry_run)
            case "collect" if target.kind == "Pod":
                return _collected(call, call_id, here)
            case "patch" if target.kind in PATCHABLE and (call.subresource in SUBRESOURCES):
                done = self._patched(call, call_id, here, resource_version, dry_run=dry_run)
            case _:
                raise Unsupported(
                    f"the sandbox cannot {call.verb} a {target.kind} {call.subresource}"
                )
        if not dry_run:
            self.calls.append((call_id, call.describe()))
        return evidence_of(call, call_id, done)

    def _created(self, target: Target, body: Mapping[str, Any], *, dry_run: bool) -> Object:
        if dry_run:
            return body
        metadata = {k: v for k, v in body["metadata"].items() if k not in ("name", "namespace")}
        made = {"spec": body["spec"], "status": {}}
        return self._store.put(target.kind, target.namespace, target.name, made, **metadata)

    def _patched(
        self, call: Call, call_id: str, here: dict[str, Any] | None, version: str, *, dry_run: bool
    ) -> dict[str, Any]:
        target = call.target
        if here is None:
            why = f"it {REPLACED}"
            raise TargetGone(f"cannot patch {target}: {why}")
        if meta(here)["resourceVersion"] != version:
            raise Conflict(f"cannot patch {target}: it changed in the meantime")
        done = patched(here, call, call_id)
        if dry_run:
            return done
        return self._replace(target.kind, target.namespace, target.name, done)

    def _removed(
        self, call: Call, call_id: str, here: Mapping[str, Any] | None, dry_run: bool
    ) -> Evidence:
        target = call.target
        if here is None:
            return Evidence(404, call_id)
        if call.verb == "evict":
            self._ask_budgets(target, here)
        if not dry_run:
            self.calls.append((call_id, call.describe()))
            self.remove(target.kind, target.namespace, target.name)
        return Evidence(200, call_id)

    def _ask_budgets(self, target: Target, pod: Mapping[str, Any]) -> None:
        """What the eviction API asks. Raises: BudgetExhausted, Rejected.

        Source: kubernetes pkg/registry/core/pod/storage/eviction.go.
        """
        if finished(pod) or status_of(pod).get("phase") == "Pending":
            return
        wanted = (POD_DISRUPTION_BUDGET.name, target.namespace)
        places = [key for key in self.objects if key[:2] == wanted]
        budgets = [self.objects[key] for key in places if covers(self.objects[key], pod)]
        if len(budgets) > 1:
            raise Rejected(f"cannot evict {target}: it has more than one PodDisruptionBudget")
        if not permit(budgets, pod):
            why = "its disruption budget allows no eviction now"
            raise BudgetExhausted(f"cannot evict {target}: {why}")

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        self.events.append((str(target), reason, message))

    async def workloads(self) -> Sequence[str] | Unknown:
        return [namespace for kind, namespace, _ in self.objects if kind in WORKLOAD_NAMES]

    async def ready(self) -> str | None:
        return None

    def pods(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """The pods of a workload, for tests and the demo."""
        self._advance()
        return self._store.by_app()["Pod", namespace, name]

    def _replace(self, kind: str, namespace: str, name: str, obj: dict[str, Any]) -> dict[str, Any]:
        self._store.replace(kind, namespace, name, obj)
        self._controllers.step(self._clock())
        # the controllers may have deleted it since
        return self.objects.get((kind, namespace, name), obj)

    def _advance(self) -> None:
        """Lets time pass in steps of a second, up to ten minutes at once."""
        now = self._clock()
        steps = min(600, int((now - self._ticked).total_seconds()))
        for index in range(steps, -1, -1):
            self._controllers.step(now - timedelta(seconds=index))
        self._ticked = now


def _slice(service: Object, pods: list[dict[str, Any]]) -> Object:
    wanted = service["spec"]["selector"].items()
    endpoints = [
        {
            "targetRef": {"kind": "Pod", "uid": meta(pod)["uid"]},
            "conditions": {"ready": ready(pod)},
        }
        for pod in pods
        if wanted <= labels(pod).items()
    ]
    name = meta(service)["name"]
    metadata = {"name": name, "labels": {"kubernetes.io/service-name": name}}
    return {"metadata": metadata, "endpoints": endpoints}


def _collected(call: Call, call_id: str, here: Mapping[str, Any] | None) -> Evidence:
    if here is None:
        raise TargetGone(f"cannot collect from {call.target}: it is gone")
    phase = here["status"].get("phase")
    return Evidence(200, call_id, {"phase": phase, "events": [], "logs": {"app": "..."}})
