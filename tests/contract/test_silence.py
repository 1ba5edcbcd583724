"""A database that goes silent in the middle of a connection: nobody waits for long, readiness and health say so, and it recovers."""

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

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Line:
    """A TCP line that can swallow everything, as a network does whose packets are dropped."""

    def __init__(self, port: int) -> None:
        self._target, self.dead = port, False
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
                while self.dead:
                    time.sleep(0.05)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        self.dead = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
async def silenced(postgresql: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SqlJournal, Line]]:
    monkeypatch.setattr(database, "SILENCE", 1.5)
    url = postgresql.database(f"s{uuid.uuid4().hex[:10]}")
    line = Line(postgresql.port)
    journal = SqlJournal(url.replace(f":{postgresql.port}", f":{line.port}"))
    await journal.open(NOW)
    yield journal, line
    line.dead = False
    await journal.close()
    line.stop()


async def test_a_silent_database_is_unavailable_in_time_and_comes_back(silenced: tuple[SqlJournal, Line]) -> None:
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
            await journal.pause("all", "it works again", "me", None, NOW)
            break
        await asyncio.sleep(0.2)
    assert [row["reason"] for row in await journal.pauses()] == ["it works again"]
    for _ in range(50):  # what was hung up on ends too
        if journal.stuck_for() == 0.0:
            break
        await asyncio.sleep(0.1)
    assert journal.stuck_for() == 0.0


async def test_how_long_a_transaction_hangs_is_known(silenced: tuple[SqlJournal, Line]) -> None:
    journal, _ = silenced
    hanging = asyncio.ensure_future(journal._read(lambda c: c.execute(sa.text("SELECT pg_sleep(0.8)"))))
    await asyncio.sleep(0.5)
    assert 0.3 < journal.stuck_for() < 1.5
    await hanging
    assert journal.stuck_for() == 0.0
