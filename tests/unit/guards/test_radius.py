"""What may be taken away: blast radius, disruption budgets,
and whether what replaces it can come.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from remediator.actions.workload import taken
from remediator.guards import blast_radius, budgets, replaceability
from remediator.guards.situation import RuleLimits, Situation
from remediator.model.facts import Facts, Unknown
from remediator.model.limit import Radius
from remediator.model.plan import Plan
from remediator.model.quantity import asked, parse_quantity
from remediator.model.verdict import Decision, Reason, Verdict
from remediator.sights.room import Room
from tests.unit.actions.samples import pod_facts
from tests.unit.actions.test_actions import planned
from tests.unit.guards.test_guards import situation
from tests.unit.objects import facts, node, pod, template, workload


def taking(count: int, seen: Facts | None = None, **more: Any) -> dict[str, Any]:
    """A restart that takes so many ready pods away at once."""
    return {"facts": seen or facts(**more), "plan": touching(planned(facts()), takes=count)}


def touching(plan: Plan, **more: Any) -> Plan:
    """The plan, whose only touch is another one in some way."""
    (touch,) = plan.touches
    return replace(plan, touches=(replace(touch, **more),))


def budget(left: int, selector: Any = None, **metadata: Any) -> dict[str, Any]:
    chosen = {"matchLabels": {"app": "web"}} if selector is None else selector
    return {
        "metadata": {"name": "web", "generation": 1, **metadata},
        "spec": {"selector": chosen},
        "status": {"observedGeneration": 1, "disruptionsAllowed": left},
    }


def quota(**used_of: tuple[str, str]) -> dict[str, Any]:
    keys = {key.replace("_", "."): value for key, value in used_of.items()}
    hard, used = {k: v[1] for k, v in keys.items()}, {k: v[0] for k, v in keys.items()}
    return {
        "metadata": {"name": "q"},
        "spec": {"hard": hard},
        "status": {"hard": hard, "used": used},
    }


def room(*nodes: Any, quotas: tuple[Any, ...] = (), failed: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {"room": Room(quotas, nodes or (node(),), failed)}


def event(uid: str) -> dict[str, Any]:
    return {"reason": "FailedCreate", "involvedObject": {"uid": uid}, "message": "exceeded quota"}


def waiting(reason: str) -> dict[str, Any]:
    return pod("web-9", ready=False, state={"waiting": {"reason": reason}})


def unscheduled() -> dict[str, Any]:
    made = pod("web-9", ready=False)
    made["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    ]
    return made


def with_sidecar(reason: str) -> dict[str, Any]:
    """As a mesh's webhook makes it: a container more."""
    made = waiting(reason)
    return {
        **made,
        "spec": {
            "containers": [
                *template("web:2")["spec"]["containers"],
                {"name": "istio-proxy", "image": "proxy:1"},
            ]
        },
    }


def rewritten(owner: str) -> dict[str, Any]:
    """As a registry's webhook makes it: another image, the same ReplicaSet."""
    made = {
        **waiting("ImagePullBackOff"),
        "spec": {"containers": [{"name": "app", "image": "mirror/web@sha256:1"}]},
    }
    made["metadata"]["ownerReferences"] = [
        {"kind": "ReplicaSet", "name": "web-2", "uid": owner, "controller": True}
    ]
    return made


