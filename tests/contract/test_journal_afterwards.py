"""After an end: what is owed is undone, what fires on is looked at again, and what is old is
forgotten unless something still needs it.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.journal import seals
from remediator.model.call import Evidence
from remediator.model.decision import AttemptChange
from remediator.model.plan import Times
from remediator.model.remediation import Event, Outcome
from remediator.model.usage import Counted, Rate, Reading
from remediator.ports.journal import Journal
from remediator.ports.records import Body
from tests.contract.journals import (
    WEB,
    at,
    claimed,
    ended,
    fires,
    held,
    meant,
    notice,
    opened,
    resolves,
    to,
    triaged_again,
    unless_taken,
    verifying,
)
from tests.contract.journals import journal as journal
from tests.contract.test_journal import MINUTE, NOW, applied, end, nobody, wanted

HOUR = 60 * MINUTE
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
UNDONE_LATER = Times(MINUTE, MINUTE, MINUTE, HOUR)


async def acted(
    journal: Journal,
    event: Event,
    *,
    outcome: Outcome | None = None,
    times: Times = UNDONE_LATER,
    resolved: bool = True,
) -> Any:
    """The ID of one that acted and has ended."""
    await fires(journal, wanted())
    claim = await verifying(journal, times=times)
    if resolved:
        await resolves(journal)
    change = AttemptChange(f"{claim.remediation.id}.1", outcome=outcome)
    await journal.write(claim.remediation, end(event, change=change), nobody)
    return claim.remediation.id


async def owed(journal: Journal, now: Any) -> list[str]:
    return [item.attempt.id for item in await journal.restorations(now, 9)]


async def forget(journal: Journal, before: Any, longest: timedelta = timedelta()) -> None:
    while await journal.prune(before, before, longest):
        pass


@pytest.mark.parametrize(
    ("event", "outcome", "due"),
    [
        (Event.PROVED, Outcome.SUCCEEDED, True),
        (Event.UNPROVED, Outcome.INEFFECTIVE, True),
        (Event.FAIL, Outcome.FAILED, True),
        (Event.LOSE_SIGHT, Outcome.UNKNOWN, True),
        (Event.CANCEL, Outcome.CANCELLED, True),
        (Event.FAIL, Outcome.WORSE, False),
        (Event.FAIL, Outcome.OVERTAKEN, False),
    ],
    ids=str,
)
async def test_a_temporary_change_is_owed_back_unless_it_no_longer_stands(
    journal: Journal, event: Event, outcome: Outcome, due: bool
) -> None:
    ident = await acted(journal, event, outcome=outcome)
    assert await owed(journal, NOW + HOUR - TICK) == []
    assert await owed(journal, NOW + HOUR) == ([f"{ident}.1"] if due else [])


async def test_a_change_that_is_to_stay_is_never_owed_back(journal: Journal) -> None:
    await acted(journal, Event.PROVED, times=replace(UNDONE_LATER, restore_after=None))
    assert await owed(journal, NOW + 999 * DAY) == []


@pytest.mark.parametrize("again", [90, None], ids=["later", "never"])
async def test_an_undo_that_is_due_may_wait(journal: Journal, again: int | None) -> None:
    ident = await acted(journal, Event.PROVED)
    await journal.restore_later(f"{ident}.1", None if again is None else at(again))
    assert await owed(journal, at(90) - TICK) == []
    assert await owed(journal, at(90)) == ([] if again is None else [f"{ident}.1"])


async def test_an_undo_is_a_remediation_of_its_own_and_there_is_one(journal: Journal) -> None:
    ident = await acted(journal, Event.PROVED)
    assert await journal.undo(ident, f"{ident}.1", "timed", at(60)) is None
    assert "is already undoing" in str(await journal.undo(ident, f"{ident}.1", "asked", at(60)))
    assert await owed(journal, at(999)) == []
    undo = await claimed(journal, at(60))
    assert (undo.remediation.undo_of, undo.remediation.undo_why) == (ident, "timed")
    assert (undo.remediation.target.key, undo.episodes) == (WEB, ())
    known = await journal.known(ident)
    assert known is not None
    assert [item.id for item in known.undos] == [undo.remediation.id]


async def test_what_is_in_progress_is_not_undone(journal: Journal) -> None:
    await fires(journal, wanted())
    claim = await verifying(journal)
    refused = await journal.undo(claim.remediation.id, f"{claim.remediation.id}.1", "asked", NOW)
    assert "cancel it first" in str(refused)


async def test_an_undo_does_not_keep_a_new_remediation_from_being_created(
    journal: Journal,
) -> None:
    ident = await acted(journal, Event.PROVED)
    await journal.undo(ident, f"{ident}.1", "asked", at(1))
    await fires(journal, wanted(), fingerprint="f2", now=at(2))
    rows = await journal.remediations(9, "queued")
    assert sorted(row["undo_of"] for row in rows) == ["", ident]


async def test_an_undo_frees_its_locks_when_it_ends(journal: Journal) -> None:
    ident = await acted(journal, Event.PROVED)
    await journal.undo(ident, f"{ident}.1", "asked", at(1))
    undo = await claimed(journal, at(1))
    await journal.begin(undo.remediation, meant(undo, at(1), charged=False), unless_taken)
    assert await held(journal) == {WEB: undo.remediation.id}
    await journal.write(undo.remediation, end(Event.FAIL), nobody)
    assert await held(journal) == {}


@pytest.mark.parametrize(("why", "again"), [("timed", True), ("asked", False)])
async def test_only_a_timed_undo_that_had_to_wait_too_long_is_tried_again(
    journal: Journal, why: str, again: bool
) -> None:
    ident = await acted(journal, Event.PROVED)
    await journal.undo(ident, f"{ident}.1", why, at(60))
    undo = await claimed(journal, at(60))
    late = replace(end(Event.EXPIRE), at=at(120))
    await journal.write(undo.remediation, late, nobody)
    assert await owed(journal, at(180) - TICK) == []
    assert await owed(journal, at(180)) == ([f"{ident}.1"] if again else [])


async def test_what_an_undo_tells_belongs_to_the_thread_of_what_it_undoes(
    journal: Journal,
) -> None:
    ident = await acted(journal, Event.PROVED)
    await journal.undo(ident, f"{ident}.1", "asked", at(1))
    undo = await claimed(journal, at(1))
    await journal.write(undo.remediation, end(Event.FAIL), lambda _written: to("pager"))
    assert [letter.remediation for letter in await journal.outbox(at(1))] == [ident]


@pytest.mark.parametrize(
    ("event", "due"),
    [
        (Event.FAIL, True),
        (Event.EXPIRE, True),
        (Event.UNPROVED, True),
        (Event.OBSERVE, False),  # only other rules would make it different
        (Event.BLOCK, False),
    ],
    ids=str,
)
async def test_which_ends_are_looked_at_again_while_an_alert_fires(
    journal: Journal, event: Event, due: bool
) -> None:
    await fires(journal, wanted())
    ident = await ended(journal, event)
    found = [item.remediation.id for item in await journal.revivals(NOW, 9)]
    assert found == ([ident] if due else [])


async def test_reviving_one_is_done_once(journal: Journal) -> None:
    await fires(journal, wanted())
    ident = await ended(journal, Event.FAIL)
    for _ in range(2):
        await journal.revive(ident, at(1))
        await triaged_again(journal, wanted(), now=at(1))
    assert len(await journal.remediations(9, "queued")) == 1
    assert await journal.revivals(at(999), 9) == []


async def test_the_past_is_told_of_every_rule_and_in_order(journal: Journal) -> None:
    for minute, name in enumerate(("r", "second")):
        await fires(journal, wanted(rule=name), fingerprint=name, now=at(minute))
        claim = await verifying(journal, at(minute))
        made = applied(
            f"{claim.remediation.id}.1",
            evidence=(Evidence(200, "x", {"template": f"t{minute}"}),),
            outcome=Outcome.SUCCEEDED,
        ).change
        await journal.write(claim.remediation, end(Event.PROVED, change=made), nobody)
    await resolves(journal, "r", at(5))
    past = await journal.past("r", WEB)
    assert [(act.rule, act.left) for act in past.acts] == [("r", "t0"), ("second", "t1")]
    assert past.proved == {"t0", "t1"}
    assert past.firing == ((NOW, at(5)),)
    assert (await journal.past("r", "c/Deployment/shop/db")).acts == ()


async def test_what_is_owed_is_known_to_who_plans_the_next_act(journal: Journal) -> None:
    ident = await acted(journal, Event.PROVED, outcome=Outcome.SUCCEEDED)
    assert [act.owed for act in (await journal.past("r", WEB)).acts] == [True]
    await journal.restore_later(f"{ident}.1", None)
    assert [act.owed for act in (await journal.past("r", WEB)).acts] == [False]


@pytest.mark.parametrize(
    ("ago", "left"), [(TICK, 0), (timedelta(), 1)], ids=["older", "exactly as old"]
)
async def test_only_what_is_older_is_forgotten(journal: Journal, ago: timedelta, left: int) -> None:
    await fires(journal, wanted())
    await resolves(journal)
    await ended(journal, Event.CANCEL)
    await forget(journal, NOW + ago)
    assert len(await journal.remediations(9, None)) == left
    assert len(await journal.episodes(9, None)) == left


async def test_what_lives_is_never_forgotten(journal: Journal) -> None:
    await fires(journal, wanted())
    await journal.store([Body("s", NOW, b"{}")])
    await fires(journal, fingerprint="unmatched")
    claim = await verifying(journal)
    await journal.escalated(claim.remediation.id, to("pager"), None, NOW)
    await forget(journal, NOW + 999 * DAY, 9999 * DAY)
    shown = await journal.show(claim.remediation.id)
    assert shown is not None
    assert (len(shown["attempts"]), len(shown["episodes"]), len(shown["messages"])) == (1, 1, 1)
    assert (len(await journal.inbox(9)), len(await journal.charges(at(-1)))) == (1, 1)
    assert len(await journal.episodes(9, None)) == 2
    assert await held(journal) == {WEB: claim.remediation.id}


async def test_a_change_that_is_owed_back_is_not_forgotten(journal: Journal) -> None:
    ident = await acted(journal, Event.PROVED)
    await forget(journal, NOW + DAY)
    assert await owed(journal, NOW + DAY) == [f"{ident}.1"]


async def test_a_notification_that_waits_is_delivered_although_its_remediation_is_forgotten(
    journal: Journal,
) -> None:
    await fires(journal, wanted())
    await resolves(journal)
    claim = await claimed(journal)
    await journal.write(claim.remediation, end(Event.FAIL), lambda _written: to("pager"))
    await forget(journal, NOW + DAY)
    (letter,) = await journal.outbox(NOW + DAY)
    await journal.delivered(letter.id, NOW + DAY, None, None)
    await forget(journal, NOW + 2 * DAY)
    assert (await journal.oldest_message(), await journal.outbox(NOW + 9 * DAY)) == (None, [])


async def test_a_charge_counts_for_as_long_as_the_longest_limit(journal: Journal) -> None:
    await acted(journal, Event.PROVED, times=replace(UNDONE_LATER, restore_after=None))
    await fires(journal, wanted(), fingerprint="f2")
    weekly = Counted("rule", Rate(1, 7 * DAY), (("rule", "r"),))
    now = NOW + 7 * DAY - TICK
    while await journal.prune(now - DAY, now, 7 * DAY):
        pass
    claim = await claimed(journal)
    reading = Reading((WEB,), (weekly,))
    assert (await journal.usage(claim.remediation, reading, now)).used_up == {weekly: NOW}
    await journal.prune(now, now + DAY, 7 * DAY)
    assert await journal.charges(at(-1)) == []


async def test_the_history_is_whole_after_forgetting() -> None:
    journal = await opened()
    for minute in range(3):
        await fires(journal, wanted(f"w{minute}"), fingerprint=f"f{minute}", now=at(minute))
        await resolves(journal, f"f{minute}", at(minute))
        await ended(journal, Event.CANCEL, at(minute))
        await journal.seal(at(minute))
    await forget(journal, at(1.5))
    await journal.seal(at(9))
    report = await journal._read(seals.verify, "")
    assert (report.findings, report.unsealed, report.pruned_at) == ([], 0, at(1.5))
    assert report.first == 5  # two entries each were forgotten


@pytest.mark.parametrize("event", [Event.OBSERVE, Event.BLOCK], ids=str)
async def test_an_alert_that_outlasts_the_retention_is_still_matched_by_other_rules(
    journal: Journal, event: Event
) -> None:
    await fires(journal, wanted())
    await ended(journal, event)
    await forget(journal, NOW + DAY)
    await journal.reloaded("other", NOW + DAY)
    assert len(await journal.pending(NOW + DAY)) == 1


async def test_what_is_being_undone_is_not_forgotten(journal: Journal) -> None:
    ident = await acted(journal, Event.PROVED)
    await journal.undo(ident, f"{ident}.1", "asked", NOW + DAY)
    await forget(journal, NOW + DAY)
    assert (await claimed(journal, NOW + DAY)).undone is not None


async def test_a_storm_s_notifications_are_kept_while_it_lasts(journal: Journal) -> None:
    await journal.storm("c/g", "five of six", NOW + DAY, to("pager"), now=NOW)
    (letter,) = await journal.outbox(NOW)
    await journal.delivered(letter.id, NOW, None, None)
    await forget(journal, NOW + DAY)
    await journal.calm("c/g", notice("over"), NOW + DAY)
    assert [letter.receiver for letter in await journal.outbox(NOW + DAY)] == ["pager"]
