"""The ports of a replay: facts come from a file, a cluster or an assumption; calls are recorded and
assumed to work.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ..catalogue import kind_of
from ..cluster.objects import Objects, on_node, with_id
from ..cluster.observing import observe, observe_all
from ..cluster.patching import patched
from ..errors import ClusterError, ConfigurationError, Conflict, TargetGone
from ..kinds import HORIZONTAL_POD_AUTOSCALER, NETWORK_POLICY, NODE, WORKLOAD_NAMES, WORKLOADS
from ..located import load_text
from ..model.call import Call, Evidence, evidence_of
from ..model.facts import Facts, Unknown, unseen
from ..model.kind import Kind
from ..model.notice import Notice
from ..model.raw import labels, meta, spec_of, status_of
from ..model.selectors import selector_text, selects
from ..model.sight import Object, Sight
from ..model.target import POD, REPLACED, Target, Unresolved
from ..model.verdict import Reason

Key = tuple[str, str, str]
BORN = datetime(2000, 1, 1, tzinfo=UTC)
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
REPLICAS = 3
NO_FACTS = "no facts were given: add --facts FILE, --cluster, or --assume healthy"


def _is_object(item: Any) -> bool:
    """Whether something has the kind and the name of an object."""
    if not isinstance(item, Mapping) or not isinstance(item.get("kind"), str):
        return False
    named = item.get("metadata")
    return isinstance(named, Mapping) and bool(named.get("name"))


class SnapshotFile:
    """Objects in a file: the output of `kubectl get … -o json` (or yaml), a List or one object."""

    def __init__(self, path: Path) -> None:
        self._objects: dict[Key, Object] = {}
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ConfigurationError(f"cannot read the facts {path}: {error.strerror}") from None
        try:
            data = orjson.loads(text)
        except orjson.JSONDecodeError:
            data = load_text(text, str(path)).data
        items = data.get("items", [data]) if isinstance(data, Mapping) else None
        if not isinstance(items, list) or not items or not all(map(_is_object, items)):
            raise ConfigurationError(
                f"cannot use the facts {path}: not Kubernetes objects; create the file with"
                " `kubectl get"
                " deploy,sts,ds,rs,controllerrevision,pod,hpa,svc,endpointslice,pdb,quota,node -A"
                " -o json`"
            )
        for item in items:
            self._objects[
                item["kind"], str(meta(item).get("namespace", "")), str(meta(item)["name"])
            ] = item

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object in the file."""
        return self._objects.get((kind.name, namespace, name))

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        """The selected ones."""
        if kind == NODE and not any(k == kind.name for k, _, _ in self._objects):
            raise ClusterError("the facts contain no Node; add them to the file")
        there = [(n, item) for (k, n, _), item in self._objects.items() if k == kind.name]
        found = [item for place, item in there if namespace in ("", place)]
        return [item for item in on_node(found, fields) if selects(selector, labels(item))]


class Healthy:
    """Every object that an alert names exists and is healthy: workloads with three ready pods, pods
    with owners.
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An assumed object."""
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": namespace,
            "uid": f"assumed-{kind.name}-{name}",
            "generation": 1,
        }
        metadata |= {"resourceVersion": "1", "creationTimestamp": BORN.isoformat()}
        base: dict[str, Any] = {"kind": kind.name, "metadata": metadata}
        if kind.name == "Pod":
            return self._pod(base, name)
        if kind.name == "ReplicaSet":
            return {
                **base,
                "metadata": {
                    **metadata,
                    "ownerReferences": [_owner("Deployment", name.rpartition("-")[0])],
                },
            }
        if kind in WORKLOADS:
            return _whole({**base, "spec": _spec(name), "status": {}})
        if kind.name == "Service":
            return {**base, "spec": {"selector": {"app": name}}}
        return None if kind in (HORIZONTAL_POD_AUTOSCALER, NETWORK_POLICY) else base

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        """Three pods of a workload, and a node; nothing else."""
        if kind == NODE:
            return [
                {
                    "metadata": {"name": "assumed"},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                }
            ]
        name = selector.removeprefix("app=")
        if kind.name != "Pod" or name == selector:
            return []
        owner = _owner("Deployment", name)
        return [
            self._pod(
                {"kind": "Pod", "metadata": {"name": f"{name}-{n}", "uid": f"assumed-{name}-{n}"}},
                name,
                owner,
            )
            for n in range(REPLICAS)
        ]

    def _pod(
        self, base: dict[str, Any], name: str, owner: Mapping[str, Any] | None = None
    ) -> Object:
        owner = owner or _owner_by_name(name)
        metadata = base["metadata"] | {"ownerReferences": [owner], "labels": {"app": owner["name"]}}
        condition = {"type": "Ready", "status": "True"}
        return {
            **base,
            "metadata": metadata,
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [condition]},
        }


