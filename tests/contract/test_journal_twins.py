"""Whatever happens, the journal in memory says what SQL's says."""

import asyncio
from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.journal import entries
from remediator.journal.memory import MemoryJournal
from remediator.model.usage import Counted, Rate, Reading
from remediator.ports.journal import Journal
from tests.contract.journals import opened
from tests.contract.test_journal import MINUTE, NOW
from tests.contract.test_journal_laws import KEYS, OFTEN, QUICKLY, Life

LIMITS = (
    Counted("all", Rate(2, 10 * MINUTE)),
    Counted("rule", Rate(1, 30 * MINUTE), (("rule", "r"),)),
)
HAPPENING = st.tuples(
    st.sampled_from((*OFTEN, "cancel", "reload", "later")), st.sampled_from(range(60))
)


async def told(journal: Journal, now: Any) -> dict[str, Any]:
    """All that the port shows."""
    rows = await journal.remediations(999, None)
    shown: dict[str, Any] = {
        "rows": rows,
        "episodes": [
            {**row, "remediations": sorted(row["remediations"])}
            for row in await journal.episodes(999, None)
        ],
        "pending": await journal.pending(now),
        "still open": await journal.still_open(None, 99),
        "counts": await journal.counts(),
        "charges": await journal.charges(NOW - MINUTE),
        "next work": await journal.next_work(),
        "next": await journal.next_due(),
        "revivals": [claim.remediation.id for claim in await journal.revivals(now, 99)],
        "owed": [owed.attempt.id for owed in await journal.restorations(now, 99)],
        "quieted": [(one.id, to) for one, to in await journal.quieted(99)],
        "troubled": await journal.troubled("c"),
        "ends": await journal.ends("r", 5),
        "suspects": sorted(await journal.suspects(NOW, 9)),
        "record": await journal.record(["r", "second"]),
        "resolutions": sorted(await journal.resolutions(NOW - MINUTE, now)),
    }
    for row in rows:
        known = await journal.known(row["id"])
        assert known is not None
        remediation = known.claim.remediation
        past = await journal.past(remediation.rule, remediation.target.key)
        shown[row["id"]] = {
            "shown": await journal.show(row["id"]),
            "known": known,
            "usage": await journal.usage(remediation, Reading(KEYS, LIMITS), now),
            "past": replace(past, firing=tuple(sorted(past.firing, key=str))),
        }
        for line in shown[row["id"]]["shown"]["history"]:
            del line["number"], line["digest"]  # seals are SQL's alone
    return shown


async def lived(journal: Journal, happenings: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """What is told after every few things that happened."""
    life, seen = Life(journal), []
    numbers = count()
    with patch.object(entries, "new_id", lambda prefix: f"{prefix}-{next(numbers):010}"):
        for number in range(3):
            await life.alert(number)
        for step, (name, number) in enumerate(happenings, 1):
            life.minute += 1
            await getattr(life, name)(number)
            if step % 4 == 0:
                seen.append(await told(journal, life.now))
    return seen


@settings(max_examples=25, deadline=None, phases=QUICKLY)
@given(st.lists(HAPPENING, min_size=16, max_size=32))
def test_both_journals_tell_the_same(happenings: list[tuple[str, int]]) -> None:
    async def both() -> None:
        sql = await lived(await opened(), happenings)
        memory = await lived(MemoryJournal(), happenings)
        for after, before in zip(memory, sql, strict=True):
            for key, value in before.items():
                assert after[key] == value, key

    asyncio.run(both())
