"""Objects to facts: the climb to the owner, pods and revisions, over whatever can get and list raw objects."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ParamSpec, Protocol, TypeVar

from ..actions.quarantine_pod import LABEL, policy_name
from ..errors import ClusterError, Unsupported
from ..model.call import CALL_ID, bare_template
from ..model.facts import Facts, Isolation, Revision, Room, Sight, Unknown
from ..model.raw import annotations, controller, labels, meta, ready, timestamp
from ..model.target import Target, Unresolved
from ..model.verdict import Reason
from .selectors import selector_text

P = ParamSpec("P")
T = TypeVar("T")
Object = Mapping[str, Any]
REVISION = "deployment.kubernetes.io/revision"
READABLE = {
    "Pod": ("", "v1", "pods"),
    "Namespace": ("", "v1", "namespaces"),
    "Node": ("", "v1", "nodes"),
    "Deployment": ("apps", "v1", "deployments"),
    "ReplicaSet": ("apps", "v1", "replicasets"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "DaemonSet": ("apps", "v1", "daemonsets"),
    "Job": ("batch", "v1", "jobs"),
    "CronJob": ("batch", "v1", "cronjobs"),
    "Service": ("", "v1", "services"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "ControllerRevision": ("apps", "v1", "controllerrevisions"),
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
    "EndpointSlice": ("discovery.k8s.io", "v1", "endpointslices"),
    "Event": ("", "v1", "events"),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets"),
    "ResourceQuota": ("", "v1", "resourcequotas"),
}
ALWAYS_READ = (
    "Pod",
    "Namespace",
    "Node",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "Service",
)
SEEN_BY = {  # what a sight lists
    Sight.PODS: ("Pod", "ReplicaSet"),
    Sight.REVISIONS: ("ReplicaSet", "ControllerRevision"),
    Sight.AUTOSCALER: ("HorizontalPodAutoscaler",),
    Sight.ISOLATION: ("EndpointSlice", "Pod"),
    Sight.SIBLINGS: ("Pod",),
    Sight.BUDGETS: ("PodDisruptionBudget",),
    Sight.ROOM: ("ResourceQuota", "Node", "Event"),
}
SELECTING = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}
HAVE_PODS = SELECTING | {"Pod"}
SECRET = re.compile(
    r"(?i)(passw(?:or)?d|secret|token|api[-_]?key|authorization|credentials?)(\W{1,3}(?:bearer\s+|basic\s+)?)\S+"
)
LATELY = timedelta(minutes=5)
EXPORTERS = {
    "kube-state-metrics",
    "node-exporter",
    "prometheus-node-exporter",
}  # app.kubernetes.io/name


class Objects(Protocol):
    """Reads raw objects. Raises: ClusterError's kinds; `get` answers None for what does not exist."""

    async def get(self, kind: str, namespace: str, name: str) -> Object | None: ...

    async def list_objects(
        self, kind: str, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]: ...


def scrubbed(text: str) -> str:
    """A log without what follows words that announce a secret."""
    return SECRET.sub(r"\1\2(redacted)", text)