def older(reason: str) -> dict[str, Any]:
    return {**waiting(reason), "spec": template("web:1")["spec"]}


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
THREE = tuple(pod(f"web-{n}") for n in range(3))
FAILING = workload()
FAILING["status"]["conditions"] = [
    {"type": "ReplicaFailure", "status": "True", "message": "admission webhook denied"}
]
ALLOW = (Decision.ALLOW, None)
HELD = (Decision.HOLD, Reason.NOT_REPLACEABLE)
UNSEEN = (Decision.HOLD, Reason.UNKNOWN_FACT)
Check = Callable[[Situation], Verdict]
RADIUS, BUDGETS, REPLACE = blast_radius.check, budgets.check, replaceability.check
CASES: list[tuple[str, Check, dict[str, Any], Decision, Reason | None]] = [
    ("takes nothing", RADIUS, taking(0, pods=Unknown("RBAC")), *ALLOW),
    ("one of three is always permitted", RADIUS, taking(1), *ALLOW),
    ("two of three are more than 30%", RADIUS, taking(2), Decision.DENY, Reason.BLAST_RADIUS),
    (
        "a rule may permit more",
        RADIUS,
        taking(2) | {"limits": RuleLimits(blast_radius=Radius(0.7))},
        *ALLOW,
    ),
    (
        "a count is no share",
        RADIUS,
        taking(2) | {"limits": RuleLimits(blast_radius=Radius(None, 2))},
        *ALLOW,
    ),
    (
        "the smaller of both",
        RADIUS,
        taking(2) | {"limits": RuleLimits(blast_radius=Radius(1.0, 1))},
        Decision.DENY,
        Reason.BLAST_RADIUS,
    ),
    (
        "none at all",
        RADIUS,
        taking(1) | {"limits": RuleLimits(blast_radius=Radius(None, 0))},
        Decision.DENY,
        Reason.BLAST_RADIUS,
    ),
    (
        "unready pods do not count",
        RADIUS,
        taking(2, pods=(*THREE, *(pod(f"bad-{n}", ready=False) for n in range(9)))),
        Decision.DENY,
        Reason.BLAST_RADIUS,
    ),
    ("pods unknown", RADIUS, taking(1, pods=Unknown("RBAC")), *UNSEEN),
    (
        "a pod counts among its siblings",
        RADIUS,
        {"facts": pod_facts(), "plan": planned(pod_facts(), "quarantine_pod")},
        *ALLOW,
    ),
    (
        "siblings unknown",
        RADIUS,
        {"facts": pod_facts(peers=Unknown("RBAC")), "plan": planned(pod_facts(), "quarantine_pod")},
        *UNSEEN,
    ),
    ("no budget", BUDGETS, taking(1), *ALLOW),
    ("a budget that permits it", BUDGETS, taking(1, budgets=(budget(1),)), *ALLOW),
    (
        "a budget that does not",
        BUDGETS,
        taking(1, budgets=(budget(0),)),
        Decision.HOLD,
        Reason.BUDGET_EXHAUSTED,
    ),
    (
        "one of two does not",
        BUDGETS,
        taking(2, budgets=(budget(2), budget(1))),
        Decision.HOLD,
        Reason.BUDGET_EXHAUSTED,
    ),
    ("nothing is taken", BUDGETS, taking(0, budgets=(budget(0),)), *ALLOW),
    (
        "another workload's budget",
        BUDGETS,
        taking(1, budgets=(budget(0, {"matchLabels": {"app": "db"}}),)),
        *ALLOW,
    ),
    (
        "an empty selector is everybody's",
        BUDGETS,
        taking(1, budgets=(budget(0, {}),)),
        Decision.HOLD,
        Reason.BUDGET_EXHAUSTED,
    ),
    (
        "by expression",
        BUDGETS,
        taking(
            1, budgets=(budget(0, {"matchExpressions": [{"key": "app", "operator": "Exists"}]}),)
        ),
        Decision.HOLD,
        Reason.BUDGET_EXHAUSTED,
    ),
    (
        "not by expression",
        BUDGETS,
        taking(
            1,
            budgets=(
                budget(
                    0,
                    {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
                ),
            ),
        ),
        *ALLOW,
    ),
    (
        "a budget that its controller has not seen",
        BUDGETS,
        taking(1, budgets=(budget(1, generation=2),)),
        *UNSEEN,
    ),
    ("budgets unknown", BUDGETS, taking(1, budgets=Unknown("RBAC")), *UNSEEN),
    ("nothing speaks against it", REPLACE, taking(1), *ALLOW),
    ("nothing is taken, nothing is asked", REPLACE, taking(0, room=Unknown("RBAC")), *ALLOW),
    ("room unknown", REPLACE, taking(1, room=Unknown("RBAC")), *UNSEEN),
    (
        "its own pods could not be created",
        REPLACE,
        taking(1, **room(failed=(event("uid-web"),))),
        *HELD,
    ),
    (
        "pods of its ReplicaSet could not",
        REPLACE,
        taking(1, **room(failed=(event("uid-rs-2"),))),
        *HELD,
    ),
    (
        "pods of an older ReplicaSet could not",
        REPLACE,
        taking(1, **room(failed=(event("uid-rs-1"),))),
        *ALLOW,
    ),
    ("another's could not", REPLACE, taking(1, **room(failed=(event("uid-db"),))), *ALLOW),
    ("an admission webhook refuses pods", REPLACE, taking(1, facts(FAILING)), *HELD),
    (
        "a full quota has room for what goes and comes",
        REPLACE,
        taking(1, **room(quotas=(quota(pods=("3", "3")),))),
        *ALLOW,
    ),
    (
        "a quota that was lowered",
        REPLACE,
        taking(1, **room(quotas=(quota(pods=("3", "2")),))),
        *HELD,
    ),
    (
        "a quota of something else",
        REPLACE,
        taking(1, **room(quotas=(quota(services=("3", "2")),))),
        *ALLOW,
    ),
    (
        "a sibling lacks its Secret",
        REPLACE,
        taking(1, pods=(*THREE, waiting("CreateContainerConfigError"))),
        *HELD,
    ),
    (
        "a sibling's image cannot be pulled",
        REPLACE,
        taking(1, pods=(*THREE, waiting("ImagePullBackOff"))),
        *HELD,
    ),
    (
        "a sibling crashes: that is no news",
        REPLACE,
        taking(1, pods=(*THREE, waiting("CrashLoopBackOff"))),
        *ALLOW,
    ),
    (
        "a pod of another release cannot start",
        REPLACE,
        taking(1, pods=(*THREE, older("ImagePullBackOff"))),
        *ALLOW,
    ),
    (
        "a sibling with a sidecar cannot start",
        REPLACE,
        taking(1, pods=(*THREE, with_sidecar("ImagePullBackOff"))),
        *HELD,
    ),
    (
        "a sibling whose image was rewritten cannot start",
        REPLACE,
        taking(1, pods=(*THREE, rewritten("uid-rs-2"))),
        *HELD,
    ),
    (
        "an older one whose image was rewritten cannot start",
        REPLACE,
        taking(1, pods=(*THREE, rewritten("uid-rs-1"))),
        *ALLOW,
    ),
    ("a sibling finds no node", REPLACE, taking(1, pods=(*THREE, unscheduled())), *HELD),
    ("no node is ready", REPLACE, taking(1, **room(node(ready=False))), *HELD),
    ("every node is cordoned", REPLACE, taking(1, **room(node(unschedulable=True))), *HELD),
    (
        "one node is enough",
        REPLACE,
        taking(1, **room(node(unschedulable=True), node("n2"))),
        *ALLOW,
    ),
    ("a taint that is not tolerated", REPLACE, taking(1, **room(node(taints=[TAINT]))), *HELD),
    (
        "a taint that only prefers",
        REPLACE,
        taking(1, **room(node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]))),
        *ALLOW,
    ),
]


