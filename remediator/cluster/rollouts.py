"""What the controllers of workloads do, for the sandbox: ReplicaSets, revisions and rollouts.

Sources: kubernetes pkg/controller/deployment, statefulset and daemon.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..model.quantity import share
from ..model.raw import annotations
from ..model.template import template_hash
from ..sights.revisions import NUMBER
from .store import Made, Store, reference

VERSIONS = {
    "Deployment": "ReplicaSet",
    "StatefulSet": "ControllerRevision",
    "DaemonSet": "ControllerRevision",
}


@dataclass(slots=True)
class Rollout:
    """A workload at one step, with all its pods and versions; `digest` is its template's."""

    kind: str
    namespace: str
    name: str
    obj: Made
    pods: list[Made]
    versions: list[Made]
    digest: str
    now: datetime

    @property
    def wanted(self) -> int:
        """How many pods there are to be."""
        return int(self.obj["spec"].get("replicas", self.obj["nodes"]))

    @property
    def paused(self) -> bool:
        """Whether its template waits."""
        return bool(self.obj["spec"].get("paused"))

    @property
    def rolling(self) -> Mapping[str, Any]:
        """The parameters of its strategy."""
        return self.strategy.get("rollingUpdate") or {}

    @property
    def partition(self) -> int:
        """The number from which on a StatefulSet's pods have its new template."""
        return int(self.rolling.get("partition") or 0)

    @property
    def strategy(self) -> Mapping[str, Any]:
        """How pods of another template are replaced."""
        key = "strategy" if self.kind == "Deployment" else "updateStrategy"
        return self.obj["spec"].get(key) or {}

    @property
    def ready(self) -> int:
        """How many pods are ready."""
        return sum(pod["lively"] for pod in self.pods)

    def of(self, digest: str) -> list[Made]:
        """The pods of one template, those that serve first."""
        found = [pod for pod in self.pods if _hash(pod) == digest]
        return sorted(found, key=lambda pod: not pod["lively"])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the rollout of a template had come, since when, and whether it was complete once."""

    digest: str
    counts: tuple[int, ...]
    since: datetime
    complete: bool


class Rollouts:
    """Moves workloads in a store by one step."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._progressed: dict[str, Progress] = {}

    def step(self, obj: Made, pods: list[Made], versions: list[Made], *, now: datetime) -> None:
        """Pods of the wanted template come, old ones go, within the bounds of the strategy."""
        metadata, digest = obj["metadata"], template_hash(obj["spec"]["template"])[:8]
        there = (obj["kind"], metadata["namespace"], metadata["name"])
        rollout = Rollout(*there, obj, pods, versions, digest, now)
        version = self._version(rollout)
        owner = version if rollout.kind == "Deployment" else obj
        for pod in pods:  # one that was let go of and has its labels back is taken in again
            if not pod["metadata"].get("ownerReferences"):
                mine = {"ownerReferences": [reference(owner)]}
                self._store.write(pod, metadata=pod["metadata"] | mine)
        most, least = _bounds(rollout)
        self._end(rollout, _surplus(rollout))
        self._end(rollout, _leaving(rollout, least))
        fresh = rollout.of(_digest(version))
        self._end(rollout, fresh[rollout.wanted :])
        missing = min(rollout.wanted - len(fresh), most - len(rollout.pods))
        for pod_name in self._names(rollout, _digest(version), missing):
            rollout.pods.append(self._new_pod(rollout, pod_name, owner, version))
        self._status(rollout)

    def _end(self, rollout: Rollout, pods: list[Made]) -> None:
        for pod in pods:
            rollout.pods.remove(pod)
            self._store.delete(pod)

    def _names(self, rollout: Rollout, digest: str, count: int) -> list[str]:
        """Names of new pods; a StatefulSet's are numbered, and one that is taken cannot be had."""
        if rollout.kind != "StatefulSet":
            first = self._store.version
            return [f"{rollout.name}-{digest}-{first + number}" for number in range(count)]
        numbered = [f"{rollout.name}-{number}" for number in range(rollout.wanted)]
        there = self._store.objects
        free = [name for name in numbered if ("Pod", rollout.namespace, name) not in there]
        return free[: max(0, count)]

    def _version(self, rollout: Rollout) -> Made:
        """The ReplicaSet or ControllerRevision that runs: of a paused Deployment, the newest.

        A template's is kept, and used again.
        """
        newest = max(rollout.versions, key=_number, default=None)
        if newest and rollout.paused:
            return newest
        key = (VERSIONS[rollout.kind], rollout.namespace, f"{rollout.name}-{rollout.digest}")
        version = self._store.objects.get(key) or self._new_version(rollout, key)
        if version is not newest:
            self._renumber(version, _number(newest or {}) + 1)
        return version

    def _new_version(self, rollout: Rollout, key: tuple[str, str, str]) -> Made:
        """The ReplicaSet or ControllerRevision of a new template."""
        spec = rollout.obj["spec"]
        template = copy.deepcopy(spec["template"])
        body: Made = {"data": {"spec": {"template": {**template, "$patch": "replace"}}}}
        if rollout.kind == "Deployment":
            kept = {"selector": spec["selector"], "template": template, "replicas": 0}
            body = {"spec": kept, "status": {}}
        owners = [reference(rollout.obj)]
        made = self._store.put(
            *key, body, at=rollout.now, labels={"app": rollout.name}, ownerReferences=owners
        )
        rollout.versions.append(made)
        return made

    def _renumber(self, version: Made, number: int) -> None:
        if version["kind"] == "ControllerRevision":
            self._store.write(version, revision=number)
        else:
            notes = {**annotations(version), NUMBER: str(number)}
            self._store.write(version, metadata=version["metadata"] | {"annotations": notes})

    def _new_pod(self, rollout: Rollout, name: str, owner: Made, version: Made) -> Made:
        if rollout.kind == "StatefulSet" and _ordinal(name) < rollout.partition:
            current = rollout.obj["status"].get("currentRevision")
            key = ("ControllerRevision", rollout.namespace, current)
            version = self._store.objects.get(key, version)
        template = copy.deepcopy(version.get("data", version)["spec"]["template"])
        labels = {
            **(template["metadata"].get("labels") or {}),
            "app": rollout.name,
            "hash": _digest(version),
            "controller-revision-hash": version["metadata"]["name"],
        }
        return self._store.put(
            "Pod",
            rollout.namespace,
            name,
            {"spec": template["spec"], "status": {}, "lively": False},
            at=rollout.now,
            labels=labels,
            ownerReferences=[reference(owner)],
        )

    def _status(self, rollout: Rollout) -> None:
        obj, ready, fresh = rollout.obj, rollout.ready, len(rollout.of(rollout.digest))
        counts = (len(rollout.pods), fresh, ready, ready)
        names = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
        status: Made = {"observedGeneration": obj["metadata"]["generation"]}
        if rollout.kind == "DaemonSet":
            names = (
                "desiredNumberScheduled",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberReady",
            )
            counts = (rollout.wanted, *counts[1:])
        status |= dict(zip(names, counts, strict=True))
        whole = {rollout.wanted} == {fresh, ready, len(rollout.pods)}
        if rollout.kind == "StatefulSet":
            newest = f"{rollout.name}-{rollout.digest}"
            previous = obj["status"].get("currentRevision", newest)
            status["updateRevision"] = newest
            status["currentRevision"] = newest if whole else previous
        if rollout.kind == "Deployment":
            status["conditions"] = [self._progressing(rollout, fresh, whole)]
            self._count_pods(rollout)
        self._store.write(obj, status=status)

    def _count_pods(self, rollout: Rollout) -> None:
        """The ReplicaSets' own counts."""
        for item in rollout.versions:
            uid = item["metadata"]["uid"]
            mine = [
                pod for pod in rollout.pods if pod["metadata"]["ownerReferences"][0]["uid"] == uid
            ]
            ready = sum(pod["lively"] for pod in mine)
            self._store.write(
                item,
                spec={**item["spec"], "replicas": len(mine)},
                status={"replicas": len(mine), "readyReplicas": ready},
            )

    def _progressing(self, rollout: Rollout, fresh: int, whole: bool) -> Made:
        """The condition Progressing: given up if nothing moves for progressDeadlineSeconds.

        A rollout that was complete stays so until the next, whatever its pods do.
        """
        uid, now, digest = rollout.obj["metadata"]["uid"], rollout.now, rollout.digest
        if rollout.paused:
            self._progressed.pop(uid, None)
            return {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"}
        old = len(rollout.pods) - fresh
        made = Progress(digest, (fresh, -old, rollout.ready), now, whole)
        last = self._progressed.get(uid)
        if last is not None and last.digest == digest:
            complete = whole or (last.complete and not old)
            moved = any(new > before for new, before in zip(made.counts, last.counts, strict=True))
            made = Progress(digest, made.counts, now if moved else last.since, complete)
        self._progressed[uid] = made
        return _condition(made, rollout)


def _condition(progress: Progress, rollout: Rollout) -> Made:
    status, reason = "True", "ReplicaSetUpdated"
    deadline = timedelta(seconds=rollout.obj["spec"].get("progressDeadlineSeconds", 600))
    if progress.complete:
        reason = "NewReplicaSetAvailable"
    elif rollout.now - progress.since > deadline:
        status, reason = "False", "ProgressDeadlineExceeded"
    return {"type": "Progressing", "status": status, "reason": reason}


def _bounds(rollout: Rollout) -> tuple[int, int]:
    """How many pods there may be at most, and how many are to serve at least."""
    wanted, rolling = rollout.wanted, rollout.rolling
    if rollout.paused:
        return wanted, wanted
    if rollout.kind != "Deployment":
        surge = share(rolling.get("maxSurge", 0), wanted, math.ceil)
        down = 0 if surge else max(1, share(rolling.get("maxUnavailable", 1), wanted, math.ceil))
        return wanted + surge, wanted - down
    if rollout.strategy.get("type") == "Recreate":
        return wanted, 0
    surge = share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
    down = share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    return wanted + surge, wanted - (down if surge or down else 1)


def _surplus(rollout: Rollout) -> list[Made]:
    """The pods of a StatefulSet whose numbers are beyond its count."""
    if rollout.kind != "StatefulSet":
        return []
    return [pod for pod in rollout.pods if _ordinal(pod["metadata"]["name"]) >= rollout.wanted]


def _leaving(rollout: Rollout, least: int) -> list[Made]:
    """Pods of other templates, those that do not serve first, while enough are ready."""
    old = [pod for pod in rollout.pods if _hash(pod) != rollout.digest]
    kept = rollout.paused or rollout.strategy.get("type") == "OnDelete" or _stuck(rollout)
    if kept or not old:
        return []
    old = _in_order(rollout, old)
    lively = [pod for pod in old if pod["lively"]]
    spare = max(0, rollout.ready - least)
    return [pod for pod in old if not pod["lively"]] + lively[:spare]


def _stuck(rollout: Rollout) -> bool:
    """Whether a StatefulSet waits for a pod (kubernetes#67250: until somebody deletes it)."""
    in_order = rollout.obj["spec"].get("podManagementPolicy") != "Parallel"
    return rollout.kind == "StatefulSet" and in_order and rollout.ready < len(rollout.pods)


def _in_order(rollout: Rollout, old: list[Made]) -> list[Made]:
    """Pods as they are replaced: a StatefulSet's from the last one down to its partition."""
    if rollout.kind != "StatefulSet":
        return old
    numbered = {_ordinal(pod["metadata"]["name"]): pod for pod in old}
    return [numbered[n] for n in sorted(numbered, reverse=True) if n >= rollout.partition]


def _hash(pod: Made) -> str:
    """Of which template the pod is."""
    return str(pod["metadata"]["labels"]["hash"])


def _digest(version: Made) -> str:
    """The hash of a version's template, in its name."""
    return str(version["metadata"]["name"].rpartition("-")[2])


def _ordinal(pod: str) -> int:
    """The number in the name of a StatefulSet's pod."""
    return int(pod.rpartition("-")[2])


def _number(version: Made) -> int:
    """The revision's number: of a ControllerRevision, or in a ReplicaSet's annotation."""
    return int(version.get("revision") or annotations(version).get(NUMBER) or 0)
