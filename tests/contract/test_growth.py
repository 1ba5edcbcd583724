"""A journal that has grown for years answers as on its first day.

No statement of the hot paths scans or sorts what grows.

Every statement that the hot methods send, on both databases, is explained on a journal with a
history.
"""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from bench.growth import NOW, History, Hot, hot, seed
from remediator.journal import counting, episodes
from remediator.journal.claims import from_row
from remediator.journal.sql import HEAD, SqlJournal
from remediator.journal.tables import (
    attachment,
    breaker,
    episode,
    inbox,
    outbox,
    remediation,
    timer,
)
from remediator.model.alert import Alert, AlertStatus, Fate
from remediator.model.notice import from_payload
from remediator.model.remediation import State
from remediator.model.target import Target
from remediator.ports.records import Claim, Delivery, Message, Triaged, Wanted
from tests.contract.records import TEXT, rule

REMEDIATIONS, EPISODES = 5_000, 20_000
GROWS = {"episode", "remediation", "attempt", "charge", "attachment", "entry", "outbox"}
NOW_ONLY = {  # partial indexes: they hold what is live, fires or waits now
    "episode_pending",
    "episode_began",
    "episode_fate",
    "episode_open",
    "remediation_alive",
    "remediation_acting",
    "remediation_told",
    "remediation_live",
    "entry_unsealed",
}
SORTED_AT_MOST = 2000  # rows: what fires now, or the newest of something
SECOND = timedelta(seconds=1)
LEASE = 60 * SECOND


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes a new empty database, and says where."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        return lambda: str(server.database(f"g{uuid.uuid4().hex[:10]}"))
    return lambda: f"sqlite:///{tmp_path}/{uuid.uuid4().hex[:10]}.db"


@pytest.fixture
async def journal(empty: Callable[[], str]) -> AsyncIterator[SqlJournal]:
    opened = SqlJournal(empty())
    await opened.open(NOW)
    yield opened
    await opened.close()


@pytest.fixture
async def older(empty: Callable[[], str]) -> AsyncIterator[SqlJournal]:
    """Another journal of the same kind."""
    opened = SqlJournal(empty())
    await opened.open(NOW)
    yield opened
    await opened.close()