@pytest.mark.parametrize(
    ("name", "check", "given", "decision", "reason"), CASES, ids=[case[0] for case in CASES]
)
def test_what_may_be_taken_away(
    name: str, check: Check, given: dict[str, Any], decision: Decision, *, reason: Reason | None
) -> None:
    verdict = check(situation(**given))
    assert (verdict.decision, verdict.reason) == (decision, reason), verdict.why
    assert bool(verdict.why) or decision is Decision.ALLOW


def with_spec(plan: Plan, **spec: Any) -> Plan:
    successor = plan.touches[0].successor
    assert successor is not None
    return touching(plan, takes=1, successor={**successor, "spec": {**successor["spec"], **spec}})


@pytest.mark.parametrize(
    ("spec", "made", "expected"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, node(), Decision.ALLOW),
        ({"nodeSelector": {"disk": "hdd"}}, node(), Decision.HOLD),
        (
            {"tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes"}]},
            node(taints=[TAINT]),
            Decision.ALLOW,
        ),
        (
            {"tolerations": [{"key": "gpu", "operator": "Equal", "value": "no"}]},
            node(taints=[TAINT]),
            Decision.HOLD,
        ),
        (
            {"tolerations": [{"key": "gpu", "operator": "Exists"}]},
            node(taints=[TAINT]),
            Decision.ALLOW,
        ),
        ({"tolerations": [{"operator": "Exists"}]}, node(taints=[TAINT]), Decision.ALLOW),
        ({"tolerations": [{"key": "", "value": "yes"}]}, node(taints=[TAINT]), Decision.HOLD),
        (
            {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]},
            node(taints=[TAINT]),
            Decision.HOLD,
        ),
    ],
)
def test_a_node_takes_the_pods_that_it_would(
    spec: dict[str, Any], made: dict[str, Any], expected: Decision
) -> None:
    plan = with_spec(planned(facts()), **spec)
    successor = plan.touches[0].successor
    assert successor is not None
    pods = tuple({**item, "spec": successor["spec"]} for item in THREE)
    assert (
        replaceability.check(situation(facts=facts(pods=pods, **room(made)), plan=plan)).decision
        is expected
    )


