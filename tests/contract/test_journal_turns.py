"""Turns: a rule that acts on as many targets as it may wakes the next one when one of them ends, so
that those which wait need not ask again and again.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.model.decision import AttemptChange, Hold, Retry
from remediator.model.look import Look
from remediator.model.remediation import Event, Outcome, RemediationId
from remediator.model.verdict import Reason
from remediator.ports.journal import Journal
from remediator.ports.records import Claim
from tests.contract.journals import at, claimed, ended, fires, verifying
from tests.contract.journals import journal as journal
from tests.contract.test_journal import LEASE, NOW, end, nobody, wanted

LATER = timedelta(minutes=5)
FULL = Reason.TOO_MANY_IN_FLIGHT


async def hold(
    journal: Journal, claim: Claim, minute: float = 0, *, reason: Reason = FULL, looked: float = 0
) -> None:
    """It is held since then, after a look that began so many seconds before."""
    now = at(minute)
    look = Look(now - timedelta(seconds=looked), ())
    held = Hold(at=now, reason=reason, why="", until=now + LATER, look=look)
    await journal.write(claim.remediation, held, nobody)


async def waiting(journal: Journal, *names: str, rule: str = "r") -> None:
    """They are held because their rule acts on enough targets; the first one for the longest."""
    for number, name in enumerate(names):
        created = at(number - len(names))
        await fires(journal, wanted(name, rule), fingerprint=name, now=created)
        await hold(journal, await claimed(journal))


async def woken(journal: Journal, minute: float = 1) -> list[str]:
    """Which are due, in their order."""
    found = []
    while (claim := await journal.claim(at(minute), LEASE)) is not None:
        found.append(claim.remediation.target.name)
    return found


async def acting(journal: Journal) -> Claim:
    """One of the rule acts."""
    await fires(journal, wanted("acts"), fingerprint="acts")
    claim = await verifying(journal)
    await journal.renew(claim.remediation, NOW, timedelta(hours=1))
    return claim


async def test_one_that_ends_wakes_the_one_that_waits_longest(journal: Journal) -> None:
    acts = await acting(journal)
    await waiting(journal, "web", "api")
    await waiting(journal, "other", rule="second")
    assert await woken(journal) == []
    await journal.write(acts.remediation, replace(end(Event.PROVED), at=at(1)), nobody)
    assert await woken(journal) == ["web"]


async def test_an_attempt_that_was_given_back_frees_its_place(journal: Journal) -> None:
    acts = await acting(journal)
    await waiting(journal, "web")
    given = AttemptChange(f"{acts.remediation.id}.1", outcome=Outcome.CANCELLED)
    back = Retry(at=at(1), reason=Reason.CONFLICT, why="", until=at(2), change=given, unsent=True)
    await journal.write(acts.remediation, back, nobody)
    assert await woken(journal) == ["web"]


@pytest.mark.parametrize("event", [Event.CANCEL, Event.EXPIRE])
async def test_one_that_had_its_turn_and_did_not_act_passes_it_on(
    journal: Journal, event: Event
) -> None:
    acts = await acting(journal)
    await waiting(journal, "web", "api", "db")
    await journal.write(acts.remediation, replace(end(Event.PROVED), at=at(1)), nobody)
    first = await claimed(journal, at(1))
    await hold(journal, first, 1, reason=Reason.BUDGET_EXHAUSTED)
    second = await claimed(journal, at(1))
    assert second.remediation.target.name == "api"
    await journal.write(second.remediation, replace(end(event), at=at(1)), nobody)
    assert await woken(journal) == ["db"]


async def test_one_that_is_still_turned_away_wakes_nobody(journal: Journal) -> None:
    await acting(journal)
    await waiting(journal, "web", "api")
    (web,) = [row for row in await journal.remediations(9, None) if "web" in row["target"]]
    await journal.hasten([RemediationId(web["id"])], at(1))
    await hold(journal, await claimed(journal, at(1)), 1)
    assert await woken(journal, 1) == []


async def test_what_ended_during_a_look_is_not_missed(journal: Journal) -> None:
    acts = await acting(journal)
    await fires(journal, wanted("web"))
    looks = await claimed(journal)
    await journal.write(acts.remediation, replace(end(Event.PROVED), at=at(1)), nobody)
    await hold(journal, looks, 1 + 1 / 60, looked=5)
    assert await woken(journal, 1 + 1 / 60) == []
    assert await woken(journal, 1 + 4 / 60) == ["web"]


async def test_what_ended_before_the_look_is_no_reason_to_look_again(journal: Journal) -> None:
    await fires(journal, wanted("acts"), fingerprint="acts")
    await ended(journal, Event.PROVED, acted=True)
    await fires(journal, wanted("web"))
    await hold(journal, await claimed(journal, at(1)), 1, looked=5)
    assert await woken(journal, 2) == []


async def test_what_only_waits_is_left_to_others(journal: Journal) -> None:
    await waiting(journal, "web", "api")
    later = at(0) + LATER
    assert await journal.claim(later, LEASE, waits=False) is None
    (web,) = [row for row in await journal.remediations(9, None) if "web" in row["target"]]
    await journal.cancel(web["id"], "ann", later)
    cancelled = await journal.claim(later, LEASE, waits=False)
    assert cancelled is not None
    assert cancelled.remediation.target.name == "web"
    assert await journal.claim(later, LEASE, waits=False) is None
    assert await journal.claim(later, LEASE) is not None