def listening(journal: SqlJournal) -> list[tuple[str, Any]]:
    """Every statement that is sent from now on, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(
        _c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        sent.append(
            (statement, parameters[0] if many and isinstance(parameters, list) else parameters)
        )

    for engine in {journal._engine, journal._reading, journal._looking}:
        sa.event.listen(engine, "before_cursor_execute", note)
    return sent


def sqlite_trouble(c: sa.Connection, statement: str, parameters: Any) -> list[str]:
    """What the plan scans or sorts of what grows."""
    found = []
    for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all():
        line = str(row[3])
        scan = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", line)
        name = (
            {"episode_1": "episode", "outbox_1": "outbox", "outbox_2": "outbox"}.get(
                scan.group(1), scan.group(1)
            )
            if scan
            else ""
        )
        # by an index, and no further than the limit
        newest = "LIMIT ?" in statement and "WHERE" not in statement
        if scan and name in GROWS and scan.group(2) not in NOW_ONLY and not newest:
            found.append(line)
        if "INTEGER PRIMARY KEY (rowid>?)" in line or (
            "(state=?)" in line and " LIMIT " not in statement
        ):
            found.append(line)  # all that came after, and all that ever ended so
        # what one remediation has is little
        if "TEMP B-TREE FOR ORDER BY" in line and "remediation = ?" not in statement:
            found.append(line)
    return found


def postgresql_trouble(c: sa.Connection, statement: str, parameters: Any) -> list[str]:
    found: list[str] = []

    def walk(node: dict[str, Any]) -> None:
        kind, rows = node["Node Type"], node["Plan Rows"]
        if (
            kind == "Seq Scan"
            and node["Relation Name"] in GROWS
            and sizes[node["Relation Name"]] > SORTED_AT_MOST
        ):
            found.append(f"Seq Scan {node['Relation Name']} ({rows} rows)")
        if kind == "Sort" and rows > SORTED_AT_MOST:
            found.append(f"Sort of {rows} rows by {node['Sort Key']}")
        for child in node.get("Plans") or []:
            walk(child)

    sizes = {
        row[0]: row[1]
        for row in c.exec_driver_sql(
            "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' AND relnamespace ="
            " 'public'::regnamespace"
        )
    }
    (answer,) = c.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).one()
    walk((json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"])
    return found


async def everything(journal: SqlJournal, asked: list[Hot]) -> None:
    """What the engine does with the journal, from a webhook to an end."""
    for item in asked:
        await item.ask()
    alert = Alert(
        "late", AlertStatus.FIRING, {"alertname": "A", "namespace": "shop"}, {}, NOW, None
    )
    (born,) = await journal.receive([Delivery("am", (alert,), NOW)])
    target = Target("default", "Deployment", "shop", "new")
    wanted = Wanted(rule("r1"), "d", target, NOW)
    await journal.triaged([Triaged(born, Fate.ATTACHED, None, "d", (wanted,))], NOW)
    claim = await journal.claim(NOW, LEASE)
    assert isinstance(claim, Claim)
    await journal.renew(claim.remediation, NOW, LEASE)
    assert await journal.retarget(claim.remediation, target.seen("u"), target.key, NOW)
    await journal.close_episode(born, NOW)
    await journal.escalated(claim.remediation.id, (Message("log", from_payload({})),), None, NOW)
    for letter in await journal.outbox(NOW, 20, "log"):
        await journal.delivered(letter.id, NOW, None, None)
    await journal.told_quiet(claim.remediation.id, (), NOW)
    await journal.cancel(claim.remediation.id, "me", NOW)
    await journal.seal(NOW)


async def test_no_statement_of_the_hot_paths_scans_or_sorts_what_grows(journal: SqlJournal) -> None:
    await seed(journal, History(REMEDIATIONS, EPISODES))
    items = await hot(journal)
    sent = listening(journal)
    await everything(journal, items)
    await journal.prune(NOW - timedelta(days=89), NOW, timedelta(hours=24))
    trouble = sqlite_trouble if journal.sqlite else postgresql_trouble
    asked: dict[str, Any] = {}
    for statement, parameters in sent:
        if (
            statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE"))
            and "alembic" not in statement
        ):
            asked.setdefault(statement, parameters)
    assert len(asked) > 60
    found = []
    with journal._engine.connect() as c:
        for statement, parameters in asked.items():
            found += [f"{line}\n  in {statement}" for line in trouble(c, statement, parameters)]
    assert not found, "\n".join(found)


def work_of(c: sa.Connection, statement: str, parameters: Any) -> int:
    """What a statement costs the database.

    SQLite's steps, or the pages that PostgreSQL looks at.
    """
    if c.dialect.name == "sqlite":

        def ask(c: sa.Connection) -> None:
            with c.begin_nested() as before:
                done = c.exec_driver_sql(statement, parameters)
                if done.returns_rows:
                    done.all()
                before.rollback()

        return steps(c, ask)
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    with c.begin_nested() as before:
        c.exec_driver_sql(explained, parameters)  # its catalogue is read
        before.rollback()
    (answer,) = c.exec_driver_sql(explained, parameters).one()
    plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def hot_work(journal: SqlJournal, history: History) -> dict[str, int]:
    """What each statement that reads or changes rows costs at most, by its text.

    A day of history is forgotten.
    """
    await seed(journal, history)
    # that one counts the history, for a person
    items = [item for item in await hot(journal) if not item.name.startswith("record")]
    sent = listening(journal)
    await everything(journal, items)
    while await journal.prune(NOW - timedelta(days=history.days - 1), NOW, timedelta(hours=24)):
        pass
    work: dict[str, int] = {}
    with journal._engine.connect() as c:
        for statement, parameters in {
            (text, repr(values)): (text, values) for text, values in sent
        }.values():
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                alike = re.sub(
                    r"IN \([^()]*\)", "IN (...)", re.sub(r"_\d+(?:_\d+)?\)", "_n)", statement)
                )
                work[alike] = max(work.get(alike, 0), work_of(c, statement, parameters))
        c.rollback()
    return work


async def test_no_hot_statement_does_more_on_a_journal_that_is_four_times_as_old(
    journal: SqlJournal, older: SqlJournal
) -> None:
    """As many acts and alerts a day, as many that live and that fire.

    Few workloads and rules, so that each has a long history.
    """
    same = {"rules": 5, "workloads": 20, "live": 50, "firing": 200}
    young = await hot_work(journal, History(5_000, 20_000, days=30, **same))
    old = await hot_work(older, History(20_000, 80_000, days=120, **same))
    assert len(young) > 60
    assert not young.keys() - old.keys()
    more = {text: (young[text], old[text]) for text in young if old[text] > 1.5 * young[text] + 100}
    assert not more, more


async def test_what_readyz_asks_does_not_read_what_grows(journal: SqlJournal) -> None:
    sent = listening(journal)
    await journal.ping()
    assert not [statement for statement, _ in sent if any(table in statement for table in GROWS)]


async def test_a_slow_view_keeps_neither_the_engine_nor_a_webhook_waiting(tmp_path: Path) -> None:
    journal = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    await journal.open(NOW)
    slow = asyncio.ensure_future(journal._look(lambda _c: __import__("time").sleep(1.5)))
    await asyncio.sleep(0.05)
    started = asyncio.get_running_loop().time()
    await journal.next_work()
    await journal.pause("all", "x", "me", None, now=NOW)
    assert asyncio.get_running_loop().time() - started < 1.0
    await slow
    await journal.close()


async def test_history_is_forgotten_in_slices(journal: SqlJournal) -> None:
    await seed(journal, History(REMEDIATIONS, EPISODES))
    slices = []
    while gone := await journal.prune(NOW + timedelta(days=1), NOW, timedelta(hours=24)):
        slices.append(gone)
    assert len(slices) > 10
    assert max(slices) <= REMEDIATIONS + 3 * 100  # the sealed history of a time goes as one
    with journal._engine.connect() as c:
        left = c.execute(sa.select(remediation.c.id).where(~remediation.c.live)).scalars().all()
        awaited = c.execute(sa.select(timer.c.ref).where(timer.c.kind == "revive")).scalars().all()
    assert set(left) == set(awaited)  # alerts of these fire on


async def test_notifications_about_storms_and_unreadable_webhooks_are_pruned_too(
    journal: SqlJournal,
) -> None:
    old, told = (
        NOW - timedelta(days=200),
        {"receiver": "log", "body": "{}", "delivered_at": NOW, "due_at": None},
    )
    with journal._engine.begin() as c:
        c.execute(
            sa.insert(outbox),
            [
                {**told, "remediation": "storm-all", "at": old},
                {**told, "remediation": "breaker-open", "at": old},
                {**told, "remediation": "breaker-r", "at": NOW},
                {
                    **told,
                    "remediation": "storm-shop",
                    "at": old,
                    "delivered_at": None,
                    "due_at": NOW,
                },
            ],
        )
        c.execute(
            sa.insert(inbox),
            [
                {"source": "am", "received_at": old, "body": b"{", "error": "no JSON"},
                {"source": "am", "received_at": NOW, "body": b"{", "error": "no JSON"},
                {"source": "am", "received_at": old, "body": b"{}", "error": None},
            ],
        )
        c.execute(sa.insert(breaker).values(rule="open", opened_at=old, reset_by=""))
    while await journal.prune(NOW - timedelta(days=90), NOW, timedelta(hours=24)):
        pass
    with journal._engine.connect() as c:
        left = c.execute(sa.select(outbox.c.remediation).order_by(outbox.c.id)).scalars().all()
        unread = c.execute(sa.select(inbox.c.received_at, inbox.c.error).order_by(inbox.c.id)).all()
    # it is open still; it is young; it waits to be delivered
    assert left == ["breaker-open", "breaker-r", "storm-shop"]
    # nor is what waits to be unpacked
    assert [tuple(row) for row in unread] == [(NOW, "no JSON"), (old, None)]


def steps(c: sa.Connection, call: Callable[[sa.Connection], object]) -> int:
    """How much work SQLite's machine does for it, in its own steps."""
    counted = [0]

    def one() -> int:
        counted[0] += 1
        return 0

    call(c)  # prepared, and its pages read
    raw = c.connection.dbapi_connection
    assert raw is not None
    raw.set_progress_handler(one, 1)
    call(c)
    raw.set_progress_handler(None, 0)
    return counted[0]


