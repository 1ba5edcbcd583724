"""The journal port's contract: the same suite in memory, on a SQLite file and on PostgreSQL."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from remediator.errors import (
    AlreadyUnpacked,
    ConfigurationError,
    JournalLocked,
    JournalUnavailable,
    LeaseLost,
)
from remediator.journal import migrate
from remediator.journal.sql import SqlJournal
from remediator.journal.tables import inbox, metadata, remediation
from remediator.model.alert import Alert, AlertStatus, Fate
from remediator.model.call import Call, Evidence
from remediator.model.decision import Applied, Ask, AttemptChange, End, Hold, TakeBack
from remediator.model.look import Look
from remediator.model.plan import Plan, Times
from remediator.model.remediation import Attempt, Event, State
from remediator.model.target import Target
from remediator.model.usage import Holder, Reading, Usage
from remediator.model.verdict import Reason, Verdict, allow, hold
from remediator.ports.journal import Journal
from remediator.ports.records import Body, Delivery, Intent, Message, Triaged, Wanted, Written
from tests.contract.records import rule as rule_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=60)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlJournal]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").database(f"j{uuid.uuid4().hex[:10]}")
    else:
        url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/journal.db"
    opened = SqlJournal(url)
    await opened.open(NOW)
    yield opened
    await opened.close()


def alert(
    fingerprint: str = "f1",
    status: AlertStatus = AlertStatus.FIRING,
    starts: datetime = NOW,
    ends: datetime | None = None,
) -> Alert:
    return Alert(fingerprint, status, {"alertname": "A", "namespace": "shop"}, {}, starts, ends)


def wanted(name: str = "web", rule: str = "r") -> Wanted:
    target = Target("c", "Deployment", "shop", name)
    return Wanted(rule_of(rule), "d1", target, NOW)


async def born(journal: Journal, *names: str) -> None:
    for index, name in enumerate(names):
        await journal.receive([Delivery("s", (alert(f"f-{name}-{index}"),), NOW)])
        episode = (await journal.pending(NOW))[0]
        await journal.triaged([Triaged(episode, Fate.ATTACHED, None, "d", (wanted(name),))], NOW)


def intent(
    claim: Any, locks: tuple[str, ...] = ("c/Deployment/shop/web",), number: int = 1
) -> Intent:
    target = claim.remediation.target
    plan = Plan(
        action="restart_workload",
        target=target,
        parameters={},
        calls=(Call("patch", target),),
        assumptions={},
        locks=locks,
        summary="restart",
        previous={},
        before={},
        touches=(),
        converged_within=MINUTE,
    )
    attempt = Attempt(
        f"{claim.remediation.id}.{number}",
        claim.remediation.id,
        number,
        0,
        "restart_workload",
        plan,
        Times(MINUTE, MINUTE, MINUTE, None),
        "sha256:x",
        (),
        NOW,
        NOW + SECOND,
    )
    return Intent(attempt, Reading(locks), "r", locks[0], target, Look(NOW, (), plan=plan))


def nobody(_written: Written) -> tuple[Message, ...]:
    return ()


def hold_until(until: datetime) -> Hold:
    return Hold(at=until, reason=None, why="", until=until, look=None)


def applied(attempt: str = "", **change: Any) -> Applied:
    changed = AttemptChange(attempt, **change)
    return Applied(at=NOW, reason=None, why="", until=NOW, change=changed, unlock=())


def end(event: Event, **more: Any) -> End:
    return End(event=event, at=NOW, **{"reason": None, "why": "", **more})


def allowing(_usage: Usage) -> list[Verdict]:
    return [allow("limits")]


def refusing_taken(usage: Usage) -> list[Verdict]:
    return [
        hold("target_lock", Reason.TARGET_BUSY, "taken") if usage.locks else allow("target_lock")
    ]


async def test_an_episode_is_opened_refreshed_and_closed(journal: SqlJournal) -> None:
    await journal.receive([Delivery("s", (alert(), alert()), NOW)])
    await journal.receive([Delivery("s", (alert(starts=NOW - timedelta(hours=1)),), NOW + SECOND)])
    (episode,) = await journal.pending(NOW + SECOND)
    assert (episode.deliveries, episode.alert.starts_at) == (3, NOW - timedelta(hours=1))
    await journal.receive(
        [Delivery("s", (alert(status=AlertStatus.RESOLVED, ends=NOW + SECOND),), NOW + SECOND)]
    )
    assert await journal.pending(NOW + timedelta(hours=1)) == []
    (row,) = await journal.episodes(10, "f1")
    assert (row["fate"], row["reason"], bool(row["open"])) == ("resolved", "resolved", False)


async def test_two_sources_are_two_episodes(journal: SqlJournal) -> None:
    await journal.receive([Delivery("a", (alert(),), NOW), Delivery("b", (alert(),), NOW)])
    assert len(await journal.pending(NOW)) == 2


async def test_a_refire_and_a_late_firing(journal: SqlJournal) -> None:
    await journal.receive([Delivery("s", (alert(),), NOW)])
    end = NOW + timedelta(minutes=5)
    await journal.receive([Delivery("s", (alert(status=AlertStatus.RESOLVED, ends=end),), end)])
    await journal.receive([Delivery("s", (alert(),), end + SECOND)])
    (late,) = await journal.pending(end + SECOND)
    assert late.reopened
    again = end + timedelta(minutes=10)
    await journal.receive([Delivery("s", (alert(starts=again),), again)])
    (fresh,) = await journal.pending(again)
    assert not fresh.reopened
    assert fresh.id != late.id


async def test_a_thousand_alerts_in_one_delivery_are_all_there(journal: SqlJournal) -> None:
    await journal.receive([Delivery("s", tuple(alert(f"f{n}") for n in range(1000)), NOW)])
    assert (await journal.counts())["episodes"] == {"pending": 1000}


async def test_alerts_for_one_target_share_one_remediation(journal: SqlJournal) -> None:
    await born(journal, "web", "web", "web")
    (row,) = await journal.remediations(10, None)
    shown = await journal.show(row["id"])
    assert shown is not None
    assert len(shown["episodes"]) == 3


async def test_a_claim_is_exclusive_until_its_lease_ends(journal: SqlJournal) -> None:
    await born(journal, "web")
    # PostgreSQL's leases go by its own clock, whatever a daemon's says
    short = SECOND if not journal.sqlite else LEASE
    first = await journal.claim(NOW, short)
    assert first is not None
    assert await journal.claim(NOW, LEASE) is None
    if not journal.sqlite:
        assert await journal.claim(NOW + timedelta(hours=1), LEASE) is None
        await asyncio.sleep(1.1)
    later = NOW + LEASE + SECOND
    second = await journal.claim(later, LEASE)
    assert second is not None
    with pytest.raises(LeaseLost):
        await journal.write(first.remediation, hold_until(later), nobody)


async def test_news_of_its_objects_make_what_is_held_due(journal: SqlJournal) -> None:
    await born(journal, "web", "api")
    first, second = [claim for _ in range(2) if (claim := await journal.claim(NOW, LEASE))]
    for claim in (first, second):
        await journal.write(claim.remediation, hold_until(NOW + timedelta(hours=1)), nobody)
    await journal.hasten([first.remediation.id], NOW)
    woken = await journal.claim(NOW, LEASE)
    assert woken is not None
    assert woken.remediation.id == first.remediation.id
    await journal.hasten([first.remediation.id], NOW)
    await journal.write(woken.remediation, hold_until(NOW + timedelta(hours=1)), nobody)
    assert await journal.claim(NOW, LEASE) is not None


async def test_concurrent_claimers_never_share(journal: SqlJournal) -> None:
    await born(journal, *(f"web{n}" for n in range(12)))
    claims = await asyncio.gather(*(journal.claim(NOW, LEASE) for _ in range(20)))
    ids = [claim.remediation.id for claim in claims if claim]
    assert len(ids) == len(set(ids))
    while (more := await journal.claim(NOW, LEASE)) is not None:
        ids.append(more.remediation.id)
    assert len(ids) == len(set(ids)) == 12


async def test_concurrent_begins_take_one_lock(journal: SqlJournal) -> None:
    await born(journal, "web1", "web2", "web3", "web4")
    claims = [claim for _ in range(4) if (claim := await journal.claim(NOW, LEASE))]
    assert len(claims) == 4
    answers = await asyncio.gather(
        *(journal.begin(c.remediation, intent(c, ("shared",)), refusing_taken) for c in claims)
    )
    assert sum(answer[0].reason is None for answer in answers) == 1
    states = sorted(row["state"] for row in await journal.remediations(10, None))
    assert states == ["executing", "queued", "queued", "queued"]


async def test_a_refused_begin_leaves_no_charge_and_no_lock(journal: SqlJournal) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.begin(
        claim.remediation, intent(claim), lambda _: [hold("rate", Reason.RATE_LIMITED, "no")]
    )
    usage = await journal.usage(claim.remediation, Reading(("c/Deployment/shop/web",)), NOW)
    assert (usage.locks, usage.begun, await journal.charges(NOW - SECOND)) == ({}, False, [])


async def test_an_end_frees_locks_and_keeps_the_charge(journal: SqlJournal) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.begin(claim.remediation, intent(claim), allowing)
    held = await journal.usage(claim.remediation, Reading(("c/Deployment/shop/web",)), NOW)
    assert held.locks == {"c/Deployment/shop/web": Holder(claim.remediation.id)}
    await journal.write(claim.remediation, applied(), nobody)
    moved = await journal.write(claim.remediation, end(Event.PROVED), nobody)
    assert moved.state is State.SUCCEEDED
    freed = await journal.usage(
        claim.remediation, Reading(("c/Deployment/shop/web",)), NOW + SECOND
    )
    assert (freed.locks, freed.begun, len(await journal.charges(NOW - SECOND))) == ({}, True, 1)
    assert await journal.claim(NOW + timedelta(days=1), LEASE) is None


async def test_the_younger_of_two_for_one_climbed_target_is_superseded(journal: SqlJournal) -> None:
    await born(journal, "web-1", "web-2")
    climbed = Target("c", "Deployment", "shop", "web", "u1")
    first = await journal.claim(NOW, LEASE)
    second = await journal.claim(NOW, LEASE)
    assert first is not None
    assert second is not None
    kept = [
        await journal.retarget(claim.remediation, climbed, climbed.key, NOW)
        for claim in (first, second)
    ]
    rows = await journal.remediations(10, None)
    assert sorted(row["state"] for row in rows) == ["queued", "superseded"]
    survivor = next(row for row in rows if row["state"] == "queued")
    shown = await journal.show(survivor["id"])
    assert shown is not None
    assert len(shown["episodes"]) == 2
    assert any(kept)


async def test_an_approval_is_for_the_digest_that_is_shown(journal: SqlJournal) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    look = intent(claim).look
    digest = look.plan.digest if look.plan else ""
    asked = Ask(at=NOW, reason=None, why="", until=NOW, look=look, question=None)
    await journal.write(claim.remediation, asked, nobody)
    ident = claim.remediation.id
    refused = await journal.decide(ident, "sha256:b", "me", True, now=NOW)
    assert refused is not None
    assert "changed" in refused
    assert await journal.decide(ident, digest, "me", True, now=NOW) is None
    again = await journal.claim(NOW, LEASE)
    assert again is not None
    assert (again.remediation.approved_digest, again.remediation.approved_by) == (digest, "me")


async def test_retention_forgets_what_ended_and_keeps_what_lives(journal: SqlJournal) -> None:
    await born(journal, "web", "db")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.write(claim.remediation, end(Event.CANCEL, reason=Reason.OPERATOR), nobody)
    await journal.prune(NOW + timedelta(days=1), NOW)
    # it fires on
    assert sorted(row["state"] for row in await journal.remediations(10, None)) == [
        "cancelled",
        "queued",
    ]
    await journal.revive_later(claim.remediation.id, "", None)
    await journal.prune(NOW + timedelta(days=1), NOW)
    assert [row["state"] for row in await journal.remediations(10, None)] == ["queued"]


async def test_a_second_daemon_on_the_same_file_is_refused(tmp_path: Path) -> None:
    first, second = (
        SqlJournal(f"sqlite:///{tmp_path}/j.db"),
        SqlJournal(f"sqlite:///{tmp_path}/j.db"),
    )
    await first.open(NOW)
    with pytest.raises(JournalLocked, match="another remediator is using it"):
        await second.open(NOW)
    await first.close()


async def test_a_migrated_journal_is_the_schema(journal: SqlJournal) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with journal._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


async def test_what_has_ended_is_refused_in_words_even_if_its_rule_cannot_be_read(
    journal: SqlJournal,
) -> None:
    await born(journal, "web")
    (row,) = await journal.remediations(10, None)
    ident = row["id"]
    unreadable = {"state": "succeeded", "live": False, "rule_text": '{"escalate": 1}'}
    with journal._engine.begin() as connection:
        connection.execute(sa.update(remediation).values(**unreadable))
    refused = await journal.decide(ident, "", "me", True, now=NOW)
    assert refused == f"{ident} is succeeded; it is not waiting for approval"


async def test_a_file_of_an_older_version_keeps_its_webhooks_and_never_reuses_an_id(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/j.db"
    _write_schema(url, "0004")
    old = SqlJournal(url)
    with old._engine.begin() as connection:
        for number, text in ((7, b"7"), (9, b"9")):
            connection.execute(
                sa.insert(inbox).values(id=number, source="s", received_at=NOW, body=text)
            )
    await old.open(NOW)
    kept = await old.inbox(10)
    assert [(body.id, body.body) for body in kept] == [(7, b"7"), (9, b"9")]
    await old.receive([Delivery("s", (), NOW, body.id) for body in kept])
    await old.store([Body("s", NOW, b"next")])
    assert [body.id for body in await old.inbox(10)] == [10]
    await old.close()


def _write_schema(url: str, revision: str) -> None:
    """Leaves the journal as that revision made it."""
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


async def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    first = SqlJournal(f"sqlite:///{tmp_path}/j.db")
    await first.open(NOW)
    await first._run(
        lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'") and None
    )
    await first.close()
    with pytest.raises(ConfigurationError, match="it was written by a newer version"):
        await SqlJournal(f"sqlite:///{tmp_path}/j.db").open(NOW)


async def test_a_slow_replica_cannot_delete_a_newer_webhook(journal: SqlJournal) -> None:
    await journal.store([Body("s", NOW, b"1")])
    (read_by_both,) = await journal.inbox(10)
    await journal.receive([Delivery("s", (alert(),), NOW, read_by_both.id)])
    await journal.store([Body("s", NOW, b"2")])  # into an empty inbox
    with pytest.raises(AlreadyUnpacked):
        await journal.receive([Delivery("s", (alert(),), NOW, read_by_both.id)])
    assert [body.body for body in await journal.inbox(10)] == [b"2"]


async def test_webhooks_are_kept_in_their_order_until_they_are_unpacked(
    journal: SqlJournal,
) -> None:
    await journal.store([Body("s", NOW, b"1"), Body("s", NOW, b"2"), Body("t", NOW, b"3")])
    first, second, third = await journal.inbox(10)
    assert [body.body for body in (first, second, third)] == [b"1", b"2", b"3"]
    await journal.receive([Delivery("s", (alert(),), NOW, first.id)])
    await journal.unreadable(second.id, "an older version took it")
    assert [body.id for body in await journal.inbox(10)] == [third.id]
    with pytest.raises(JournalUnavailable, match="another replica"):
        await journal.receive([Delivery("s", (alert("f2"),), NOW, first.id)])
    assert [row["fingerprint"] for row in await journal.episodes(10, None)] == ["f1"]


async def test_an_undo_takes_the_locks_over_and_gives_them_back(journal: SqlJournal) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    parent, key = claim.remediation, "c/Deployment/shop/web"
    await journal.begin(parent, intent(claim), allowing)
    await journal.write(parent, applied(), nobody)
    await journal.write(
        parent, TakeBack(at=NOW, reason=None, why="", until=NOW + timedelta(hours=1)), nobody
    )
    undo = await journal.claim(NOW, LEASE)
    assert undo is not None
    assert (undo.remediation.undo_of, undo.undone and undo.undone.action) == (
        parent.id,
        "restart_workload",
    )
    held = await journal.usage(parent, Reading((key,)), NOW)
    assert held.locks == {key: Holder(undo.remediation.id)}
    began = replace(intent(undo), charged=False)
    assert await journal.begin(undo.remediation, began, allowing) == [allow("limits")]
    assert len(await journal.charges(NOW - SECOND)) == 1
    await journal.write(undo.remediation, end(Event.FAIL), nobody)
    back = await journal.claim(NOW, LEASE)
    assert back is not None
    assert (back.remediation.id, back.undo and back.undo.state) == (parent.id, State.FAILED)
    assert (await journal.usage(parent, Reading((key,)), NOW)).locks == {key: Holder(parent.id)}
    await journal.write(back.remediation, end(Event.FAIL), nobody)
    assert (await journal.usage(parent, Reading((key,)), NOW)).locks == {}


async def test_what_fires_on_after_an_end_is_looked_at_and_revived(journal: SqlJournal) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.write(
        claim.remediation, end(Event.FAIL, reason=Reason.FORBIDDEN, template="t1"), nobody
    )
    (ended,) = await journal.revivals(NOW, 9)
    assert (ended.remediation.ended_template, len(ended.episodes)) == ("t1", 1)
    await journal.revive_later(ended.remediation.id, "t1", NOW + SECOND)
    assert await journal.revivals(NOW, 9) == []
    assert await journal.pending(NOW) == []
    await journal.revive(ended.remediation.id, NOW)
    (episode,) = await journal.pending(NOW)
    await journal.triaged([Triaged(episode, Fate.ATTACHED, None, "d", (wanted("web"),))], NOW)
    assert sorted(row["state"] for row in await journal.remediations(10, None)) == [
        "failed",
        "queued",
    ]
    assert await journal.revivals(NOW + timedelta(hours=1), 9) == []


async def test_an_ended_remediation_is_not_created_again_by_another_rule(
    journal: SqlJournal,
) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.write(claim.remediation, end(Event.FAIL), nobody)
    episode = claim.episodes[0]
    both = (wanted("web"), wanted("web", "another"))
    await journal.triaged([Triaged(episode, Fate.ATTACHED, None, "d", both)], NOW)
    assert sorted((row["rule"], row["state"]) for row in await journal.remediations(10, None)) == [
        ("another", "queued"),
        ("r", "failed"),
    ]


async def test_the_past_of_a_target_has_its_acts_and_when_it_fired(journal: SqlJournal) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.begin(claim.remediation, intent(claim), allowing)
    key = claim.remediation.target.key
    assert (await journal.past("r", key)).acts == ()
    evidence = (Evidence(200, "x", {"template": "t2"}),)
    made = applied(f"{claim.remediation.id}.1", applied_at=NOW, evidence=evidence)
    await journal.write(claim.remediation, made, nobody)
    past = await journal.past("r", key)
    assert [(act.rule, act.action, act.left) for act in past.acts] == [
        ("r", "restart_workload", "t2")
    ]
    assert past.firing == ((NOW, None),)
    assert past.retried_at is None


async def test_how_long_alerts_lasted_is_counted_once(journal: SqlJournal) -> None:
    await born(journal, "web")
    end = NOW + timedelta(minutes=9)
    await journal.receive([Delivery("s", (alert("f-web-0", AlertStatus.RESOLVED, ends=end),), end)])
    assert await journal.resolutions(NOW, end) == [("r", False, 540.0)]
    assert await journal.resolutions(end, end + SECOND) == []


async def test_work_that_somebody_has_claimed_is_not_due(journal: SqlJournal) -> None:
    await born(journal, "web")
    assert await journal.next_work() == NOW
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    assert await journal.next_work() is None
    await journal.write(claim.remediation, hold_until(NOW + SECOND), nobody)
    assert await journal.next_work() == NOW + SECOND


async def test_an_alert_that_joined_since_the_last_look_keeps_it_from_ending_quietly(
    journal: SqlJournal,
) -> None:
    await born(journal, "web")
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.begin(claim.remediation, intent(claim), allowing)
    await journal.write(claim.remediation, applied(), nobody)
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    kept = await journal.write(claim.remediation, end(Event.PROVED, unless_firing=True), nobody)
    assert (kept.state, kept.decided.event) == (State.VERIFYING, None)
    claim = await journal.claim(NOW, LEASE)
    assert claim is not None
    await journal.close_episode(claim.episodes[0], NOW)
    assert (
        await journal.write(claim.remediation, end(Event.PROVED, unless_firing=True), nobody)
    ).state is State.SUCCEEDED