def with_id(body: Any, call_id: str) -> Any:
    """A call's body with the call's id where it stands for it."""
    if isinstance(body, Mapping):
        return {key: with_id(value, call_id) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [with_id(value, call_id) for value in body]
    return call_id if body == CALL_ID else body


async def observe(
    objects: Objects, target: Target, climb: bool, sights: frozenset[Sight], now: datetime
) -> Facts:
    """One look: the target, its root, and what the sights ask for. What cannot be read is Unknown."""
    if target.kind not in READABLE:
        return Facts(
            now, target, target, Unknown(f"{target.kind} is a kind that cannot be read yet")
        )
    obj, namespace = await asyncio.gather(
        _or_unknown(objects.get, target.kind, target.namespace, target.name),
        _or_unknown(objects.get, "Namespace", "", target.namespace)
        if target.namespace
        else _nothing(None),
    )
    if isinstance(obj, Unknown):
        return Facts(now, target, target, obj)
    if obj is None or (target.uid and str(meta(obj).get("uid")) != target.uid):
        return Facts(now, target, target, None)
    if climb and target.kind == "HorizontalPodAutoscaler":
        scaled = obj["spec"]["scaleTargetRef"]
        return await observe(
            objects,
            Target(target.cluster, scaled["kind"], target.namespace, scaled["name"]),
            climb,
            sights,
            now,
        )
    try:
        if climb and target.kind == "Service":
            found = await _behind(objects, target, obj)
            if isinstance(found, Unresolved):
                return Facts(now, target, target, found)
            target, obj = found
        chain = await _climb(objects, target, obj)
    except ClusterError as error:
        return Facts(now, target, target, Unknown(str(error)))
    root = chain[-1][0]
    if climb and target.kind == "Pod":
        readable = [link for link in chain if link[1] is not None]
        if any(_is_exporter(link[1]) for link in readable):
            why = (
                f"{target} belongs to an exporter that was scraped for the alert, not to the victim"
            )
            return Facts(now, target, root, Unresolved(Reason.TARGET_IS_EXPORTER, why))
        target, obj = readable[-1][0], readable[-1][1] or obj
    else:
        target = target.seen(str(meta(obj).get("uid")))
    above = chain[-1][1] if root != target else None
    return await _look(objects, Facts(now, target, root, obj, namespace, beside=above), obj, sights)


def _is_exporter(obj: Object | None) -> bool:
    name = labels(obj or {}).get("app.kubernetes.io/name", "")
    return name in EXPORTERS or name.endswith("-exporter")


async def _behind(
    objects: Objects, service: Target, obj: Object
) -> tuple[Target, Object] | Unresolved:
    """A pod of the one workload that a Service selects."""
    selector = (obj.get("spec") or {}).get("selector") or {}
    if not selector:
        return Unresolved(
            Reason.AMBIGUOUS_TARGET, f"{service} selects no pods; name a target in the rule"
        )
    pods = await objects.list_objects(
        "Pod", service.namespace, selector_text({"matchLabels": selector})
    )
    owned = {
        str((controller(pod) or meta(pod))["uid"]): pod for pod in pods
    }  # siblings lead to the same root
    roots: dict[str, tuple[Target, Object]] = {}
    for pod in owned.values():
        name, uid = str(meta(pod)["name"]), str(meta(pod)["uid"])
        link = Target(service.cluster, "Pod", service.namespace, name, uid)
        chain = await _climb(objects, link, pod)
        roots.setdefault(chain[-1][0].uid, (link, pod))
    if len(roots) != 1:
        what = f"{len(roots)} workloads" if roots else "no pods"
        return Unresolved(
            Reason.AMBIGUOUS_TARGET, f"behind {service} stand {what}; name a target in the rule"
        )
    return next(iter(roots.values()))


async def _climb(
    objects: Objects, target: Target, obj: Object
) -> list[tuple[Target, Object | None]]:
    """From the object to its top controller; the last may be of a kind that cannot be read."""
    chain: list[tuple[Target, Object | None]] = [(target.seen(str(meta(obj).get("uid"))), obj)]
    current: Object | None = obj
    while current is not None and len(chain) < 6:
        owner = controller(current)
        if owner is None:
            break
        link = Target(
            target.cluster,
            str(owner["kind"]),
            target.namespace,
            str(owner["name"]),
            str(owner["uid"]),
        )
        current = (
            await objects.get(link.kind, link.namespace, link.name)
            if link.kind in READABLE
            else None
        )
        if current is not None and str(meta(current).get("uid")) != link.uid:
            current = None
        chain.append((link, current))
    return chain


async def _look(objects: Objects, bare: Facts, obj: Object, sights: frozenset[Sight]) -> Facts:
    """The facts with what the sights ask for, read at once."""
    target = bare.target
    selected = target.kind in SELECTING and bool(sights & {Sight.PODS, Sight.REVISIONS})
    kind = {
        "Deployment": "ReplicaSet",
        "StatefulSet": "ControllerRevision",
        "DaemonSet": "ControllerRevision",
    }.get(target.kind)
    wanted = kind is not None and selected and (kind == "ReplicaSet" or Sight.REVISIONS in sights)
    objects_of_it = asyncio.gather(
        _or_unknown(_selected, objects, kind, target, obj) if kind and wanted else _nothing([]),
        _or_unknown(_selected, objects, "Pod", target, obj) if selected else _nothing([]),
        _or_unknown(_autoscaler, objects, target)
        if Sight.AUTOSCALER in sights
        else _nothing(bare.autoscaler),
        _or_unknown(_isolation, objects, target)
        if Sight.ISOLATION in sights
        else _nothing(bare.isolation),
    )
    around = asyncio.gather(
        _or_unknown(_siblings, objects, bare)
        if Sight.SIBLINGS in sights
        else _nothing(bare.siblings),
        _or_unknown(_budgets, objects, target)
        if Sight.BUDGETS in sights
        else _nothing(bare.budgets),
        _or_unknown(_room, objects, bare) if Sight.ROOM in sights else _nothing(bare.room),
    )
    (versions, pods, autoscaler, isolation), (siblings, budgets, room) = await asyncio.gather(
        objects_of_it, around
    )
    bare = replace(
        bare,
        autoscaler=autoscaler,
        isolation=isolation,
        siblings=siblings,
        budgets=budgets,
        room=room,
    )
    if isinstance(versions, Unknown):
        return replace(bare, pods=versions, revisions=versions)
    if isinstance(pods, Unknown):
        return replace(bare, pods=pods, revisions=pods)
    mine = [item for item in versions if _owned(item, {target.uid})]
    owners = {target.uid, *(str(meta(item).get("uid")) for item in mine)}
    own = (obj,) if target.kind == "Pod" else tuple(pod for pod in pods if _owned(pod, owners))
    if wanted:
        bare = replace(
            bare,
            revisions=_revisions(obj, mine)
            if kind == "ReplicaSet"
            else _controller_revisions(obj, mine, own),
        )
    if Sight.PODS not in sights:
        return bare
    return replace(
        bare,
        pods=own
        if target.kind in HAVE_PODS
        else Unknown(f"a {target.kind} has no pods of its own to look at"),
    )


async def _siblings(objects: Objects, bare: Facts) -> tuple[Object, ...]:
    """The pods of the workload that the pod is one of. Raises: Unsupported for any other object: none is not the same as empty."""
    if bare.target.kind != "Pod":
        raise Unsupported(f"a {bare.target.kind} is no pod of a workload")
    if not isinstance(bare.beside, Mapping) or bare.root.kind not in SELECTING:
        return ()
    return tuple(await _selected(objects, "Pod", bare.root, bare.beside))


async def _budgets(objects: Objects, target: Target) -> tuple[Object, ...]:
    """The namespace's disruption budgets."""
    return tuple(await objects.list_objects("PodDisruptionBudget", target.namespace, ""))


async def _room(objects: Objects, bare: Facts) -> Room:
    """What tells whether a pod could be replaced."""
    quotas, nodes, events = await asyncio.gather(
        objects.list_objects("ResourceQuota", bare.target.namespace, ""),
        objects.list_objects("Node", "", ""),
        objects.list_objects("Event", bare.target.namespace, "", "reason=FailedCreate"),
    )
    lately = [
        event
        for event in events
        if event.get("reason") == "FailedCreate" and _age(event, bare.at) < LATELY
    ]
    return Room(tuple(quotas), tuple(nodes), tuple(lately))


def _age(event: Object, now: datetime) -> timedelta:
    """How long ago an event was seen last."""
    series = event.get("series") or {}
    last = timestamp(
        series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    )
    return now - last if last else timedelta()


async def _autoscaler(objects: Objects, target: Target) -> Object | None:
    """The HPA that scales the target."""
    for item in await objects.list_objects("HorizontalPodAutoscaler", target.namespace, ""):
        scaled = item["spec"]["scaleTargetRef"]
        if (scaled["kind"], scaled["name"]) == (target.kind, target.name):
            return item
    return None


async def _isolation(objects: Objects, pod: Target) -> Isolation:
    if pod.kind != "Pod":
        raise Unsupported(f"a {pod.kind} cannot be isolated")
    slices, quarantined, policy = await asyncio.gather(
        objects.list_objects("EndpointSlice", pod.namespace, ""),
        objects.list_objects("Pod", pod.namespace, LABEL),
        objects.get("NetworkPolicy", pod.namespace, policy_name(pod)),
    )
    listing = {
        labels(item).get("kubernetes.io/service-name", str(meta(item)["name"]))
        for item in slices
        for endpoint in item.get("endpoints") or []
        if str((endpoint.get("targetRef") or {}).get("uid")) == pod.uid
    }
    names = sorted(str(meta(item)["name"]) for item in quarantined)
    return Isolation(tuple(sorted(listing)), tuple(names), policy)


async def _nothing(value: T) -> T:
    return value


async def _or_unknown(
    read: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T | Unknown:
    try:
        return await read(*args, **kwargs)
    except ClusterError as error:
        return Unknown(str(error))


async def _selected(objects: Objects, kind: str, target: Target, obj: Object) -> list[Object]:
    """What the workload's selector selects."""
    return await objects.list_objects(
        kind, target.namespace, selector_text(obj["spec"]["selector"])
    )


def _owned(obj: Object, owners: set[str]) -> bool:
    owner = controller(obj)
    return owner is not None and str(owner.get("uid")) in owners


def _revisions(deployment: Object, replica_sets: list[Object]) -> tuple[Revision, ...]:
    wanted = bare_template(deployment["spec"]["template"])
    numbered = sorted(replica_sets, key=lambda r: int(annotations(r).get(REVISION, 0)))
    matching = [r for r in numbered if bare_template(r["spec"]["template"]) == wanted]
    current = matching[-1] if matching else None
    out = []
    for item in numbered:
        status, replicas = (
            item.get("status") or {},
            int((item.get("spec") or {}).get("replicas") or 0),
        )
        ready = int(status.get("readyReplicas") or 0)
        created = timestamp(meta(item).get("creationTimestamp"))
        assert created is not None
        number, healthy = int(annotations(item).get(REVISION, 0)), 0 < replicas == ready
        name, uid = str(meta(item).get("name")), str(meta(item).get("uid"))
        out.append(
            Revision(
                number,
                name,
                uid,
                created,
                item["spec"]["template"],
                replicas,
                ready,
                item is current,
                healthy,
            )
        )
    return tuple(out)


def _controller_revisions(
    workload: Object, found: list[Object], pods: tuple[Object, ...]
) -> tuple[Revision, ...]:
    """A StatefulSet's or DaemonSet's revisions; the current one is what its controller rolls out."""
    numbered = sorted(found, key=lambda item: int(item.get("revision") or 0))
    wanted = bare_template(workload["spec"]["template"])
    matching = [item for item in numbered if bare_template(_template(item)) == wanted]
    out = []
    for item in numbered:
        hashed = {str(meta(item)["name"]), labels(item).get("controller-revision-hash", "")}
        mine = [pod for pod in pods if labels(pod).get("controller-revision-hash", "-") in hashed]
        healthy = bool(mine) and all(map(ready, mine))
        created = timestamp(meta(item).get("creationTimestamp"))
        assert created is not None
        name, uid, count = str(meta(item)["name"]), str(meta(item)["uid"]), sum(map(ready, mine))
        current = bool(matching) and item is matching[-1]
        out.append(
            Revision(
                int(item["revision"]),
                name,
                uid,
                created,
                _template(item),
                len(mine),
                count,
                current,
                healthy,
            )
        )
    return tuple(out)


def _template(revision: Object) -> Mapping[str, Any]:
    """The template in a ControllerRevision: a patch of the workload, of which `$patch` is no part."""
    return {
        key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"
    }
