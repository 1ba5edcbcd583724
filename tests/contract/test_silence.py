"""A database that goes silent in the middle of a connection.

Nobody waits for long, readiness and health say so, and it recovers.
"""

import asyncio
import contextlib
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

import remediator.journal.database as database
from remediator.errors import JournalUnavailable
from remediator.journal.sql import SqlJournal
from remediator.model.alert import Alert, AlertStatus
from remediator.ports.records import Delivery

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Line:
    """A TCP line that can swallow everything, as a network does whose packets are dropped."""

    def __init__(self, port: int) -> None:
        self._target, self.dead, self.delay = port, False, 0.0
        # ends of connections of which nothing arrives any more, though they stay up
        self.lost: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._ends: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                time.sleep(self.delay)
                while self.dead:
                    time.sleep(0.05)
                if one not in self.lost:
                    other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def lose(self) -> None:
        """Those that are there are swallowed, as by a proxy that lost its way; new ones work."""
        self.lost = set(self._ends[1:])

    def stop(self) -> None:
        self.dead = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
async def silenced(
    postgresql: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[SqlJournal, Line]]:
    monkeypatch.setattr(database, "SILENCE", 1.5)
    url = postgresql.database(f"s{uuid.uuid4().hex[:10]}")
    line = Line(postgresql.port)
    journal = SqlJournal(url.replace(f":{postgresql.port}", f":{line.port}"))
    await journal.open(NOW)
    yield journal, line
    line.dead = False
    await journal.close()
    line.stop()


async def test_a_silent_database_is_unavailable_in_time_and_comes_back(
    silenced: tuple[SqlJournal, Line],
) -> None:
    journal, line = silenced
    await journal.ping()
    line.dead = True
    loop = asyncio.get_running_loop()
    started = loop.time()
    answers = await asyncio.gather(*(journal.ping() for _ in range(6)), return_exceptions=True)
    assert loop.time() - started < 6
    assert all(isinstance(answer, JournalUnavailable) for answer in answers), answers
    line.dead = False
    for _ in range(50):
        with contextlib.suppress(JournalUnavailable):
            await journal.pause("all", "it works again", "me", None, now=NOW)
            break
        await asyncio.sleep(0.2)
    assert [pause.reason for pause in await journal.pauses()] == ["it works again"]
    for _ in range(50):  # what was hung up on ends too
        if journal.stuck_for() == 0.0:
            break
        await asyncio.sleep(0.1)
    assert journal.stuck_for() == 0.0


async def test_a_slow_database_loses_no_webhook_and_its_work_is_done(
    silenced: tuple[SqlJournal, Line],
) -> None:
    journal, line = silenced
    line.delay = 0.02  # for each way of each packet
    left = {
        f"f{n}": Alert(f"f{n}", AlertStatus.FIRING, {"alertname": "A"}, {}, NOW, None)
        for n in range(20)
    }
    accepted: set[str] = set()
    for _ in range(20):  # what was not accepted in time is delivered again
        names = [*left.keys() - accepted]
        answers = await asyncio.gather(
            *(journal.receive([Delivery("am", (left[name],), NOW)]) for name in names),
            return_exceptions=True,
        )
        accepted |= {
            name
            for name, answer in zip(names, answers, strict=True)
            if not isinstance(answer, BaseException)
        }
        if accepted == left.keys():
            break
    assert accepted == left.keys()
    line.delay = 0.0
    await asyncio.sleep(0.2)
    assert sorted(episode.alert.fingerprint for episode in await journal.pending(NOW)) == sorted(
        accepted
    )


async def test_how_long_a_transaction_hangs_is_known(silenced: tuple[SqlJournal, Line]) -> None:
    journal, _ = silenced
    hanging = asyncio.ensure_future(
        journal._read(lambda c: c.execute(sa.text("SELECT pg_sleep(0.8)")))
    )
    await asyncio.sleep(0.5)
    assert 0.3 < journal.stuck_for() < 1.5
    await hanging
    assert journal.stuck_for() == 0.0


async def test_connections_that_died_while_idle_are_replaced(
    silenced: tuple[SqlJournal, Line],
) -> None:
    journal, line = silenced
    await asyncio.gather(
        *(
            journal._run(lambda c: c.execute(sa.text("SELECT pg_sleep(0.3)")))
            for _ in range(database.POOL)
        )
    )
    line.lose()
    for _ in range(50):
        with contextlib.suppress(JournalUnavailable):
            await journal.pause("all", "it works again", "me", None, now=NOW)
            break
    for _ in range(50):
        if journal.stuck_for() == 0.0:
            break
        await asyncio.sleep(0.1)
    assert journal.stuck_for() == 0.0
    assert await journal.pauses()


async def test_what_nobody_waits_for_any_more_is_not_done(
    silenced: tuple[SqlJournal, Line],
) -> None:
    journal, _ = silenced
    sleeping = [
        asyncio.ensure_future(
            journal._run(lambda c: c.execute(sa.text("SELECT pg_sleep(1.2)")) and None)
        )
        for _ in range(2 * database.POOL)
    ]
    await asyncio.sleep(0.2)
    with pytest.raises(JournalUnavailable):  # it waits for a thread behind two rounds of them
        await journal.pause("all", "too late", "me", None, now=NOW)
    await asyncio.gather(*sleeping, return_exceptions=True)
    await asyncio.sleep(1.5)
    assert await journal.pauses() == []


async def test_what_the_url_says_holds(postgresql: Any) -> None:
    url = postgresql.database(f"s{uuid.uuid4().hex[:10]}")
    plain = SqlJournal(url)
    await plain.open(NOW)
    await plain._run(lambda c: c.execute(sa.text("CREATE SCHEMA mine")) and None)
    await plain.close()
    journal = SqlJournal(f"{url}?options=-csearch_path%3Dmine%20-cstatement_timeout%3D1234")
    await journal.open(NOW)

    def show(c: sa.Connection, name: str) -> str:
        return str(c.execute(sa.text(f"SHOW {name}")).scalar())

    shown = [
        await journal._read(show, name)
        for name in ("search_path", "statement_timeout", "lock_timeout")
    ]
    assert shown == ["mine", "1234ms", "9s"]
    await journal.pause("all", "x", "me", None, now=NOW)
    assert len(await journal.pauses()) == 1
    await journal.close()


@pytest.mark.parametrize("limit", ["statement_timeout = '1ms'", "idle_session_timeout = '100ms'"])
async def test_a_migration_takes_the_time_it_needs(postgresql: Any, limit: str) -> None:
    name = f"s{uuid.uuid4().hex[:10]}"
    url = postgresql.database(name)
    other = sa.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.pool.NullPool
    )
    with other.begin() as c:
        c.exec_driver_sql(f"ALTER DATABASE {name} SET {limit}")
    journal = SqlJournal(url)
    await journal.open(NOW)
    await asyncio.sleep(0.3)  # and the daemon goes on, though its idle connections are ended
    await journal.pause("all", "x", "me", None, now=NOW)
    assert len(await journal.pauses()) == 1
    await journal.close()