def test_a_release_that_asks_for_more_than_the_quota_has_is_seen() -> None:
    small, big = {"requests": {"memory": "1Gi"}}, {"requests": {"memory": "2Gi"}}
    pods = tuple({**item, "spec": template("web:2", resources=small)["spec"]} for item in THREE)
    plan = touching(planned(facts()), takes=1, successor=template("web:2", resources=big))
    full = room(quotas=(quota(requests_memory=("3Gi", "3584Mi")),))
    verdict = replaceability.check(situation(facts=facts(pods=pods, **full), plan=plan))
    assert (verdict.decision, verdict.reason) == HELD
    assert "3584Mi requests.memory" in verdict.why
    same = touching(plan, successor=template("web:2", resources=small))
    assert (
        replaceability.check(situation(facts=facts(pods=pods, **full), plan=same)).decision
        is Decision.ALLOW
    )


def test_the_release_that_is_rolled_back_does_not_count_against_the_one_before() -> None:
    seen = facts(FAILING, **room(failed=(event("uid-rs-2"),)))
    plan = touching(planned(seen, "rollback_workload"), takes=1)
    assert replaceability.check(situation(facts=seen, plan=plan)).decision is Decision.ALLOW
    back = facts(FAILING, **room(failed=(event("uid-rs-1"),)))
    assert replaceability.check(situation(facts=back, plan=plan)).decision is Decision.HOLD


@pytest.mark.parametrize(
    ("obj", "ready", "expected"),
    [
        (workload(), 3, 0),
        (workload(strategy={"type": "Recreate"}), 3, 3),
        (workload(strategy={"rollingUpdate": {"maxUnavailable": 1}}), 3, 1),
        (workload(strategy={"rollingUpdate": {"maxUnavailable": 1}}), 2, 0),
        (workload(replicas=10), 10, 2),
        (workload(replicas=10, strategy={"rollingUpdate": {"maxUnavailable": "50%"}}), 10, 5),
        (workload(replicas=10, strategy={"rollingUpdate": {"maxUnavailable": "50%"}}), 6, 1),
        (
            workload(replicas=1, strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}),
            1,
            1,
        ),
        (workload("StatefulSet"), 3, 1),
        (workload("StatefulSet"), 2, 0),
        (workload("StatefulSet", podManagementPolicy="Parallel"), 2, 1),
        (workload("StatefulSet", podManagementPolicy="Parallel"), 0, 0),
        (workload("DaemonSet"), 3, 1),
        (workload("DaemonSet", updateStrategy={"rollingUpdate": {"maxUnavailable": "50%"}}), 3, 2),
        (workload("DaemonSet", updateStrategy={"rollingUpdate": {"maxSurge": 1}}), 3, 0),
    ],
)
def test_how_many_ready_pods_a_rollout_takes_at_once(
    obj: dict[str, Any], ready: int, expected: int
) -> None:
    total = obj["spec"].get("replicas", 3)
    pods = tuple(pod(f"web-{n}", ready=n < ready) for n in range(total))
    assert taken(obj, facts(obj, pods=pods)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("1.5Gi", "1610612736"),
        ("1e3", "1000"),
        ("3k", "3000"),
        ("100n", "0.0000001"),
        ("1E", "1E18"),
    ],
)
def test_quantities(text: str, expected: str) -> None:
    assert parse_quantity(text) == parse_quantity(expected)
    assert parse_quantity(expected).compare(parse_quantity(text)) == 0


@pytest.mark.parametrize("text", ["lots", "", ".", "1..2", "1ee3", "5Zi", "--1"])
def test_a_quantity_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid quantity"):
        parse_quantity(text)


def test_requests_default_to_limits_and_containers_add_up() -> None:
    made = template("web:1", resources={"limits": {"cpu": "1"}})
    made["spec"]["containers"].append({"name": "b", "resources": {"requests": {"cpu": "500m"}}})
    wanted = {"pods": 1, "count/pods": 1, "requests.cpu": 1.5, "cpu": 1.5, "limits.cpu": 1}
    assert {key: float(value) for key, value in asked(made).items()} == wanted


@pytest.mark.parametrize(
    ("share", "count", "pods", "expected"),
    [(0.3, None, 10, 3), (0.3, None, 2, 1), (0.3, 2, 10, 2), (None, 4, 10, 4), (1.0, None, 7, 7)],
)
def test_a_radius(share: float | None, count: int | None, pods: int, expected: int) -> None:
    assert Radius(share, count).of(pods) == expected