def _key(kind: Kind, obj: Object) -> tuple[str, str, str]:
    """What an object goes by: a list over all namespaces has objects of each."""
    return kind.name, str(meta(obj).get("namespace", "")), str(meta(obj)["name"])


def _owner_by_name(pod: str) -> Mapping[str, Any]:
    """What a pod's name says of its controller."""
    found = POD.fullmatch(pod)
    parts = found.groupdict() if found else {}
    label, workload = next(((key, text) for key, text in parts.items() if text), ("", pod))
    if label == "deployment":
        return _owner("ReplicaSet", pod.rpartition("-")[0])
    return _owner(KINDS.get(label, ""), workload)


def _owner(kind: str, name: str) -> dict[str, Any]:
    kind = kind or "Deployment"
    return {"kind": kind, "name": name, "uid": f"assumed-{kind}-{name}", "controller": True}


def _spec(name: str) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": f"{name}:assumed"}]},
    }
    return {"replicas": REPLICAS, "selector": {"matchLabels": {"app": name}}, "template": template}


def _whole(obj: Object) -> Object:
    """A workload whose rollout is complete and whose pods are ready."""
    spec, generation = spec_of(obj), int(meta(obj).get("generation") or 1)
    count = spec.get("replicas", status_of(obj).get("desiredNumberScheduled", REPLICAS))
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    scheduled = (
        "desiredNumberScheduled",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberReady",
    )
    status: dict[str, Any] = {
        "observedGeneration": generation,
        **dict.fromkeys((*names, *scheduled), count),
    }
    return {**obj, "status": {**status, "updateRevision": "assumed", "currentRevision": "assumed"}}


