"""What is known of rules: storms and whom they were told to, breakers, how remediations ended, and
each rule's record.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from remediator.model.alert import Fate
from remediator.model.decision import Ask
from remediator.model.remediation import Event
from remediator.model.verdict import Reason
from remediator.ports.journal import Journal
from remediator.ports.records import Triaged
from tests.contract.journals import (
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
)
from tests.contract.journals import journal as journal
from tests.contract.test_journal import NOW, end, nobody, wanted

TICK = timedelta(microseconds=1)


async def letters(journal: Journal, now: datetime) -> list[str]:
    """Who is notified of what; everything is delivered."""
    found = []
    while taken := await journal.outbox(now):
        for letter in taken:
            await journal.delivered(letter.id, now, None, None)
            found.append(f"{letter.receiver}: {letter.notice.why}")
    return sorted(found)


async def storm(
    journal: Journal, minute: float, *receivers: str, until: float = 10, group: str = "c/g"
) -> bool:
    told = to(*receivers, why=f"{group} at {minute:g}")
    return await journal.storm(group, "five of six", at(until), told, now=at(minute))


async def test_a_storm_is_new_once_and_goes_on(journal: Journal) -> None:
    assert await storm(journal, 0, "pager")
    assert not await storm(journal, 5, "pager", until=15)
    assert not await storm(journal, 6, "pager", until=12)  # it never becomes shorter
    (row,) = await journal.storms()
    assert (row.group, row.since, row.until, row.told) == ("c/g", NOW, at(15), ("pager",))
    assert await letters(journal, at(6)) == ["pager: c/g at 0"]


async def test_who_was_not_told_of_a_storm_yet_is_told_as_it_goes_on(journal: Journal) -> None:
    await storm(journal, 0, "pager")
    await storm(journal, 1, "pager", "chat")
    assert await letters(journal, at(1)) == ["chat: c/g at 1", "pager: c/g at 0"]


@pytest.mark.parametrize(
    ("minute", "new"), [(10 - 1e-6, False), (10, True)], ids=["just before", "at its end"]
)
async def test_a_storm_that_has_passed_begins_anew(
    journal: Journal, minute: float, new: bool
) -> None:
    await storm(journal, 0, "pager")
    assert await storm(journal, minute, "pager", until=20) is new
    assert len(await letters(journal, at(20))) == 1 + new


async def test_the_end_of_a_storm_is_told_once_to_those_who_know_of_it(journal: Journal) -> None:
    await storm(journal, 0, "pager")
    await storm(journal, 0, "other", group="c/another")
    await letters(journal, NOW)
    await journal.calm("c/g", notice("over"), at(10) - TICK)
    assert len(await journal.storms()) == 2
    for _ in range(2):
        await journal.calm("c/g", notice("over"), at(10))
    assert [row.group for row in await journal.storms()] == ["c/another"]
    assert await letters(journal, at(10)) == ["pager: over"]


async def test_who_knows_only_of_an_earlier_storm_does_not_hear_of_the_end_of_this_one(
    journal: Journal,
) -> None:
    await storm(journal, 0, "pager")
    await journal.calm("c/g", notice("over"), at(10))
    await letters(journal, at(10))
    await storm(journal, 20, "chat", until=30)
    await letters(journal, at(20))
    await journal.calm("c/g", notice("over again"), at(30))
    assert await letters(journal, at(30)) == ["chat: over again"]


SHARED = "production-eu-central-1/team-payments"


async def test_storms_of_groups_whose_names_begin_alike_are_told_apart(journal: Journal) -> None:
    await storm(journal, 0, "api-team", group=f"{SHARED}-api")
    await storm(journal, 1, "db-team", group=f"{SHARED}-db")
    told = {row.group: row.told for row in await journal.storms()}
    assert told == {f"{SHARED}-api": ("api-team",), f"{SHARED}-db": ("db-team",)}


async def opens(
    journal: Journal, minute: float | None, *receivers: str, now: float = 0, rule: str = "r"
) -> None:
    """A breaker opens, or closes where no time is given."""
    since = None if minute is None else at(minute)
    said = notice(f"{rule} {'closed' if since is None else 'open'}")
    await journal.breaker(rule, since, "three of five", receivers, said=said, now=at(now))


async def test_a_breaker_is_told_when_it_opens_and_closes_and_not_between(
    journal: Journal,
) -> None:
    await opens(journal, 0, "pager")
    await opens(journal, 0, "pager")
    await opens(journal, 3, "pager", "chat", now=3)  # another bad end
    (row,) = await journal.breakers()
    assert (row.rule, row.opened_at) == ("r", at(3))
    assert await letters(journal, at(3)) == ["pager: r open"]
    for _ in range(2):
        await opens(journal, None, "chat", now=9)
    assert await letters(journal, at(9)) == ["pager: r closed"]
    assert [row.opened_at for row in await journal.breakers()] == [None]


async def test_a_breaker_that_was_never_open_does_not_close(journal: Journal) -> None:
    await opens(journal, None, "pager")
    assert await letters(journal, NOW) == []


async def test_a_breaker_that_opens_again_is_told_again(journal: Journal) -> None:
    for minute in (0.0, None, 5.0):
        await opens(journal, minute, "pager", now=minute or 1)
    assert await letters(journal, at(5)) == ["pager: r closed", "pager: r open", "pager: r open"]


async def test_breakers_of_rules_whose_names_begin_alike_are_told_apart(
    journal: Journal,
) -> None:
    shared = "restart-a-crashing-workload-of-team"
    await opens(journal, 0, "api-team", rule=f"{shared}-api")
    await opens(journal, 0, "db-team", rule=f"{shared}-db")
    await letters(journal, NOW)
    await opens(journal, None, rule=f"{shared}-db", now=5)
    assert await letters(journal, at(5)) == [f"db-team: {shared}-db closed"]


async def end_in_turn(journal: Journal, *events: tuple[Event, Reason | None]) -> None:
    """Remediations of different workloads that end a minute apart."""
    for minute, (event, reason) in enumerate(events):
        name = f"w{minute}"
        await fires(journal, wanted(name), fingerprint=name, now=at(minute))
        await ended(journal, event, at(minute), acted=True, reason=reason)


async def test_how_a_rule_s_remediations_ended_is_told_newest_first(journal: Journal) -> None:
    await end_in_turn(
        journal,
        (Event.PROVED, None),
        (Event.UNPROVED, None),
        (Event.FAIL, Reason.FORBIDDEN),
        (Event.FAIL, Reason.TARGET_GONE),
        (Event.LOSE_SIGHT, Reason.UNKNOWN_FACT),
        (Event.CANCEL, Reason.OPERATOR),
    )
    ends = await journal.ends("r", 5)
    assert [(item.good, item.at) for item in ends] == [
        (None, at(3)),  # somebody stepped in
        (False, at(2)),
        (False, at(1)),
        (True, at(0)),
    ]
    assert await journal.ends("another", 5) == ()


async def test_one_that_did_not_act_says_nothing_of_its_rule(journal: Journal) -> None:
    await fires(journal, wanted())
    await ended(journal, Event.FAIL, reason=Reason.FORBIDDEN)
    assert (await journal.ends("r", 5), await journal.suspects(at(-9), 9)) == ((), [])


async def test_a_reset_forgets_what_was_until_then(journal: Journal) -> None:
    await end_in_turn(journal, (Event.FAIL, None), (Event.FAIL, None), (Event.UNPROVED, None))
    await journal.reset("r", "ann", at(1))
    assert [item.at for item in await journal.ends("r", 5)] == [at(2)]
    (row,) = await journal.breakers()
    assert (row.reset_at, row.reset_by, row.opened_at) == (at(1), "ann", None)


async def test_a_reset_of_an_open_breaker_lets_it_close_with_a_notification(
    journal: Journal,
) -> None:
    await opens(journal, 0, "pager")
    await journal.reset("r", "ann", at(1))
    await opens(journal, None, now=1)
    assert await letters(journal, at(1)) == ["pager: r closed", "pager: r open"]


@pytest.mark.parametrize(
    ("event", "suspect"),
    [(Event.FAIL, True), (Event.UNPROVED, True), (Event.PROVED, False), (Event.CANCEL, False)],
    ids=str,
)
async def test_which_ends_make_a_rule_suspect(
    journal: Journal, event: Event, suspect: bool
) -> None:
    await end_in_turn(journal, (event, None))
    assert (await journal.suspects(at(-1), 9) == ["r"]) is suspect
    assert await journal.suspects(at(0), 9) == []


async def troubled(journal: Journal) -> list[str]:
    return [item.key for item in await journal.troubled("c")]


async def test_in_trouble_is_each_workload_of_which_an_alert_fires(journal: Journal) -> None:
    for number, name in enumerate(("web", "web", "db", "over")):
        await fires(journal, wanted(name), fingerprint=f"f{number}")
    await resolves(journal, "f3")
    assert await troubled(journal) == ["shop/db", "shop/web"]
    await resolves(journal, "f0")
    assert "shop/web" in await troubled(journal)  # its other alert fires
    assert await journal.troubled("another") == ()


async def test_a_workload_stays_in_trouble_after_its_remediation_has_ended(
    journal: Journal,
) -> None:
    await fires(journal, wanted())
    await ended(journal, Event.FAIL, acted=True)
    assert await troubled(journal) == ["shop/web"]
    await resolves(journal)
    assert await troubled(journal) == []


async def test_an_alert_that_matches_no_rule_any_more_is_no_trouble(journal: Journal) -> None:
    await fires(journal, wanted(), wanted("db", "second"))
    await ended(journal, Event.OBSERVE)
    await ended(journal, Event.FAIL)
    await journal.reloaded("other", NOW)
    (episode,) = await journal.pending(NOW)
    await journal.triaged([Triaged(episode, Fate.UNMATCHED, None, "other")], NOW)
    assert await troubled(journal) == []


async def test_a_pod_counts_as_its_workload(journal: Journal) -> None:
    for name in ("web-7d4b9c6f5d-x2x4z", "web-7d4b9c6f5d-x7k2p"):
        pod = replace(wanted().target, kind="Pod", name=name)
        await fires(journal, replace(wanted(), target=pod), fingerprint=name)
    assert await troubled(journal) == ["shop/web"]


async def record_of(events: Sequence[tuple[Event, Reason | None]], *, acted: bool) -> object:
    journal = await opened()
    for minute, (event, reason) in enumerate(events):
        await fires(journal, wanted(f"w{minute}"), fingerprint=f"w{minute}", now=at(minute))
        await ended(journal, event, at(minute), acted=acted, reason=reason)
    record = (await journal.record(["r", "unused"]))["r"]
    return {key: value for key, value in record.items() if value}


@pytest.mark.parametrize(
    ("events", "acted", "expected"),
    [
        ([(Event.OBSERVE, Reason.OBSERVE_MODE)] * 2, False, {"would": 2}),
        (
            [(Event.OBSERVE, Reason.NO_CAUSE), (Event.OBSERVE, Reason.COOLDOWN)],
            False,
            {"idle": 2, "against": {"no_cause": 1, "cooldown": 1}},
        ),
        ([(Event.EXPIRE, Reason.APPROVAL_EXPIRED)], False, {"undecided": 1}),
        ([(Event.EXPIRE, Reason.PAUSED), (Event.BLOCK, Reason.GAVE_UP)], False, {}),
        (
            [(Event.PROVED, None), (Event.UNPROVED, None), (Event.FAIL, None)],
            True,
            {"succeeded": 1, "ineffective": 1, "failed": 1},
        ),
        ([(Event.LOSE_SIGHT, None), (Event.CANCEL, Reason.OPERATOR)], True, {"other": 2}),
        ([], True, {}),
    ],
    ids=["would", "idle", "undecided", "held or blocked", "judged", "not judged", "nothing"],
)
async def test_a_rule_s_record(
    events: Sequence[tuple[Event, Reason | None]], acted: bool, expected: object
) -> None:
    assert await record_of(events, acted=acted) == expected


async def test_the_record_counts_decisions_and_shows_the_latest_plans(journal: Journal) -> None:
    for number in range(4):
        await fires(journal, wanted(f"w{number}"), fingerprint=f"w{number}", now=at(number))
        claim = await claimed(journal, at(number))
        look = meant(claim).look
        assert look.plan is not None
        seen = replace(look, plan=replace(look.plan, summary=f"restart {number}"))
        observed = end(Event.OBSERVE, reason=Reason.OBSERVE_MODE, look=seen)
        await journal.write(claim.remediation, observed, nobody)
    for number, approve in enumerate((True, False)):
        await fires(journal, wanted(f"a{number}"), fingerprint=f"a{number}", now=at(9))
        claim = await claimed(journal, at(9))
        look = meant(claim).look
        ask = Ask(at=at(9), reason=None, why="", until=at(99), look=look, question=None)
        await journal.write(claim.remediation, ask, nobody)
        await journal.decide(claim.remediation.id, "", "ann", approve, now=at(9))
        await claimed(journal, at(9))
    record = (await journal.record(["r"]))["r"]
    assert (record["would"], record["approved"], record["denied"]) == (4, 1, 1)
    assert record["lately"] == ["restart 3", "restart 2", "restart 1"]


async def test_how_long_alerts_lasted_and_whether_we_acted(journal: Journal) -> None:
    await fires(journal, wanted())
    await begun(journal)
    await fires(journal, wanted("db"), fingerprint="f2", now=at(1))
    await resolves(journal, "f1", at(4))
    await resolves(journal, "f2", at(4))
    assert sorted(await journal.resolutions(at(3), at(4))) == [("r", False, 180), ("r", True, 240)]
    assert await journal.resolutions(at(4), at(5)) == []


async def test_an_alert_that_was_revived_lasted_once(journal: Journal) -> None:
    await fires(journal, wanted())
    await journal.revive(await ended(journal, Event.FAIL), NOW)
    await triaged_again(journal, wanted())
    await resolves(journal, now=at(4))
    assert await journal.resolutions(at(3), at(4)) == [("r", False, 240)]
