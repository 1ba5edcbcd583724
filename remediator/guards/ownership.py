"""ownership: GitOps, Helm or an operator owns what the plan would write.

Judged per field: GitOps and Helm own the fields that their manager applied (managedFields), and where they own the
object by label or annotation and managedFields are silent, the template. A controller that is a custom resource owns
the whole object.
"""

from collections.abc import Mapping
from typing import Any

from ..model.facts import annotations, meta
from ..model.verdict import Reason, Verdict, allow, deny
from .situation import Situation

GITOPS_ANNOTATIONS = ("argocd.argoproj.io/tracking-id",)
GITOPS_LABELS = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name", "argocd.argoproj.io/instance")
MANAGERS = {"gitops": ("argocd", "kustomize-controller", "helm-controller"), "helm": ("helm",)}
DEFAULTS = {"gitops": "refuse", "operator": "refuse", "helm": "warn"}
NATIVE = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Node", "ReplicationController"}


def check(situation: Situation) -> Verdict:
    """Denies where the policy for the owner is `refuse`; `warn` allows and says so."""
    facts, plan = situation.facts, situation.plan
    if facts is None or plan is None or not isinstance(facts.object, Mapping):
        return allow("ownership")
    for owner, who in owners(facts.object, plan.writes):
        policy = situation.owners.get(owner, DEFAULTS[owner])
        why = f"{who} owns what the plan would write on {facts.target}"
        if policy == "refuse":
            return deny("ownership", Reason.OWNED_ELSEWHERE, why)
        if policy == "warn":
            return Verdict("ownership", allow("ownership").decision, None, f"{why}; allowed by policy")
    return allow("ownership")


def owners(obj: Mapping[str, Any], writes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Which policies apply: (policy key, who)."""
    found: list[tuple[str, str]] = []
    for reference in meta(obj).get("ownerReferences") or []:
        if reference.get("controller") and reference.get("kind") not in NATIVE:
            found.append(("operator", f"{reference.get('kind')} {reference.get('name')}"))
    if "template" not in writes:
        return found
    labels, notes = meta(obj).get("labels") or {}, annotations(obj)
    by_label = any(key in notes for key in GITOPS_ANNOTATIONS) or any(key in labels for key in GITOPS_LABELS)
    by_helm = labels.get("app.kubernetes.io/managed-by") == "Helm"
    for owner, marked in (("gitops", by_label), ("helm", by_helm)):
        if marked or _applied_template(obj, MANAGERS[owner]):
            found.append((owner, "GitOps" if owner == "gitops" else "Helm"))
    return found


def _applied_template(obj: Mapping[str, Any], managers: tuple[str, ...]) -> bool:
    """Whether one of the managers owns fields of the pod template's spec."""
    for entry in meta(obj).get("managedFields") or []:
        if any(str(entry.get("manager", "")).startswith(name) for name in managers):
            fields = ((entry.get("fieldsV1") or {}).get("f:spec") or {}).get("f:template") or {}
            if "f:spec" in fields:
                return True
    return False
