"""renew_certificate: asked for once, whatever becomes of the answer.

Done when a newer revision is ready.
"""

from dataclasses import replace
from typing import Any

import pytest

from remediator.actions import ACTIONS
from remediator.actions.renew_certificate import FAILED_AT, ISSUING, READY, REVISION
from remediator.errors import Unreachable
from remediator.model.call import Call, Effect, effect
from remediator.model.facts import Facts, Unknown
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.pointer import at
from remediator.model.target import Target
from remediator.model.verdict import Reason
from tests.integration.world import World, rules
from tests.unit.actions.samples import Sample
from tests.unit.objects import MINUTE, T, looked_at

RENEW = ACTIONS["renew_certificate"]
TLS = Target("c", "Certificate", "shop", "tls", "uid-tls")
EARLIER = "2026-05-01T03:00:00Z"


def certificate(revision: int = 3, failed: str | None = None, **conditions: str) -> dict[str, Any]:
    status: dict[str, Any] = {
        "revision": revision,
        "conditions": [{"type": type_, "status": value} for type_, value in conditions.items()],
    }
    return {
        "kind": "Certificate",
        "metadata": {"name": "tls", "namespace": "shop", "uid": "uid-tls", "generation": 1},
        "spec": {"secretName": "tls"},
        "status": status | ({"lastFailureTime": failed} if failed else {}),
    }


def seen(**given: Any) -> Facts:
    return looked_at(TLS, TLS, certificate(**{"Ready": "True", **given}))


SAMPLES = [Sample(seen()), Sample(seen(Issuing="False"))]


def planned(facts: Facts) -> Plan | Refusal:
    return RENEW.plan(facts, RENEW.params(), ())


def call_of(facts: Facts) -> Call:
    plan = planned(facts)
    assert isinstance(plan, Plan)
    (call,) = plan.calls
    return call


def test_renew_certificate_sets_the_condition_that_has_it_issued() -> None:
    call = call_of(seen())
    assert (call.verb, call.subresource) == ("patch", "status")
    assert dict(call.assumes) == {REVISION: 3, FAILED_AT: None, ISSUING: None}
    (operation,) = call.body
    assert (operation["op"], operation["path"]) == ("add", "/status/conditions/-")
    assert operation["value"]["reason"] == "ManuallyTriggered"


def test_a_condition_that_is_there_is_replaced() -> None:
    (operation,) = call_of(seen(Issuing="False")).body
    assert (operation["op"], operation["path"]) == ("replace", "/status/conditions/1")


@pytest.mark.parametrize(
    ("name", "facts", "reason"),
    [
        ("it is already being issued", seen(Issuing="True"), Reason.ALREADY_DONE),
        ("the issuer has just refused", seen(failed="2026-05-01T11:30:00Z"), Reason.ALREADY_DONE),
        (
            "it is not a Certificate",
            replace(seen(), target=replace(TLS, kind="Secret")),
            Reason.UNSUPPORTED_TARGET,
        ),
        ("it is gone", replace(seen(), object=None), Reason.TARGET_GONE),
        ("it cannot be read", replace(seen(), object=Unknown("RBAC")), Reason.UNKNOWN_FACT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_not_renewed_where(name: str, facts: Facts, reason: Reason) -> None:
    answer = planned(facts)
    assert isinstance(answer, Refusal)
    assert answer.reason is reason


def test_after_several_failures_it_is_left_to_cert_manager_for_longer() -> None:
    there = seen(failed="2026-05-01T09:00:00Z")
    assert isinstance(planned(there), Plan)
    assert isinstance(there.object, dict)
    status = {**there.object["status"], "failedIssuanceAttempts": 4}
    again = planned(replace(there, object={**there.object, "status": status}))
    assert isinstance(again, Refusal)
    assert "cert-manager will retry on its own" in again.why


def test_when_it_was_planned_is_no_part_of_what_is_approved() -> None:
    first, later = planned(seen()), planned(replace(seen(), at=T + MINUTE))
    assert isinstance(first, Plan)
    assert isinstance(later, Plan)
    assert first.digest == later.digest


def test_a_failure_of_long_ago_is_no_reason_against_it() -> None:
    assert isinstance(planned(seen(failed=EARLIER)), Plan)


@pytest.mark.parametrize(
    ("name", "now", "expected"),
    [
        ("nothing happened", certificate(), Effect.ABSENT),
        ("it is already being issued, by whomever", certificate(Issuing="True"), Effect.PROVED),
        ("it was issued since", certificate(revision=4), Effect.PROVED),
        ("an issuance failed since", certificate(failed=EARLIER), Effect.PROVED),
        ("it is gone", None, Effect.ABSENT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whether_it_was_asked_for_shows(name: str, now: Any, expected: Effect) -> None:
    assert effect(call_of(seen()), "r-1.1", now) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"revision": 4}, Verified.CONVERGED),
        ({"revision": 4, "Ready": "False"}, Verified.WAITING),
        ({"Issuing": "True"}, Verified.WAITING),
        ({"failed": "2026-05-01T12:01:00Z"}, Verified.FAILED),
    ],
)
def test_a_newer_revision_that_is_ready_decides(now: dict[str, Any], expected: Verified) -> None:
    plan = planned(seen())
    assert isinstance(plan, Plan)
    assert RENEW.verify(plan, (), seen(**now)).how is expected
    assert RENEW.verify(plan, (), replace(seen(), object=None)) == Seen(Verified.OVERTAKEN)


RULE = (
    "name: renew, match: ['alertname=\"CertManagerCertExpirySoon\"'], steps: [{action:"
    " renew_certificate, if: always}]"
)


async def test_an_answer_that_was_lost_renews_it_no_second_time() -> None:
    world = World(rules(RULE))
    made = certificate(Ready="True")
    world.cluster.create("Certificate", "shop", "tls", made["spec"], status=made["status"])
    await world.start()
    await world.run(MINUTE)
    apply, asked = world.cluster.apply, list[str]()

    def issue(obj: Any) -> None:
        """What cert-manager does."""
        ready = {"type": "Ready", "status": "True"}
        obj["status"] = {"revision": obj["status"]["revision"] + 1, "conditions": [ready]}

    async def lost(call: Call, *more: Any) -> Any:
        asked.append(call.describe())
        await apply(call, *more)
        assert at(world.cluster.objects["Certificate", "shop", "tls"], ISSUING) == "True"
        world.cluster.edit("Certificate", "shop", "tls", issue)
        raise Unreachable("the answer was lost")

    world.cluster.apply = lost  # type: ignore[assignment, method-assign]
    await world.deliver("CertManagerCertExpirySoon", "", certificate="tls")
    await world.run(15 * MINUTE)
    assert asked == ["PATCH Certificate/shop/tls/status (/status/conditions/-)"]
    assert (await world.only())["state"] == "succeeded"
    obj = world.cluster.objects["Certificate", "shop", "tls"]
    assert (at(obj, REVISION), at(obj, READY)) == (4, "True")
    await world.journal.close()