@pytest.mark.parametrize("before", [0, 400])
async def test_an_alert_that_fires_or_flaps_for_weeks_costs_no_more_than_a_new_one(
    tmp_path: Path, before: int
) -> None:
    journal = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    await journal.open(NOW)
    alerts = tuple(
        Alert(f"f{n}", AlertStatus.FIRING, {"alertname": "A"}, {}, NOW, None) for n in range(20)
    )
    row = {
        "rule": "r",
        "rule_digest": "d",
        "rule_text": TEXT,
        "mode": "act",
        "cluster": "c",
        "kind": "Deployment",
        "namespace": "s",
        "name": "web",
        "target_key": "c/Deployment/s/web",
        "root_key": "c/Deployment/s/web",
        "state": State.BLOCKED,
        "live": False,
        "created_at": NOW,
        "changed_at": NOW,
    }
    born = await journal.receive([Delivery("am", alerts, NOW)])
    closed = {
        "source": "am",
        "open": False,
        "fate": "resolved",
        "starts_at": NOW,
        "last_seen": NOW,
        "confirmed_at": NOW,
        "deliveries": 1,
        "alert": "{}",
        "rules_digest": "d",
        "reopened": False,
    }
    with journal._engine.begin() as c:
        c.execute(sa.update(episode).values(fate="attached"))
        for each in born:
            c.execute(
                sa.insert(remediation),
                [
                    {**row, "id": f"r-{each.id}-{n}", "target_key": f"t-{each.id}-{n}"}
                    for n in range(before + 1)
                ],
            )
            c.execute(
                sa.insert(attachment),
                [
                    {"episode": each.id, "remediation": f"r-{each.id}-{n}", "ended": n == before}
                    for n in range(before + 1)
                ],
            )
            if before:
                ends = [NOW - timedelta(days=1, minutes=n) for n in range(before)]
                c.execute(
                    sa.insert(episode),
                    [
                        {**closed, "fingerprint": each.alert.fingerprint, "ends_at": at}
                        for at in ends
                    ],
                )
    with journal._engine.connect() as c:
        keys = {("am", alert.fingerprint) for alert in alerts}
        work = {
            "troubled": steps(c, lambda c: counting.troubled(c, "c")),
            "known": steps(c, lambda c: episodes._known(c, keys)),
        }
        assert [item.key for item in counting.troubled(c, "c")] == ["s/web"]
        known = episodes._known(c, keys)["am", "f0"]["known"]
        assert known.closed_end == (NOW - timedelta(days=1) if before else None)
    await journal.close()
    assert work["troubled"] < 3000, work  # with 400 of each it was more than 100,000
    assert work["known"] < 2000, work


