"""An in-memory cluster behind the same port: workloads whose rollouts progress with the clock.

It knows the kinds and verbs that the actions use and raises Unsupported for anything else. What a pod does follows
from its image: one whose tag is in `crashing` never becomes ready; pods named in `leaking` were killed for memory.
"""

import copy
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import jsonpatch

from ..errors import ClusterError, Conflict, Rejected, TargetGone, Unsupported
from ..model.facts import Facts, Sight, meta, timestamp
from ..model.plan import CALL_ID, Call, Evidence, template_hash, template_of
from ..model.target import Target
from .objects import REVISION, Object, observe

START = timedelta(seconds=2)
BACK_OFF = timedelta(seconds=10)
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}


class SandboxCluster:
    """The cluster port in memory. `clock` gives the time; `calls` lists every write that took effect."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._version = 100
        self._ticked = clock()
        self._progressed: dict[str, tuple[Any, datetime]] = {}
        self.crashing: set[str] = set()
        self.leaking: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.events: list[tuple[str, str, str]] = []
        self.failures: list[ClusterError] = []

    def create_workload(self, kind: str, namespace: str, name: str, image: str, replicas: int = 3, **more: Any) -> None:
        """Adds a workload with its pods running and ready; `more` goes into its spec, `labels` onto all of it."""
        if kind not in WORKLOADS:
            raise Unsupported(f"the sandbox has no {kind}")
        labels = {"app": name}
        extra = more.pop("labels", {})
        template = {"metadata": {"labels": labels | extra}, "spec": {"containers": [{"name": "app", "image": image}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **more}
        if kind == "DaemonSet":
            spec.pop("replicas")
        self._store(kind, namespace, name, {"spec": spec, "status": {}, "replicas": replicas}, labels=labels | extra)
        if ("Namespace", "", namespace) not in self._objects:
            self._store("Namespace", "", namespace, {})
        self._step(self._clock() - START)
        self._step(self._clock())

    def create_service(self, namespace: str, name: str, selector: Mapping[str, str]) -> None:
        """Adds a Service."""
        self._store("Service", namespace, name, {"spec": {"selector": dict(selector)}})

    def set_image(self, kind: str, namespace: str, name: str, image: str) -> None:
        """What a person's new release does."""
        obj = copy.deepcopy(self._objects[kind, namespace, name])
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image
        self._replace(kind, namespace, name, obj)

    def annotate(self, kind: str, namespace: str, name: str, key: str, value: str) -> None:
        """What `kubectl annotate` does."""
        obj = copy.deepcopy(self._objects[kind, namespace, name])
        obj["metadata"].setdefault("annotations", {})[key] = value
        self._replace(kind, namespace, name, obj)

    async def observe(self, target: Target, climb: bool, sights: frozenset[Sight], now: datetime) -> Facts:
        return await observe(self, target, climb, sights, now)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        self._advance()
        return copy.deepcopy(self._objects.get((kind, namespace, name)))

    async def list_objects(self, kind: str, namespace: str, selector: str) -> list[Object]:
        """By equality of labels only."""
        self._advance()
        wanted = dict(part.split("=", 1) for part in selector.split(","))
        return [
            copy.deepcopy(obj)
            for (k, n, _), obj in sorted(self._objects.items())
            if k == kind and n == namespace and wanted.items() <= (meta(obj).get("labels") or {}).items()
        ]

    async def apply(self, call: Call, call_id: str, resource_version: str, dry_run: bool = False) -> Evidence:
        self._advance()
        if self.failures:
            raise self.failures.pop(0)
        target = call.target
        if call.verb != "patch" or target.kind not in WORKLOADS:
            raise Unsupported(f"the sandbox cannot {call.verb} a {target.kind}")
        obj = self._objects.get((target.kind, target.namespace, target.name))
        if obj is None or meta(obj)["uid"] != target.uid:
            raise TargetGone(f"cannot patch {target}: it is gone, or another has its name")
        if meta(obj)["resourceVersion"] != resource_version:
            raise Conflict(f"cannot patch {target}: it changed meanwhile")
        body = [{**op, "value": call_id} if op.get("value") == CALL_ID else dict(op) for op in call.body]
        try:
            patched = jsonpatch.apply_patch(obj, body)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise Rejected(f"cannot patch {target}: {error}") from None
        if not dry_run:
            self.calls.append((call_id, call.describe()))
            patched = self._replace(target.kind, target.namespace, target.name, patched)
        return Evidence(
            200,
            int(meta(patched)["generation"]),
            str(meta(patched)["resourceVersion"]),
            call_id,
            template_hash(template_of(patched)),
        )

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        self.events.append((str(target), reason, message))

    async def ready(self) -> str | None:
        return None

    def pods(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """The pods of a workload, for tests and the demo."""
        self._advance()
        return self._pods(namespace, name)

    def _pods(self, namespace: str, name: str) -> list[dict[str, Any]]:
        return [
            o
            for (k, n, _), o in self._objects.items()
            if k == "Pod" and n == namespace and o["metadata"]["labels"]["app"] == name
        ]

    def _store(
        self, kind: str, namespace: str, name: str, body: dict[str, Any], at: datetime | None = None, **metadata: Any
    ) -> dict[str, Any]:
        self._version += 1
        base = {
            "name": name, "namespace": namespace, "uid": f"uid-{self._version}", "generation": 1,
            "resourceVersion": str(self._version), "creationTimestamp": (at or self._clock()).isoformat(),
        }  # fmt: skip
        self._objects[kind, namespace, name] = {"kind": kind, "metadata": base | metadata, **body}
        return self._objects[kind, namespace, name]

    def _replace(self, kind: str, namespace: str, name: str, obj: dict[str, Any]) -> dict[str, Any]:
        old = self._objects[kind, namespace, name]
        self._version += 1
        metadata = obj["metadata"] | {"resourceVersion": str(self._version)}
        if obj.get("spec") != old.get("spec"):
            metadata["generation"] = old["metadata"]["generation"] + 1
        self._objects[kind, namespace, name] = {**obj, "metadata": metadata}
        self._step(self._clock())
        return self._objects[kind, namespace, name]

    def _advance(self) -> None:
        """Lets time pass in steps of a second, up to ten minutes at once."""
        now = self._clock()
        steps = min(600, int((now - self._ticked).total_seconds()))
        for index in range(steps, -1, -1):
            self._step(now - timedelta(seconds=index))
        self._ticked = now

    def _step(self, now: datetime) -> None:
        for (kind, namespace, name), obj in list(self._objects.items()):
            if kind in WORKLOADS:
                self._roll(kind, namespace, name, obj, now)

    def _roll(self, kind: str, namespace: str, name: str, obj: dict[str, Any], now: datetime) -> None:
        """One step of a workload's controller: pods of the wanted template come, old ones go, within its bounds."""
        wanted = obj["spec"].get("replicas", obj["replicas"])
        owner, digest = self._owner(kind, namespace, name, obj, now)
        deployment = kind == "Deployment"
        most = wanted + math.ceil(wanted / 4) if deployment else wanted
        least = wanted - (wanted // 4 if deployment else 1)
        self._live_pods(namespace, name, now)
        pods = self._pods(namespace, name)
        fresh = [p for p in pods if p["metadata"]["labels"]["hash"] == digest]
        old = sorted((p for p in pods if p["metadata"]["labels"]["hash"] != digest), key=lambda p: not p["lively"])
        ready = sum(p["lively"] for p in pods)
        for pod in sorted(old, key=lambda p: bool(p["lively"])):
            if ready - bool(pod["lively"]) >= least or not pod["lively"]:
                ready -= bool(pod["lively"])
                pods.remove(pod)
                del self._objects["Pod", namespace, pod["metadata"]["name"]]
        while len(fresh) < wanted and len(pods) < most:
            pod = self._new_pod(namespace, name, obj, owner, digest, now)
            fresh.append(pod)
            pods.append(pod)
        self._status(kind, namespace, name, obj, pods, fresh, digest, now)

    def _owner(self, kind: str, namespace: str, name: str, obj: dict[str, Any], now: datetime) -> tuple[Mapping[str, Any], str]:
        digest = template_hash(obj["spec"]["template"])[:8]
        if kind != "Deployment":
            return obj, digest
        key = ("ReplicaSet", namespace, f"{name}-{digest}")
        sets = [
            o
            for (k, n, _), o in self._objects.items()
            if k == "ReplicaSet" and n == namespace and o["metadata"]["labels"]["app"] == name
        ]
        newest = max((int(s["metadata"]["annotations"][REVISION]) for s in sets), default=0)
        if key not in self._objects:
            template = copy.deepcopy(obj["spec"]["template"])
            reference = {"kind": kind, "name": name, "uid": meta(obj)["uid"], "controller": True}
            metadata: dict[str, Any] = {
                "labels": {"app": name},
                "annotations": {REVISION: str(newest + 1)},
                "ownerReferences": [reference],
            }
            self._store(*key, {"spec": {"template": template, "replicas": 0}, "status": {}}, at=now, **metadata)
        current = self._objects[key]
        if int(current["metadata"]["annotations"][REVISION]) < newest:
            current["metadata"]["annotations"][REVISION] = str(newest + 1)
        return current, digest

    def _new_pod(
        self, namespace: str, name: str, obj: dict[str, Any], owner: Mapping[str, Any], digest: str, now: datetime
    ) -> dict[str, Any]:
        reference = {"kind": owner["kind"], "name": meta(owner)["name"], "uid": meta(owner)["uid"], "controller": True}
        pod_name = f"{name}-{digest}-{self._version}"
        metadata = {"labels": {"app": name, "hash": digest}, "ownerReferences": [reference]}
        body = {"spec": copy.deepcopy(obj["spec"]["template"]["spec"]), "status": {}, "lively": False}
        return self._store("Pod", namespace, pod_name, body, at=now, **metadata)

    def _live_pods(self, namespace: str, name: str, now: datetime) -> None:
        for pod in self._pods(namespace, name):
            created = timestamp(pod["metadata"]["creationTimestamp"])
            assert created is not None
            age = now - created
            container = pod["spec"]["containers"][0]
            status: dict[str, Any] = {"name": container["name"], "restartCount": 0, "state": {"running": {}}, "lastState": {}}
            lively = age >= START
            if container["image"] in self.crashing:
                lively, status["restartCount"] = False, 1 + int(age / BACK_OFF)
                status["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
                status["lastState"] = {"terminated": {"reason": "Error", "exitCode": 1}}
            if pod["metadata"]["name"] in self.leaking:
                status["restartCount"] = 2
                status["lastState"] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
            pod["lively"] = lively
            condition = {"type": "Ready", "status": "True" if lively else "False"}
            pod["status"] = {"phase": "Running", "conditions": [condition], "containerStatuses": [status]}

    def _progress(self, obj: dict[str, Any], step: tuple[Any, ...], complete: bool, now: datetime) -> dict[str, str]:
        """The Progressing condition: given up where nothing has moved for progressDeadlineSeconds."""
        uid = obj["metadata"]["uid"]
        if self._progressed.get(uid, (None, now))[0] != step:
            self._progressed[uid] = (step, now)
        waited = now - self._progressed[uid][1]
        given_up = not complete and waited > timedelta(seconds=obj["spec"].get("progressDeadlineSeconds", 600))
        reason = "ProgressDeadlineExceeded" if given_up else "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
        return {"type": "Progressing", "status": "False" if given_up else "True", "reason": reason}

    def _status(
        self, kind: str, namespace: str, name: str, obj: dict[str, Any], pods: Any, fresh: Any, digest: str, now: datetime
    ) -> None:
        wanted = obj["spec"].get("replicas", obj["replicas"])
        ready, whole = sum(p["lively"] for p in pods), len(fresh) == wanted == len(pods)
        status: dict[str, Any] = {"observedGeneration": obj["metadata"]["generation"]}
        if kind == "DaemonSet":
            status |= {
                "desiredNumberScheduled": wanted,
                "updatedNumberScheduled": len(fresh),
                "numberAvailable": ready,
                "numberReady": ready,
            }
        else:
            status |= {"replicas": len(pods), "updatedReplicas": len(fresh), "availableReplicas": ready, "readyReplicas": ready}
        if kind == "StatefulSet":
            previous = obj["status"].get("currentRevision", digest)
            status |= {"updateRevision": digest, "currentRevision": digest if whole and ready == wanted else previous}
        if kind == "Deployment":
            status["conditions"] = [self._progress(obj, (digest, len(fresh), ready), whole and ready == wanted, now)]
        obj["status"] = status
        for (k, n, _), item in self._objects.items():
            if k == "ReplicaSet" and n == namespace and item["metadata"]["labels"]["app"] == name:
                mine = [p for p in pods if p["metadata"]["ownerReferences"][0]["uid"] == item["metadata"]["uid"]]
                item["spec"]["replicas"] = len(mine)
                item["status"] = {"replicas": len(mine), "readyReplicas": sum(p["lively"] for p in mine)}
