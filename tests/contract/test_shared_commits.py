"""Writes that wait for the thread that writes a SQLite file share a commit, and nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from remediator.errors import JournalUnavailable, LeaseLost
from remediator.journal.commits import MOST
from remediator.journal.sql import SqlJournal
from tests.contract.test_journal import NOW


class Observed(SqlJournal):
    """Remembers of each transaction whether the disk was waited for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commits: list[bool] = []

    def _write(self, function: Callable[[Connection], Any], synced: bool) -> Any:
        try:
            answer = super()._write(function, synced)
        finally:
            self.commits.append(synced)
        return answer

    def texts(self) -> list[str]:
        """What is in the journal, as another connection sees it."""
        with self._reading.connect() as c:
            return [row.text for row in c.execute(sa.text("SELECT text FROM words ORDER BY rowid"))]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Observed]:
    made = Observed(f"sqlite:///{tmp_path}/j.db")
    await made.open(NOW)
    await made._run(lambda c: c.exec_driver_sql("CREATE TABLE words (text TEXT UNIQUE)"))
    made.commits.clear()
    yield made
    await made.close()


def word(text: str, error: Exception | None = None) -> Callable[[Connection], str]:
    """Writes a word, and raises after it."""

    def write(c: Connection) -> str:
        c.execute(sa.text("INSERT INTO words VALUES (:text)"), {"text": text})
        if error is not None:
            raise error
        return text

    return write


async def together(journal: Observed, *writes: Any) -> list[Any]:
    """What becomes of writes that are asked for while another one is under way."""
    goes_on = threading.Event()
    first = asyncio.ensure_future(journal._run(lambda _: goes_on.wait(10)))
    await asyncio.sleep(0.01)
    waiting = [asyncio.ensure_future(write) for write in writes]
    await asyncio.sleep(0.01)
    goes_on.set()
    await first
    found = await asyncio.gather(*waiting, return_exceptions=True)
    del journal.commits[0]
    return found


async def test_writes_that_wait_share_one_commit(journal: Observed) -> None:
    found = await together(journal, *(journal._run(word(text)) for text in "abc"))
    assert found == ["a", "b", "c"] == journal.texts()
    assert journal.commits == [True]


async def test_one_that_is_refused_is_taken_back_alone(journal: Observed) -> None:
    lost = LeaseLost("another worker has it")
    found = await together(
        journal,
        journal._run(word("a")),
        journal._run(word("b", lost)),
        journal._note(word("a")),  # it is there already
        journal._run(word("c")),
    )
    assert (found[0], found[1], found[3]) == ("a", lost, "c")
    assert isinstance(found[2], sa.exc.IntegrityError)
    assert journal.texts() == ["a", "c"]
    assert journal.commits == [True]


@pytest.mark.parametrize("synced", [False, True])
async def test_the_disk_is_waited_for_if_one_of_them_needs_it(
    journal: Observed, synced: bool
) -> None:
    last = journal._run if synced else journal._note
    assert await together(journal, journal._note(word("a")), last(word("b"))) == ["a", "b"]
    assert journal.commits == [synced]


async def test_none_is_written_if_the_disk_is_full_for_one(journal: Observed) -> None:
    def full(c: Connection) -> None:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar()
        c.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        c.execute(sa.text("INSERT INTO words VALUES (:text)"), {"text": "x" * 1_000_000})

    found = await together(
        journal, journal._run(word("a")), journal._run(full), journal._run(word("b"))
    )
    assert [type(one) for one in found] == [JournalUnavailable] * 3
    assert "full" in str(found[0])
    assert journal.texts() == []
    await journal._run(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1000000"))
    assert await journal._run(word("c")) == "c"
    assert journal.texts() == ["c"]


async def test_what_nobody_waits_for_any_more_is_not_written(journal: Observed) -> None:
    async def leaves() -> str:
        waiting = asyncio.ensure_future(journal._run(word("b")))
        await asyncio.sleep(0)
        waiting.cancel()
        return "left"

    assert await together(journal, journal._run(word("a")), leaves()) == ["a", "left"]
    assert journal.texts() == ["a"]


async def test_many_share_several_commits(journal: Observed) -> None:
    texts = [f"{number:03}" for number in range(2 * MOST + 1)]
    assert await together(journal, *(journal._run(word(text)) for text in texts)) == texts
    assert journal.texts() == texts
    assert journal.commits == [True] * 3


async def test_one_alone_answers_and_raises_as_it_is(journal: Observed) -> None:
    assert await journal._run(word("a")) == "a"
    with pytest.raises(LeaseLost):
        await journal._run(word("b", LeaseLost("gone")))
    assert journal.texts() == ["a"]
