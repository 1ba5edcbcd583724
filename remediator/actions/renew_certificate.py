"""Have cert-manager reissue a certificate, as `cmctl renew` does.

Use when: a certificate is about to expire or is not ready, and its issuer works.
Do not use when: the issuer is failing, or a rate limit of the certificate authority was hit, since
each attempt counts towards it.
How it verifies: the certificate has a newer revision and is Ready.
What it leaves behind: a new revision of the certificate in its Secret. It cannot be undone.
"""

from collections.abc import Mapping
from datetime import timedelta

from pydantic import Field

from ..kinds import CERTIFICATE
from ..model.call import Call, version_of
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Refusal, Seen, Touch, Verified, gone
from ..model.pointer import at, view
from ..model.raw import conditions_of, status_of, timestamp
from ..model.sight import Object
from ..model.target import Unresolved
from ..model.verdict import Reason
from .action_spec import ActionSpec, Causes, Parameters, Sent
from .workload import terminating, unseen

NAME = "renew_certificate"
REVISION = "/status/revision"
FAILED_AT = "/status/lastFailureTime"
ISSUING, READY = "condition:Issuing", "condition:Ready"
ATTEMPTS = "/status/failedIssuanceAttempts"
BACKS_OFF, MOST_DOUBLINGS = timedelta(hours=1), 5  # as cert-manager itself waits after a failure


class Params(Parameters):
    """Parameters of renew_certificate."""

    within_minutes: int = Field(
        default=10, ge=1, description="Time limit for the issuance, in minutes."
    )


def plan(facts: Facts, params: Params, _causes: Causes) -> Plan | Refusal:
    """One patch of the status: the condition Issuing, which has cert-manager begin."""
    refused = unseen(facts) or _refusal(facts)
    if refused:
        return refused
    assert isinstance(facts.object, Mapping)
    obj, target = facts.object, facts.target
    call = Call(
        "patch",
        target,
        (_issuing(obj, facts),),
        "status",
        assumes=view(obj, dict.fromkeys((REVISION, FAILED_AT, ISSUING))),
        leaves={ISSUING: "True"},
        seen=version_of(obj),
        proof="moved",
    )
    return Plan(
        action=NAME,
        target=target,
        parameters=params.model_dump(mode="json"),
        calls=(call,),
        assumptions=call.assumes,
        locks=tuple(sorted({target.key, facts.root.key})),
        summary=f"renew {target}",
        previous={},
        before=view(obj, dict.fromkeys((REVISION, FAILED_AT))),
        touches=(Touch(target, facts.root),),
        converged_within=timedelta(minutes=params.within_minutes),
    )


def _refusal(facts: Facts) -> Refusal | None:
    """Why it is not renewed now."""
    obj, target = facts.object, facts.target
    assert isinstance(obj, Mapping)
    if target.kind != CERTIFICATE.name:
        return Refusal(Reason.UNSUPPORTED_TARGET, f"{target} is not a Certificate")
    going = terminating(target, obj)
    if going:
        return going
    if at(obj, ISSUING) == "True":
        return Refusal(Reason.ALREADY_DONE, f"{target} is already being issued")
    failed_at = timestamp(at(obj, FAILED_AT))
    failures = int(at(obj, ATTEMPTS) or 1)
    backs_off = BACKS_OFF * 2 ** min(failures - 1, MOST_DOUBLINGS)
    if failed_at is not None and facts.at - failed_at < backs_off:
        why = f"the last issuance of {target} failed at {failed_at:%H:%M:%S} UTC"
        return Refusal(Reason.ALREADY_DONE, f"{why}; cert-manager will retry on its own")
    return None


def _issuing(obj: Object, facts: Facts) -> Mapping[str, object]:
    """Source: cert-manager pkg/util/cmd/renew:
    SetCertificateCondition(Issuing, True, ManuallyTriggered).
    """
    condition = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance triggered by remediator",
        "lastTransitionTime": facts.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    conditions = conditions_of(obj)
    if not conditions:  # a patch cannot add to a list that is not there
        status = {**status_of(obj), "conditions": [condition]}
        return {"op": "add", "path": "/status", "value": status}
    index = next((i for i, one in enumerate(conditions) if one.get("type") == "Issuing"), None)
    if index is not None:
        return {"op": "replace", "path": f"/status/conditions/{index}", "value": condition}
    return {"op": "add", "path": "/status/conditions/-", "value": condition}


def verify(plan: Plan, _sent: Sent, facts: Facts) -> Seen:
    """Whether there is a newer revision, and it is Ready."""
    obj = facts.object
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    if obj is None or isinstance(obj, Unknown | Unresolved):
        return Seen(Verified.UNKNOWN)
    newer = int(at(obj, REVISION) or 0) > int(plan.before[REVISION] or 0)
    if newer and at(obj, READY) == "True":
        return Seen(Verified.CONVERGED)
    if at(obj, FAILED_AT) not in (None, plan.before[FAILED_AT]):
        why = f"the issuance failed; see `cmctl status certificate {plan.target.name}`"
        return Seen(Verified.FAILED, why)
    return Seen(Verified.WAITING, "waiting for the issuer")


ACTION = ActionSpec(
    name=NAME,
    summary="Have cert-manager reissue a certificate.",
    manual=__doc__,
    params=Params,
    targets=frozenset({CERTIFICATE}),
    calls=frozenset({("patch", CERTIFICATE, "status")}),
    disruption="none; clients of the Secret must reload it",
    causes=frozenset(),
    sees=frozenset(),
    watches=frozenset(),
    waives=frozenset(),
    plan=plan,
    verify=verify,
    proof="converged",
    disruptive=False,
    example="{action: renew_certificate, if: always}",
)
