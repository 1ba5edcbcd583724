"""The journal on SQLAlchemy Core: every operation is one transaction on a thread of its own.

SQLite: one connection that writes, `synchronous=FULL`, WAL, `BEGIN IMMEDIATE`, one that reads, and a lock beside the file
against a second daemon.
In memory: SQLite too, so that a replay runs the very same queries. PostgreSQL: a small pool.
"""

import asyncio
import fcntl
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

from ..errors import ConfigurationError, JournalLocked, JournalUnavailable
from ..journal_port import Body, Claim, Delivery, Intent, Message, Move, Owed, Row, Triaged
from ..model.alert import Episode
from ..model.past import Past
from ..model.remediation import Attempt, Remediation, RemediationId, State
from ..model.target import Target
from ..model.usage import Charge, End, Reading, Usage
from ..model.verdict import Verdict
from ..telemetry import Metrics
from . import episodes, inbox, messages, past, people, remediations, seals, trust, usage, views
from .tables import episode as episode_table
from .tables import outbox as outbox_table
from .tables import remediation as remediation_table
from .tables import timer

T = TypeVar("T")
HEAD = "0002"
POOL = 4


def parsed_url(url: str) -> sa.URL:
    """Raises: ConfigurationError, without what may be secret in it."""
    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigurationError(f"cannot use the journal {url.split(':')[0]}:…: it is no database URL") from None


def schema_of(c: Connection) -> str | None:
    """The schema's version, None where there is none yet."""
    if "alembic_version" not in sa.inspect(c).get_table_names():
        return None
    version: str | None = c.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return version


