"""Whatever happens in whatever order: one live remediation per rule and target, one holder per
lock, no limit exceeded, nothing live without a next look, and no alert forgotten.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from remediator.errors import LeaseLost
from remediator.journal import seals
from remediator.journal.sql import SqlJournal
from remediator.journal.tables import timer
from remediator.model.alert import Fate
from remediator.model.call import Evidence
from remediator.model.decision import AttemptChange, Climb, Decided, End, Retry, TakeBack, Wait
from remediator.model.remediation import ACTING, LIVE, WAITING, Event, Outcome, State
from remediator.model.usage import Counted, Rate, Reading, Usage
from remediator.model.verdict import Reason, Verdict, allow, hold
from remediator.ports.journal import Journal
from remediator.ports.records import Claim, Row
from tests.contract.journals import connection, fires, meant, opened, resolves, triaged_again
from tests.contract.test_journal import LEASE, MINUTE, NOW, applied, end, hold_until, nobody, wanted

LIMIT = Counted("global", Rate(3, 10 * MINUTE))
NAMES = ("web", "db", "cache")
KEYS = tuple(f"c/Deployment/shop/{name}" for name in NAMES)


def guarded(usage: Usage) -> list[Verdict]:
    """As the limits do: nobody else holds the lock, and the rate has room."""
    if usage.locks:
        return [hold("target_lock", Reason.TARGET_BUSY, "taken")]
    if usage.used_up:
        return [hold("rate", Reason.RATE_LIMITED, "used up")]
    return [allow("rate")]


class Life:
    """A journal to which things happen, a minute after each other."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.minute = journal, 0
        self.claims: list[Claim] = []
        self.firing: set[str] = set()

    @property
    def now(self) -> datetime:
        return NOW + self.minute * MINUTE

    async def alert(self, number: int) -> None:
        """One of six alerts fires; by two rules, of three workloads."""
        name = f"f{number % 6}"
        self.firing.add(name)
        asked = wanted(NAMES[number % 3], ("r", "second")[number % 2])
        await fires(
            self.journal, replace(asked, settled_at=self.now), fingerprint=name, now=self.now
        )

    async def resolve(self, number: int) -> None:
        self.firing.discard(f"f{number % 6}")
        await resolves(self.journal, f"f{number % 6}", self.now)

    async def claim(self, _number: int) -> None:
        claim = await self.journal.claim(self.now, LEASE)
        if claim is not None:
            self.claims.append(claim)

    async def work(self, number: int) -> None:
        """Somebody goes on with what they claimed, even if the lease is over."""
        if not self.claims or number % 2:
            await self.claim(number)
        if not self.claims:
            return
        claim = self.claims.pop(number % len(self.claims))
        with suppress(LeaseLost):
            await self._work(claim, number)

    async def _work(self, claim: Claim, number: int) -> None:
        state = claim.remediation.state
        if state in WAITING and number % 4:
            intent = meant(claim, self.now, len(claim.attempts) + 1)
            locks = (claim.remediation.target.key,)
            charged = not claim.remediation.undo_of
            reading = Reading(locks, (LIMIT,) if charged else ())
            intent = replace(intent, reading=reading, charged=charged)
            await self.journal.begin(claim.remediation, intent, self._but(claim))
            known = await self.journal.known(claim.remediation.id)
            assert known is not None
            if number % 3:  # the rest is for who finds it later
                await self._settle(known.claim, claim, number)
            return
        await self._settle(claim, claim, number)

    def _but(self, claim: Claim) -> Callable[[Usage], list[Verdict]]:
        def decide(usage: Usage) -> list[Verdict]:
            own = claim.remediation.id
            others = {key: held for key, held in usage.locks.items() if held.remediation != own}
            return guarded(replace(usage, locks=others))

        return decide

    async def _settle(self, seen: Claim, held: Claim, number: int) -> None:
        decided = self._decided(seen, number)
        if decided is not None:
            await self.journal.write(held.remediation, decided, nobody)

    def _decided(self, seen: Claim, number: int) -> Decided | None:
        state, now = seen.remediation.state, self.now
        if state in WAITING:
            event = (None, Event.BLOCK, Event.OBSERVE, Event.EXPIRE)[number % 4]
            return replace(end(event), at=now) if event else hold_until(now)
        last = AttemptChange(seen.attempts[-1].id, applied_at=now, outcome=Outcome.FAILED)
        climb = Climb(at=now, reason=None, why="", until=now, rung=1, change=last)
        failed: End = replace(end(Event.FAIL), at=now)
        if state is State.UNDOING:
            return self._after_undo(seen, failed if number % 2 else climb)
        if state is State.EXECUTING:
            unsent = Retry(at=now, reason=None, why="", until=now, change=last, unsent=True)
            evidence = (Evidence(200, "x", {}),)
            done = replace(applied(last.attempt, evidence=evidence), at=now, until=now)
            return (done, done, climb, unsent, failed)[number % 5]
        proved: End = replace(end(Event.PROVED, unless_firing=True), at=now)
        back = TakeBack(at=now, reason=Reason.WORSE, why="", until=now)
        undone = climb if seen.remediation.undo_of else back
        return (proved, proved, undone, climb, failed)[number % 5]

    def _after_undo(self, seen: Claim, then: Decided) -> Decided:
        """It waits until its undo has ended."""
        assert seen.undo is not None
        if seen.undo.state not in LIVE:
            return then
        return Wait(at=self.now, reason=Reason.WORSE, why="", until=self.now)

    async def revive(self, _number: int) -> None:
        for ended in await self.journal.revivals(self.now, 2):
            await self.journal.revive(ended.remediation.id, self.now)
        await triaged_again(self.journal, wanted(), now=self.now)

    async def undo(self, number: int) -> None:
        rows = [row for row in await self.journal.remediations(99, None) if not row["undo_of"]]
        shown = await self.journal.show(rows[number % len(rows)]["id"]) if rows else None
        if shown is not None and shown["attempts"]:
            await self.journal.undo(shown["id"], shown["attempts"][-1]["id"], "asked", self.now)

    async def cancel(self, number: int) -> None:
        rows = await self.journal.remediations(99, None)
        if rows:
            await self.journal.cancel(rows[number % len(rows)]["id"], "ann", self.now)

    async def reload(self, number: int) -> None:
        await self.journal.reloaded(str(number), self.now)
        await triaged_again(self.journal, wanted("db", "second"), now=self.now)

    async def tidy(self, _number: int) -> None:
        await self.journal.seal(self.now)
        await self.journal.prune(self.now - timedelta(hours=1), self.now, 10 * MINUTE)

    async def restart(self, _number: int) -> None:
        """A new process finds what is stored, and nothing else."""
        assert isinstance(self.journal, SqlJournal)
        stored = connection(self.journal).serialize()
        self.journal = SqlJournal("sqlite://")
        connection(self.journal).deserialize(stored)
        await self.journal.open(self.now)

    async def later(self, number: int) -> None:
        self.minute += number