async def test_the_count_of_a_storm_takes_time_for_each_workload_and_not_for_each_pair(
    tmp_path: Path,
) -> None:
    row = {
        "rule": "r",
        "rule_digest": "d",
        "rule_text": TEXT,
        "mode": "act",
        "cluster": "c",
        "kind": "Deployment",
        "namespace": "s",
        "name": "web",
        "root_key": "",
        "state": State.QUEUED,
        "live": True,
        "created_at": NOW,
        "changed_at": NOW,
    }
    work = []
    for many in (200, 800):
        journal = SqlJournal(f"sqlite:///{tmp_path}/{many}.db")
        await journal.open(NOW)
        alerts = tuple(
            Alert(f"f{n}", AlertStatus.FIRING, {"alertname": "A"}, {}, NOW, None)
            for n in range(many)
        )
        born = await journal.receive([Delivery("am", alerts, NOW)])
        with journal._engine.begin() as c:
            c.execute(sa.update(episode).values(fate="attached"))
            c.execute(
                sa.insert(remediation),
                [{**row, "id": f"r-{each.id}", "target_key": f"t-{each.id}"} for each in born],
            )
            c.execute(
                sa.insert(attachment),
                [
                    {"episode": each.id, "remediation": f"r-{each.id}", "ended": False}
                    for each in born
                ],
            )
        with journal._engine.connect() as c:
            work.append(steps(c, lambda c: counting.troubled(c, "c")))
        await journal.close()
    assert work[1] < 6 * work[0], work  # four times as many


