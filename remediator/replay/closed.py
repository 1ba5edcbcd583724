"""The ports of a replay: facts come from a file, a cluster or an assumption; calls are recorded and
assumed to work.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from ..catalogue import kind_of
from ..cluster.objects import Objects, on_node, with_id
from ..cluster.observing import observe, observe_all
from ..cluster.patching import patched
from ..errors import ClusterError, ConfigurationError, Conflict, TargetGone
from ..kinds import NODE, WORKLOAD_NAMES
from ..located import load_text
from ..model.call import Call, Evidence, evidence_of
from ..model.facts import Facts, Unknown, unseen
from ..model.kind import Kind
from ..model.notice import Notice
from ..model.raw import labels, meta
from ..model.selectors import selector_text, selects
from ..model.sight import Object, Sight
from ..model.target import REPLACED, Target, Unresolved
from ..model.verdict import Reason
from .assumed import RUNNING, Healthy, settled

Key = tuple[str, str, str]
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


def _key(kind: Kind, obj: Object) -> tuple[str, str, str]:
    """What an object goes by: a list over all namespaces has objects of each."""
    return kind.name, str(meta(obj).get("namespace", "")), str(meta(obj)["name"])


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
        return {**obj, "status": RUNNING}

    async def apply(
        self, call: Call, call_id: str, resource_version: str, dry_run: bool = False
    ) -> Evidence:
        target = call.target
        if call.verb == "collect":
            self.calls.append((call_id, call.describe()))
            return Evidence(200, call_id, {"note": "not collected: a replay"})
        obj = await self.get(kind_of(target.kind), target.namespace, target.name)
        if call.verb == "create":
            if obj is not None:
                raise Conflict(f"cannot create {target}: it already exists")
            made = with_id(call.body, call_id)
            made["metadata"] |= {
                "name": target.name,
                "namespace": target.namespace,
                "uid": f"noted-{len(self.calls)}",
                "resourceVersion": "1",
            }
            return self._sent(call, call_id, made)
        if obj is None or str(meta(obj).get("uid")) != target.uid:
            raise TargetGone(f"cannot {call.verb} {target}: it {REPLACED}")
        if call.verb in ("delete", "evict"):
            return self._sent(call, call_id, None)
        made = patched(obj, call, call_id)
        version = str(int(meta(obj).get("resourceVersion") or 1) + 1)
        made["metadata"] |= {
            "resourceVersion": version,
            "generation": int(meta(obj).get("generation") or 1) + 1,
        }
        if target.kind in WORKLOAD_NAMES:
            self._well.append((target.namespace, selector_text(made["spec"]["selector"])))
        if target.kind == "HorizontalPodAutoscaler":
            await self._scaled(target.namespace, made)
        return self._sent(call, call_id, made)

    def _sent(self, call: Call, call_id: str, made: Object | None) -> Evidence:
        """Records a call; when its object is seen again, it has come to its good end."""
        target = call.target
        self.calls.append((call_id, call.describe()))
        done = None if made is None else dict(settled(made))
        self._over[target.kind, target.namespace, target.name] = done
        return evidence_of(call, call_id, made or {})

    async def _scaled(self, namespace: str, autoscaler: Object) -> None:
        """What an HPA does with another least count."""
        spec = autoscaler["spec"]
        key = (spec["scaleTargetRef"]["kind"], namespace, spec["scaleTargetRef"]["name"])
        workload = await self.get(kind_of(key[0]), namespace, key[2])
        if workload and workload["spec"].get("replicas", 1) < spec["minReplicas"]:
            self._over[key] = dict(
                settled({**workload, "spec": {**workload["spec"], "replicas": spec["minReplicas"]}})
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
