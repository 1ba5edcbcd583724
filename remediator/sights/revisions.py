"""revisions: the history of a workload's pod templates."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..kinds import CONTROLLER_REVISION, DEPLOYMENT, POD, REPLICA_SET, WORKLOADS
from ..model.facts import Facts
from ..model.raw import annotations, labels, meta, ready, spec_of, status_of, timestamp
from ..model.sight import Looking, Object, Sight
from ..model.template import bare_template
from .pods import owned, selected

NUMBER = "deployment.kubernetes.io/revision"
DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Revision:
    """An older or the current pod template of a workload: a ReplicaSet or a ControllerRevision."""

    number: int
    name: str
    uid: str
    created_at: datetime
    template: Mapping[str, Any]
    replicas: int
    ready: int
    current: bool
    seen_healthy: bool = False


def _revisions(facts: Facts, obj: Object) -> Looking[tuple[Revision, ...]]:
    """The pod templates that the workload had, oldest first, and which one it runs now."""
    target = facts.target
    deployment = target.kind == DEPLOYMENT.name
    versions, pods = yield (
        selected(REPLICA_SET if deployment else CONTROLLER_REVISION, target.namespace, obj),
        selected(POD, target.namespace, obj),
    )
    mine = [item for item in versions if owned(item, {target.uid})]
    if deployment:
        return _replica_sets(obj, mine)
    return _controller_revisions(obj, mine, [pod for pod in pods if owned(pod, {target.uid})])


def _replica_sets(deployment: Object, sets: list[Object]) -> tuple[Revision, ...]:
    wanted = bare_template(deployment["spec"]["template"])
    numbered = sorted(sets, key=_number)
    matching = [item for item in numbered if bare_template(item["spec"]["template"]) == wanted]
    out = []
    for item in numbered:
        replicas = int(spec_of(item).get("replicas") or 0)
        up = int(status_of(item).get("readyReplicas") or 0)
        out.append(
            Revision(
                number=_number(item),
                name=str(meta(item).get("name")),
                uid=str(meta(item).get("uid")),
                created_at=_created(item),
                template=item["spec"]["template"],
                replicas=replicas,
                ready=up,
                current=item is matching[-1] if matching else False,
                seen_healthy=0 < replicas == up,
            )
        )
    return tuple(out)


def _controller_revisions(
    workload: Object, found: list[Object], pods: list[Object]
) -> tuple[Revision, ...]:
    """The current one is what the workload's controller rolls out.

    A revision's health is its pods'.
    """
    wanted = bare_template(workload["spec"]["template"])
    numbered = sorted(found, key=lambda item: int(item.get("revision") or 0))
    matching = [item for item in numbered if bare_template(_template(item)) == wanted]
    out = []
    for item in numbered:
        hashes = {str(meta(item)["name"]), labels(item).get("controller-revision-hash", "")}
        mine = [p for p in pods if labels(p).get("controller-revision-hash", "-") in hashes]
        out.append(
            Revision(
                number=int(item["revision"]),
                name=str(meta(item)["name"]),
                uid=str(meta(item)["uid"]),
                created_at=_created(item),
                template=_template(item),
                replicas=len(mine),
                ready=sum(map(ready, mine)),
                current=item is matching[-1] if matching else False,
                seen_healthy=bool(mine) and all(map(ready, mine)),
            )
        )
    return tuple(out)


def _number(replica_set: Object) -> int:
    """Its revision; 0 if it has none, or none that is a number."""
    text = annotations(replica_set).get(NUMBER, "")
    return int(text) if DIGITS.fullmatch(text) else 0


def _created(item: Object) -> datetime:
    created = timestamp(meta(item).get("creationTimestamp"))
    assert created is not None
    return created


def _template(revision: Object) -> Mapping[str, Any]:
    """The template in a ControllerRevision.

    A patch of the workload, of which `$patch` is no part.
    """
    template = revision["data"]["spec"]["template"]
    return {key: value for key, value in template.items() if key != "$patch"}


REVISIONS = Sight(
    "revisions",
    _revisions,
    lists=frozenset({REPLICA_SET, CONTROLLER_REVISION, POD}),
    of=WORKLOADS,
)


def current_revision(facts: Facts) -> Revision | None:
    """The revision that runs now, where the revisions are known."""
    revisions = facts[REVISIONS]
    known = revisions if isinstance(revisions, tuple) else ()
    return next((revision for revision in known if revision.current), None)
