"""protection: system and monitoring namespaces, and our own, are not touched."""

from ..model.verdict import Reason, Verdict, allow, deny
from .situation import Before


def check(situation: Before) -> Verdict:
    """Denies unless the group lifts the protection for exactly this object."""
    for target in {situation.target, situation.root}:
        if str(target) in situation.lifted:
            continue
        if (
            target.namespace in situation.process.protected
            or target.namespace == situation.own_namespace != ""
        ):
            return deny(
                "protection", Reason.PROTECTED_TARGET, f"namespace {target.namespace} is protected"
            )
    return allow("protection")
