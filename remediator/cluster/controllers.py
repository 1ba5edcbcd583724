"""What Kubernetes' controllers do, for the sandbox.

ReplicaSets, revisions, rollouts, pods' lives, HPAs' least count.
"""

import copy
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..kinds import WORKLOAD_NAMES
from ..model.raw import meta, spec_of, timestamp
from ..model.template import template_hash
from ..sights.revisions import NUMBER

START = timedelta(seconds=2)
BACK_OFF = timedelta(seconds=10)
Key = tuple[str, str, str]


class Store:
    """Objects by kind, namespace and name, with versions,
    generations and uids as an API server keeps them.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.objects: dict[Key, dict[str, Any]] = {}
        self.version = 100

    def put(
        self,
        kind: str,
        namespace: str,
        name: str,
        body: dict[str, Any],
        *,
        at: datetime | None = None,
        **metadata: Any,
    ) -> dict[str, Any]:
        """Adds an object."""
        self.version += 1
        base = {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{self.version}",
            "generation": 1,
            "resourceVersion": str(self.version),
            "creationTimestamp": (at or self._clock()).isoformat(),
        }
        self.objects[kind, namespace, name] = {"kind": kind, "metadata": base | metadata, **body}
        return self.objects[kind, namespace, name]

    def replace(self, kind: str, namespace: str, name: str, obj: dict[str, Any]) -> None:
        """Puts a newer state in an object's place; another spec is another generation."""
        old = self.objects[kind, namespace, name]
        self.version += 1
        metadata = obj["metadata"] | {"resourceVersion": str(self.version)}
        if obj.get("spec") != old.get("spec") and "generation" in old["metadata"]:
            metadata["generation"] = old["metadata"]["generation"] + 1
        self.objects[kind, namespace, name] = {**obj, "metadata": metadata}

    def of(self, kind: str, namespace: str, app: str) -> list[dict[str, Any]]:
        """The objects of a kind that carry a workload's label."""
        return [
            o
            for (k, n, _), o in self.objects.items()
            if k == kind
            and n == namespace
            and (o["metadata"].get("labels") or {}).get("app") == app
        ]

    def pods(self, namespace: str, app: str) -> list[dict[str, Any]]:
        """The pods of a workload."""
        return self.of("Pod", namespace, app)


