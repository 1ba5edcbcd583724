"""What people decide: pauses, approvals by one or by two, denials, cancels and retries; and what
they are told of what takes too long, and of what is over.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.model.decision import Ask, AttemptChange, Wait
from remediator.model.pauses import Pause
from remediator.model.plan import Times
from remediator.model.remediation import Event, RemediationId, State
from remediator.model.target import Target
from remediator.ports.journal import Journal
from remediator.ports.records import Claim, Message, Wanted
from tests.contract.journals import (
    WEB,
    at,
    begun,
    claimed,
    ended,
    fires,
    meant,
    notice,
    opened,
    resolves,
    to,
    triaged_again,
    verifying,
)
from tests.contract.journals import journal as journal
from tests.contract.records import rule
from tests.contract.test_journal import LEASE, MINUTE, NOW, SECOND, end, hold_until, nobody, wanted

HOUR = 60 * MINUTE
TICK = timedelta(microseconds=1)


def approved_by(**approval: Any) -> Wanted:
    """Asked for by a rule with this approval."""
    data = rule().model_dump(by_alias=True, exclude_unset=True)
    made = type(rule()).model_validate({**data, "approval": approval})
    return replace(wanted(), rule=made)


async def ask(journal: Journal, claim: Claim, summary: str = "restart", now: Any = NOW) -> str:
    """Asks people about a plan. Returns its digest."""
    look = meant(claim, now).look
    assert look.plan is not None
    plan = replace(look.plan, parameters={"summary": summary})
    asked = Ask(
        at=now, reason=None, why="", until=now, look=replace(look, plan=plan), question=None
    )
    await journal.write(claim.remediation, asked, nobody)
    return plan.digest


async def asking(journal: Journal, **approval: Any) -> tuple[str, str]:
    """The ID of a remediation that waits for approval, and the digest of its plan."""
    await fires(journal, approved_by(**approval))
    claim = await claimed(journal)
    return claim.remediation.id, await ask(journal, claim)


async def approve(journal: Journal, ident: str, digest: str, who: str = "ann") -> str | None:
    return await journal.decide(ident, digest, who, True, now=at(1))


async def approval(journal: Journal, ident: str) -> tuple[str, str]:
    """The approved digest, and by whom."""
    known = await journal.known(ident)
    assert known is not None
    return known.claim.remediation.approved_digest, known.claim.remediation.approved_by


async def history(journal: Journal, ident: str) -> list[str]:
    """The history of a remediation as kinds and texts."""
    known = await journal.known(ident)
    assert known is not None
    return [f"{line.kind}: {line.text}" for line in known.history]


async def test_a_pause_is_as_it_was_asked_for(journal: Journal) -> None:
    await journal.pause("namespace:shop", "räumen — 移行", "ann", at(60), now=NOW)
    await journal.pause("all", "", "bob", None, now=at(1))
    assert sorted(await journal.pauses(), key=lambda pause: pause.scope) == [
        Pause("all", "", "bob", None, at(1)),
        Pause("namespace:shop", "räumen — 移行", "ann", at(60), NOW),
    ]


async def test_a_second_pause_of_a_scope_replaces_the_first(journal: Journal) -> None:
    await journal.pause("rule:r", "first", "ann", at(60), now=NOW)
    await journal.pause("rule:r", "second", "bob", None, now=at(1))
    assert await journal.pauses() == [Pause("rule:r", "second", "bob", None, at(1))]


@pytest.mark.parametrize("scope", ["all", "rule:R", "rule:r ", "namespace:shop"])
async def test_only_the_scope_that_is_paused_can_be_resumed(journal: Journal, scope: str) -> None:
    await journal.pause("rule:r", "why", "ann", None, now=NOW)
    assert not await journal.resume(scope, "bob", at(1))
    assert [pause.scope for pause in await journal.pauses()] == ["rule:r"]


async def test_a_resumed_scope_is_resumed_once(journal: Journal) -> None:
    await journal.pause("all", "why", "ann", None, now=NOW)
    assert await journal.resume("all", "bob", at(1))
    assert not await journal.resume("all", "bob", at(1))
    assert await journal.pauses() == []


async def test_what_was_held_looks_again_at_once_when_people_resume(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    await journal.write(claim.remediation, hold_until(at(60)), nobody)
    await journal.pause("all", "why", "ann", None, now=NOW)
    await journal.resume("all", "ann", at(5))
    assert await journal.next_work() == at(5)


async def test_a_cancel_during_a_slice_is_not_slept_on(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    assert await journal.cancel(claim.remediation.id, "ann", at(1)) is None
    await journal.write(claim.remediation, hold_until(at(60)), nobody)
    assert await journal.claim(at(1), LEASE) is not None


async def test_a_resume_during_a_slice_is_not_slept_on(journal: Journal) -> None:
    await fires(journal, wanted())
    await journal.pause("all", "why", "ann", None, now=NOW)
    await journal.write((await claimed(journal)).remediation, hold_until(NOW), nobody)
    claim = await claimed(journal)
    await journal.resume("all", "ann", at(0.5))
    await journal.write(claim.remediation, hold_until(at(60)), nobody)
    assert await journal.claim(at(0.5), LEASE) is not None


async def test_an_approval_makes_it_due_and_is_in_the_history(journal: Journal) -> None:
    ident, digest = await asking(journal)
    assert await journal.decide(ident, digest, "ann", True, now=at(1), why="seen") is None
    assert await approval(journal, ident) == (digest, "ann")
    assert f"approved: ann approved {digest}: seen" in await history(journal, ident)


async def test_without_a_digest_the_plan_that_is_shown_is_approved(journal: Journal) -> None:
    ident, digest = await asking(journal)
    assert await approve(journal, ident, "") is None
    assert await approval(journal, ident) == (digest, "ann")


@pytest.mark.parametrize("who", ["ann", "Ann", "ann ", "", "bob"])
async def test_only_those_whom_the_rule_names_decide(journal: Journal, who: str) -> None:
    ident, digest = await asking(journal, by=["ann", "carl"])
    for approves in (False, True):
        refused = await journal.decide(ident, digest, who, approves, now=NOW)
        if who == "ann":
            assert refused is None or "already" in refused
        else:
            assert "may not approve" in (refused or "")
    assert (await approval(journal, ident))[0] == ""


@pytest.mark.parametrize(
    ("passed", "taken"),
    [(10 * MINUTE, True), (10 * MINUTE + TICK, False), (-MINUTE, True)],
    ids=["at its very end", "just after it", "by a clock that is behind"],
)
async def test_an_approval_is_taken_within_its_time(
    journal: Journal, passed: timedelta, taken: bool
) -> None:
    ident, digest = await asking(journal, expires="10m")
    answer = await journal.decide(ident, digest, "ann", True, now=NOW + passed)
    assert (answer is None) is taken
    assert taken or "has expired" in str(answer)


async def test_who_denies_too_late_still_ends_it(journal: Journal) -> None:
    ident, digest = await asking(journal, expires="10m")
    assert await journal.decide(ident, digest, "ann", False, now=at(11)) is None
    claim = await claimed(journal, at(11))
    assert claim.remediation.cancel_by == "ann denied it"


async def test_nothing_is_decided_twice(journal: Journal) -> None:
    ident, digest = await asking(journal)
    assert await approve(journal, ident, digest) is None
    assert "ann already approved" in str(await approve(journal, ident, digest, "bob"))
    assert (await approval(journal, ident))[1] == "ann"


async def test_what_was_denied_cannot_be_approved(journal: Journal) -> None:
    ident, digest = await asking(journal)
    await journal.decide(ident, digest, "ann", False, now=NOW, why="no")
    assert "ann denied it already" in str(await approve(journal, ident, digest, "bob"))
    assert "denied: ann denied it: no" in await history(journal, ident)


@pytest.mark.parametrize("approves", [True, False], ids=["approve", "deny"])
async def test_a_plan_that_changed_is_decided_anew(journal: Journal, approves: bool) -> None:
    ident, digest = await asking(journal)
    newer = await ask(journal, await claimed(journal), "another")
    refused = await journal.decide(ident, digest, "ann", approves, now=NOW)
    assert f"its digest is now {newer}" in str(refused)
    assert await journal.decide(ident, newer, "ann", approves, now=NOW) is None


async def test_an_approval_that_arrives_during_a_slice_is_not_lost(journal: Journal) -> None:
    ident, digest = await asking(journal)
    claim = await claimed(journal)
    assert await approve(journal, ident, digest) is None
    await ask(journal, claim, "another", at(2))
    assert await approval(journal, ident) == (digest, "ann")
    due = await journal.next_work()
    assert due is not None
    assert due <= at(2)


async def test_a_plan_that_changed_after_its_approval_needs_another(journal: Journal) -> None:
    ident, digest = await asking(journal)
    await approve(journal, ident, digest)
    await ask(journal, await claimed(journal, at(1)), "another", at(1))
    assert await approval(journal, ident) == ("", "")


async def test_what_is_held_after_its_approval_stays_approved(journal: Journal) -> None:
    ident, digest = await asking(journal)
    await approve(journal, ident, digest)
    await journal.write((await claimed(journal, at(1))).remediation, hold_until(at(9)), nobody)
    assert await approval(journal, ident) == (digest, "ann")


@pytest.mark.parametrize(
    ("second", "approved"), [("ann", False), ("ANN", False), ("bob", True)], ids=str
)
async def test_one_person_in_two_spellings_is_one_person(
    journal: Journal, second: str, approved: bool
) -> None:
    ident, digest = await asking(journal, two_person=True)
    assert await approve(journal, ident, digest, "ann") is None
    assert await approval(journal, ident) == ("", "")
    assert (await approve(journal, ident, digest, second) is None) is approved
    assert await approval(journal, ident) == (
        (digest, f"ann and {second}") if approved else ("", "")
    )


async def test_an_approval_of_an_earlier_plan_is_not_the_first_of_two(journal: Journal) -> None:
    ident, digest = await asking(journal, two_person=True)
    await approve(journal, ident, digest, "ann")
    newer = await ask(journal, await claimed(journal), "another")
    assert await approve(journal, ident, newer, "bob") is None
    assert await approval(journal, ident) == ("", "")


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ann", "Ann", "bob", "bo b"]), st.booleans()), max_size=6)
)
def test_two_persons_approve_one_plan_or_nobody_does(steps: list[tuple[str, bool]]) -> None:
    async def asked() -> None:
        journal = await opened()
        ident, digest = await asking(journal, two_person=True)
        by: set[str] = set()  # of the plan that is shown now
        for who, changes in steps:
            if changes and len(by) < 2:
                digest, by = await ask(journal, await claimed(journal), f"{who}{digest}"), set()
            await approve(journal, ident, digest, who)
            by |= {who.casefold()} if len(by) < 2 else set()
            approved, names = await approval(journal, ident)
            assert (approved == digest) is (len(by) == 2)
            assert not approved or set(names.casefold().split(" and ")) == by

    asyncio.run(asked())


@pytest.mark.parametrize("state", ["queued", "held", "executing", "ended", "unknown"])
async def test_only_what_waits_for_approval_can_be_approved(journal: Journal, state: str) -> None:
    await fires(journal, wanted())
    ident = "r-none"
    if state == "ended":
        ident = await ended(journal, Event.FAIL)
    elif state != "unknown":
        claim = await (begun(journal) if state == "executing" else claimed(journal))
        ident = claim.remediation.id
    if state == "held":
        await journal.write(claim.remediation, hold_until(NOW), nobody)
    assert await approve(journal, ident, "") is not None


async def test_a_cancel_makes_it_due_and_says_who_and_why(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    await journal.write(claim.remediation, hold_until(at(60)), nobody)
    assert await journal.cancel(claim.remediation.id, "ann", at(1), "by hand") is None
    assert "cancelled: ann cancelled it: by hand" in await history(journal, claim.remediation.id)
    assert (await claimed(journal, at(1))).remediation.cancel_by == "ann cancelled it"


async def test_who_sends_calls_learns_who_cancelled(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await begun(journal)
    attempt = meant(claim).attempt
    assert await journal.send(claim.remediation, attempt) == ""
    await journal.cancel(claim.remediation.id, "ann", NOW)
    assert "ann" in await journal.send(claim.remediation, attempt)


async def test_only_the_first_cancel_counts(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    await journal.cancel(claim.remediation.id, "ann", NOW)
    assert "ann cancelled it already" in str(
        await journal.cancel(claim.remediation.id, "bob", at(1))
    )


@pytest.mark.parametrize("does", ["cancel", "retry", "show", "known"])
async def test_of_a_remediation_that_is_not_there_is_said_so(journal: Journal, does: str) -> None:
    if does in ("show", "known"):
        assert await getattr(journal, does)("r-none") is None
    else:
        assert "no remediation r-none" in await getattr(journal, does)("r-none", "ann", NOW)


async def test_an_undo_of_a_remediation_that_is_not_there_is_refused(journal: Journal) -> None:
    assert await journal.undo("r-none", "r-none.1", "asked", NOW) is not None


async def test_what_has_ended_cannot_be_cancelled(journal: Journal) -> None:
    await fires(journal, wanted())
    ident = await ended(journal, Event.FAIL)
    assert "already ended: failed" in str(await journal.cancel(ident, "ann", NOW))


async def test_a_retry_matches_the_alert_again_and_is_remembered(journal: Journal) -> None:
    await fires(journal, wanted())
    ident = await ended(journal, Event.UNPROVED, acted=True)
    assert await journal.retry(ident, "ann", at(5), "fixed the quota") is None
    assert "retried: retry requested by ann: fixed the quota" in await history(journal, ident)
    assert (await journal.past("r", WEB)).retried_at == at(5)
    await triaged_again(journal, wanted(), now=at(5))
    assert len(await journal.remediations(9, "queued")) == 1
    assert await journal.revivals(at(999), 9) == []


@pytest.mark.parametrize("case", ["it has not ended", "its alert has resolved"])
async def test_what_cannot_be_retried(journal: Journal, case: str) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    if case == "its alert has resolved":
        await journal.write(claim.remediation, end(Event.FAIL), nobody)
        await resolves(journal)
    assert await journal.retry(claim.remediation.id, "ann", at(5)) is not None
    assert await journal.pending(at(5)) == []
    assert (await journal.past("r", WEB)).retried_at is None


async def test_the_older_of_two_ended_remediations_of_an_alert_can_be_retried(
    journal: Journal,
) -> None:
    await fires(journal, wanted())
    older = await ended(journal, Event.FAIL)
    await journal.revive(older, NOW)
    await triaged_again(journal, wanted())
    await ended(journal, Event.FAIL)
    assert await journal.retry(older, "ann", NOW) is None
    await triaged_again(journal, wanted())
    assert len(await journal.remediations(9, "queued")) == 1


async def escalated_at(journal: Journal, now: Any) -> list[str]:
    return [overdue.remediation.state for overdue in await journal.escalations(now)]


async def test_what_takes_too_long_is_escalated_once(journal: Journal) -> None:
    await fires(journal, wanted())  # escalated after ten minutes unless the rule says otherwise
    assert await escalated_at(journal, at(10) - TICK) == []
    (overdue,) = await journal.escalations(at(10))
    assert (overdue.to, overdue.attempted, overdue.proof_until) == (("log",), False, None)
    await journal.escalated(overdue.remediation.id, to("log"), None, at(10))
    await journal.escalated(overdue.remediation.id, to("log"), None, at(10))  # another daemon
    assert await escalated_at(journal, at(999)) == []
    assert len(await journal.outbox(at(10))) == 1


async def test_nothing_is_escalated_that_has_ended_meanwhile(journal: Journal) -> None:
    await fires(journal, wanted())
    (overdue,) = await journal.escalations(at(10))
    await ended(journal, Event.CANCEL)
    for again in (None, at(11)):
        await journal.escalated(overdue.remediation.id, to("log"), again, at(10))
    assert (await escalated_at(journal, at(99)), await journal.outbox(at(99))) == ([], [])


async def test_a_converged_attempt_has_until_its_proof_is_due(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await verifying(journal, times=Times(MINUTE, HOUR, MINUTE, None))
    made = f"{claim.remediation.id}.1"
    change = AttemptChange(made, converged_at=at(3))
    wait = Wait(at=at(3), reason=None, why="", until=at(20), change=change)
    await journal.write(claim.remediation, wait, nobody)
    (overdue,) = await journal.escalations(at(10))
    assert (overdue.attempted, overdue.proof_until) == (True, at(63))


async def over(journal: Journal) -> list[tuple[str, tuple[str, ...]]]:
    return [(str(item.state), receivers) for item, receivers in await journal.quieted(9)]


async def failed_and_told(journal: Journal, *, trouble: bool = True) -> RemediationId:
    await fires(journal, wanted())
    claim = await claimed(journal)

    def tell(_written: object) -> tuple[Message, ...]:
        return tuple(Message(name, notice(), trouble) for name in ("pager", "chat"))

    await journal.write(claim.remediation, end(Event.FAIL), tell)
    return claim.remediation.id


async def test_who_was_told_of_trouble_is_told_once_that_it_is_over(journal: Journal) -> None:
    ident = await failed_and_told(journal)
    assert await over(journal) == []
    await resolves(journal, now=at(1))
    assert await over(journal) == [("failed", ("chat", "pager"))]
    for _ in range(2):
        await journal.told_quiet(ident, to("chat", "pager", why="over"), at(1))
    assert await over(journal) == []
    shown = await journal.show(ident)
    assert shown is not None
    assert [letter["receiver"] for letter in shown["messages"]] == [
        *("pager", "chat"),
        *("chat", "pager"),
    ]


async def test_news_that_are_no_trouble_are_not_closed(journal: Journal) -> None:
    await failed_and_told(journal, trouble=False)
    await resolves(journal, now=at(1))
    assert await over(journal) == []


async def test_trouble_is_not_over_while_one_of_its_alerts_fires(journal: Journal) -> None:
    await fires(journal, wanted(), fingerprint="f2")
    await failed_and_told(journal)
    await resolves(journal, now=at(1))
    assert await over(journal) == []


async def told_and_merged(journal: Journal) -> None:
    """Two remediations that people were told of, of which the younger is merged into the elder."""
    for number, name in enumerate(("web-1", "web-2")):
        await fires(journal, wanted(name), fingerprint=name, now=NOW + number * SECOND)
    climbed = Target("c", "Deployment", "shop", "web", "u1")
    for claim in [await claimed(journal, at(1)) for _ in range(2)]:
        await journal.escalated(claim.remediation.id, to("pager"), None, at(10))
        await journal.retarget(claim.remediation, climbed, WEB, at(10))


async def test_trouble_that_was_merged_is_not_over_while_its_alert_fires(
    journal: Journal,
) -> None:
    await told_and_merged(journal)
    assert State.SUPERSEDED in [row["state"] for row in await journal.remediations(9, None)]
    assert await over(journal) == []


async def test_lists_are_the_newest_first_and_filtered(journal: Journal) -> None:
    for minute, name in enumerate(("a", "b", "c")):
        asked = wanted(name, "second" if name == "b" else "r")
        await fires(journal, asked, fingerprint=name, now=at(minute))
    listed = {
        "all": await journal.remediations(9, None),
        "two": await journal.remediations(2, None),
        "since": await journal.remediations(9, None, since=at(1)),
        "rule": await journal.remediations(9, "queued", "shop", "second"),
        "namespace": await journal.remediations(9, None, "sho"),
        "state": await journal.remediations(9, "failed"),
    }
    assert {key: "".join(row["name"] for row in rows) for key, rows in listed.items()} == {
        "all": "cba",
        "two": "cb",
        "since": "cb",
        "rule": "b",
        "namespace": "",
        "state": "",
    }


async def test_a_retry_lets_no_other_rule_and_no_other_alert_try_again(
    journal: Journal,
) -> None:
    await fires(journal, wanted(), wanted(rule="second"))
    first, second = await ended(journal, Event.FAIL), await ended(journal, Event.FAIL)
    await fires(journal, wanted("db"), fingerprint="f2")
    other = await ended(journal, Event.FAIL)
    assert await journal.retry(first, "ann", at(1)) is None
    assert [episode.alert.fingerprint for episode in await journal.pending(at(1))] == ["f1"]
    await triaged_again(journal, wanted(), wanted(rule="second"), now=at(1))
    states = {row["id"]: row["state"] for row in await journal.remediations(9, None)}
    assert sorted(states.values()) == ["failed", "failed", "failed", "queued"]
    assert {first, second, other} < set(states)


async def test_what_only_a_later_remediation_had_is_not_sent_back_by_a_retry(
    journal: Journal,
) -> None:
    await fires(journal, wanted())
    elder = await ended(journal, Event.UNPROVED, acted=True)
    await journal.retry(elder, "ann", at(1))
    await triaged_again(journal, wanted(), now=at(1))
    await fires(journal, wanted(), fingerprint="f2", now=at(1))
    await ended(journal, Event.CANCEL, at(2))
    await resolves(journal, now=at(3))
    assert await journal.retry(elder, "ann", at(4)) == f"no alert of {elder} is still firing"
    assert await journal.pending(at(4)) == []


async def test_a_merged_remediation_is_kept_until_people_know_that_it_is_over(
    journal: Journal,
) -> None:
    await told_and_merged(journal)
    assert await journal.prune(at(60), at(60)) == 0
    for name in ("web-1", "web-2"):
        await resolves(journal, name, at(61))
    assert [state for state, _ in await over(journal)] == ["superseded"]
