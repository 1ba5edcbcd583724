"""ownership: GitOps, Helm, an operator or an autoscaler owns what the plan would write.

Judged per field: GitOps and Helm own the fields that their manager applied (managedFields); where they own the object by
label or annotation and managedFields are silent, the template, and the replicas that were last applied. A controller
that is a custom resource owns the whole object, an HPA the replicas, KEDA's ScaledObject the HPA; GitOps and Helm may own an HPA too.
"""

import json
from collections.abc import Mapping
from typing import Any

from ..kinds import NATIVE
from ..model.facts import Facts
from ..model.owner import by_hand
from ..model.raw import annotations, controller, labels, meta
from ..model.target import Target
from ..model.verdict import Reason, Verdict, allow, deny
from ..sights.autoscaler import AUTOSCALER
from .situation import Situation

GITOPS_ANNOTATIONS = ("argocd.argoproj.io/tracking-id",)
GITOPS_LABELS = (
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "argocd.argoproj.io/instance",
)
MANAGERS = {"gitops": ("argocd", "kustomize-controller", "helm-controller"), "helm": ("helm",)}
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
FIELDS = {
    "template": ("f:template", "f:spec"),
    "replicas": ("f:replicas",),
    "minReplicas": ("f:minReplicas",),
}  # of what is written, below f:spec
DEFAULTS = {
    "gitops": "refuse",
    "operator": "refuse",
    "helm": "warn",
    "hpa": "refuse",
    "keda": "refuse",
}

SEES = frozenset({AUTOSCALER})


def check(situation: Situation) -> Verdict:
    """Denies where the policy for the owner is `refuse`; `warn` allows and says so."""
    facts, plan = situation.facts, situation.plan
    if plan is None or not isinstance(facts.object, Mapping):
        return allow("ownership")
    warned = ""
    written = [facts.object]
    autoscaler = facts[AUTOSCALER]
    if "minReplicas" in plan.writes and isinstance(autoscaler, Mapping):
        written.append(autoscaler)
    appliers = [applier for obj in written for applier in _appliers(obj, plan.writes)]
    for owner, who in [*_controllers(facts, plan.writes, plan.action), *appliers]:
        policy = situation.owners.get(owner, DEFAULTS[owner])
        why = f"{who} owns what the plan would write on {facts.target}"
        if policy == "refuse":
            return deny("ownership", Reason.OWNED_ELSEWHERE, why)
        if policy == "warn":
            warned = f"{why}; allowed by policy"
    return Verdict("ownership", allow("ownership").decision, None, warned)


def _controllers(facts: Facts, writes: tuple[str, ...], action: str) -> list[tuple[str, str]]:
    """Custom resources and autoscalers that write the same: (policy key, who, and how a person does it through them)."""
    found: list[tuple[str, str]] = []
    seen = facts[AUTOSCALER]
    autoscaler = seen if isinstance(seen, Mapping) else {}
    for obj, only in ((facts.object, None), (autoscaler, "minReplicas")):
        if only is not None and only not in writes:
            continue
        assert isinstance(obj, Mapping)
        reference = controller(obj)
        if reference is not None and reference.get("kind") not in NATIVE:
            owner = Target(
                facts.target.cluster,
                str(reference["kind"]),
                facts.target.namespace,
                str(reference["name"]),
            )
            policy = "keda" if owner.kind == "ScaledObject" else "operator"
            found.append((policy, f"{owner} (by hand: `{by_hand(action, owner)}`)"))
    if autoscaler and "replicas" in writes:
        found.append(("hpa", f"HorizontalPodAutoscaler {meta(autoscaler).get('name')}"))
    return found


def _appliers(obj: Mapping[str, Any], writes: tuple[str, ...]) -> list[tuple[str, str]]:
    """GitOps and Helm, where they applied a field that is to be written."""
    names, notes = labels(obj), annotations(obj)
    marks = {
        "gitops": any(key in notes for key in GITOPS_ANNOTATIONS)
        or any(key in names for key in GITOPS_LABELS),
        "helm": names.get("app.kubernetes.io/managed-by") == "Helm",
    }
    shown = {"gitops": "GitOps", "helm": "Helm"}
    return [
        (owner, shown[owner])
        for owner, marked in marks.items()
        if any(
            field in writes and _applied(obj, field, MANAGERS[owner], marked) for field in FIELDS
        )
    ]


def _applied(obj: Mapping[str, Any], field: str, managers: tuple[str, ...], marked: bool) -> bool:
    """Whether one of the managers applied the field; where none is named, what was last applied tells, or the mark."""
    entries = [
        entry for entry in meta(obj).get("managedFields") or []
        if any(str(entry.get("manager", "")).startswith(name) for name in managers)
    ]  # fmt: skip
    for entry in entries:
        below: Any = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        for part in FIELDS[field]:
            below = below.get(part) if isinstance(below, Mapping) else None
        if below is not None:
            return True
    if entries or not marked:
        return marked and field == "template"
    try:
        return field == "template" or field in (
            json.loads(annotations(obj).get(APPLIED, "{}")).get("spec") or {}
        )
    except (ValueError, AttributeError):
        return True
