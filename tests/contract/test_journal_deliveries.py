"""What arrives: webhooks wait whole and in order, and alerts become episodes, one for each firing,
however they are delivered.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.errors import AlreadyUnpacked
from remediator.model.alert import Alert, AlertStatus, Episode, Fate
from remediator.model.remediation import Event
from remediator.model.verdict import Reason
from remediator.ports.journal import Journal
from remediator.ports.records import Body, Delivery, Row, Triaged
from tests.contract.journals import at, claimed, ended, opened
from tests.contract.journals import journal as journal
from tests.contract.test_journal import (
    NOW,
    alert,
    born,
    hold_until,
    nobody,
    wanted,
)

TICK = timedelta(microseconds=1)


def fires(received: float, starts: float = 0, fingerprint: str = "f1") -> Delivery:
    """A webhook with one firing alert; times in minutes."""
    return Delivery("s", (alert(fingerprint, starts=at(starts)),), at(received))


def resolves(received: float, ends: float, starts: float = 0, fingerprint: str = "f1") -> Delivery:
    """A webhook with one resolved alert; times in minutes."""
    ended = alert(fingerprint, AlertStatus.RESOLVED, at(starts), at(ends))
    return Delivery("s", (ended,), at(received))


async def triage(journal: Journal, fate: Fate = Fate.ATTACHED) -> None:
    """Decides everything that is pending: one remediation for all of it, or none."""
    asked = (wanted(),) if fate is Fate.ATTACHED else ()
    pending = await journal.pending(NOW)
    await journal.triaged([Triaged(item, fate, None, "d", asked) for item in pending], NOW)


async def only(journal: Journal) -> Row:
    (row,) = await journal.episodes(9, None)
    return row


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff\xfe", '{"ä": "日本"}'.encode(), b"x" * 2_000_000],
    ids=["empty", "not UTF-8", "unicode", "two megabytes"],
)
async def test_a_webhook_is_kept_byte_for_byte(journal: Journal, body: bytes) -> None:
    await journal.store([Body("s", NOW, body)])
    (kept,) = await journal.inbox(10)
    assert (kept.source, kept.received_at, kept.body) == ("s", NOW, body)


@pytest.mark.parametrize(
    "time",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime(2200, 1, 1, tzinfo=UTC),
    ],
    ids=str,
)
async def test_a_time_is_kept_to_the_microsecond_in_any_zone(
    journal: Journal, time: datetime
) -> None:
    await journal.store([Body("s", time, b"{}")])
    await journal.receive([Delivery("s", (alert(starts=time),), time)])
    (body,), (episode,) = await journal.inbox(1), await journal.pending(max(time, NOW))
    assert (body.received_at, episode.alert.starts_at, episode.last_seen) == (time, time, time)


async def test_the_oldest_webhooks_are_read_first_and_no_more_than_asked_for(
    journal: Journal,
) -> None:
    await journal.store([Body("s", at(5), b"1"), Body("t", at(0), b"2")])
    await journal.store([Body("s", at(1), b"3")])
    assert [body.body for body in await journal.inbox(2)] == [b"1", b"2"]


async def test_a_webhook_that_cannot_be_read_no_longer_waits(journal: Journal) -> None:
    await journal.store([Body("s", NOW, b"{"), Body("s", NOW, b"{}")])
    first, second = await journal.inbox(9)
    await journal.unreadable(first.id, "no JSON " * 1000)
    assert [body.id for body in await journal.inbox(9)] == [second.id]
    assert (await journal.counts())["webhooks"] == {"waiting": 1}


async def test_webhooks_of_which_one_was_unpacked_elsewhere_all_stay_as_they_are(
    journal: Journal,
) -> None:
    await journal.store([Body("s", NOW, b"1"), Body("s", NOW, b"2")])
    first, second = await journal.inbox(9)
    await journal.receive([replace(fires(0), body=first.id)])
    with pytest.raises(AlreadyUnpacked):
        await journal.receive(
            [replace(fires(1, fingerprint="f2"), body=body.id) for body in (first, second)]
        )
    assert [body.id for body in await journal.inbox(9)] == [second.id]
    assert (await only(journal))["fingerprint"] == "f1"


async def test_only_new_open_alerts_are_returned_for_triage(journal: Journal) -> None:
    await journal.receive([fires(0)])
    ended = resolves(1, 1, fingerprint="f2")
    new = await journal.receive([fires(1), ended, fires(1, fingerprint="f3")])
    assert [episode.fingerprint for episode in new] == ["f3"]


@pytest.mark.parametrize(
    "sent",
    [
        Alert("f" * 64, AlertStatus.FIRING, {}, {}, NOW, None),
        Alert(
            "f", AlertStatus.FIRING, {"ä": "日本\n\"'"}, {"": "\u2028"}, NOW, None, "http://x?a=b"
        ),
        Alert("f", AlertStatus.FIRING, {"a": "x" * 100_000}, {"b": ""}, NOW, None),
    ],
    ids=["no labels", "unicode", "a very long label"],
)
async def test_an_alert_is_kept_as_it_was_sent(journal: Journal, sent: Alert) -> None:
    await journal.receive([Delivery("s", (sent,), NOW)])
    (kept,) = await journal.pending(NOW)
    assert kept.alert == sent


SEQUENCES: list[tuple[str, Sequence[Delivery], list[str]]] = [
    ("a repeat", [fires(0), fires(4)], ["open x2"]),
    ("an end that was sent twice", [fires(0), resolves(5, 5), resolves(6, 5)], ["closed x2"]),
    ("an end without a beginning", [resolves(5, 5)], ["closed x1"]),
    ("the end of an earlier firing", [fires(0), resolves(1, -1, -5)], ["open x1"]),
    ("an end at the very start", [fires(0), resolves(1, 0)], ["closed x2"]),
    ("a beginning one minute after the last repeat", [fires(0), fires(9, 1)], ["open x2"]),
    (
        "a beginning later than that, whose end was never sent",
        [fires(0), fires(9, 1.01)],
        ["closed x2", "open x1"],
    ),
    (
        "it fires, ends and fires again",
        [fires(0), resolves(5, 5), fires(7, 6)],
        ["closed x2", "open x1"],
    ),
    (
        "it ends again",
        [fires(0), resolves(5, 5), fires(7, 6), resolves(9, 8, 6)],
        ["closed x2", "closed x2"],
    ),
    (
        "a firing that was overtaken by its end",
        [resolves(5, 5), fires(6)],
        ["closed x1", "reopened x1"],
    ),
    (
        "a beginning at the moment of the end",
        [fires(0), resolves(5, 5), fires(6, 5)],
        ["closed x2", "reopened x1"],
    ),
    (
        "an older end after the newest one",
        [fires(0), resolves(5, 5), resolves(6, 4), fires(7, 4.5)],
        ["closed x2", "reopened x1"],
    ),
    (
        "two alerts",
        [fires(0), fires(0, fingerprint="F1"), resolves(1, 1)],
        ["closed x2", "open x1"],
    ),
]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize(
    ("deliveries", "expected"),
    [case[1:] for case in SEQUENCES],
    ids=[case[0] for case in SEQUENCES],
)
async def test_which_deliveries_are_one_episode(
    journal: Journal, deliveries: Sequence[Delivery], expected: list[str], together: bool
) -> None:
    for batch in [deliveries] if together else [[item] for item in deliveries]:
        await journal.receive(batch)
    found = []
    for row in sorted(await journal.episodes(9, None), key=lambda row: not row["open"])[::-1]:
        state = "closed" if not row["open"] else "reopened" if row["reopened"] else "open"
        found.append(f"{state} x{row['deliveries']}")
    assert sorted(found) == sorted(expected)


STEP = st.tuples(
    st.booleans(), st.sampled_from([-3, 0, 2, 5]), st.sampled_from([0, 1, 4]), st.booleans()
)


def deliveries_of(steps: Sequence[tuple[bool, int, int, bool]]) -> list[Delivery]:
    """One webhook a minute, of two alerts."""
    made = []
    for minute, (over, starts, lasts, other) in enumerate(steps):
        name = "f2" if other else "f1"
        made.append(
            resolves(minute, starts + lasts, starts, name) if over else fires(minute, starts, name)
        )
    return made


async def after(batches: Sequence[Sequence[Delivery]], *columns: str) -> list[tuple[object, ...]]:
    """These columns of all episodes that come of the batches."""
    journal = await opened()
    for batch in batches:
        await journal.receive(batch)
    rows = await journal.episodes(99, None)
    return sorted((tuple(str(row[key]) for key in columns) for row in rows), key=str)


@settings(max_examples=30, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=7), st.integers(0, 7))
def test_how_webhooks_are_batched_makes_no_difference(
    steps: list[tuple[bool, int, int, bool]], cut: int
) -> None:
    sent = deliveries_of(steps)
    columns = ("fingerprint", "open", "fate", "reason", "reopened", "ends_at", "deliveries")
    one_by_one = asyncio.run(after([[item] for item in sent], *columns, "last_seen"))
    assert asyncio.run(after([sent[:cut], sent[cut:]], *columns, "last_seen")) == one_by_one


@settings(max_examples=30, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=6))
def test_delivering_everything_twice_opens_nothing_more(
    steps: list[tuple[bool, int, int, bool]],
) -> None:
    seen = [replace(item, received_at=at(9)) for item in deliveries_of(steps)]
    twice = list(chain.from_iterable((item, item) for item in seen))
    columns = ("fingerprint", "open", "ends_at", "starts_at")
    assert asyncio.run(after([twice], *columns)) == asyncio.run(after([seen], *columns))


async def test_a_repeat_is_a_repeat_although_the_sender_s_clock_is_ahead(
    journal: Journal,
) -> None:
    await journal.receive([fires(0, starts=3)])
    await journal.receive([fires(1, starts=3)])
    row = await only(journal)
    assert (row["deliveries"], bool(row["open"])) == (2, True)


async def test_an_episode_began_when_the_earliest_of_its_repeats_says(journal: Journal) -> None:
    for minute, starts in enumerate((0, -5, 1)):
        await journal.receive([fires(minute, starts)])
    assert (await only(journal))["starts_at"] == at(-5).isoformat()


async def test_an_earlier_start_counts_although_the_end_is_in_the_same_batch(
    journal: Journal,
) -> None:
    await journal.receive([fires(0)])
    await journal.receive([fires(1, -5), resolves(2, 2, -5)])
    assert (await only(journal))["starts_at"] == at(-5).isoformat()


async def test_an_end_does_not_confirm_that_the_alert_is_active(journal: Journal) -> None:
    await journal.receive([fires(0), resolves(5, 5)])
    assert (await only(journal))["confirmed_at"] == NOW.isoformat()


async def test_more_alerts_than_one_query_asks_for_are_all_recognized(journal: Journal) -> None:
    names = [f"f{number}" for number in range(801)]
    await journal.receive([Delivery("s", tuple(alert(name) for name in names), NOW)])
    ended = tuple(alert(name, AlertStatus.RESOLVED, ends=at(1)) for name in names)
    await journal.receive([Delivery("s", ended, at(1))])
    assert (await journal.counts())["episodes"] == {}
    assert len(await journal.episodes(2000, None)) == 801


async def test_the_end_of_an_alert_makes_its_remediation_due(journal: Journal) -> None:
    await journal.receive([fires(0)])
    await triage(journal)
    claim = await claimed(journal)
    await journal.write(claim.remediation, hold_until(at(60)), nobody)
    await journal.receive([resolves(3, 2)])
    assert await journal.next_work() == at(3)


async def test_an_end_that_arrives_during_a_slice_is_not_slept_on(journal: Journal) -> None:
    await journal.receive([fires(0)])
    await triage(journal)
    claim = await claimed(journal)
    await journal.receive([resolves(0.1, 0.1)])
    await journal.write(claim.remediation, hold_until(at(60)), nobody)
    assert await journal.next_work() == at(0.1)


async def test_an_episode_that_is_gone_from_alertmanager_is_closed_now(journal: Journal) -> None:
    (episode,) = await journal.receive([fires(0)])
    await triage(journal, fate=Fate.UNMATCHED)
    await journal.close_episode(episode, at(5))
    row = await only(journal)
    assert (bool(row["open"]), row["fate"], row["ends_at"]) == (
        False,
        "resolved",
        at(5).isoformat(),
    )


async def test_an_episode_that_was_delivered_meanwhile_is_not_closed(journal: Journal) -> None:
    (episode,) = await journal.receive([fires(0)])
    await journal.receive([fires(1)])
    await journal.close_episode(episode, at(5))
    assert (await only(journal))["open"]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(-2, 2), max_size=12), st.integers(1, 5))
def test_in_pages_of_any_size_each_open_episode_is_listed_once(
    starts: list[int], size: int
) -> None:
    async def listed() -> list[Episode]:
        journal = await opened()
        for number, minute in enumerate(starts):
            await journal.receive([fires(9, minute, f"f{number}")])
        await journal.receive([resolves(9, 9, 0, "f0")])
        found: list[Episode] = []
        for _ in range(len(starts) + 1):
            page = await journal.still_open(found[-1] if found else None, size)
            assert len(page) <= size
            found += page
        return found

    found = asyncio.run(listed())
    assert [item.alert.starts_at for item in found] == sorted(at(minute) for minute in starts[1:])
    assert len({item.fingerprint for item in found}) == len(starts[1:])


def critical(name: str, starts: float, **labels: str) -> Delivery:
    given = {"alertname": name, "namespace": "shop", "severity": "critical", **labels}
    made = Alert(f"f-{name}", AlertStatus.FIRING, given, {}, at(starts), None)
    return Delivery("s", (made,), at(9))


async def test_new_critical_alerts_of_a_namespace_are_the_newest_first(journal: Journal) -> None:
    sent = [
        critical("Same", 0),
        critical("Old", 1),
        critical("New", 2),
        critical("Newest", 3),
        critical("Mild", 4, severity="warning"),
        critical("Elsewhere", 4, namespace="shop-2"),
        critical("Over", 4),
    ]
    await journal.receive(sent)
    over = replace(sent[-1].alerts[0], status=AlertStatus.RESOLVED, ends_at=at(8))
    await journal.receive([Delivery("s", (over,), at(9))])
    found = await journal.began(at(0), "shop", 9)
    assert [episode.alert.name for episode in found] == ["Newest", "New", "Old"]
    assert [e.alert.name for e in await journal.began(at(1), "shop", 1)] == ["Newest"]


async def test_an_alert_that_is_asked_about_again_later_waits_until_then(
    journal: Journal,
) -> None:
    (episode,) = await journal.receive([fires(0)])
    undecided = Triaged(episode, Fate.PENDING, Reason.UNKNOWN_FACT, "d", again_at=at(1))
    await journal.triaged([undecided], NOW)
    assert await journal.pending(at(1) - TICK) == []
    assert [item.id for item in await journal.pending(at(1))] == [episode.id]


async def test_the_longest_waiting_alerts_are_decided_first(journal: Journal) -> None:
    await journal.receive([fires(2, fingerprint="late"), fires(1, fingerprint="early")])
    assert [item.fingerprint for item in await journal.pending(at(2), 1)] == ["early"]


async def test_a_stale_alert_is_closed_and_triaged_no_more(journal: Journal) -> None:
    (episode,) = await journal.receive([fires(0)])
    await journal.triaged([Triaged(episode, Fate.STALE, Reason.STALE_ALERT, "d")], at(1))
    row = await only(journal)
    assert (bool(row["open"]), row["fate"], row["reason"]) == (False, "stale", "stale_alert")
    assert await journal.pending(at(99)) == []


async def test_an_alert_that_resolved_during_triage_creates_nothing(journal: Journal) -> None:
    (episode,) = await journal.receive([fires(0)])
    await journal.receive([resolves(1, 1)])
    await journal.triaged([Triaged(episode, Fate.ATTACHED, None, "d", (wanted(),))], at(1))
    assert await journal.remediations(9, None) == []
    assert (await only(journal))["fate"] == "resolved"


async def test_two_rules_for_one_alert_are_two_remediations(journal: Journal) -> None:
    (episode,) = await journal.receive([fires(0)])
    both = (wanted(), wanted(rule="second"))
    for _ in range(2):  # a triage that was repeated
        await journal.triaged([Triaged(episode, Fate.ATTACHED, None, "d", both)], NOW)
    assert sorted(row["rule"] for row in await journal.remediations(9, None)) == ["r", "second"]
    assert len((await only(journal))["remediations"]) == 2


@pytest.mark.parametrize(
    ("digest", "again"), [("d", 0), ("other", 1)], ids=["the same rules", "other rules"]
)
async def test_an_unmatched_alert_is_matched_again_by_other_rules(
    journal: Journal, digest: str, again: int
) -> None:
    await journal.receive([fires(0)])
    await triage(journal, fate=Fate.UNMATCHED)
    await journal.reloaded(digest, at(1))
    assert len(await journal.pending(at(1))) == again


@pytest.mark.parametrize(
    ("event", "again"),
    [(Event.OBSERVE, 1), (Event.BLOCK, 1), (Event.FAIL, 0), (Event.CANCEL, 0), (Event.EXPIRE, 0)],
    ids=str,
)
async def test_which_ends_other_rules_may_make_different(
    journal: Journal, event: Event, again: int
) -> None:
    await journal.receive([fires(0)])
    await triage(journal)
    await ended(journal, event)
    await journal.reloaded("other", at(1))
    assert len(await journal.pending(at(1))) == again


async def test_other_rules_make_waiting_work_due(journal: Journal) -> None:
    await born(journal, "web")
    claim = await claimed(journal)
    await journal.write(claim.remediation, hold_until(at(60)), nobody)
    await journal.reloaded("other", at(1))
    assert await journal.next_work() == at(1)


async def test_an_end_is_an_end_for_the_alerts_that_have_resolved(journal: Journal) -> None:
    await journal.receive([fires(0)])
    await triage(journal)
    await journal.receive([resolves(1, 1)])
    await ended(journal, Event.CANCEL, reason=Reason.RESOLVED)
    assert (await only(journal))["fate"] == "resolved"
    assert await journal.revivals(at(999), 9) == []