OFTEN = ("work",) * 12 + ("alert", "alert", "resolve", "claim", "revive", "undo")
RARE = ("cancel", "reload", "tidy", "restart", "later")
HAPPENING = st.tuples(st.sampled_from(OFTEN + RARE), st.sampled_from(range(60)))


async def holders(life: Life) -> dict[str, str]:
    rows = await life.journal.remediations(1, None)
    known = await life.journal.known(rows[0]["id"]) if rows else None
    if known is None:
        return {}
    used = await life.journal.usage(known.claim.remediation, Reading(KEYS), life.now)
    return {key: holder.remediation for key, holder in used.locks.items()}


async def check_remediations(life: Life, rows: Sequence[Row]) -> None:
    live = [row for row in rows if row["state"] in LIVE]
    own = Counter((row["rule"], row["target"]) for row in live if not row["undo_of"])
    undos = Counter(row["undo_of"] for row in live if row["undo_of"])
    assert {*own.values(), *undos.values()} <= {1}
    assert isinstance(life.journal, SqlJournal)
    with life.journal._engine.connect() as connection:
        timed = set(
            connection.execute(sa.select(timer.c.ref).where(timer.c.kind == "work")).scalars()
        )
    for row in rows:
        assert (row["id"] in timed) is (row["state"] in LIVE)
        assert (row["ended_at"] is None) is (row["state"] in LIVE)


async def check_locks(life: Life, rows: Sequence[Row]) -> None:
    """Who acts holds the lock of its target; nobody else does, but what is in progress to undo."""
    held = await holders(life)
    states = {row["id"]: row for row in rows}
    for key, ident in held.items():
        row = states[ident]
        assert row["state"] in ACTING or (row["state"] in WAITING and row["undo_of"]), key
        undone = [other for other in rows if other["undo_of"] == ident and other["state"] in LIVE]
        assert undone == [], "what undoes it has its locks"
    for row in rows:
        if row["state"] in (State.EXECUTING, State.VERIFYING):
            assert held[f"c/Deployment/shop/{row['name']}"] == row["id"]


async def check_limits(life: Life, rows: Sequence[Row]) -> None:
    """No more begin than may; and what has just begun counts."""
    charges = await life.journal.charges(NOW - MINUTE)
    times = sorted(charge.at for charge in charges)
    for first in range(len(times) - LIMIT.rate.count):
        assert times[first + LIMIT.rate.count] - times[first] >= LIMIT.rate.window
    charged = {charge.remediation for charge in charges}
    recent = (life.now - 9 * MINUTE).isoformat()
    for row in rows:
        if row["state"] == State.EXECUTING and row["changed_at"] > recent and not row["undo_of"]:
            assert row["id"] in charged


async def check_alerts(life: Life, rows: Sequence[Row]) -> None:
    """What fires is open, and each open alert has somebody who looks at it."""
    episodes = await life.journal.episodes(999, None)
    still_open = [row for row in episodes if row["open"]]
    assert sorted(row["fingerprint"] for row in still_open) == sorted(life.firing)
    for row in still_open:
        assert row["fate"] == Fate.ATTACHED
        ends = [item["ended_at"] for item in rows if item["id"] in row["remediations"]]
        assert any(ended is None or ended >= row["starts_at"] for ended in ends)
    for row in rows:
        if row["state"] in WAITING and not row["undo_of"]:
            assert any(row["id"] in episode["remediations"] for episode in episodes)


QUICKLY = (Phase.explicit, Phase.reuse, Phase.generate)  # to shorten it would take minutes


@settings(max_examples=12, deadline=None, phases=QUICKLY)
@given(st.lists(HAPPENING, min_size=25, max_size=40))
def test_whatever_happens_the_promises_hold(happenings: list[tuple[str, int]]) -> None:
    async def live() -> None:
        life = Life(await opened())
        for number in range(3):
            await life.alert(number)
        for step, (name, number) in enumerate(happenings, 1):
            life.minute += 1
            await getattr(life, name)(number)
            rows = await life.journal.remediations(999, None)
            await check_locks(life, rows)
            if step % 6 == 0 or step == len(happenings):
                await check_remediations(life, rows)
                await check_limits(life, rows)
                await check_alerts(life, rows)
        await life.journal.seal(life.now)
        assert isinstance(life.journal, SqlJournal)
        assert (await life.journal._read(seals.verify, "")).findings == []

    asyncio.run(live())