class Controllers:
    """Moves what is in a store by one step."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._progressed: dict[str, tuple[Any, datetime]] = {}
        self.crashing: set[str] = set()
        self.leaking: set[str] = set()

    def step(self, now: datetime) -> None:
        """What every controller does once."""
        for (kind, namespace, _), obj in list(self._store.objects.items()):
            if kind == "HorizontalPodAutoscaler":
                self._scale(namespace, obj)
            elif kind == "Pod" and "app" not in (meta(obj).get("labels") or {}):
                obj["metadata"].pop("ownerReferences", None)  # its ReplicaSet releases it
            elif kind == "Job":
                self._run(obj, now)
        for (kind, namespace, name), obj in list(self._store.objects.items()):
            if kind in WORKLOAD_NAMES:
                self._roll(kind, namespace, name, obj, now=now)

    def _run(self, job: dict[str, Any], now: datetime) -> None:
        """A Job is over soon: well, or not where its image is a crashing one."""
        created = timestamp(job["metadata"]["creationTimestamp"])
        assert created is not None
        if job["status"].get("conditions") or now - created < START:
            return
        image = job["spec"]["template"]["spec"]["containers"][0]["image"]
        ended = "Failed" if image in self.crashing else "Complete"
        job["status"] = {"conditions": [{"type": ended, "status": "True"}]}
        if ended == "Complete":
            job["status"]["completionTime"] = now.isoformat()

    def _scale(self, namespace: str, autoscaler: dict[str, Any]) -> None:
        """An HPA keeps its least count, metrics or none."""
        scaled = autoscaler["spec"]["scaleTargetRef"]
        workload = self._store.objects.get((scaled["kind"], namespace, scaled["name"]))
        if workload and 0 < workload["spec"]["replicas"] < autoscaler["spec"]["minReplicas"]:
            changed = copy.deepcopy(workload)
            changed["spec"]["replicas"] = autoscaler["spec"]["minReplicas"]
            self._store.replace(scaled["kind"], namespace, scaled["name"], changed)

    def _roll(
        self, kind: str, namespace: str, name: str, obj: dict[str, Any], *, now: datetime
    ) -> None:
        """One step of a workload's controller.

        Pods of the wanted template come, old ones go, within its bounds.
        """
        wanted = obj["spec"].get("replicas", obj["nodes"])
        owner, digest = self._owner(kind, namespace, name, obj, now=now)
        deployment = kind == "Deployment"
        most = wanted + math.ceil(wanted / 4) if deployment else wanted
        least = wanted - (wanted // 4 if deployment else 1)
        pods = self._store.pods(namespace, name)
        self._live(pods, now)
        for pod in pods:  # one that was let go of and has its labels back is taken in again
            pod["metadata"].setdefault("ownerReferences", [_reference(owner)])
        fresh = [p for p in pods if p["metadata"]["labels"]["hash"] == digest]
        # kubernetes#67250: until somebody deletes the pod that is not ready
        stuck = kind == "StatefulSet" and not all(p["lively"] for p in pods)
        if not stuck:
            self._end_old(pods, digest, least)
        while len(fresh) < wanted and len(pods) < most:
            pod = self._new_pod(namespace, name, obj, owner, digest=digest, now=now)
            fresh.append(pod)
            pods.append(pod)
        while len(fresh) > wanted:
            self._end(pods, fresh.pop())
        self._status(kind, namespace, name, obj, pods=pods, fresh=fresh, digest=digest, now=now)

    def _end(self, pods: list[dict[str, Any]], pod: dict[str, Any]) -> None:
        pods.remove(pod)
        del self._store.objects["Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]]

    def _owner(
        self, kind: str, namespace: str, name: str, obj: dict[str, Any], *, now: datetime
    ) -> tuple[Mapping[str, Any], str]:
        """What owns new pods, and the hash of the wanted template.

        A template's ReplicaSet or revision is kept, and used again.
        """
        digest = template_hash(obj["spec"]["template"])[:8]
        kept = "ReplicaSet" if kind == "Deployment" else "ControllerRevision"
        key = (kept, namespace, f"{name}-{digest}")
        versions = self._store.of(kept, namespace, name)
        newest = max((_number(version) for version in versions), default=0)
        if key not in self._store.objects:
            template = copy.deepcopy(obj["spec"]["template"])
            spec = {"selector": obj["spec"]["selector"], "template": template, "replicas": 0}
            body: dict[str, Any] = {"spec": spec, "status": {}}
            if kept == "ControllerRevision":
                body = {"data": {"spec": {"template": {**template, "$patch": "replace"}}}}
            found = self._store.put(
                *key, body, at=now, labels={"app": name}, ownerReferences=[_reference(obj)]
            )
            _renumber(found, newest + 1)
        elif _number(self._store.objects[key]) < newest:
            _renumber(self._store.objects[key], newest + 1)
        return (self._store.objects[key] if kept == "ReplicaSet" else obj), digest

    def _new_pod(
        self,
        namespace: str,
        name: str,
        obj: dict[str, Any],
        owner: Mapping[str, Any],
        *,
        digest: str,
        now: datetime,
    ) -> dict[str, Any]:
        pod_name = f"{name}-{digest}-{self._store.version}"
        own = obj["spec"]["template"]["metadata"].get("labels") or {}
        labels = {
            **own,
            "app": name,
            "hash": digest,
            "controller-revision-hash": f"{name}-{digest}",
        }
        spec = copy.deepcopy(obj["spec"]["template"]["spec"])
        body = {"spec": spec, "status": {}, "lively": False}
        return self._store.put(
            "Pod",
            namespace,
            pod_name,
            body,
            at=now,
            labels=labels,
            ownerReferences=[_reference(owner)],
        )

    def _placed(self, pod: dict[str, Any]) -> bool:
        """What the scheduler does: a pod gets a node, or waits and says so."""
        node = self._node()
        if node:
            pod["spec"]["nodeName"] = node
            return True
        why = {"reason": "Unschedulable", "message": "0 nodes are available"}
        pod["status"] = {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", **why}],
        }
        return False

    def _node(self) -> str:
        """The node that has the fewest pods, of those that take any; none: the pod waits."""
        objects = self._store.objects
        nodes = [
            name
            for (kind, _, name), node in sorted(objects.items())
            if kind == "Node" and not spec_of(node).get("unschedulable")
        ]
        if len(nodes) < 2:
            return nodes[0] if nodes else ""
        placed = [
            obj["spec"].get("nodeName") for (kind, _, _), obj in objects.items() if kind == "Pod"
        ]
        return min(nodes, key=placed.count, default="")

    def _live(self, pods: list[dict[str, Any]], now: datetime) -> None:
        for pod in pods:
            if not pod["spec"].get("nodeName") and not self._placed(pod):
                continue
            created = timestamp(pod["metadata"]["creationTimestamp"])
            assert created is not None
            age = now - created
            container = pod["spec"]["containers"][0]
            status: dict[str, Any] = {
                "name": container["name"],
                "restartCount": 0,
                "state": {"running": {}},
                "lastState": {},
            }
            if "resources" in container:
                status["resources"] = container["resources"]
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
            pod["status"] = {
                "phase": "Running",
                "conditions": [condition],
                "containerStatuses": [status],
            }

    def _progress(
        self, obj: dict[str, Any], step: tuple[Any, ...], complete: bool, now: datetime
    ) -> dict[str, str]:
        """The Progressing condition.

        Given up where nothing has moved for progressDeadlineSeconds.
        """
        uid = obj["metadata"]["uid"]
        if self._progressed.get(uid, (None, now))[0] != step:
            self._progressed[uid] = (step, now)
        waited = now - self._progressed[uid][1]
        status, reason = "True", "ReplicaSetUpdated"
        if complete:
            reason = "NewReplicaSetAvailable"
        elif waited > timedelta(seconds=obj["spec"].get("progressDeadlineSeconds", 600)):
            status, reason = "False", "ProgressDeadlineExceeded"
        return {"type": "Progressing", "status": status, "reason": reason}

    def _end_old(self, pods: list[dict[str, Any]], digest: str, least: int) -> None:
        """Ends pods of other templates, those that do not serve first, while enough are ready."""
        ready = sum(pod["lively"] for pod in pods)
        old = [pod for pod in pods if pod["metadata"]["labels"]["hash"] != digest]
        for pod in sorted(old, key=lambda pod: bool(pod["lively"])):
            lively = bool(pod["lively"])
            if ready - lively >= least or not lively:
                ready -= lively
                self._end(pods, pod)

    def _status(
        self,
        kind: str,
        namespace: str,
        name: str,
        obj: dict[str, Any],
        *,
        pods: Any,
        fresh: Any,
        digest: str,
        now: datetime,
    ) -> None:
        wanted = obj["spec"].get("replicas", obj["nodes"])
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
            status |= {
                "replicas": len(pods),
                "updatedReplicas": len(fresh),
                "availableReplicas": ready,
                "readyReplicas": ready,
            }
        if kind == "StatefulSet":
            newest = f"{name}-{digest}"
            previous = obj["status"].get("currentRevision", newest)
            status |= {
                "updateRevision": newest,
                "currentRevision": newest if whole and ready == wanted else previous,
            }
        if kind == "Deployment":
            status["conditions"] = [
                self._progress(obj, (digest, len(fresh), ready), whole and ready == wanted, now)
            ]
        obj["status"] = status
        for item in self._store.of("ReplicaSet", namespace, name):
            mine = [
                p
                for p in pods
                if p["metadata"]["ownerReferences"][0]["uid"] == item["metadata"]["uid"]
            ]
            item["spec"]["replicas"] = len(mine)
            item["status"] = {
                "replicas": len(mine),
                "readyReplicas": sum(p["lively"] for p in mine),
            }


def _reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": owner["kind"],
        "name": meta(owner)["name"],
        "uid": meta(owner)["uid"],
        "controller": True,
    }


def _number(version: Mapping[str, Any]) -> int:
    """The revision's number: of a ControllerRevision, or in a ReplicaSet's annotation."""
    if version["kind"] == "ControllerRevision":
        return int(version.get("revision") or 0)
    return int((meta(version).get("annotations") or {}).get(NUMBER, 0))


def _renumber(version: dict[str, Any], number: int) -> None:
    if version["kind"] == "ControllerRevision":
        version["revision"] = number
    else:
        version["metadata"].setdefault("annotations", {})[NUMBER] = str(number)
