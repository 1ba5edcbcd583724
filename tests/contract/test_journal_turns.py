"""Turns: a rule that acts on as many targets as it may wakes the next one when one of them ends, so
that those which wait need not ask again and again.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.model.decision import AttemptChange, Hold, Retry, Wait
from remediator.model.look import Look
from remediator.model.remediation import Event, Outcome, RemediationId
from remediator.model.target import Target
from remediator.model.verdict import Reason
from remediator.ports.journal import Journal
from remediator.ports.records import Claim
from tests.contract.journals import WEB, at, claimed, fires, meant, verifying
from tests.contract.journals import journal as journal
from tests.contract.test_journal import LEASE, NOW, allowing, end, nobody, wanted
from tests.contract.test_journal_work import urgent

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


async def ident(journal: Journal, name: str) -> RemediationId:
    """The id of the remediation of a target."""
    rows = await journal.remediations(9, None)
    return next(RemediationId(row["id"]) for row in rows if name in row["target"])


async def acting(journal: Journal, name: str = "acts", **more: Any) -> Claim:
    """One of the rule acts."""
    await fires(journal, wanted(name), fingerprint=name)
    claim = await verifying(journal, **({"locks": (name,)} | more))
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
    await journal.hasten([await ident(journal, "web")], at(1))
    await hold(journal, await claimed(journal, at(1)), 1)
    assert await woken(journal, 1) == []


async def test_each_of_several_that_end_wakes_another(journal: Journal) -> None:
    acts = [await acting(journal, name) for name in ("one", "two")]
    await waiting(journal, "web", "api", "db")
    for claim in acts:
        await journal.write(claim.remediation, replace(end(Event.PROVED), at=at(1)), nobody)
    assert sorted(await woken(journal)) == ["api", "web"]


async def test_one_that_gives_way_to_a_rule_of_higher_priority_frees_its_place(
    journal: Journal,
) -> None:
    acts = await acting(journal, locks=(WEB,))
    proving = Wait(at=NOW, reason=None, why="", until=at(9))
    await journal.write(acts.remediation, proving, nobody)
    await waiting(journal, "web")
    await fires(journal, urgent("over"), fingerprint="over")
    claim = await claimed(journal)
    await journal.begin(claim.remediation, meant(claim, at(1), locks=(WEB,)), allowing)
    assert await woken(journal) == ["web"]


async def test_one_that_is_merged_into_another_passes_its_turn_on(journal: Journal) -> None:
    await acting(journal)
    await waiting(journal, "web", "api", "pod")
    await journal.hasten([await ident(journal, "pod")], at(1))
    pod = await claimed(journal, at(1))
    web = Target("c", "Deployment", "shop", "web")
    assert not await journal.retarget(pod.remediation, web, web.key, at(1))
    assert await woken(journal) == ["web"]


async def test_what_only_waits_is_left_to_others(journal: Journal) -> None:
    await waiting(journal, "web", "api")
    later = at(0) + LATER
    assert await journal.claim(later, LEASE, waits=False) is None
    await journal.cancel(await ident(journal, "web"), "ann", later)
    cancelled = await journal.claim(later, LEASE, waits=False)
    assert cancelled is not None
    assert cancelled.remediation.target.name == "web"
    assert await journal.claim(later, LEASE, waits=False) is None
    assert await journal.claim(later, LEASE) is not None
