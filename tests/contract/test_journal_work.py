"""From a claim to an end: leases, locks, charges and limits; who gives way to whom, what an end
leaves behind, and what a restart finds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.errors import LeaseLost
from remediator.journal.sql import SqlJournal
from remediator.model.decision import Applied, AttemptChange, Climb, Retry, TakeBack, Wait
from remediator.model.plan import Times
from remediator.model.remediation import Event, Outcome, RemediationId, State
from remediator.model.target import Target
from remediator.model.usage import Counted, Holder, Rate, Reading, Usage
from remediator.model.verdict import Decision, Reason
from remediator.ports.journal import Journal
from remediator.ports.records import Claim, Wanted
from tests.contract.journals import (
    WEB,
    at,
    begun,
    claimed,
    ended,
    fires,
    held,
    meant,
    opened,
    to,
    triaged_again,
    unless_taken,
    verifying,
)
from tests.contract.journals import journal as journal
from tests.contract.records import rule
from tests.contract.test_journal import (
    LEASE,
    MINUTE,
    NOW,
    allowing,
    applied,
    end,
    hold_until,
    nobody,
    wanted,
)

TICK = timedelta(microseconds=1)
HOUR = 60 * MINUTE
LATER_UNDONE = Times(MINUTE, MINUTE, MINUTE, HOUR)


def urgent(name: str = "web", priority: int = 1) -> Wanted:
    """Asked for by a rule that goes before others."""
    made = rule("urgent").model_copy(update={"priority": priority})
    return replace(wanted(name), rule=made)


async def queued(journal: Journal, *names: str) -> None:
    """Remediations of these targets, all due, the first one created and due first."""
    for number, name in enumerate(names):
        now = at(number - len(names))
        await fires(journal, replace(wanted(name), settled_at=now), fingerprint=name, now=now)


async def tried(journal: Journal, *minutes: float) -> Claim:
    """A claim of one with attempts that began then and failed."""
    claim = await claimed(journal)
    for number, minute in enumerate(minutes, 1):
        await journal.begin(claim.remediation, meant(claim, at(minute), number), allowing)
        made = AttemptChange(f"{claim.remediation.id}.{number}", outcome=Outcome.FAILED)
        climb = Climb(at=NOW, reason=None, why="", until=NOW, rung=0, change=made)
        await journal.write(claim.remediation, climb, nobody)
        claim = await claimed(journal)
    return claim


async def states(journal: Journal) -> dict[str, str]:
    """Each remediation's state, by its rule and target."""
    rows = await journal.remediations(99, None)
    return {f"{row['rule']} {row['name']}": row["state"] for row in rows}


async def used(journal: Journal, claim: Claim, *counted: Counted) -> Usage:
    return await journal.usage(claim.remediation, Reading((WEB,), counted), NOW)


async def test_the_most_overdue_is_claimed_first(journal: Journal) -> None:
    for name, minute in (("late", 2), ("early", 1), ("soon", 5.5)):
        asked = replace(wanted(name), settled_at=at(minute))
        await fires(journal, asked, fingerprint=name)
    names = [(await claimed(journal, at(5))).remediation.target.name for _ in range(2)]
    assert names == ["early", "late"]
    assert await journal.claim(at(5.5) - TICK, LEASE) is None
    assert (await claimed(journal, at(5.5))).remediation.target.name == "soon"


async def test_a_claim_has_the_rule_as_it_was_and_every_alert(journal: Journal) -> None:
    await fires(journal, urgent(priority=7), fingerprint="f1")
    await fires(journal, urgent(priority=7), fingerprint="f2")
    claim = await claimed(journal)
    assert (claim.rule.escalate.to, claim.remediation.priority) == (("log",), 7)
    assert [episode.fingerprint for episode in claim.episodes] == ["f1", "f2"]


