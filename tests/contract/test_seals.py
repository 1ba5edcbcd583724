"""Seals: an edit, a gap, another order and a cut are found and named; pruning keeps the chain.

Writers are not in the way.
"""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from remediator.cli import main
from remediator.journal import entries, seals
from remediator.journal.reading import reading
from remediator.journal.sql import SqlJournal
from remediator.journal.tables import entry
from remediator.model.remediation import State
from remediator.model.seal import head_number
from tests.contract.test_journal import NOW, SECOND
from tests.contract.test_journal import journal as journal

DAY = timedelta(days=1)


async def written(journal: SqlJournal, *texts: str, at: timedelta = timedelta()) -> None:
    def write(c: sa.Connection) -> None:
        for text in texts:
            entries.write(c, NOW + at, "r-1", State.HELD, reason="paused", text=text)

    await journal._run(write)


async def verified(journal: SqlJournal, head: str = "") -> seals.SealReport:
    return await journal._read(seals.verify, head)


async def test_what_was_written_is_sealed_once_and_found_whole(journal: SqlJournal) -> None:
    await written(journal, "a", "b")
    first = await journal.seal(NOW)
    await written(journal, "c")
    assert (await verified(journal)).unsealed == 1
    second = await journal.seal(NOW + SECOND)
    assert await journal.seal(NOW + SECOND) is None
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == (2, 3)
    found = await verified(journal, first[1])
    assert (found.first, found.last, found.seals, found.head, found.findings) == (
        1,
        3,
        2,
        second[1],
        [],
    )
    # from a log, or from the metric
    for kept in (
        first[1][:12].upper(),
        str(head_number(first[1])),
        repr(float(head_number(first[1]))),
    ):
        assert (await verified(journal, kept)).findings == []
    for other in ("0" * 63 + "1", str(head_number(first[1]) + 1), first[1][:11]):
        assert "no seal has the digest" in (await verified(journal, other)).findings[0]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            "UPDATE entry SET text = 'x' WHERE number = 2",
            "entry 2 (2026-05-01 12:00:00, held) was changed",
        ),
        ("UPDATE entry SET reason = NULL WHERE number = 3", "entry 3"),
        ("DELETE FROM entry WHERE number = 2", "entry 2 is missing"),
        (
            (
                "UPDATE entry SET number = CASE number WHEN 1 THEN -2 WHEN 2 THEN -1 END WHERE"
                " number IN (1, 2)"
            ),
            "entry 1 is missing",
        ),
        (
            (
                "UPDATE entry SET text = CASE number WHEN 1 THEN 'b' ELSE 'a' END WHERE number IN"
                " (1, 2)"
            ),
            "entry 1",
        ),
        (
            "DELETE FROM seal WHERE number = 1",
            "before seal 2 (entries 3 to 4) at least one seal is missing",
        ),
        (
            "UPDATE seal SET digest = 'x' WHERE number = 1",
            "seal 1 does not match its entries 1 to 2",
        ),
        ("UPDATE seal SET pruned = TRUE WHERE number = 2", "seal 2 is marked as pruned"),
        (
            "UPDATE seal SET pruned = TRUE WHERE number = 1",
            "claims that earlier entries were pruned, but no entry records it",
        ),
        ("DELETE FROM seal WHERE number = 3", "1 entries are numbered but not covered by a seal"),
    ],
)
async def test_what_was_done_to_it_is_found_and_named(
    journal: SqlJournal, change: str, finding: str
) -> None:
    for texts in (("a", "b"), ("c", "d"), ("e",)):
        await written(journal, *texts)
        await journal.seal(NOW)
    await journal._run(lambda c: c.exec_driver_sql(change) and None)
    assert any(finding in line for line in (await verified(journal)).findings)


async def test_an_edit_with_a_recomputed_digest_is_found_by_the_seal(journal: SqlJournal) -> None:
    await written(journal, "a", "b")
    await journal.seal(NOW)

    def edit(c: sa.Connection) -> None:
        c.execute(sa.text("UPDATE entry SET text = 'x' WHERE number = 1"))
        row: Any = c.execute(sa.select(entry).where(entry.c.number == 1)).one()
        c.execute(
            sa.update(entry).where(entry.c.number == 1).values(digest=seals.digest_of(row, 1))
        )

    await journal._run(edit)
    (finding,) = (await verified(journal)).findings
    assert (
        finding
        == "seal 1 does not match its entries 1 to 2: they were changed together with their digests"
    )


async def test_a_cut_end_is_found_only_by_an_outside_copy_of_the_head(journal: SqlJournal) -> None:
    await written(journal, "a")
    await journal.seal(NOW)
    await written(journal, "b")
    head = await journal.seal(NOW)
    assert head is not None
    await journal._run(lambda c: c.exec_driver_sql("DELETE FROM seal WHERE number = 2") and None)
    await journal._run(lambda c: c.exec_driver_sql("DELETE FROM entry WHERE number = 2") and None)
    assert (await verified(journal)).findings == []
    assert "was cut" in (await verified(journal, head[1])).findings[0]


