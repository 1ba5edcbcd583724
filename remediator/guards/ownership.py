"""ownership: GitOps, Helm, an operator or an autoscaler owns the fields the plan would change.

Such an owner would revert the change, or the change would make it drift. Ownership is judged per
field: GitOps tools and Helm own the fields that their field manager applied (`managedFields`); if
an object carries their label but `managedFields` name none, they own the pod template and the
replica count that were last applied. A controller that is a custom resource owns the whole object,
an HPA the replica count, a KEDA ScaledObject its HPA.

`owners` sets the policy per kind of owner: `refuse` (default), `warn` or `allow`.

Verdicts: deny `owned_elsewhere`, with the command that makes the change through the owner; hold
`unknown_fact` if it cannot be determined.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..kinds import NATIVE
from ..model.facts import Facts, Unknown
from ..model.managed import managed
from ..model.owner import by_hand
from ..model.pointer import REPLICAS, at
from ..model.raw import annotations, controller, labels, meta
from ..model.verdict import Reason, Verdict, allow, deny, hold
from ..sights.autoscaler import AUTOSCALER
from .guard import Guard
from .situation import Situation

GITOPS_ANNOTATIONS = frozenset({"argocd.argoproj.io/tracking-id"})
GITOPS_LABELS = frozenset(
    {
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
        "argocd.argoproj.io/instance",
    }
)
MANAGERS = {"gitops": ("argocd", "kustomize-controller", "helm-controller"), "helm": ("helm",)}
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TEMPLATE = "/spec/template/spec"
UNSEEN = "unseen"
DEFAULTS = {
    "gitops": "refuse",
    "operator": "refuse",
    "helm": "warn",
    "hpa": "refuse",
    "keda": "refuse",
}


def check(situation: Situation) -> Verdict:
    """Denies where the policy for the owner is `refuse`; `warn` allows and says so."""
    warned, plan = "", situation.plan
    for item in situation.touched:
        if plan is None or not isinstance(item.facts.object, Mapping):
            continue
        for owner, who in _owners(item.touch.paths, item.facts, plan.action):
            if owner == UNSEEN:
                return hold("ownership", Reason.UNKNOWN_FACT, who)
            policy = situation.owners.get(owner, DEFAULTS[owner])
            why = f"{who} owns the fields of {item.touch.target} that the plan would change"
            if policy == "refuse":
                return deny("ownership", Reason.OWNED_ELSEWHERE, why)
            if policy == "warn":
                warned = f"{why}; allowed by policy"
    return Verdict("ownership", allow("ownership").decision, None, warned)


def _owners(paths: tuple[str, ...], facts: Facts, action: str) -> list[tuple[str, str]]:
    """Who writes the same: (policy key, who, and how a person does it through them)."""
    assert isinstance(facts.object, Mapping)
    found: list[tuple[str, str]] = []
    reference = controller(facts.object)
    if reference is not None and reference.get("kind") not in NATIVE:
        owner = replace(facts.target, kind=str(reference["kind"]), name=str(reference["name"]))
        policy = "keda" if owner.kind == "ScaledObject" else "operator"
        found.append((policy, f"{owner} (to do it by hand: `{by_hand(action, owner)}`)"))
    autoscaler = facts[AUTOSCALER]
    if isinstance(autoscaler, Mapping) and REPLICAS in paths:
        found.append(("hpa", f"HorizontalPodAutoscaler {meta(autoscaler).get('name')}"))
    found += _appliers(facts.object, paths)
    if isinstance(autoscaler, Unknown) and REPLICAS in paths:
        found.append(
            (UNSEEN, f"cannot tell whether an HPA scales {facts.target}: {autoscaler.why}")
        )
    return found


def _appliers(obj: Mapping[str, Any], paths: tuple[str, ...]) -> list[tuple[str, str]]:
    """GitOps and Helm, where they applied a field that is to be written."""
    names, notes = labels(obj), annotations(obj)
    marks = {
        "gitops": bool(GITOPS_ANNOTATIONS & notes.keys() or GITOPS_LABELS & names.keys()),
        "helm": names.get("app.kubernetes.io/managed-by") == "Helm",
    }
    shown = {"gitops": "GitOps", "helm": "Helm"}
    return [
        (owner, shown[owner])
        for owner, marked in marks.items()
        if any(_applied(obj, path, MANAGERS[owner], marked) for path in paths)
    ]


def _applied(obj: Mapping[str, Any], path: str, managers: tuple[str, ...], marked: bool) -> bool:
    """Whether one of the managers applied the field.

    Where none is named, what was last applied tells, or the mark.
    """

    def mine(name: str) -> bool:
        return name.startswith(managers)

    if managed(obj, path, mine):
        return True
    if not marked or path.startswith(TEMPLATE):
        return marked
    if any(mine(str(entry.get("manager", ""))) for entry in meta(obj).get("managedFields") or []):
        return False
    try:
        return at(json.loads(annotations(obj).get(APPLIED, "{}")), path) is not None
    except (ValueError, AttributeError):
        return True


GUARD = Guard(
    name="ownership",
    manual=__doc__,
    set_by="`owners`",
    order=100,
    planned=check,
    sees=frozenset({AUTOSCALER}),
)
