"""What is asked of the journal again and again, timed on a journal that has grown for years.

Usage: python -m bench.growth [--remediations 1000000] [--episodes 10000000] [--url URL]

Seeds a journal (SQLite in a temporary folder, or the empty database at URL), then prints for each
hot statement how often it is asked, its first and its median time. Times are of this machine: the
goal is that they stay where they are when the journal grows.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from remediator.journal.claims import from_row
from remediator.journal.sql import SqlJournal
from remediator.journal.tables import remediation
from remediator.model.alert import Alert, AlertStatus
from remediator.model.usage import Counted, Rate, Reading
from remediator.ports.records import Delivery
from remediator.telemetry import configure_log

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAYS = 90
ROUNDS = 5
ALERT = (
    '{"labels":{"alertname":"KubePodCrashLooping","namespace":"shop","deployment":"app","severity":"critical","container":"app","pod":"app-5d4f8c7b9-x2x4z","job":"kube-state-metrics","prometheus":"monitoring/k8s"},"annotations":{"summary":"a'
    ' pod is crash looping"},"generator_url":"http://prometheus/graph?g0.expr=x"}'
)
RULE = (
    '{"name":"r","match":["alertname=\\"A\\""],"escalate":{"to":["log"]},'
    '"steps":[{"action":"restart_workload"}]}'
)
LOOK = (
    '{"at":"2026-05-01T12:00:00+00:00","target":"Deployment/shop/app","digest":"sha256:aaaa",'
    '"verdicts":[]}'
)
PLAN = (
    '{"action":"restart_workload","target":{"cluster":"default","kind":"Deployment","namespace":"shop","name":"app","uid":"u"},'
    '"parameters":{},"calls":[],"assumptions":{"hash:/spec/template":"abc"},"locks":[],"summary":"restart","previous":{},"before":{},'
    '"touches":[],"bounds":[],"beside":null,"brief":[],"converged_within":600,"resolved_within":1800,"quiet_for":300,"restore_after":0}'
)
RULES, WORKLOADS = 50, 5000


def micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def numbers(sqlite: bool, count: int) -> str:
    """A table g(n) of the numbers from 1."""
    if sqlite:
        return (
            f"(WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n<{count}) SELECT"
            " n FROM g) AS g"
        )
    return f"generate_series(1::bigint, {count}) AS g(n)"


@dataclass(frozen=True, slots=True)
class History:
    """So many ended remediations and closed episodes in so many days.

    A hundredth of each, and at most so many, live or fire.
    """

    remediations: int
    episodes: int
    days: int = DAYS
    rules: int = RULES
    workloads: int = WORKLOADS
    live: int = 1000
    firing: int = 10_000


def statements(sqlite: bool, history: History) -> list[str]:
    """What fills an empty journal."""
    remediations, episodes = history.remediations, history.episodes
    now, span = micros(NOW), history.days * 86_400_000_000
    yes, no = ("1", "0") if sqlite else ("TRUE", "FALSE")
    ident = "printf('r-%010d', n)" if sqlite else "'r-' || lpad(n::text, 10, '0')"
    mark = "printf('%016x', n)" if sqlite else "lpad(to_hex(n), 16, '0')"
    ended = f"{now} - {span} + n * {span // remediations}"
    closed = f"{now} - {span} + n * {max(1, span // episodes)}"
    live = remediations - max(1, min(history.live, remediations // 100))
    firing = episodes - max(1, min(history.firing, episodes // 100))
    state = (
        "CASE WHEN n % 20 = 0 THEN 'ineffective' WHEN n % 33 = 0 THEN 'failed' ELSE 'succeeded' END"
    )
    target = f"'default/Deployment/shop/app' || (n % {history.workloads})"
    nth = f"n * {episodes // remediations}"
    return [
        (
            "INSERT INTO episode (id, source, fingerprint, open, fate, reason, starts_at, ends_at,"
            " last_seen, confirmed_at, deliveries, alert, rules_digest, reopened, due_at) SELECT"
            f" n, 'am', {mark}, CASE WHEN n > {firing} THEN {yes} ELSE {no} END, CASE WHEN n <="
            f" {firing} THEN 'resolved' WHEN n % 2 = 0 THEN 'attached' ELSE 'unmatched' END, NULL,"
            f" {closed} - 600000000, CASE WHEN n > {firing} THEN NULL ELSE {closed} END, {closed},"
            f" {closed}, 3, '{ALERT}', 'd', {no}, NULL FROM {numbers(sqlite, episodes)}"
        ),
        (
            "INSERT INTO remediation (id, rule, rule_digest, rule_text, undo_of, undoes, undo_why,"
            " mode, cluster, kind, namespace, name, uid, target_key, root_key, state, live, acted,"
            " told, reason, why, rung, born_at, changed_at, held_since, ended_at, approved_digest,"
            " approved_by, approved_first, cancel_by, retried_at, ended_template, look, token,"
            f" lease_until, priority) SELECT {ident}, 'r' || (n % {history.rules}), 'd', '{RULE}',"
            " '', '', '', 'act', 'default', 'Deployment', 'shop', 'app' || (n %"
            f" {history.workloads}), 'u', {target} || CASE WHEN n > {live} THEN '-' || n ELSE ''"
            f" END, {target}, CASE WHEN n > {live} THEN 'held' ELSE {state} END, CASE WHEN n >"
            f" {live} THEN {yes} ELSE {no} END, {yes}, {no}, NULL, 'done', 0, {ended} - 900000000,"
            f" {ended}, NULL, CASE WHEN n > {live} THEN NULL ELSE {ended} END, '', '', '', '',"
            f" NULL, 't', '{LOOK}', 5, NULL, 0 FROM {numbers(sqlite, remediations)}"
        ),
        (
            f"INSERT INTO attachment (episode, remediation, ended) SELECT {nth}, {ident}, CASE WHEN"
            f" n > {live} THEN {no} ELSE {yes} END FROM {numbers(sqlite, remediations)}"
        ),
        (
            "INSERT INTO attempt (id, remediation, number, step, action, plan, digest, causes,"
            " begun_at, sent_by, applied_at, evidence, outcome) SELECT id || '.1', id, 1, 0,"
            f" 'restart_workload', '{PLAN}', 'x', '[]', born_at, born_at, born_at, '[]', CASE state"
            " WHEN 'succeeded' THEN 'succeeded' ELSE 'ineffective' END FROM remediation"
        ),
        (
            "INSERT INTO charge (remediation, rule, action, namespace, root_key, target_key, at)"
            " SELECT id, rule, 'restart_workload', 'shop', root_key, target_key, born_at FROM"
            " remediation"
        ),
        (
            "INSERT INTO outbox (remediation, receiver, body, due_at, tries, delivered_at, ref, at)"
            " SELECT id, 'log', '{}', NULL, 1, ended_at, '', ended_at FROM remediation WHERE state"
            " IN ('failed', 'ineffective')"
        ),
        (
            f"INSERT INTO timer (kind, ref, due_at) SELECT 'work', id, {now + 30_000_000} FROM"
            " remediation WHERE state = 'held'"
        ),
        (
            f"INSERT INTO timer (kind, ref, due_at) SELECT 'escalate', id, {now + 900_000_000} FROM"
            " remediation WHERE state = 'held'"
        ),
        (
            f"INSERT INTO timer (kind, ref, due_at) SELECT 'revive', id, {now + 200_000_000} FROM"
            f" remediation WHERE state = 'failed' AND born_at > {now - 3 * 86_400_000_000}"
        ),
        (
            "INSERT INTO entry (at, remediation, kind, reason, text, number, digest) SELECT"
            " born_at, id, 'born', NULL, 'rule r', row_number() OVER (ORDER BY born_at),"
            f" '{'d' * 64}' FROM remediation"
        ),
        (
            "INSERT INTO seal (number, first, last, at, previous, digest, pruned) VALUES (1, 1,"
            f" {remediations}, {now}, '{'0' * 64}', '{'d' * 64}', {no})"
        ),
    ]


async def seed(journal: SqlJournal, history: History) -> None:
    """Fills an empty journal, and lets the database learn what is in it."""
    raw = (
        journal._make_engine(journal.url, "BEGIN")
        if journal.sqlite
        else sa.create_engine(journal._engine.url)
    )
    for statement in statements(journal.sqlite, history):
        with raw.begin() as c:
            c.exec_driver_sql(statement.replace("%", "%%") if not journal.sqlite else statement)
    if not journal.sqlite:
        with raw.begin() as c:
            c.exec_driver_sql(
                "SELECT setval(pg_get_serial_sequence('episode', 'id'), (SELECT max(id) FROM"
                " episode))"
            )
        with raw.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.exec_driver_sql("VACUUM ANALYZE")
    raw.dispose()


@dataclass(frozen=True, slots=True)
class Hot:
    """One thing that the engine asks, and how often it does."""

    name: str
    asked: str
    ask: Callable[[], Awaitable[Any]]


async def hot(journal: SqlJournal) -> list[Hot]:
    """What is asked again and again.

    `begin` and `move` read what is here, and write rows by their keys.
    """
    row = await journal._read(
        lambda c: c.execute(sa.select(remediation).where(remediation.c.live).limit(1)).first()
    )
    old = await journal._read(
        lambda c: c.execute(
            sa.select(remediation).where(~remediation.c.live, remediation.c.acted).limit(1)
        ).first()
    )
    live, ended = from_row(row), from_row(old)
    hour = Rate(10, timedelta(hours=1))
    scopes: tuple[tuple[tuple[str, str], ...], ...] = (
        (("rule", ended.rule), ("root_key", ended.root_key)),
        (("rule", ended.rule),),
        (("root_key", ended.root_key),),
        (("action", "restart_workload"),),
        (("namespace", "shop"),),
        (),
    )
    reading = Reading(
        (live.target.key,), tuple(Counted("x", hour, where) for where in scopes), 5, "default/g"
    )
    new = iter(range(1_000_000))

    async def receive() -> Any:
        alert = Alert(f"new{next(new)}", AlertStatus.FIRING, {"alertname": "New"}, {}, NOW, None)
        return await journal.receive([Delivery("am", (alert,), NOW)])

    second = timedelta(seconds=1)
    return [
        Hot("ping", "each /readyz", journal.ping),
        Hot(
            "claim, nothing due",
            "each slice, and 4 a second",
            lambda: journal.claim(NOW, 60 * second),
        ),
        Hot("next_work", "each slice, and 4 a second", journal.next_work),
        Hot("next_due", "each 15 s", journal.next_due),
        Hot("inbox", "each second", lambda: journal.inbox(100)),
        Hot("pending", "each second", lambda: journal.pending(NOW)),
        Hot("receive one new alert", "each webhook", receive),
        Hot("outbox", "each second and receiver", lambda: journal.outbox(NOW, 20, "log")),
        Hot("oldest_message", "each 15 s", journal.oldest_message),
        Hot("escalations", "each second", lambda: journal.escalations(NOW)),
        Hot("quieted", "each second", lambda: journal.quieted(20)),
        Hot("revivals", "each second", lambda: journal.revivals(NOW, 20)),
        Hot("restorations", "each second", lambda: journal.restorations(NOW, 20)),
        Hot(
            "past of a target with a history",
            "each look",
            lambda: journal.past(ended.rule, ended.target.key),
        ),
        Hot(
            "usage of a target with a history",
            "each look, inside begin",
            lambda: journal.usage(ended, reading, NOW),
        ),
        Hot(
            "usage of a new target",
            "each look, inside begin",
            lambda: journal.usage(live, reading, NOW),
        ),
        Hot("pauses", "each look", journal.pauses),
        Hot("storms", "each 15 s", journal.storms),
        Hot("began", "each check", lambda: journal.began(NOW - 600 * second, "shop", 200)),
        Hot("ends", "each 15 s", lambda: journal.ends("r1", 5)),
        Hot("suspects", "each 15 s", lambda: journal.suspects(NOW - timedelta(hours=6), 100)),
        Hot("resolutions", "each 15 s", lambda: journal.resolutions(NOW - 15 * second, NOW)),
        Hot("charges", "each 15 s", lambda: journal.charges(NOW - timedelta(hours=6))),
        Hot("show", "each message", lambda: journal.show(ended.id)),
        Hot(
            "still_open, 200 of them",
            "each 15 s for a while",
            lambda: journal.still_open(None, 200),
        ),
        Hot("list", "a person asks", lambda: journal.remediations(100, None)),
        Hot("list --state failed", "a person asks", lambda: journal.remediations(100, "failed")),
        Hot(
            "record, 50 rules",
            "a person asks",
            lambda: journal.record([f"r{number}" for number in range(RULES)]),
        ),
    ]


async def timed(item: Hot) -> tuple[float, float]:
    """Seconds of the first time, and of the median of some more."""
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        await item.ask()
        times.append(time.perf_counter() - started)
    return times[0], statistics.median(times[1:])


async def measure(url: str, history: History) -> None:
    """Seeds, and prints a line for each."""
    journal = SqlJournal(url)
    started = time.perf_counter()
    await journal.open(NOW)
    await seed(journal, history)
    seeded = time.perf_counter() - started
    kind = "SQLite" if journal.sqlite else "PostgreSQL"
    print(
        f"{kind}: {history.remediations} ended remediations, {history.episodes} episodes "
        f"(seeded in {seeded:.0f} s, {journal.size() >> 20} MB)"
    )
    for item in await hot(journal):
        first, median = await timed(item)
        print(
            f"{item.name:36} {item.asked:28} first {first * 1000:9.2f} ms   median"
            f" {median * 1000:9.2f} ms",
            flush=True,
        )
    started = time.perf_counter()
    await journal.reloaded("other", NOW)
    print(
        f"{'reloaded':36} {'start, reload':28} once "
        f" {(time.perf_counter() - started) * 1000:9.2f} ms"
    )
    started = time.perf_counter()
    gone = await journal.prune(NOW - timedelta(days=DAYS - 1), NOW, timedelta(hours=24))
    print(
        f"{'prune, one slice':36} {'each hour, until none is left':28} once "
        f" {(time.perf_counter() - started) * 1000:9.2f} ms ({gone} rows)"
    )
    await journal.close()


def main() -> None:
    """From the command line."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--remediations", type=int, default=1_000_000)
    arguments.add_argument("--episodes", type=int, default=10_000_000)
    arguments.add_argument(
        "--url", default="", help="an empty database; default: SQLite in a temporary folder"
    )
    given = arguments.parse_args()
    configure_log("error")
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/journal.db"
        asyncio.run(measure(url, History(given.remediations, given.episodes)))


if __name__ == "__main__":
    main()
