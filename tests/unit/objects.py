"""Raw objects as an API server sends them, for pure tests."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from remediator.model.facts import Facts
from remediator.model.target import Target
from remediator.model.template import template_hash, template_of
from remediator.sights import SIGHTS
from remediator.sights.revisions import Revision
from remediator.sights.room import Room

T = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
WEB = Target("c", "Deployment", "shop", "web", "uid-web")


def template(image: str = "web:1", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": image, **more}]},
    }


def workload(
    kind: str = "Deployment", image: str = "web:2", replicas: int = 3, **spec: Any
) -> dict[str, Any]:
    """A workload that is rolled out, whole and ready."""
    status: dict[str, Any] = {"observedGeneration": 2}
    if kind == "DaemonSet":
        status |= {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}
    else:
        status |= dict.fromkeys(
            ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), replicas
        )
    if kind == "StatefulSet":
        status |= {"updateRevision": "a", "currentRevision": "a"}
    metadata = {
        "name": "web",
        "namespace": "shop",
        "uid": "uid-web",
        "generation": 2,
        "resourceVersion": "7",
    }
    full = {"replicas": replicas, "template": template(image), **spec}
    return {"kind": kind, "metadata": metadata, "spec": full, "status": status}


def pod(
    name: str = "web-1", ready: bool = True, restarts: int = 0, **status: Any
) -> dict[str, Any]:
    container = {"name": "app", "restartCount": restarts, **status}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"app": "web"}},
        "spec": template("web:2")["spec"],
        "status": {"conditions": [condition], "containerStatuses": [container]},
    }


def node(name: str = "n1", ready: bool = True, **spec: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "labels": {"disk": "ssd"}},
        "spec": spec,
        "status": {"conditions": [condition]},
    }


def revision(
    number: int,
    image: str,
    age: timedelta = timedelta(),
    current: bool = False,
    *,
    healthy: bool = False,
) -> Revision:
    tagged = template(image)
    tagged["metadata"] = {"labels": {"app": "web", "pod-template-hash": f"h{number}"}}
    return Revision(
        number, f"web-{number}", f"uid-rs-{number}", T - age, tagged, 0, 0, current, healthy
    )


def looked_at(target: Target, root: Target, obj: Mapping[str, Any], **more: Any) -> Facts:
    """The facts of an object: what sights saw by their names, any
    other field of the facts by its own.
    """
    seen = {name: more.pop(name) for name in list(more) if name in SIGHTS}
    return Facts(T, target, target, root, obj, {"metadata": {"name": "shop"}}, seen=seen, **more)


def facts(obj: Mapping[str, Any] | None = None, **more: Any) -> Facts:
    """A Deployment `web` whose release web:2 is five minutes old and whose web:1 was healthy."""
    revisions = (
        revision(1, "web:1", 60 * MINUTE, healthy=True),
        revision(2, "web:2", 5 * MINUTE, current=True),
    )
    given: dict[str, Any] = {
        "pods": tuple(pod(f"web-{n}") for n in range(3)),
        "revisions": revisions,
        "budgets": (),
        "room": Room((), (node(),), ()),
        **more,
    }
    given.setdefault("peers", given["pods"])
    kind = str((obj or workload())["kind"])
    target = Target("c", kind, "shop", "web", "uid-web")
    return looked_at(target, target, obj or workload(), **given)


def hash_of(image: str) -> str:
    return template_hash(template_of({"spec": {"template": template(image)}}))