async def test_rules_that_changed_are_asked_of_seventy_thousand_open_alerts(
    journal: SqlJournal,
) -> None:
    """More than a statement may have parameters."""
    many = 70_000
    values = "'am', 'f' || n, {yes}, 'attached', NULL, 1, NULL, 1, 1, 1, '{{}}', 'old', {no}, NULL"
    table = f"generate_series(1, {many}) AS g(n)"
    yes, no = "TRUE", "FALSE"
    if journal.sqlite:
        table = (
            f"(WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n<{many}) SELECT"
            " n FROM g) AS g"
        )
        yes, no = "1", "0"
    columns = (
        "id, source, fingerprint, open, fate, reason, starts_at, ends_at, last_seen, confirmed_at,"
        " deliveries, alert, rules_digest, reopened, due_at"
    )
    row = {
        "rule": "r",
        "rule_digest": "d",
        "rule_text": TEXT,
        "mode": "observe",
        "cluster": "c",
        "kind": "Pod",
        "namespace": "s",
        "name": "p",
        "target_key": "c/Pod/s/p",
        "state": State.OBSERVED,
        "live": False,
        "created_at": NOW,
        "changed_at": NOW,
        "ended_at": NOW,
    }
    with journal._engine.begin() as c:
        c.exec_driver_sql(
            f"INSERT INTO episode ({columns}) SELECT n, {values.format(yes=yes, no=no)} FROM"
            f" {table}"
        )
        c.execute(sa.insert(remediation), [{**row, "id": f"r-{n}"} for n in range(1, many + 1)])
        c.execute(
            sa.insert(attachment),
            [{"episode": n, "remediation": f"r-{n}", "ended": True} for n in range(1, many + 1)],
        )
    await journal.reloaded("new", NOW)
    with journal._engine.connect() as c:
        due = sa.select(sa.func.count()).select_from(episode).where(episode.c.due_at == NOW)
        assert c.execute(due).scalar() == many


@pytest.fixture
async def pair(postgresql: Any) -> AsyncIterator[tuple[SqlJournal, SqlJournal]]:
    """Two daemons on one PostgreSQL."""
    url = postgresql.database(f"p{uuid.uuid4().hex[:10]}")
    first, second = SqlJournal(url), SqlJournal(url)
    # one empty database, which both want to migrate
    await asyncio.gather(first.open(NOW), second.open(NOW))
    yield first, second
    await first.close()
    await second.close()


async def test_two_daemons_migrate_one_empty_database(pair: tuple[SqlJournal, SqlJournal]) -> None:
    assert [await journal.pending(NOW) for journal in pair] == [[], []]


