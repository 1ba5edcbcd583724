"""Every guard by itself: what it allows, what it holds or denies and
with which reason, and Unknown never passes.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.guards import (
    activity,
    approval,
    blast_radius,
    budgets,
    freshness,
    grace,
    inhibition,
    mode,
    opt_in,
    opt_out,
    ownership,
    pause,
    pipeline,
    preconditions,
    protection,
    replaceability,
    scope,
    window,
)
from remediator.guards.ownership import APPLIED
from remediator.guards.situation import ProcessLimits, RuleLimits, Situation, touched
from remediator.model.alert import Activity, Alert, AlertStatus, Episode, Fate
from remediator.model.facts import Unknown
from remediator.model.interval import Interval, Named
from remediator.model.pauses import Pause
from remediator.model.plan import Plan
from remediator.model.target import Target
from remediator.model.verdict import Decision, Reason, Verdict
from remediator.sights.autoscaler import AUTOSCALER
from tests.unit import objects
from tests.unit.actions.samples import autoscaler
from tests.unit.actions.test_actions import planned
from tests.unit.objects import MINUTE, WEB, T, facts

HOUR = timedelta(hours=1)
HPA = Target("c", "HorizontalPodAutoscaler", "shop", "web", "uid-hpa")


def episode(
    starts: timedelta = -10 * MINUTE, confirmed: timedelta = timedelta(), open_: bool = True
) -> Episode:
    alert = Alert("f", AlertStatus.FIRING, {"alertname": "A"}, {}, T + starts, None)
    return Episode(1, "s", alert, open_, Fate.ATTACHED, None, T + confirmed, T + confirmed, 1, "")


def situation(**more: Any) -> Situation:
    given: dict[str, Any] = {
        "now": T,
        "remediation": "r-1",
        "rule": "r",
        "action": "restart_workload",
        "mode": "act",
        "target": WEB,
        "root": WEB,
        "episodes": (episode(),),
        "limits": RuleLimits(),
        "process": ProcessLimits(),
        "started_at": T - HOUR,
        "activity": Activity.ACTIVE,
        "group": "c/g",
        "namespaces": ("shop",),
        "facts": facts(),
        "plan": planned(facts()),
        "pauses": (),
        "max_age": HOUR,
        "pending": timedelta(),
        "lifted": frozenset(),
        "owners": {},
        "own_namespace": "",
        "approved_digest": "",
        "priority": 0,
        "active": (),
        "mute": (),
        "opt_in": False,
        "outside": (),
        "inhibitor": None,
        "unmet": (),
        "step_attempts": (),
        "workloads": None,
        "storm_exempt": False,
    }
    given |= more
    hpa = given["facts"][AUTOSCALER]
    scaler = replace(given["facts"], target=HPA, object=hpa, seen={})
    given.setdefault("touched", touched(given["plan"], given["facts"], {HPA.key: scaler}))
    return Situation(**given)


def paused(scope_: str, until: timedelta | None = None) -> tuple[Pause, ...]:
    return (Pause(scope_, "why", "me", T + until if until else None, T),)


def annotated(what: str, **notes: str) -> dict[str, Any]:
    notes = {f"remediator.io/{key.replace('_', '-')}": value for key, value in notes.items()}
    if what == "namespace":
        return {
            "facts": replace(
                facts(), namespace={"metadata": {"name": "shop", "annotations": notes}}
            )
        }
    obj = objects.workload()
    return {"facts": facts({**obj, "metadata": {**obj["metadata"], "annotations": notes}})}


def owned(**metadata: Any) -> dict[str, Any]:
    obj = objects.workload()
    return {
        "facts": facts({**obj, "metadata": {**obj["metadata"], **metadata}}),
        "plan": rolled_back(),
    }


def rolled_back() -> Plan:
    return planned(facts(), "rollback_workload")


def applied_by(manager: str, *path: str) -> list[dict[str, Any]]:
    fields: dict[str, Any] = {}
    for part in reversed(path):
        fields = {f"f:{part}": fields}
    return [{"manager": manager, "operation": "Apply", "fieldsV1": fields}]


def scaled(**metadata: Any) -> dict[str, Any]:
    seen = owned(**metadata)
    seen["facts"] = seen["facts"].saw(AUTOSCALER, None)
    return {**seen, "plan": planned(facts(autoscaler=None), "scale_workload")}


def through(hpa: dict[str, Any]) -> dict[str, Any]:
    return {
        "facts": facts(autoscaler=hpa),
        "plan": planned(facts(autoscaler=autoscaler()), "scale_workload"),
    }


def through_own_hpa(**notes: str) -> dict[str, Any]:
    seen = through(autoscaler())
    return {
        **seen,
        "facts": replace(annotated("target", **notes)["facts"], seen=seen["facts"].seen),
    }


FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps"}
KEDA = [{"controller": True, "kind": "ScaledObject", "name": "web-load"}]
CR = [{"controller": True, "kind": "Rollout", "name": "web"}]
RS = [{"controller": True, "kind": "ReplicaSet", "name": "web"}]
FRIDAYS = Named("fridays", (Interval(weekdays=((5, 5),)),))  # 2026-05-01 is one
SUNDAYS = Named("sundays", (Interval(weekdays=((0, 0),)),))
TEMPLATE = ("spec", "template", "spec")
ALLOW = (Decision.ALLOW, None)
Check = Callable[[Situation], Verdict]
CASES: list[tuple[str, Check, dict[str, Any], Decision, Reason | None]] = [
    ("nobody paused", pause.check, {}, *ALLOW),
    ("all paused", pause.check, {"pauses": paused("all")}, Decision.HOLD, Reason.PAUSED),
    (
        "the cluster paused",
        pause.check,
        {"pauses": paused("cluster:c")},
        Decision.HOLD,
        Reason.PAUSED,
    ),
    (
        "the namespace paused",
        pause.check,
        {"pauses": paused("namespace:shop")},
        Decision.HOLD,
        Reason.PAUSED,
    ),
    ("the rule paused", pause.check, {"pauses": paused("rule:r")}, Decision.HOLD, Reason.PAUSED),
    ("another namespace paused", pause.check, {"pauses": paused("namespace:db")}, *ALLOW),
    ("a pause that is over", pause.check, {"pauses": paused("all", -MINUTE)}, *ALLOW),
    (
        "a pause that is not over",
        pause.check,
        {"pauses": paused("all", MINUTE)},
        Decision.HOLD,
        Reason.PAUSED,
    ),
    ("no window", window.check, {}, *ALLOW),
    ("in its window", window.check, {"active": (FRIDAYS,)}, *ALLOW),
    (
        "outside its window",
        window.check,
        {"active": (SUNDAYS,)},
        Decision.HOLD,
        Reason.OUTSIDE_WINDOW,
    ),
    ("in one of its windows", window.check, {"active": (SUNDAYS, FRIDAYS)}, *ALLOW),
    (
        "in a freeze",
        window.check,
        {"active": (FRIDAYS,), "mute": (FRIDAYS,)},
        Decision.HOLD,
        Reason.OUTSIDE_WINDOW,
    ),
    ("no freeze now", window.check, {"mute": (SUNDAYS,)}, *ALLOW),
    ("nobody asks for an opt-in", opt_in.check, {}, *ALLOW),
    ("not opted in", opt_in.check, {"opt_in": True}, Decision.DENY, Reason.OPTED_OUT),
    ("opted in", opt_in.check, {"opt_in": True, **annotated("target", enabled="true")}, *ALLOW),
    (
        "its namespace is",
        opt_in.check,
        {"opt_in": True, **annotated("namespace", enabled="True")},
        *ALLOW,
    ),
    (
        "opted in with another word",
        opt_in.check,
        {"opt_in": True, **annotated("target", enabled="yes")},
        Decision.DENY,
        Reason.OPTED_OUT,
    ),
    (
        "opt-in unknown",
        opt_in.check,
        {"opt_in": True, "facts": replace(facts(), namespace=Unknown("RBAC"))},
        Decision.HOLD,
        Reason.UNKNOWN_FACT,
    ),
    (
        "opted in, through an HPA that says nothing",
        opt_in.check,
        {"opt_in": True, **through_own_hpa(enabled="true")},
        *ALLOW,
    ),
    ("fresh", freshness.check, {}, *ALLOW),
    (
        "nothing open",
        freshness.check,
        {"episodes": (episode(open_=False),)},
        Decision.HOLD,
        Reason.NOT_ACTIVE,
    ),
    (
        "stale and unknown",
        freshness.check,
        {"episodes": (episode(confirmed=-2 * HOUR),), "activity": Activity.UNKNOWN},
        Decision.HOLD,
        Reason.NOT_ACTIVE,
    ),
    (
        "stale, and Alertmanager confirms it",
        freshness.check,
        {"episodes": (episode(confirmed=-2 * HOUR),)},
        *ALLOW,
    ),
    ("too recent", freshness.check, {"pending": 15 * MINUTE}, Decision.HOLD, Reason.TOO_RECENT),
    ("recent enough", freshness.check, {"pending": 10 * MINUTE}, *ALLOW),
    ("active", activity.check, {}, *ALLOW),
    ("silenced", activity.check, {"activity": Activity.SILENCED}, Decision.HOLD, Reason.SILENCED),
    (
        "inhibited by Alertmanager",
        activity.check,
        {"activity": Activity.INHIBITED},
        Decision.HOLD,
        Reason.INHIBITED,
    ),
    (
        "not listed",
        activity.check,
        {"activity": Activity.NOT_LISTED},
        Decision.HOLD,
        Reason.NOT_ACTIVE,
    ),
    (
        "Alertmanager unknown",
        activity.check,
        {"activity": Activity.UNKNOWN},
        Decision.HOLD,
        Reason.UNKNOWN_FACT,
    ),
    ("started long ago", grace.check, {}, *ALLOW),
    (
        "just started, old alert",
        grace.check,
        {"started_at": T - MINUTE},
        Decision.HOLD,
        Reason.STARTUP_GRACE,
    ),
    (
        "just started, new alert",
        grace.check,
        {"started_at": T - MINUTE, "episodes": (episode(timedelta()),)},
        *ALLOW,
    ),
    ("grace is over", grace.check, {"started_at": T - 2 * MINUTE}, *ALLOW),
    ("in scope", scope.check, {}, *ALLOW),
    ("out of scope", scope.check, {"outside": (WEB,)}, Decision.DENY, Reason.OUT_OF_SCOPE),
    ("an ordinary namespace", protection.check, {}, *ALLOW),
    (
        "kube-system",
        protection.check,
        {"target": replace(WEB, namespace="kube-system")},
        Decision.DENY,
        Reason.PROTECTED_TARGET,
    ),
    (
        "a root in monitoring",
        protection.check,
        {"root": replace(WEB, namespace="monitoring")},
        Decision.DENY,
        Reason.PROTECTED_TARGET,
    ),
    (
        "our own namespace",
        protection.check,
        {"own_namespace": "shop"},
        Decision.DENY,
        Reason.PROTECTED_TARGET,
    ),
    (
        "lifted for exactly it",
        protection.check,
        {"own_namespace": "shop", "lifted": frozenset({str(WEB)})},
        *ALLOW,
    ),
    (
        "lifted for it, through an HPA",
        protection.check,
        {"own_namespace": "shop", "lifted": frozenset({str(WEB)}), **through(autoscaler())},
        *ALLOW,
    ),
    ("no annotation", opt_out.check, {}, *ALLOW),
    (
        "its pod's workload disabled",
        opt_out.check,
        {
            "facts": replace(
                facts(),
                beside=objects.workload()
                | {"metadata": {"annotations": {"remediator.io/disabled": "true"}}},
            )
        },
        Decision.DENY,
        Reason.OPTED_OUT,
    ),
    (
        "disabled",
        opt_out.check,
        annotated("target", disabled="true"),
        Decision.DENY,
        Reason.OPTED_OUT,
    ),
    ("disabled: false", opt_out.check, annotated("target", disabled="false"), *ALLOW),
    (
        "its namespace disabled",
        opt_out.check,
        annotated("namespace", disabled="True"),
        Decision.DENY,
        Reason.OPTED_OUT,
    ),
    (
        "this action denied",
        opt_out.check,
        annotated("target", deny="x, restart_workload"),
        Decision.DENY,
        Reason.OPTED_OUT,
    ),
    ("another action denied", opt_out.check, annotated("target", deny="rollback_workload"), *ALLOW),
    ("this action allowed", opt_out.check, annotated("target", allow="restart_workload"), *ALLOW),
    (
        "only another action allowed",
        opt_out.check,
        annotated("target", allow="rollback_workload"),
        Decision.DENY,
        Reason.OPTED_OUT,
    ),
    (
        "nothing allowed",
        opt_out.check,
        annotated("namespace", allow=""),
        Decision.DENY,
        Reason.OPTED_OUT,
    ),
    (
        "paused until later",
        opt_out.check,
        annotated("target", paused_until="2026-05-01T13:00:00Z"),
        Decision.HOLD,
        Reason.OPTED_OUT,
    ),
    (
        "paused until before",
        opt_out.check,
        annotated("target", paused_until="2026-05-01T11:00:00Z"),
        *ALLOW,
    ),
    (
        "paused until who knows",
        opt_out.check,
        annotated("target", paused_until="tomorrow"),
        Decision.HOLD,
        Reason.OPTED_OUT,
    ),
    (
        "paused until without a zone",
        opt_out.check,
        annotated("target", paused_until="2026-05-01T11:00:00"),
        Decision.HOLD,
        Reason.OPTED_OUT,
    ),
    (
        "namespace unknown",
        opt_out.check,
        {"facts": replace(facts(), namespace=Unknown("RBAC"))},
        Decision.HOLD,
        Reason.UNKNOWN_FACT,
    ),
    ("nobody owns it", ownership.check, {"plan": rolled_back()}, *ALLOW),
    (
        "Argo CD",
        ownership.check,
        owned(annotations={"argocd.argoproj.io/tracking-id": "x"}),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "Flux",
        ownership.check,
        owned(labels={"kustomize.toolkit.fluxcd.io/name": "x"}),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "Flux by managedFields",
        ownership.check,
        owned(managedFields=applied_by("kustomize-controller", *TEMPLATE)),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "another manager",
        ownership.check,
        owned(managedFields=applied_by("kubectl", *TEMPLATE)),
        *ALLOW,
    ),
    (
        "Argo CD, but not the template",
        ownership.check,
        owned(managedFields=applied_by("argocd-controller", "spec", "replicas")),
        *ALLOW,
    ),
    (
        "Argo CD applied the HPA's least count",
        ownership.check,
        through(autoscaler(managedFields=applied_by("argocd-controller", "spec", "minReplicas"))),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "Argo CD applied the HPA without it",
        ownership.check,
        through(autoscaler(managedFields=applied_by("argocd-controller", "spec", "maxReplicas"))),
        *ALLOW,
    ),
    (
        "Argo CD may be allowed",
        ownership.check,
        {
            **owned(annotations={"argocd.argoproj.io/tracking-id": "x"}),
            "owners": {"gitops": "allow"},
        },
        *ALLOW,
    ),
    (
        "a restart under Argo CD",
        ownership.check,
        {**owned(annotations={"argocd.argoproj.io/tracking-id": "x"}), "plan": planned(facts())},
        *ALLOW,
    ),
    (
        "a restart, Argo CD sets the annotations",
        ownership.check,
        {
            **owned(
                managedFields=applied_by(
                    "argocd-controller", *TEMPLATE[:-1], "metadata", "annotations"
                )
            ),
            "plan": planned(facts()),
        },
        *ALLOW,
    ),
    ("Helm warns", ownership.check, owned(labels={"app.kubernetes.io/managed-by": "Helm"}), *ALLOW),
    (
        "Helm refused",
        ownership.check,
        {**owned(labels={"app.kubernetes.io/managed-by": "Helm"}), "owners": {"helm": "refuse"}},
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "a custom resource",
        ownership.check,
        {**owned(ownerReferences=CR), "plan": planned(facts())},
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    ("a ReplicaSet", ownership.check, owned(ownerReferences=RS), *ALLOW),
    (
        "a scale, Argo CD sets the replicas",
        ownership.check,
        scaled(managedFields=applied_by("argocd-controller", "spec", "replicas")),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "a scale, Argo CD does not set them",
        ownership.check,
        scaled(managedFields=applied_by("argocd-controller", *TEMPLATE)),
        *ALLOW,
    ),
    (
        "a scale, Flux last applied replicas",
        ownership.check,
        scaled(labels=FLUX, annotations={APPLIED: '{"spec": {"replicas": 3}}'}),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "a scale, Flux last applied none",
        ownership.check,
        scaled(labels=FLUX, annotations={APPLIED: '{"spec": {}}'}),
        *ALLOW,
    ),
    (
        "a scale, what was applied cannot be read",
        ownership.check,
        scaled(labels=FLUX, annotations={APPLIED: "{"}),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "a scale under an HPA",
        ownership.check,
        {**scaled(), "facts": facts(autoscaler=autoscaler())},
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "a scale, nobody sees whether there is an HPA",
        ownership.check,
        {**scaled(), "facts": facts(autoscaler=Unknown("RBAC"))},
        Decision.HOLD,
        Reason.UNKNOWN_FACT,
    ),
    ("a scale through an HPA", ownership.check, through(autoscaler()), *ALLOW),
    (
        "a scale through KEDA's HPA",
        ownership.check,
        through(autoscaler(ownerReferences=KEDA)),
        Decision.DENY,
        Reason.OWNED_ELSEWHERE,
    ),
    (
        "KEDA may be allowed",
        ownership.check,
        {**through(autoscaler(ownerReferences=KEDA)), "owners": {"keda": "allow"}},
        *ALLOW,
    ),
    ("no unless", inhibition.check, {}, *ALLOW),
    (
        "unless fires",
        inhibition.check,
        {"inhibitor": "DatabaseDown"},
        Decision.HOLD,
        Reason.INHIBITED,
    ),
    (
        "unless unknown",
        inhibition.check,
        {"inhibitor": Unknown("down")},
        Decision.HOLD,
        Reason.UNKNOWN_FACT,
    ),
    ("when holds", preconditions.check, {}, *ALLOW),
    (
        "when returns nothing",
        preconditions.check,
        {"unmet": (("up", None),)},
        Decision.HOLD,
        Reason.PRECONDITION,
    ),
    (
        "when unknown",
        preconditions.check,
        {"unmet": (("up", Unknown("down")),)},
        Decision.HOLD,
        Reason.UNKNOWN_FACT,
    ),
    ("act needs no approval", approval.check, {}, *ALLOW),
    (
        "approve asks",
        approval.check,
        {"mode": "approve"},
        Decision.APPROVE,
        Reason.APPROVAL_REQUIRED,
    ),
    (
        "approved",
        approval.check,
        {"mode": "approve", "approved_digest": planned(facts()).digest},
        *ALLOW,
    ),
    (
        "approved another plan",
        approval.check,
        {"mode": "approve", "approved_digest": "sha256:x"},
        Decision.APPROVE,
        Reason.APPROVAL_REQUIRED,
    ),
    ("mode act", mode.check, {}, *ALLOW),
    ("mode observe", mode.check, {"mode": "observe"}, Decision.DENY, Reason.OBSERVE_MODE),
]


@pytest.mark.parametrize(
    ("name", "check", "given", "decision", "reason"), CASES, ids=[case[0] for case in CASES]
)
def test_a_guard(
    name: str, check: Check, given: dict[str, Any], decision: Decision, *, reason: Reason | None
) -> None:
    verdict = check(situation(**given))
    assert (verdict.decision, verdict.reason) == (decision, reason)
    assert (verdict.retry_after is not None) == (decision is Decision.HOLD)
    assert bool(verdict.why) or decision is Decision.ALLOW


def test_every_guard_of_the_pipeline_is_tested_here() -> None:
    tested = {check for _, check, *_ in CASES}
    elsewhere = {blast_radius.check, budgets.check, replaceability.check}  # test_radius.py
    assert {*pipeline.FIRST, *pipeline.SECOND, *pipeline.UNDO} - elsewhere <= tested


def test_the_first_pass_looks_at_no_facts() -> None:
    verdicts = pipeline.ask(pipeline.FIRST, situation())
    assert {verdict.decision for verdict in verdicts} == {Decision.ALLOW}


def test_warnings_are_said_though_allowed() -> None:
    assert (
        "allowed by policy"
        in ownership.check(situation(**owned(labels={"app.kubernetes.io/managed-by": "Helm"}))).why
    )


def test_a_cluster_scoped_target_is_in_no_protected_namespace() -> None:
    node = Target("c", "Node", "", "n1", "u")
    assert protection.check(situation(target=node, root=node)).decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("plan", "hpa", "command"),
    [
        ("rollback_workload", None, "kubectl argo rollouts undo web -n shop"),
        ("restart_workload", None, "kubectl argo rollouts restart web -n shop"),
        ("scale_workload", KEDA, "kubectl patch scaledobject web-load -n shop"),
    ],
)
def test_what_others_own_comes_with_the_command_that_a_person_would_type(
    plan: str, hpa: Any, command: str
) -> None:
    seen = owned(ownerReferences=[] if hpa else CR)
    scaler = autoscaler(ownerReferences=hpa) if hpa else None
    made = planned(facts(autoscaler=autoscaler() if hpa else None), plan)
    verdict = ownership.check(situation(facts=seen["facts"].saw(AUTOSCALER, scaler), plan=made))
    assert command in verdict.why