class ClosedCluster:
    """The cluster port over facts, or none. `calls` records what would have been sent; the changes
    are assumed to take effect.
    """

    def __init__(self, facts: Objects | None) -> None:
        self._facts: Objects = facts or Healthy()
        self._blind = facts is None
        self._assumed = isinstance(facts, Healthy)
        self._over: dict[Key, dict[str, Any] | None] = {}
        self._well: list[tuple[str, str]] = []
        self.calls: list[tuple[str, str]] = []

    async def observe(
        self, target: Target, climb: bool, sights: frozenset[Sight[Any]], now: datetime
    ) -> Facts:
        if self._blind:
            return unseen(now, target, Unresolved(Reason.UNKNOWN_FACT, NO_FACTS))
        target = replace(target, uid="") if self._assumed else target
        return await observe(self, target, climb, sights, now=now)

    async def observe_all(
        self, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
    ) -> tuple[Facts, ...]:
        targets = [replace(target, uid="") for target in targets] if self._assumed else targets
        return await observe_all(self, targets, sights, now)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """As changed by recorded calls, else as it was."""
        key = (kind.name, namespace if kind.namespaced else "", name)
        if key in self._over:
            return copy.deepcopy(self._over[key])
        return self._ripened(await self._facts.get(kind, namespace, name))

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        """As changed by recorded calls, else as they were."""
        found = await self._facts.list_objects(kind, namespace, selector, fields)
        there = [item for item in found if _key(kind, item) not in self._over]
        over = [(key[1], item) for key, item in self._over.items() if item and key[0] == kind.name]
        mine = [item for place, item in over if namespace in ("", place)]
        chosen = [item for item in mine if selects(selector, labels(item))]
        return [*filter(None, map(self._ripened, there)), *chosen]

    def _ripened(self, obj: Object | None) -> Object | None:
        """A pod of a changed workload is assumed to be healthy."""
        if obj is None or obj.get("kind") != "Pod":
            return obj
        if not any(
            meta(obj).get("namespace") == where and selects(chosen, labels(obj))
            for where, chosen in self._well
        ):
            return obj
        return {
            **obj,
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }

    async def apply(
        self, call: Call, call_id: str, resource_version: str, dry_run: bool = False
    ) -> Evidence:
        target = call.target
        key = (target.kind, target.namespace, target.name)
        if call.verb == "collect":
            self.calls.append((call_id, call.describe()))
            return Evidence(200, call_id, {"note": "not collected: a replay"})
        obj = await self.get(kind_of(target.kind), target.namespace, target.name)
        if call.verb == "create":
            if obj is not None:
                raise Conflict(f"cannot create {target}: it already exists")
            body = with_id(call.body, call_id)
            made = {
                **body,
                "metadata": {
                    **body["metadata"],
                    "uid": f"noted-{len(self.calls)}",
                    "resourceVersion": "1",
                },
            }
            self._over[key] = made
            self.calls.append((call_id, call.describe()))
            return evidence_of(call, call_id, made)
        if obj is None or str(meta(obj).get("uid")) != target.uid:
            raise TargetGone(f"cannot {call.verb} {target}: it {REPLACED}")
        self.calls.append((call_id, call.describe()))
        if call.verb in ("delete", "evict"):
            self._over[key] = None
            return Evidence(200, call_id)
        made = patched(obj, call, call_id)
        version = str(int(meta(obj).get("resourceVersion") or 1) + 1)
        made["metadata"] |= {
            "resourceVersion": version,
            "generation": int(meta(obj).get("generation") or 1) + 1,
        }
        if target.kind in WORKLOAD_NAMES:
            made = dict(_whole(made))
            self._well.append((target.namespace, selector_text(made["spec"]["selector"])))
        self._over[key] = made
        if target.kind == "HorizontalPodAutoscaler":
            await self._scaled(target.namespace, made)
        return evidence_of(call, call_id, made)

    async def _scaled(self, namespace: str, autoscaler: Object) -> None:
        """What an HPA does with another least count."""
        spec = autoscaler["spec"]
        key = (spec["scaleTargetRef"]["kind"], namespace, spec["scaleTargetRef"]["name"])
        workload = await self.get(kind_of(key[0]), namespace, key[2])
        if workload and workload["spec"].get("replicas", 1) < spec["minReplicas"]:
            self._over[key] = dict(
                _whole({**workload, "spec": {**workload["spec"], "replicas": spec["minReplicas"]}})
            )

    async def announce(self, target: Target, reason: str, message: str, warning: bool) -> None:
        return

    async def workloads(self) -> Sequence[str] | Unknown:
        return Unknown("not counted in a replay")

    async def ready(self) -> str | None:
        return None


class ClosedPrometheus:
    """The Prometheus port: unknown, or every query is assumed to hold."""

    def __init__(self, assumed: bool) -> None:
        self._assumed = assumed

    async def holds(self, query: str) -> bool | Unknown:
        """Assumed to hold, or Unknown."""
        return (
            True
            if self._assumed
            else Unknown(
                "Prometheus is not queried in a replay; with --assume healthy, queries are"
                " taken to hold"
            )
        )

    async def alerting_rule(self, alertname: str) -> Mapping[str, Any] | Unknown | None:
        """None: the range comes from the alert's generatorURL."""
        return None


class Noted:
    """A receiver that records notifications."""

    kind = "log"

    def __init__(self, notified: list[Mapping[str, Any]]) -> None:
        self._told = notified

    async def notify(self, message: Notice, ref: str = "") -> str:
        self._told.append(message.payload())
        return ""


def receivers(names: Sequence[str], notified: list[Mapping[str, Any]]) -> dict[str, Noted]:
    """One for each receiver that a rule names."""
    return {name: Noted(notified) for name in names}