async def test_two_daemons_deliver_each_message_once(pair: tuple[SqlJournal, SqlJournal]) -> None:
    first, second = pair
    with first._engine.begin() as c:
        c.execute(
            sa.insert(outbox),
            [
                {"remediation": f"r-{n}", "receiver": "log", "body": "{}", "due_at": NOW}
                for n in range(40)
            ],
        )
    taken = await asyncio.gather(
        *(journal.outbox(NOW, 20, "log") for journal in (first, second, first, second))
    )
    ids = [letter.id for letter in chain.from_iterable(taken)]
    assert sorted(ids) == sorted(set(ids))
    assert len(ids) == 40
    # somebody is about to deliver them
    assert await second.outbox(NOW + 10 * SECOND, 20, "log") == []
    assert len(await second.outbox(NOW + 61 * SECOND, 20, "log")) == 20  # unless that one has died


async def test_three_pods_of_one_workload_become_one_remediation(
    pair: tuple[SqlJournal, SqlJournal],
) -> None:
    first, second = pair
    target = Target("c", "Deployment", "shop", "web", "u")
    for number in range(3):
        pod = Target("c", "Pod", "shop", f"web-{number}")
        alert = Alert(f"f{number}", AlertStatus.FIRING, {"alertname": "A"}, {}, NOW, None)
        (born,) = await first.receive([Delivery("s", (alert,), NOW)])
        wanted = Wanted(rule(), "d", pod, NOW)
        await first.triaged([Triaged(born, Fate.ATTACHED, None, "d", (wanted,))], NOW)
    claims = [await journal.claim(NOW, LEASE) for journal in (first, second, first)]
    climbs = [
        journal.retarget(claim.remediation, target, target.key, NOW)
        for journal, claim in zip((first, second, first), claims, strict=True)
        if claim
    ]
    answers = await asyncio.gather(*climbs, return_exceptions=True)
    assert not [
        answer for answer in answers if isinstance(answer, psycopg.Error | sa.exc.SQLAlchemyError)
    ], answers
    with first._engine.connect() as c:
        rows = [
            from_row(row) for row in c.execute(sa.select(remediation).where(remediation.c.live))
        ]
        joined = c.execute(
            sa.select(attachment.c.episode).where(attachment.c.remediation == rows[0].id)
        ).all()
    assert [row.target.key for row in rows] == [target.key]
    assert len(joined) == 3


async def test_two_daemons_that_triage_one_target_at_once_create_one_remediation(
    pair: tuple[SqlJournal, SqlJournal],
) -> None:
    target = Target("c", "Deployment", "shop", "web")
    wanted = Wanted(rule(), "d", target, NOW)
    born = []
    for number in range(20):
        alert = Alert(
            f"f{number}", AlertStatus.FIRING, {"alertname": "A", "n": str(number)}, {}, NOW, None
        )
        born += await pair[0].receive([Delivery("s", (alert,), NOW)])
    halves = [
        [Triaged(e, Fate.ATTACHED, None, "d", (wanted,)) for e in born[at::2]] for at in (0, 1)
    ]
    await asyncio.gather(
        *(journal.triaged(half, NOW) for journal, half in zip(pair, halves, strict=True))
    )
    assert len(await pair[0].remediations(10, None)) == 1


async def test_an_interrupted_migration_goes_on(
    postgresql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    url = postgresql.database(f"m{uuid.uuid4().hex[:10]}")
    create, built = op.create_index, [0]

    def killed(*arguments: Any, **named: Any) -> Any:
        built[0] += bool(named.get("postgresql_concurrently"))
        if built[0] == 9:
            raise KeyboardInterrupt
        return create(*arguments, **named)

    monkeypatch.setattr(op, "create_index", killed)
    first = SqlJournal(url)
    with pytest.raises(KeyboardInterrupt):
        await first.open(NOW)
    monkeypatch.undo()
    second = SqlJournal(url)
    await second.open(NOW)
    with second._engine.connect() as c:
        invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
        assert (
            c.exec_driver_sql(invalid).scalar(),
            c.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(),
        ) == (
            0,
            HEAD,
        )
    await second.close()