class SqlJournal:
    """The journal at a SQLAlchemy URL; `sqlite://` is in memory."""

    def __init__(self, url: str, metrics: Metrics | None = None) -> None:
        self.url = url
        self._metrics = metrics or Metrics()
        self.sqlite = url.startswith("sqlite")
        self._engine = self._make_engine(url)
        self._threads = ThreadPoolExecutor(1 if self.sqlite else POOL, thread_name_prefix="journal")
        file = self.sqlite and self._engine.url.database not in (None, "", ":memory:")
        self._reading = self._make_engine(url, "BEGIN") if file else self._engine
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="journal-reads") if file else self._threads
        self._inline = self.sqlite and not file  # in memory nothing waits for a disk
        self._lock: IO[str] | None = None

    def _make_engine(self, url: str, begins: str = "BEGIN IMMEDIATE") -> Engine:
        parsed = parsed_url(url)
        if not self.sqlite:
            return sa.create_engine(
                parsed.set(drivername="postgresql+psycopg"), pool_size=POOL, max_overflow=0, pool_pre_ping=True
            )
        engine = sa.create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False})

        @sa.event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
                connection.execute(f"PRAGMA {pragma}")

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(begins)

        return engine

    async def open(self, now: datetime) -> None:
        """Locks (SQLite file), migrates where needed, and frees what a dead predecessor had claimed."""
        try:
            self._take_lock()
            if self._inline:
                self._migrate()
            else:
                await asyncio.get_running_loop().run_in_executor(self._threads, self._migrate)
        except BaseException:
            await self.close()
            raise
        if self.sqlite:  # the file's lock proves that whoever held the leases is gone
            await self._run(lambda c: c.execute(sa.update(remediation_table).values(lease_until=None)) and None)

    def _take_lock(self) -> None:
        path = self._engine.url.database
        if not self.sqlite or not path or path == ":memory:":
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._lock = open(f"{path}.lock", "a")  # noqa: SIM115 - held as long as the journal is open
        except OSError as error:
            raise ConfigurationError(f"cannot open the journal {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalLocked(
                f"cannot open the journal {path}: another remediator holds it; stop that one, or use a PostgreSQL journal"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            version = schema_of(connection)
        if version == HEAD:
            return
        from . import migrate  # alembic is slow to import

        migrate.upgrade(self._engine, version)

    async def probe(self) -> str:
        """What stands there, without changing it. Raises: ConfigurationError, JournalLocked, JournalUnavailable."""
        path = self._engine.url.database if self.sqlite else None
        if self.sqlite and path and path != ":memory:" and not Path(path).exists():
            folder = Path(path).resolve().parent
            if not os.access(folder, os.W_OK):
                raise ConfigurationError(f"cannot create the journal {path}: {folder} is missing, or cannot be written")
            return "not there yet; it is made at the first start"
        self._take_lock()
        version = await self._read(schema_of)
        return (
            f"schema {version}" if version == HEAD else f"schema {version or 'none yet'}; it is migrated to {HEAD} at the start"
        )

    async def close(self) -> None:
        """Waits for what runs, then lets go."""
        for threads in (self._readers, self._threads):
            threads.shutdown(wait=True)
        for engine in (self._reading, self._engine):
            engine.dispose()
        if self._lock:
            self._lock.close()

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        """One transaction that may write."""
        if self._inline:
            return self._transact(self._engine, function, *arguments)
        work = functools.partial(self._transact, self._engine, function, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _read(self, function: Callable[..., T], *arguments: Any) -> T:
        """One transaction that only reads: on a SQLite file it does not wait for the one that writes."""
        if self._inline:
            return self._transact(self._reading, function, *arguments)
        work = functools.partial(self._transact, self._reading, function, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _transact(self, engine: Engine, function: Callable[..., T], *arguments: Any) -> T:
        started, result = time.perf_counter(), "failed"
        try:
            with engine.begin() as connection:
                answer = function(connection, *arguments)
            result = "ok"
            return answer
        except (OperationalError, DBAPIError) as error:
            if isinstance(error, sa.exc.IntegrityError):
                raise
            raise JournalUnavailable(f"cannot write the journal: {error.orig}") from error
        finally:
            self._metrics.count("journal_commits_total", result)
            self._metrics.observe("journal_commit_duration_seconds", time.perf_counter() - started)

    def size(self) -> int:
        """Bytes of a SQLite file and its write-ahead log; 0 for any other."""
        path = self._engine.url.database if self.sqlite else None
        files = [Path(f"{path}{end}") for end in ("", "-wal")] if path and path != ":memory:" else []
        return sum(file.stat().st_size for file in files if file.exists())

    async def store(self, bodies: Sequence[Body]) -> None:
        await self._run(inbox.store, bodies)

    async def inbox(self, limit: int) -> list[Body]:
        return await self._read(inbox.oldest, limit)

    async def unreadable(self, body: int, error: str) -> None:
        await self._run(inbox.unreadable, body, error)

    async def receive(self, deliveries: Sequence[Delivery]) -> list[Episode]:
        return await self._run(episodes.receive, deliveries)

    async def pending(self, now: datetime, limit: int = 500) -> list[Episode]:
        return await self._read(episodes.pending, now, limit)

    async def triaged(self, decided: Sequence[Triaged], now: datetime) -> None:
        await self._run(episodes.triaged, decided, now)

    async def claim(self, now: datetime, lease: timedelta) -> Claim | None:
        return await self._run(remediations.claim, now, lease)

    async def retarget(self, remediation: Remediation, target: Target, root_key: str, now: datetime) -> bool:
        return await self._run(remediations.retarget, remediation, target, root_key, now)

    async def begin(self, remediation: Remediation, intent: Intent, decide: Callable[[Usage], list[Verdict]]) -> list[Verdict]:
        return await self._run(remediations.begin, remediation, intent, decide)

    async def usage(self, remediation: Remediation, reading: Reading, now: datetime) -> Usage:
        return await self._read(usage.read, remediation, reading, now)

    async def send(self, remediation: Remediation, attempt: Attempt) -> None:
        await self._run(remediations.send, remediation, attempt)

    async def extend(self, remediation: Remediation, attempt: Attempt, now: datetime) -> None:
        await self._run(remediations.extend, remediation, attempt, now)

    async def move(self, remediation: Remediation, move: Move) -> State:
        return await self._run(remediations.move, remediation, move)

    async def close_episode(self, episode: Episode, now: datetime) -> None:
        await self._run(episodes.close, episode, now)

    async def next_due(self) -> datetime | None:
        return await self._read(_next_due)

    async def next_work(self) -> datetime | None:
        return await self._read(remediations.next_work)

    async def escalations(self, now: datetime) -> list[Remediation]:
        return await self._read(people.escalations, now)

    async def escalated(
        self, remediation: RemediationId, messages: tuple[Message, ...], again_at: datetime | None, now: datetime
    ) -> None:
        await self._run(people.escalated, remediation, messages, again_at, now)

    async def outbox(
        self, now: datetime, limit: int = 50, receiver: str | None = None, but_not: tuple[str, ...] = ()
    ) -> list[Row]:
        return list(await self._read(messages.due, now, limit, receiver, but_not))

    async def delivered(self, message: int, now: datetime, error: str | None, again_at: datetime | None, ref: str = "") -> None:
        await self._run(messages.delivered, message, now, error, again_at, ref)

    async def quieted(self, limit: int) -> list[tuple[Remediation, tuple[str, ...]]]:
        return await self._read(people.quieted, limit)

    async def told_quiet(self, remediation: RemediationId, told: tuple[Message, ...], now: datetime) -> None:
        await self._run(people.told_quiet, remediation, told, now)

    async def reloaded(self, rules_digest: str, now: datetime) -> None:
        await self._run(episodes.reloaded, rules_digest, now)

    async def past(self, rule: str, target_key: str) -> Past:
        return await self._read(past.past, rule, target_key)

    async def revivals(self, now: datetime, limit: int) -> list[Claim]:
        return await self._read(past.revivals, now, limit)

    async def revive(self, remediation: RemediationId, now: datetime) -> None:
        await self._run(episodes.revive, [remediation], now)

    async def revive_later(self, remediation: RemediationId, template: str, again_at: datetime | None) -> None:
        await self._run(past.revive_later, remediation, template, again_at)

    async def restorations(self, now: datetime, limit: int) -> list[Owed]:
        return await self._read(past.restorations, now, limit)

    async def restore_later(self, attempt: str, again_at: datetime | None) -> None:
        await self._run(past.restore_later, attempt, again_at)

    async def undo(self, remediation: str, attempt: str, why: str, now: datetime, asked: str = "") -> str | None:
        return await self._run(past.undo, remediation, attempt, why, now, asked)

    async def pauses(self) -> list[Row]:
        return list(await self._read(people.pauses))

    async def pause(self, scope: str, reason: str, author: str, until: datetime | None, now: datetime) -> None:
        await self._run(people.pause, scope, reason, author, until, now)

    async def resume(self, scope: str, author: str, now: datetime) -> bool:
        return await self._run(people.resume, scope, author, now)

    async def decide(
        self, remediation: str, digest: str, operator: str, approve: bool, now: datetime, why: str = ""
    ) -> str | None:
        return await self._run(people.decide, remediation, digest, operator, approve, now, why)

    async def cancel(self, remediation: str, operator: str, now: datetime, why: str = "") -> str | None:
        return await self._run(people.cancel, remediation, operator, now, why)

    async def retry(self, remediation: str, operator: str, now: datetime, why: str = "") -> str | None:
        return await self._run(people.retry, remediation, operator, now, why)

    async def remediations(self, limit: int, state: str | None) -> list[Row]:
        return list(await self._read(views.remediations, limit, state))

    async def show(self, remediation: str) -> Row | None:
        return await self._read(views.show, remediation)

    async def episodes(self, limit: int, fingerprint: str | None) -> list[Row]:
        return list(await self._read(views.episodes, limit, fingerprint))

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        return await self._read(views.counts)

    async def charges(self, since: datetime) -> list[Charge]:
        return await self._read(usage.charges, since)

    async def resolutions(self, since: datetime, until: datetime) -> list[tuple[str, bool, float]]:
        return await self._read(views.resolutions, since, until)

    async def storm(self, scope: str, why: str, until: datetime, messages: tuple[Message, ...], now: datetime) -> bool:
        return await self._run(trust.storm, scope, why, until, messages, now)

    async def ends(self, rule: str, limit: int) -> tuple[End, ...]:
        return await self._read(usage.ends, rule, limit)

    async def suspects(self, since: datetime, limit: int) -> list[str]:
        return await self._read(trust.suspects, since, limit)

    async def breakers(self) -> list[Row]:
        return list(await self._read(trust.breakers))

    async def storms(self) -> list[Row]:
        return list(await self._read(trust.storms))

    async def calm(self, scope: str, body: Mapping[str, Any], now: datetime) -> None:
        await self._run(trust.calm, scope, body, now)

    async def breaker(
        self, rule: str, opened_at: datetime | None, why: str, to: Sequence[str], body: Mapping[str, Any], now: datetime
    ) -> None:
        await self._run(trust.switch, rule, opened_at, why, to, body, now)

    async def reset(self, rule: str, operator: str, now: datetime) -> None:
        await self._run(trust.reset, rule, operator, now)

    async def record(self, rules: Sequence[str]) -> Mapping[str, Row]:
        return await self._read(trust.record, rules)

    async def began(self, since: datetime, limit: int) -> list[Episode]:
        return await self._read(episodes.began, since, limit)

    async def seal(self, now: datetime) -> tuple[int, str] | None:
        return await self._run(seals.write, now) if await self._read(seals.due) else None

    async def prune(self, before: datetime, now: datetime, longest: timedelta = timedelta()) -> int:
        return await self._run(people.prune, before, now, longest)


def _next_due(c: Connection) -> datetime | None:
    first = c.execute(sa.select(sa.func.min(timer.c.due_at))).scalar()
    pending = c.execute(sa.select(sa.func.min(episode_table.c.due_at)).where(episode_table.c.open)).scalar()
    waiting = sa.select(sa.func.min(outbox_table.c.due_at)).where(outbox_table.c.delivered_at.is_(None))
    return min(filter(None, (first, pending, c.execute(waiting).scalar())), default=None)
