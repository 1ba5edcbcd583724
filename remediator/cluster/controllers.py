"""What Kubernetes' controllers do, for the sandbox.

HPAs' bounds, Jobs, nodes for pods and pods' lives; what is owned goes with its owner.
"""

import copy
from datetime import datetime, timedelta

from ..kinds import WORKLOAD_NAMES
from ..model.raw import condition, labels, spec_of, timestamp
from .patching import released
from .rollouts import VERSIONS, Rollouts
from .store import Made, Store

START = timedelta(seconds=2)
BACK_OFF = timedelta(seconds=10)
HOMELESS = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0 nodes are available",
        }
    ],
}
RESTARTS = {"resourceName": "memory", "restartPolicy": "RestartContainer"}


class Controllers:
    """Moves what is in a store by one step."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rollouts = Rollouts(store)
        self.crashing: set[str] = set()
        self.leaking: set[str] = set()

    def step(self, now: datetime) -> None:
        """What every controller does once."""
        self._store.collect()
        for (kind, namespace, _), obj in list(self._store.objects.items()):
            if kind == "HorizontalPodAutoscaler":
                self._scale(namespace, obj)
            elif kind == "Pod" and "app" not in labels(obj):  # its ReplicaSet releases it
                alone = {k: v for k, v in obj["metadata"].items() if k != "ownerReferences"}
                self._store.write(obj, metadata=alone)
            elif kind == "Job":
                self._run(obj, now)
        self._roll_out(now)

    def _roll_out(self, now: datetime) -> None:
        """What the kubelets and the workloads' controllers do."""
        of = self._store.by_app()
        for (kind, namespace, name), obj in list(self._store.objects.items()):
            if kind in WORKLOAD_NAMES:
                pods = of["Pod", namespace, name]
                self._live(pods, now)
                self._rollouts.step(obj, pods, of[VERSIONS[kind], namespace, name], now=now)

    def _run(self, job: Made, now: datetime) -> None:
        """A Job is over soon: well, or not where its image is a crashing one."""
        created = timestamp(job["metadata"]["creationTimestamp"])
        assert created is not None
        if job["status"].get("conditions") or now - created < START:
            return
        image = job["spec"]["template"]["spec"]["containers"][0]["image"]
        ended = "Failed" if image in self.crashing else "Complete"
        status: Made = {"conditions": [{"type": ended, "status": "True"}]}
        if ended == "Complete":
            status["completionTime"] = now.isoformat()
        self._store.write(job, status=status)

    def _scale(self, namespace: str, autoscaler: Made) -> None:
        """An HPA keeps its bounds, metrics or none; what is scaled to zero is switched off."""
        spec, scaled = autoscaler["spec"], autoscaler["spec"]["scaleTargetRef"]
        workload = self._store.objects.get((scaled["kind"], namespace, scaled["name"]))
        count = workload["spec"].get("replicas") if workload else 0
        wanted = min(max(count, spec.get("minReplicas", 1)), spec["maxReplicas"])
        if workload and count and count != wanted:
            changed = copy.deepcopy(workload)
            changed["spec"]["replicas"] = wanted
            released(changed, workload)
            self._store.replace(scaled["kind"], namespace, scaled["name"], changed)

    def _node(self) -> str:
        """The node that has the fewest pods, of those that take any; none: the pod waits."""
        there = list(self._store.objects.values())
        nodes = [obj for obj in there if obj["kind"] == "Node" and _takes_pods(obj)]
        names = sorted(str(node["metadata"]["name"]) for node in nodes)
        if len(names) < 2:
            return names[0] if names else ""
        placed = [obj["spec"].get("nodeName") for obj in there if obj["kind"] == "Pod"]
        return min(names, key=placed.count)

    def _live(self, pods: list[Made], now: datetime) -> None:
        """What the scheduler and the kubelets do: a pod gets a node, or waits and says so."""
        for pod in pods:
            node = pod["spec"].get("nodeName") or self._node()
            if not node:
                self._store.write(pod, status=HOMELESS)
                continue
            if "nodeName" not in pod["spec"]:
                self._store.write(pod, spec={**pod["spec"], "nodeName": node})
            created = timestamp(pod["metadata"]["creationTimestamp"])
            assert created is not None
            container = self._container(pod, now - created)
            if _is_restarted(pod, container):
                self._store.write(pod, began=now)
            lively = "running" in container["state"] and now - pod.get("began", created) >= START
            ready = {"type": "Ready", "status": "True" if lively else "False"}
            status = {
                "phase": "Running",
                "conditions": [ready],
                "containerStatuses": [container],
            }
            self._store.write(pod, status=status, lively=lively)

    def _container(self, pod: Made, age: timedelta) -> Made:
        """The status of a pod's container."""
        container = pod["spec"]["containers"][0]
        status: Made = {
            "name": container["name"],
            "restartCount": 0,
            "state": {"running": {}},
            "lastState": {},
        }
        if "resources" in container:
            status["resources"] = copy.deepcopy(container["resources"])
        if container["image"] in self.crashing:
            status["restartCount"] = 1 + int(age / BACK_OFF)
            status["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
            status["lastState"] = {"terminated": {"reason": "Error", "exitCode": 1}}
        if pod["metadata"]["name"] in self.leaking:
            status["restartCount"] = 2
            status["lastState"] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
        return status


def _takes_pods(node: Made) -> bool:
    return condition(node, "Ready") is not None and not spec_of(node).get("unschedulable")


def _is_restarted(pod: Made, container: Made) -> bool:
    """Whether its container restarts for the memory that it was given, by its resizePolicy."""
    shown = (pod["status"].get("containerStatuses") or [{}])[0]
    given = "resources" in shown and shown["resources"] != container.get("resources")
    return given and RESTARTS in (pod["spec"]["containers"][0].get("resizePolicy") or [])