async def test_a_lease_lasts_to_its_very_end_and_no_longer(journal: Journal) -> None:
    await fires(journal, wanted())
    await claimed(journal)
    assert await journal.claim(NOW + LEASE, LEASE) is None
    assert await journal.claim(NOW + LEASE + TICK, LEASE) is not None


async def test_a_renewed_lease_lasts_longer(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    await journal.renew(claim.remediation, NOW + LEASE, LEASE)
    assert await journal.claim(NOW + LEASE + TICK, LEASE) is None


async def test_who_overslept_a_lease_that_nobody_took_goes_on(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    written = await journal.write(claim.remediation, hold_until(at(9)), nobody)
    assert written.state is State.HELD


Step = Callable[[Journal, Claim], Awaitable[object]]
STEPS: dict[str, Step] = {
    "renew": lambda j, c: j.renew(c.remediation, NOW, LEASE),
    "retarget": lambda j, c: j.retarget(c.remediation, c.remediation.target, WEB, NOW),
    "begin": lambda j, c: j.begin(c.remediation, meant(c), allowing),
    "send": lambda j, c: j.send(c.remediation, meant(c).attempt),
    "extend": lambda j, c: j.extend(c.remediation, meant(c).attempt, NOW),
    "write": lambda j, c: j.write(c.remediation, hold_until(NOW), nobody),
    "end": lambda j, c: j.write(c.remediation, end(Event.CANCEL), nobody),
}


@pytest.mark.parametrize("step", STEPS)
async def test_who_lost_the_lease_can_change_nothing(journal: Journal, step: str) -> None:
    await fires(journal, wanted())
    lost = await claimed(journal)
    await claimed(journal, NOW + LEASE + TICK)
    before = await journal.show(lost.remediation.id)
    with pytest.raises(LeaseLost):
        await STEPS[step](journal, lost)
    assert await journal.show(lost.remediation.id) == before


async def test_an_attempt_is_read_as_it_was_begun(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    made = meant(claim)
    plan = replace(made.attempt.plan, summary="neu — 再起動", previous={"/spec/replicas": 3})
    made = replace(made, attempt=replace(made.attempt, plan=plan, times=LATER_UNDONE))
    await journal.begin(claim.remediation, made, allowing)
    known = await journal.known(claim.remediation.id)
    assert known is not None
    assert known.claim.attempts == (made.attempt,)


async def test_a_refused_begin_starts_nothing(journal: Journal) -> None:
    await fires(journal, wanted())
    first = await begun(journal)
    await fires(journal, wanted(rule="second"), fingerprint="f2")
    claim = await claimed(journal)
    (verdict,) = await journal.begin(claim.remediation, meant(claim), unless_taken)
    assert verdict.reason is Reason.TARGET_BUSY
    known = await journal.known(claim.remediation.id)
    assert known is not None
    assert (known.claim.remediation.state, known.claim.attempts) == (State.QUEUED, ())
    assert await held(journal) == {WEB: first.remediation.id}
    assert len(await journal.charges(at(-1))) == 1


async def test_what_was_cancelled_does_not_begin(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await claimed(journal)
    await journal.cancel(claim.remediation.id, "ann", NOW)
    (verdict,) = await journal.begin(claim.remediation, meant(claim), allowing)
    assert (verdict.decision, verdict.reason) == (Decision.DENY, Reason.OPERATOR)
    assert "ann" in verdict.why
    assert await journal.charges(at(-1)) == []


async def test_a_charge_says_what_began_where_and_when(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await begun(journal, at(3), root_key="c/Deployment/shop/root")
    (charge,) = await journal.charges(at(2))
    assert (charge.remediation, charge.rule, charge.action, charge.namespace, charge.at) == (
        claim.remediation.id,
        "r",
        "restart_workload",
        "shop",
        at(3),
    )
    assert (charge.root_key, charge.target_key) == ("c/Deployment/shop/root", WEB)
    assert await journal.charges(at(3)) == []


async def test_an_undo_is_not_charged(journal: Journal) -> None:
    await fires(journal, wanted())
    await begun(journal, charged=False)
    assert await journal.charges(at(-1)) == []


HOURLY = Counted("rule", Rate(2, HOUR), (("rule", "r"),))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (HOURLY, at(-30)),
        (replace(HOURLY, rate=Rate(3, HOUR)), at(-59)),
        (replace(HOURLY, rate=Rate(3, 59 * MINUTE)), None),
        (replace(HOURLY, rate=Rate(3, 59 * MINUTE + TICK)), at(-59)),
        (replace(HOURLY, rate=Rate(4, HOUR)), None),
        (replace(HOURLY, rate=Rate(4, HOUR + TICK)), at(-60)),
        (replace(HOURLY, rate=Rate(0, HOUR)), NOW),
        (replace(HOURLY, where=()), at(-30)),
        (replace(HOURLY, where=(("rule", "r"), ("action", "other"))), None),
        (replace(HOURLY, where=(("namespace", "shop"), ("root_key", WEB))), at(-30)),
        (replace(HOURLY, where=(("rule", "R"),)), None),
    ],
    ids=[
        "the second newest fills it",
        "the third newest fills it",
        "one lies exactly a window back",
        "one lies just within the window",
        "there are no more within the window",
        "as many as there are",
        "nothing is allowed",
        "of everything",
        "of another action",
        "of a workload",
        "of a rule with another case",
    ],
)
async def test_a_limit_has_no_room_while_so_many_began_within_its_window(
    journal: Journal, limit: Counted, expected: object
) -> None:
    await fires(journal, wanted())
    claim = await tried(journal, -60, -59, -30, 0)
    known = (await used(journal, claim, limit)).used_up
    assert known == ({} if expected is None else {limit: expected})


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(-9, 1), max_size=6), st.integers(0, 4), st.integers(1, 9))
def test_the_limits_agree_with_the_charges(minutes: list[int], count: int, window: int) -> None:
    limit = Counted("global", Rate(count, window * MINUTE))

    async def asked() -> None:
        journal = await opened()
        await fires(journal, wanted())
        claim = await tried(journal, *minutes)
        within = [charge.at for charge in await journal.charges(at(-window))]
        room = len(within) < count
        newest = sorted(within, reverse=True)
        expected = {} if room else {limit: newest[count - 1] if count else NOW}
        assert (await used(journal, claim, limit)).used_up == expected

    asyncio.run(asked())


async def test_a_remediation_does_not_count_against_itself(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await begun(journal)
    own = await used(journal, claim)
    assert (own.in_flight, own.begun, own.locks) == (0, True, {WEB: Holder(claim.remediation.id)})


async def test_in_flight_are_the_others_of_the_rule_that_act(journal: Journal) -> None:
    await queued(journal, "ended", "executing", "verifying", "waiting")
    await ended(journal, Event.PROVED, acted=True)
    await begun(journal, locks=("a",))
    await verifying(journal, locks=("b",))
    await fires(journal, wanted("other", "second"), fingerprint="second")
    await fires(journal, replace(wanted("later"), settled_at=at(9)), fingerprint="later")
    waiting = await claimed(journal)
    assert waiting.remediation.target.name == "waiting"
    await begun(journal, locks=("c",))  # of the second rule
    assert (await used(journal, waiting)).in_flight == 2


async def test_the_cooldown_goes_by_the_last_end_and_those_that_did_not_help(
    journal: Journal,
) -> None:
    for minute, event in enumerate((Event.UNPROVED, Event.PROVED, Event.UNPROVED, Event.UNPROVED)):
        await fires(journal, wanted(), fingerprint=f"f{minute}", now=at(minute))
        await ended(journal, event, at(minute), acted=True)
    await fires(journal, wanted(), fingerprint="new")
    own = await used(journal, await claimed(journal, at(9)))
    assert (own.ended, own.ineffective_in_row, own.begun) == (at(3), 2, False)


@pytest.mark.parametrize(
    ("rule_name", "name", "acted"),
    [("second", "web", True), ("r", "db", True), ("r", "web", False)],
    ids=["of another rule", "of another target", "of one that did not act"],
)
async def test_ends_that_start_no_cooldown(
    journal: Journal, rule_name: str, name: str, acted: bool
) -> None:
    await fires(journal, wanted(name, rule_name), fingerprint="before")
    await ended(journal, Event.UNPROVED, acted=acted)
    await fires(journal, wanted(), fingerprint="new")
    own = await used(journal, await claimed(journal))
    assert (own.ended, own.ineffective_in_row) == (None, 0)


async def test_a_lock_that_only_the_calls_need_is_free_once_they_are_answered(
    journal: Journal,
) -> None:
    await fires(journal, wanted())
    claim = await begun(journal, locks=(WEB, "c/drain"))
    made: Applied = replace(applied(), unlock=("c/drain",))
    await journal.write(claim.remediation, made, nobody)
    assert await held(journal, (WEB, "c/drain")) == {WEB: claim.remediation.id}


ENDS = [
    (Event.PROVED, State.SUCCEEDED),
    (Event.UNPROVED, State.INEFFECTIVE),
    (Event.FAIL, State.FAILED),
    (Event.LOSE_SIGHT, State.UNKNOWN),
    (Event.CANCEL, State.CANCELLED),
]


@pytest.mark.parametrize(("event", "state"), ENDS, ids=str)
async def test_what_has_ended_holds_no_lock_and_is_never_due(
    journal: Journal, event: Event, state: State
) -> None:
    await fires(journal, wanted())
    ident = await ended(journal, event, acted=True)
    shown = await journal.show(ident)
    assert shown is not None
    assert (shown["state"], shown["next_look"]) == (state, None)
    assert await held(journal) == {}
    assert await journal.escalations(at(999)) == []
    assert len(await journal.charges(at(-1))) == 1  # what was done counts on


async def test_between_two_steps_nothing_is_locked(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await verifying(journal)
    made = AttemptChange(f"{claim.remediation.id}.1", outcome=Outcome.INEFFECTIVE)
    climb = Climb(at=NOW, reason=None, why="", until=at(1), rung=1, change=made)
    written = await journal.write(claim.remediation, climb, nobody)
    assert (written.state, await held(journal)) == (State.QUEUED, {})
    again = await claimed(journal, at(1))
    assert (again.remediation.rung, again.attempts[0].outcome) == (1, Outcome.INEFFECTIVE)


@pytest.mark.parametrize(("unsent", "charges"), [(True, 1), (False, 2)], ids=["unsent", "sent"])
async def test_only_an_attempt_of_which_nothing_was_sent_is_refunded(
    journal: Journal, unsent: bool, charges: int
) -> None:
    await fires(journal, wanted())
    await tried(journal, -5)
    claim = await claimed(journal, NOW + LEASE + TICK)
    await journal.begin(claim.remediation, meant(claim, number=2), unless_taken)
    made = AttemptChange(f"{claim.remediation.id}.2", outcome=Outcome.CANCELLED)
    again = Retry(at=NOW, reason=None, why="", until=NOW, change=made, unsent=unsent)
    await journal.write(claim.remediation, again, nobody)
    assert len(await journal.charges(at(-9))) == charges
    assert await held(journal) == {}


async def test_the_only_attempt_given_back_counts_for_no_cooldown(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await begun(journal)
    made = AttemptChange(f"{claim.remediation.id}.1", outcome=Outcome.CANCELLED)
    again = Retry(at=NOW, reason=None, why="", until=NOW, change=made, unsent=True)
    await journal.write(claim.remediation, again, nobody)
    await ended(journal, Event.FAIL)
    await fires(journal, wanted(), fingerprint="new")
    assert (await used(journal, await claimed(journal))).ended is None


async def test_a_rule_of_higher_priority_takes_over_from_one_that_verifies(
    journal: Journal,
) -> None:
    await fires(journal, wanted(), fingerprint="f1")
    calm = await verifying(journal, times=LATER_UNDONE)
    await fires(journal, urgent(), fingerprint="f2")
    claim = await claimed(journal)
    assert (await used(journal, claim)).locks == {WEB: Holder(calm.remediation.id, True)}
    await journal.begin(claim.remediation, meant(claim, at(1)), allowing)
    assert await states(journal) == {"r web": "superseded", "urgent web": "executing"}
    assert await held(journal) == {WEB: claim.remediation.id}
    assert [item.fingerprint for item in await journal.pending(at(1))] == ["f1"]
    (owed,) = await journal.restorations(at(61), 9)
    assert owed.remediation.reason is Reason.OUTRANKED
    with pytest.raises(LeaseLost):
        await journal.write(calm.remediation, end(Event.PROVED), nobody)


async def test_an_alert_of_what_was_taken_over_gets_a_remediation_again(
    journal: Journal,
) -> None:
    await fires(journal, wanted(), fingerprint="f1")
    await verifying(journal)
    await fires(journal, urgent(), fingerprint="f2")
    claim = await claimed(journal)
    await journal.begin(claim.remediation, meant(claim), allowing)
    await triaged_again(journal, wanted())
    rows = await journal.remediations(9, "queued")
    assert [row["rule"] for row in rows] == ["r"]


CLIMBED = Target("c", "Deployment", "shop", "web", "u1")


@pytest.mark.parametrize("looks_first", ["elder", "younger"])
async def test_of_two_that_wait_for_one_workload_the_elder_stays(
    journal: Journal, looks_first: str
) -> None:
    await queued(journal, "elder", "younger")
    claims = [await claimed(journal) for _ in range(2)]
    order = claims if looks_first == "elder" else claims[::-1]
    await journal.retarget(order[0].remediation, CLIMBED, WEB, NOW)
    await journal.retarget(order[1].remediation, CLIMBED, WEB, NOW)
    rows = {row["id"]: row for row in await journal.remediations(9, None)}
    elder, younger = (rows[claim.remediation.id] for claim in claims)
    assert (elder["state"], elder["name"]) == ("queued", "web")
    assert (younger["state"], younger["reason"]) == ("superseded", "attached")
    shown = await journal.show(elder["id"])
    assert shown is not None
    assert [item["fingerprint"] for item in shown["episodes"]] == ["elder", "younger"]


async def test_one_that_acts_stays_although_an_elder_comes_to_its_workload(
    journal: Journal,
) -> None:
    await queued(journal, "elder", "younger")
    elder = await claimed(journal)
    younger = await claimed(journal)
    assert await journal.retarget(younger.remediation, CLIMBED, WEB, NOW)
    await journal.begin(younger.remediation, meant(younger), allowing)
    assert not await journal.retarget(elder.remediation, CLIMBED, WEB, NOW)
    assert await states(journal) == {"r elder": "superseded", "r web": "executing"}


async def test_two_rules_may_wait_for_one_workload(journal: Journal) -> None:
    await fires(journal, wanted("web-1"), wanted("web-1", "second"))
    for _ in range(2):
        claim = await claimed(journal)
        assert await journal.retarget(claim.remediation, CLIMBED, WEB, NOW)
    assert await states(journal) == {"r web": "queued", "second web": "queued"}


async def test_what_is_taken_back_ends_with_its_undo_and_then_holds_nothing(
    journal: Journal,
) -> None:
    await fires(journal, wanted())
    claim = await verifying(journal)
    back = TakeBack(at=NOW, reason=Reason.WORSE, why="", until=at(0.5))
    assert (await journal.write(claim.remediation, back, nobody)).state is State.UNDOING
    undo = await claimed(journal)
    assert undo.undone is not None
    assert (undo.undone.id, undo.remediation.undo_why) == (f"{claim.remediation.id}.1", "worse")
    parent = await claimed(journal, at(0.5))
    await journal.write(parent.remediation, end(Event.FAIL), nobody)
    assert await held(journal) == {WEB: undo.remediation.id}
    await journal.write(undo.remediation, end(Event.BLOCK), nobody)
    assert await held(journal) == {}


async def test_a_write_that_fails_leaves_nothing_behind(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await begun(journal)

    def cannot_say(_written: object) -> tuple[()]:
        raise RuntimeError("no words")

    with pytest.raises(RuntimeError):
        await journal.write(claim.remediation, end(Event.FAIL), cannot_say)
    assert (await states(journal))["r web"] == "executing"
    assert await held(journal) == {WEB: claim.remediation.id}


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


async def restarted(journal: SqlJournal) -> SqlJournal:
    await journal.close()
    again = SqlJournal(journal.url)
    await again.open(at(0.1))
    return again


async def test_a_restart_in_the_middle_finds_everything_and_waits_for_no_lease(file: str) -> None:
    first = SqlJournal(file)
    await first.open(NOW)
    await fires(first, wanted())
    claim = await begun(first)
    await first.escalated(claim.remediation.id, to("pager"), None, NOW)
    assert [letter.tries for letter in await first.outbox(NOW)] == [0]  # taken, not yet delivered
    again = await restarted(first)
    found = await claimed(again, at(0.1))
    assert found.remediation.state is State.EXECUTING
    assert [made.id for made in found.attempts] == [f"{claim.remediation.id}.1"]
    assert await held(again) == {WEB: claim.remediation.id}
    assert len(await again.charges(at(-1))) == 1
    assert [letter.receiver for letter in await again.outbox(at(0.1))] == ["pager"]
    await again.close()


async def test_news_make_what_is_verified_or_held_due_and_nothing_else(
    journal: Journal,
) -> None:
    await fires(journal, wanted("web"))
    claim = await verifying(journal)
    await journal.write(claim.remediation, waits(claim, at(60)), nobody)
    await fires(journal, wanted("api"), fingerprint="f2")
    other = await claimed(journal)
    await journal.write(other.remediation, hold_until(at(60)), nobody)
    await fires(journal, replace(wanted("db"), settled_at=at(60)), fingerprint="f3")
    rows = {row["target"]: row["id"] for row in await journal.remediations(9, None)}
    assert await journal.claim(at(1), LEASE) is None
    await journal.hasten([*rows.values(), RemediationId("r-gone")], at(1))
    woken = {(await claimed(journal, at(1))).remediation.id for _ in range(2)}
    assert woken == {claim.remediation.id, other.remediation.id}
    assert await journal.claim(at(1), LEASE) is None


async def test_news_during_the_work_make_it_due_again_at_once(journal: Journal) -> None:
    await fires(journal, wanted("web"))
    claim = await verifying(journal)
    await journal.hasten([claim.remediation.id], at(1))
    await journal.write(claim.remediation, waits(claim, at(60)), nobody)
    assert (await claimed(journal, at(1))).remediation.id == claim.remediation.id


async def test_news_do_not_delay_what_is_due(journal: Journal) -> None:
    await fires(journal, wanted("web"))
    claim = await claimed(journal)
    await journal.write(claim.remediation, hold_until(NOW), nobody)
    await journal.hasten([claim.remediation.id], at(5))
    assert (await claimed(journal, NOW)).remediation.id == claim.remediation.id


def waits(claim: Claim, until: datetime) -> Wait:
    """What is verified is looked at then."""
    return Wait(at=NOW, reason=None, why="not yet", until=until)


async def test_what_only_waits_comes_after_what_is_new(journal: Journal) -> None:
    await fires(journal, wanted("web"), fingerprint="f1")
    held_first = await claimed(journal)
    await journal.write(held_first.remediation, hold_until(at(1)), nobody)
    await fires(journal, wanted("db"), fingerprint="f2", now=at(5))
    new = await claimed(journal, at(6))
    assert new.remediation.target.name == "db"
    assert (await claimed(journal, at(6))).remediation.id == held_first.remediation.id