async def test_pruning_forgets_whole_ranges_and_the_rest_still_verifies(
    journal: SqlJournal,
) -> None:
    for day in range(4):
        await written(journal, f"day {day}", "more", at=day * DAY)
        await journal.seal(NOW + day * DAY)
    await journal.prune(NOW + 1.5 * DAY, NOW + 4 * DAY)
    await journal.seal(NOW + 4 * DAY)
    found = await verified(journal)
    assert (found.first, found.last, found.findings) == (5, 9, [])
    await journal.prune(NOW + 1.5 * DAY, NOW + 4 * DAY)  # nothing more to forget
    await journal.prune(NOW + 3.5 * DAY, NOW + 5 * DAY)
    await journal.seal(NOW + 5 * DAY)
    found = await verified(journal)
    assert (found.first, found.findings) == (9, [])
    await journal._run(
        lambda c: c.exec_driver_sql("UPDATE entry SET text = 'x' WHERE number = 9") and None
    )
    assert (await verified(journal)).findings


async def test_an_old_history_is_forgotten_in_parts_and_is_whole_after_each(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "FORGOTTEN_AT_ONCE", 4)
    for _ in range(6):
        await written(journal, "a", "b")
        await journal.seal(NOW)
    gone = []
    while parted := await journal.prune(NOW + DAY, NOW + 2 * DAY):
        gone.append(parted)
        await journal.seal(NOW + 2 * DAY)
        assert (await verified(journal)).findings == []
    assert gone == [6, 4, 2]


async def test_a_long_history_is_sealed_in_parts(journal: SqlJournal) -> None:
    await written(journal, *(str(number) for number in range(seals.AT_ONCE + 5)))
    assert (await journal.seal(NOW) or (0,))[0] == seals.AT_ONCE
    assert (await journal.seal(NOW) or (0,))[0] == seals.AT_ONCE + 5
    assert (await verified(journal)).findings == []


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "j.db"
    journal = SqlJournal(f"sqlite:///{path}")
    await journal.open(NOW)
    await written(journal, "a", "b")
    await journal.seal(NOW)
    await written(journal, "c")
    await journal.close()
    return path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["journal", *arguments])
    return result.exit_code, result.output + str(result.exception or "")


def tampered(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_verify_by_hand(file: Path) -> None:
    code, text = run("verify", "--journal", f"sqlite:///{file}")
    assert code == 0
    assert "entries 1 to 2 under 1 seals, 1 entries not sealed yet" in text
    tampered(file, "UPDATE entry SET text = 'nothing happened' WHERE number = 1")
    code, text = run("verify", "--journal", f"sqlite:///{file}")
    assert code == 1
    assert "FINDING  entry 1 (2026-05-01 12:00:00, held) was changed" in text


def test_export_and_backup_by_hand(file: Path, tmp_path: Path) -> None:
    url, lines = f"sqlite:///{file}", tmp_path / "history.jsonl"
    assert run("export", "--journal", url, "--output", str(lines))[0] == 0
    read = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(line["type"], line.get("number")) for line in read] == [
        ("entry", 1),
        ("entry", 2),
        ("seal", 1),
        ("entry", None),
    ]
    copy = tmp_path / "copy.db"
    assert run("backup", "--journal", url, str(copy))[0] == 0
    assert run("verify", "--journal", f"sqlite:///{copy}")[0] == 0
    code, text = run("backup", "--journal", url, str(copy))
    assert code == 1
    assert "it already exists; name a new file" in text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///no/such.db", "no such file"),
        ("nonsense", "not a database URL"),
        ("sqlite:///{empty}", "its schema is none"),
    ],
)
def test_what_cannot_be_read_is_said(url: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    code, text = run("verify", "--journal", url.format(empty=tmp_path / "empty.db"))
    assert code == 1
    assert words in text


async def test_who_verifies_beside_a_daemon_sees_one_moment_of_it(tmp_path: Path) -> None:
    journal = SqlJournal(f"sqlite:///{tmp_path}/j.db")
    await journal.open(NOW)
    await written(journal, "a")
    await journal.seal(NOW)
    count = sa.select(sa.func.count()).select_from(sa.text("entry"))
    with reading(f"sqlite:///{tmp_path}/j.db") as connection:
        before = connection.execute(count).scalar()
        await written(journal, "b")
        await journal.seal(NOW + SECOND)
        assert (connection.execute(count).scalar(), seals.verify(connection).findings) == (
            before,
            [],
        )
    await journal.close()
