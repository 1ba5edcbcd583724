"""Journals in memory, opened quickly, and remediations that have come to a certain point."""

from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import pytest

from remediator.journal.memory import MemoryJournal
from remediator.journal.sql import SqlJournal
from remediator.model.alert import AlertStatus, Fate
from remediator.model.call import Evidence
from remediator.model.notice import Notice, from_payload
from remediator.model.plan import Times
from remediator.model.remediation import Event, RemediationId
from remediator.model.usage import Reading, Usage
from remediator.model.verdict import Reason, Verdict, allow, hold
from remediator.ports.journal import Journal
from remediator.ports.records import Claim, Delivery, Intent, Message, Triaged, Wanted
from tests.contract.test_journal import LEASE, MINUTE, NOW, alert, applied, end, intent, nobody

WEB = "c/Deployment/shop/web"


def connection(journal: SqlJournal) -> Any:
    """SQLite's own connection of a journal in memory."""
    return journal._engine.raw_connection().driver_connection


@cache
def one() -> tuple[SqlJournal, bytes]:
    """A journal in memory, and its image while it is empty: to migrate one for each test, and to
    compile its statements anew, would take nearly all of the time.
    """
    journal = SqlJournal("sqlite://")
    journal._migrate()
    return journal, bytes(connection(journal).serialize())


async def opened() -> SqlJournal:
    """The journal, empty again; there is one at a time."""
    journal, empty = one()
    connection(journal).deserialize(empty)
    await journal.open(NOW)
    return journal


@pytest.fixture(params=["sql", "memory"])
async def journal(request: pytest.FixtureRequest) -> Journal:
    """SQL's, and the one without."""
    return await opened() if request.param == "sql" else MemoryJournal()


def at(minutes: float) -> datetime:
    return NOW + minutes * MINUTE


def notice(why: str = "") -> Notice:
    return from_payload({"why": why})


def to(*receivers: str, why: str = "") -> tuple[Message, ...]:
    return tuple(Message(receiver, notice(why)) for receiver in receivers)


async def fires(
    journal: Journal, *asked: Wanted, fingerprint: str = "f1", now: datetime = NOW
) -> None:
    """An alert begins, and triage asks for these remediations."""
    new = await journal.receive([Delivery("s", (alert(fingerprint, starts=now),), now)])
    await journal.triaged([Triaged(e, Fate.ATTACHED, None, "d", asked) for e in new], now)


async def resolves(journal: Journal, fingerprint: str = "f1", now: datetime = NOW) -> None:
    over = alert(fingerprint, AlertStatus.RESOLVED, ends=now)
    await journal.receive([Delivery("s", (over,), now)])


async def triaged_again(journal: Journal, *asked: Wanted, now: datetime = NOW) -> None:
    """What is pending asks for these remediations."""
    pending = await journal.pending(now)
    await journal.triaged([Triaged(e, Fate.ATTACHED, None, "d", asked) for e in pending], now)


async def claimed(journal: Journal, now: datetime = NOW) -> Claim:
    claim = await journal.claim(now, LEASE)
    assert claim is not None
    return claim


def unless_taken(usage: Usage) -> list[Verdict]:
    """The lock's guard: no other remediation holds one."""
    if usage.locks:
        return [hold("target_lock", Reason.TARGET_BUSY, "taken")]
    return [allow("target_lock")]


def meant(
    claim: Claim,
    now: datetime = NOW,
    number: int = 1,
    *,
    locks: tuple[str, ...] = (WEB,),
    times: Times | None = None,
    **more: Any,
) -> Intent:
    """The intent of an attempt that begins now."""
    made = intent(claim, locks, number)
    attempt = replace(made.attempt, begun_at=now, times=times or made.attempt.times)
    return replace(made, **{"attempt": attempt, "rule": claim.remediation.rule, **more})


async def begun(journal: Journal, now: datetime = NOW, **more: Any) -> Claim:
    """A claim of what is due, whose attempt has begun."""
    claim = await claimed(journal, now)
    answer = await journal.begin(claim.remediation, meant(claim, now, **more), unless_taken)
    assert answer == [allow("target_lock")]
    return claim


async def verifying(journal: Journal, now: datetime = NOW, **more: Any) -> Claim:
    """A claim of what has made its calls and is verified."""
    claim = await begun(journal, now, **more)
    made = f"{claim.remediation.id}.1"
    done = applied(made, applied_at=now, evidence=(Evidence(200, made, {}),))
    first = replace(done, at=now, until=now - 60 * MINUTE)  # of all that is due
    await journal.write(claim.remediation, first, nobody)
    return await claimed(journal, now)


async def ended(
    journal: Journal, event: Event, now: datetime = NOW, *, acted: bool = False, **more: Any
) -> RemediationId:
    """The ID of what was due and has ended."""
    claim = await (verifying(journal, now) if acted else claimed(journal, now))
    await journal.write(claim.remediation, replace(end(event, **more), at=now), nobody)
    return claim.remediation.id


async def held(journal: Journal, keys: tuple[str, ...] = (WEB,)) -> dict[str, str]:
    """Who holds which of these locks."""
    rows = await journal.remediations(1, None)
    known = await journal.known(rows[0]["id"])
    assert known is not None
    used = await journal.usage(known.claim.remediation, Reading(keys), NOW)
    return {key: holder.remediation for key, holder in used.locks.items()}
