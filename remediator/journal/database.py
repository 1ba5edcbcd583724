"""Transactions: an engine, threads, a file's lock, migrations.

And what is done about a database that does not answer.

SQLite: one connection that writes, `synchronous=FULL`, WAL, `BEGIN IMMEDIATE`, one that reads for
the engine, one for the views that people ask for, and a lock beside the file against a second
daemon. In memory: SQLite too, so that a replay runs the very same queries. PostgreSQL: a small
pool, and a smaller one for the views.
"""

import asyncio
import contextlib
import fcntl
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, StaticPool

from ..errors import ConfigurationError, JournalLocked, JournalUnavailable
from ..telemetry import Metrics
from .commits import Commits

P = ParamSpec("P")
T = TypeVar("T")
HEAD = "0006"
POOL = 4
VIEWS = 2  # connections for the views that people ask for
SILENCE = 10.0  # seconds; a database that does not answer for so long is taken to be gone
PATIENCE = {  # what libpq itself is told; only a network that swallows everything needs more
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
IN_TIME = (
    "-c statement_timeout=9000 -c lock_timeout=9000 -c idle_in_transaction_session_timeout=30000"
    # no whole table is read where an index answers
    " -c enable_seqscan=off -c random_page_cost=1.1 -c jit=off"
)
HOWEVER_LONG = (
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c"
    " idle_session_timeout=0"
)


def parsed_url(url: str) -> sa.URL:
    """Raises: ConfigurationError, without what may be secret in it."""
    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigurationError(
            f"cannot use the journal {url.split(':')[0]}:…: not a database URL"
        ) from None


def schema_of(c: Connection) -> str | None:
    """The schema's version, None where there is none yet."""
    if "alembic_version" not in sa.inspect(c).get_table_names():
        return None
    version: str | None = c.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _told(url: sa.URL, usual: str = "", always: str = "") -> dict[str, Any]:
    """What a PostgreSQL connection is told.

    What the URL says holds over what is usual, its `options` too.
    """
    theirs = url.query.get("options", "")
    options = " ".join(
        filter(None, [usual, *([theirs] if isinstance(theirs, str) else theirs), always])
    )
    return {key: value for key, value in PATIENCE.items() if key not in url.query} | {
        "options": options
    }


class Database:
    """The database at a SQLAlchemy URL; `sqlite://` is in memory."""

    def __init__(self, url: str, metrics: Metrics | None = None) -> None:
        self.url = url
        self._metrics = metrics or Metrics()
        self.sqlite = url.startswith("sqlite")
        self._engine = self._make_engine(url)
        self._threads = ThreadPoolExecutor(1 if self.sqlite else POOL, thread_name_prefix="journal")
        file = self.sqlite and self._engine.url.database not in (None, "", ":memory:")
        self._hasty = self._make_engine(url, synced=False) if file else self._engine
        self._commits = Commits(self._threads, self._write) if file else None
        self._reading = self._make_engine(url, "BEGIN") if file else self._engine
        self._readers = (
            ThreadPoolExecutor(1, thread_name_prefix="journal-reads") if file else self._threads
        )
        self._inline = self.sqlite and not file  # in memory nothing waits for a disk
        # views that people ask for, which may be slow
        self._looking = self._engine if self._inline else self._make_engine(url, "BEGIN", VIEWS)
        self._lookers = ThreadPoolExecutor(1 if file else VIEWS, thread_name_prefix="journal-views")
        self._running: dict[int, float] = {}  # when each transaction that runs began
        # and on which of PostgreSQL's connections, by thread
        self._connected: dict[int, tuple[Any, float]] = {}
        self._lock: IO[str] | None = None

    def _make_engine(
        self, url: str, begins: str = "BEGIN IMMEDIATE", pool: int = POOL, *, synced: bool = True
    ) -> Engine:
        parsed = parsed_url(url)
        if not self.sqlite:
            return sa.create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_size=pool,
                max_overflow=0,
                pool_timeout=SILENCE,
                connect_args=_told(parsed, IN_TIME),
            )
        engine = sa.create_engine(
            parsed, poolclass=StaticPool, connect_args={"check_same_thread": False}
        )

        @sa.event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={'FULL' if synced else 'NORMAL'}",
                "foreign_keys=ON",
                "busy_timeout=5000",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(begins)

        return engine

    def _take_lock(self) -> None:
        path = self._engine.url.database
        if not self.sqlite or path in (None, "", ":memory:"):
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # held as long as the journal is open
            self._lock = open(f"{path}.lock", "a")  # noqa: SIM115
        except OSError as error:
            raise ConfigurationError(f"cannot open the journal {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalLocked(
                f"cannot open the journal {path}: another remediator is using it; stop that one, or"
                " use a PostgreSQL journal"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _migrate(self) -> None:
        try:
            with self._engine.connect() as connection:
                version = schema_of(connection)
        except DBAPIError as error:
            raise JournalUnavailable(f"cannot open the journal: {error.orig}") from None
        if version == HEAD:
            return
        if self.sqlite:
            self._upgrade(self._engine)
            return
        told = _told(self._engine.url, always=HOWEVER_LONG)  # a build of indexes takes minutes
        patient = sa.create_engine(self._engine.url, poolclass=NullPool, connect_args=told)
        try:
            self._upgrade(patient)
        finally:
            patient.dispose()

    def _upgrade(self, engine: Engine) -> None:
        from . import migrate  # alembic is slow to import

        try:
            migrate.upgrade(engine)
        except DBAPIError as error:
            raise JournalUnavailable(
                f"cannot migrate the journal: {error.orig}; the migration resumes at the next start"
            ) from None

    async def probe(self) -> str:
        """What stands there, without changing it.

        Raises: ConfigurationError, JournalLocked, JournalUnavailable.
        """
        path = self._engine.url.database if self.sqlite else None
        if self.sqlite and path and path != ":memory:" and not Path(path).exists():
            folder = Path(path).resolve().parent
            if not os.access(folder, os.W_OK):
                raise ConfigurationError(
                    f"cannot create the journal {path}: folder {folder} does not exist or is not"
                    " writable"
                )
            return "does not exist yet; created at the first start"
        self._take_lock()
        version = await self._read(schema_of)
        return (
            f"schema {version}"
            if version == HEAD
            else f"schema {version or 'none yet'}; migrated to {HEAD} at the next start"
        )

    async def close(self) -> None:
        """Waits for what is running, then closes."""
        for threads in (self._lookers, self._readers, self._threads):
            threads.shutdown(wait=True)
        for engine in (self._looking, self._reading, self._hasty, self._engine):
            engine.dispose()
        if self._lock:
            self._lock.close()

    async def _run(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """One transaction that may write."""
        return await self._written(lambda c: function(c, *arguments, **named), synced=True)

    async def _note(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """One transaction that nobody relies on if the machine goes down right after it. On a
        SQLite file the disk is not waited for: the next transaction that is, brings it along.
        """
        return await self._written(lambda c: function(c, *arguments, **named), synced=False)

    async def _written(self, function: Callable[[Connection], T], *, synced: bool) -> T:
        if self._commits is not None:
            return await self._commits.write(function, synced=synced)  # type: ignore[no-any-return]
        return await self._on(self._threads, self._engine, function)

    async def _read(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """One transaction that only reads. On a SQLite file it waits for none that writes."""
        return await self._on(
            self._readers, self._reading, lambda c: function(c, *arguments, **named)
        )

    async def _look(
        self,
        function: Callable[Concatenate[Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """One transaction that only reads and may take long. The engine does not wait for it."""
        return await self._on(
            self._lookers, self._looking, lambda c: function(c, *arguments, **named)
        )

    async def _on(
        self,
        threads: ThreadPoolExecutor,
        engine: Engine,
        function: Callable[..., T],
        *arguments: Any,
    ) -> T:
        if self._inline:
            return self._transact(engine, function, *arguments)
        given_up = threading.Event()
        work = functools.partial(self._transact, engine, function, *arguments, given_up=given_up)
        submitted = threads.submit(work)
        running = asyncio.wrap_future(submitted)
        if self.sqlite:
            return await running
        try:
            async with asyncio.timeout(SILENCE):
                return await asyncio.shield(running)
        except TimeoutError:
            given_up.set()  # what has not begun never does, and what runs is not committed
            submitted.cancel()
            running.add_done_callback(_forget)
            self._hang_up()
            raise JournalUnavailable(f"the database did not answer within {SILENCE:.0f}s") from None

    def _hang_up(self) -> None:
        """Ends the connections that a transaction has waited on for too long. Nothing else makes
        its thread come back.
        """
        now = time.monotonic()
        for connection, since in list(self._connected.values()):
            if now - since > SILENCE - 1:
                with (
                    contextlib.suppress(Exception),
                    socket.socket(fileno=os.dup(connection.fileno())) as line,
                ):
                    line.shutdown(socket.SHUT_RDWR)

    def stuck_for(self) -> float:
        """Seconds since the oldest transaction that has not ended began."""
        return max(
            (time.monotonic() - since for since in list(self._running.values())), default=0.0
        )

    def _write(self, function: Callable[[Connection], Any], synced: bool) -> Any:
        return self._transact(self._engine if synced else self._hasty, function)

    def _transact(
        self,
        engine: Engine,
        function: Callable[..., T],
        *arguments: Any,
        given_up: threading.Event | None = None,
    ) -> T:
        started, result = time.perf_counter(), "failed"
        mark = object()
        self._running[id(mark)] = time.monotonic()
        try:
            with self._connection(engine) as connection:
                answer = function(connection, *arguments)
                if given_up is not None and given_up.is_set():
                    raise JournalUnavailable("the caller no longer waits for this transaction")
                connection.commit()
            result = "ok"
            return answer
        except (OperationalError, DBAPIError, PoolTimeout) as error:
            if isinstance(error, sa.exc.IntegrityError):
                raise
            raise JournalUnavailable(
                f"cannot write the journal: {getattr(error, 'orig', error)}"
            ) from error
        finally:
            self._running.pop(id(mark), None)
            self._metrics.count("journal_commits_total", result)
            self._metrics.observe("journal_commit_duration_seconds", time.perf_counter() - started)

    @contextlib.contextmanager
    def _connection(self, engine: Engine) -> Iterator[Connection]:
        """One that is alive, and rolled back unless it was committed.

        All that it waits for, its first question too, is watched.
        """
        connection, thread = engine.connect(), threading.get_ident()
        try:
            if not self.sqlite:
                self._connected[thread] = (
                    connection.connection.driver_connection,
                    time.monotonic(),
                )
                try:
                    connection.exec_driver_sql("SELECT 1")
                # it died while it was idle, and all that are as old with it: a new one
                except DBAPIError:
                    connection.close()
                    connection = engine.connect()
                    self._connected[thread] = (
                        connection.connection.driver_connection,
                        time.monotonic(),
                    )
            yield connection
        finally:
            try:
                connection.rollback()
            finally:
                self._connected.pop(thread, None)
                connection.close()

    def size(self) -> int:
        """Bytes of a SQLite file and its write-ahead log; 0 for any other."""
        path = self._engine.url.database if self.sqlite else None
        files = (
            [Path(f"{path}{end}") for end in ("", "-wal")] if path and path != ":memory:" else []
        )
        return sum(file.stat().st_size for file in files if file.exists())


def _forget(running: "asyncio.Future[Any]") -> None:
    """What became of a transaction that nobody waits for any more.

    It failed, since its connection was ended.
    """
    if not running.cancelled():
        running.exception()
