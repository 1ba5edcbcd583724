"""What is on the disk before anybody goes on, in a SQLite file: all but what is decided again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.journal.sql import SqlJournal
from remediator.model.decision import Decided, Wait
from remediator.model.remediation import Event
from remediator.ports.records import Body
from tests.contract.journals import claimed, fires, meant, unless_taken, verifying
from tests.contract.test_journal import (
    LEASE,
    MINUTE,
    NOW,
    applied,
    end,
    hold_until,
    nobody,
    wanted,
)


class Synced(SqlJournal):
    """Remembers of each transaction that may write whether the disk was waited for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.waited: list[bool] = []

    def _write(self, function, synced):  # type: ignore[no-untyped-def]
        self.waited.append(synced)
        return super()._write(function, synced)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Synced]:
    made = Synced(f"sqlite:///{tmp_path}/j.db")
    await made.open(NOW)
    yield made
    await made.close()


def test_the_disk_is_waited_for_by_one_connection_and_not_by_the_other(tmp_path: Path) -> None:
    made = SqlJournal(f"sqlite:///{tmp_path}/j.db")
    modes = []
    for engine in (made._engine, made._hasty):
        with engine.connect() as c:
            modes.append(c.exec_driver_sql("PRAGMA synchronous").scalar())
    assert modes == [2, 1]
    asyncio.run(made.close())


async def test_webhooks_triage_and_attempts_are_on_the_disk(journal: Synced) -> None:
    journal.waited.clear()
    await journal.store([Body("s", NOW, b"{}")])
    await fires(journal, wanted("web"))
    claim = await claimed(journal)
    assert journal.waited == [True, True, True, False]
    journal.waited.clear()
    begun = meant(claim)
    await journal.begin(claim.remediation, begun, unless_taken)
    await journal.send(claim.remediation, begun.attempt)
    assert journal.waited == [True, True]


async def test_further_calls_are_on_the_disk(journal: Synced) -> None:
    await fires(journal, wanted("web"))
    claim = await verifying(journal)
    journal.waited.clear()
    await journal.extend(claim.remediation, claim.attempts[-1], NOW)
    assert journal.waited == [True]


@pytest.mark.parametrize(
    ("decided", "waited"),
    [
        (hold_until(NOW), False),
        (Wait(at=NOW, reason=None, why="", until=NOW), False),
        (end(Event.BLOCK), True),
    ],
    ids=["hold", "wait", "end"],
)
async def test_what_only_goes_on_waiting_does_not_wait_for_the_disk(
    journal: Synced, decided: Decided, waited: bool
) -> None:
    await fires(journal, wanted("web"))
    claim = await claimed(journal)
    journal.waited.clear()
    await journal.renew(claim.remediation, NOW, LEASE)
    await journal.write(claim.remediation, decided, nobody)
    assert journal.waited == [False, waited]


async def test_what_was_applied_is_on_the_disk(journal: Synced) -> None:
    await fires(journal, wanted("web"))
    claim = await claimed(journal)
    await journal.begin(claim.remediation, meant(claim), unless_taken)
    journal.waited.clear()
    done = replace(applied(f"{claim.remediation.id}.1", applied_at=NOW), at=NOW)
    await journal.write(claim.remediation, done, nobody)
    assert journal.waited == [True]


async def test_what_others_see_is_the_same_whichever_connection_wrote_it(journal: Synced) -> None:
    await fires(journal, wanted("web"))
    first = await claimed(journal)
    await journal.write(first.remediation, hold_until(NOW + MINUTE), nobody)
    assert await journal.claim(NOW, LEASE) is None
    second = await claimed(journal, NOW + MINUTE)
    assert second.remediation.id == first.remediation.id
    assert second.remediation.token > first.remediation.token
    assert await journal.claim(NOW + timedelta(days=1) - MINUTE, timedelta(days=9)) is not None
