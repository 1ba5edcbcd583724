"""Facts on which each action plans, for every kind that it takes, and all calls that come of them."""

from dataclasses import replace
from typing import Any

from remediator.actions import ACTIONS
from remediator.actions.quarantine_pod import KEPT
from remediator.model.call import Call, Evidence
from remediator.model.facts import Facts
from remediator.model.plan import Plan
from remediator.model.target import Target
from remediator.sights.autoscaler import AUTOSCALER
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


def sampled(name: str) -> list[Facts]:
    """Facts on which the action plans, one for each kind of target, and more where its calls differ."""
    match name:
        case "quarantine_pod":
            return [pod_facts()]
        case "scale_workload":
            kinds = [
                facts(objects.workload(kind), autoscaler=None)
                for kind in ("Deployment", "StatefulSet")
            ]
            return [*kinds, facts(autoscaler=autoscaler())]
    return [facts(objects.workload(kind)) for kind in ("Deployment", "StatefulSet", "DaemonSet")]


def all_calls(name: str) -> list[Call]:
    """Every call that the action makes on the samples: planned, following, undoing and ending."""
    action, out = ACTIONS[name], list[Call]()
    for seen in sampled(name):
        plan = action.plan(seen, action.params(), ())
        assert isinstance(plan, Plan), plan
        out += plan.calls
        after = isolated(plan) if name == "quarantine_pod" else seen
        if action.next:
            behind = pod("web-2", ready=False)
            behind["metadata"]["labels"] = {"controller-revision-hash": "bad"}
            out += action.next(plan, (), seen.saw(PODS, (behind,)))
        if name == "scale_workload" and isinstance(after.object, dict):
            (count,) = plan.calls[0].leaves.values()
            obj = {
                **after.object,
                "spec": {
                    **after.object["spec"],
                    **({} if seen[AUTOSCALER] else {"replicas": count}),
                },
            }
            hpa = autoscaler(count) if seen[AUTOSCALER] else None
            after = replace(after, object=obj).saw(AUTOSCALER, hpa)
        for planned in (action.undo, action.ending):
            taken_back = planned(plan, (Evidence(200, "x"),), after) if planned else None
            out += taken_back.calls if isinstance(taken_back, Plan) else ()
    return out
