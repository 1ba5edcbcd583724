"""Facts on which each action plans, for every kind that it
takes, and all calls that come of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from remediator.actions import ACTIONS
from remediator.actions.action_spec import ActionSpec
from remediator.actions.quarantine_pod import KEPT
from remediator.model.call import Call, Evidence
from remediator.model.cause import Cause
from remediator.model.facts import Facts
from remediator.model.plan import Plan
from remediator.model.target import Target
from remediator.sights.isolation import QUARANTINE, Isolation
from remediator.sights.pods import PODS
from remediator.sights.room import Room
from tests.unit import objects
from tests.unit.objects import facts, pod

POD = Target("c", "Pod", "shop", "web-1", "uid-web-1")
WEB = Target("c", "Deployment", "shop", "web", "uid-web")


def running(**more: Any) -> dict[str, Any]:
    """A pod of the ReplicaSet of Deployment web, as it runs."""
    made = pod("web-1")
    owner = {"kind": "ReplicaSet", "name": "web-1", "uid": "uid-rs", "controller": True}
    made["metadata"] |= {
        "namespace": "shop", "labels": {"app": "web", "tier": "front"}, "ownerReferences": [owner],
        "generation": 1, "resourceVersion": "9",
    }  # fmt: skip
    made["spec"] = {"containers": [{"name": "app"}], **more}
    made["status"]["phase"] = "Running"
    return made


def pod_facts(obj: dict[str, Any] | None = None, **more: Any) -> Facts:
    """What quarantine_pod sees: the pod, its workload beside it, and one Service."""
    given: dict[str, Any] = {"isolation": Isolation(("front",), ()), "beside": objects.workload()}
    given |= {
        "peers": (running(), pod("web-2"), pod("web-3")),
        "budgets": (),
        "room": Room((), (objects.node(),), ()),
        **more,
    }
    return objects.looked_at(POD, WEB, obj or running(), **given)


def isolated(plan: Plan, **more: Any) -> Facts:
    """The pod once the plan's calls took effect."""
    obj = running()
    obj["metadata"] |= {
        "labels": {QUARANTINE: POD.uid},
        "annotations": {KEPT: "{}"},
        "ownerReferences": [],
    }
    policy = {"metadata": {"name": plan.calls[1].target.name, "uid": "uid-policy"}}
    return pod_facts(obj, isolation=Isolation((), ("web-1",), policy), **more)


def autoscaler(least: int = 2, most: int = 8, **metadata: Any) -> dict[str, Any]:
    """The HPA of Deployment web."""
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "web"},
        "minReplicas": least,
        "maxReplicas": most,
    }
    base = {"name": "web", "namespace": "shop", "uid": "uid-hpa", "resourceVersion": "50"}
    return {"kind": "HorizontalPodAutoscaler", "metadata": base | metadata, "spec": spec}


@dataclass(frozen=True)
class Sample:
    """Facts on which an action plans.

    Those on which it goes on, and those after its calls took effect.

    An action's own stand in its test, as SAMPLES.
    """

    seen: Facts
    going_on: Facts | None = None
    after: Callable[[Plan], Facts] | None = None
    causes: tuple[Cause, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)

    def planned(self, action: ActionSpec) -> Plan:
        """The plan on them."""
        plan = action.plan(self.seen, action.params(**self.params), self.causes)
        assert isinstance(plan, Plan), plan
        return plan


def rolling(kind: str) -> Sample:
    """A workload whose rollout may have to delete pods that are stuck."""
    behind = pod("web-2", ready=False)
    behind["metadata"]["labels"] = {"controller-revision-hash": "bad"}
    seen = facts(objects.workload(kind))
    return Sample(seen, going_on=seen.saw(PODS, (behind,)))


ROLLING = [rolling(kind) for kind in ("Deployment", "StatefulSet", "DaemonSet")]


def samples(name: str) -> list[Sample]:
    """An action's samples, one for each kind of target, and more where its calls differ."""
    if name in ("restart_workload", "rollback_workload"):
        return ROLLING
    made: list[Sample] = import_module(f"tests.unit.actions.test_{name}").SAMPLES
    return made


def all_calls(name: str) -> list[Call]:
    """Every call that the action makes on its samples: planned, following, undoing and ending."""
    action, out = ACTIONS[name], list[Call]()
    for sample in samples(name):
        plan = sample.planned(action)
        out += plan.calls
        if action.next and sample.going_on is not None:
            out += action.next(plan, (), sample.going_on)
        after = sample.after(plan) if sample.after else sample.seen
        for planned in (action.undo, action.ending):
            taken_back = planned(plan, (Evidence(200, "x"),), after) if planned else None
            out += taken_back.calls if isinstance(taken_back, Plan) else ()
    return out
