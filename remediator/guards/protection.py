"""protection: nothing in a protected namespace, or in remediator's own, is changed.

`protected_namespaces` defaults to the system and monitoring namespaces. A group may except single
objects with `scope.protected: [Deployment/kube-system/coredns]`.

Verdicts: deny `protected_target`.
"""

from ..model.verdict import Reason, Verdict, allow, deny
from .guard import Guard
from .situation import Before


def check(situation: Before) -> Verdict:
    """Denies unless the group lifts the protection for exactly this object."""
    protected = {*situation.process.protected, situation.own_namespace} - {""}
    for target in situation.objects:
        if target.namespace in protected and str(target) not in situation.lifted:
            what = "" if target in (situation.target, situation.root) else f", with {target}"
            why = f"namespace {target.namespace} is protected{what}"
            return deny("protection", Reason.PROTECTED_TARGET, why)
    return allow("protection")


GUARD = Guard(
    name="protection",
    manual=__doc__,
    set_by="`protected_namespaces`, `scope.protected`",
    order=70,
    first=check,
    planned=check,
    undo=check,
)
