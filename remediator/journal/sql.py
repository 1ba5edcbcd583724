"""The journal's port on SQLAlchemy Core. Every operation is one transaction on a thread."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.alert import Episode
from ..model.decision import Decided, Hold, Wait
from ..model.notice import Notice
from ..model.past import Past
from ..model.pauses import Pause
from ..model.remediation import Attempt, Remediation, RemediationId
from ..model.target import Target
from ..model.usage import Charge, Ended, Reading, Troubled, Usage
from ..model.verdict import Verdict
from ..ports.records import (
    Body,
    Breaker,
    Claim,
    Delivery,
    Intent,
    Letter,
    Message,
    Overdue,
    Owed,
    RemediationRecord,
    Row,
    Storm,
    Triaged,
    Written,
)
from . import (
    aftermath,
    claims,
    counting,
    episodes,
    fates,
    inbox,
    letters,
    people,
    remediations,
    seals,
    timers,
    trust,
    views,
)
from .database import HEAD, Database, parsed_url, schema_of
from .tables import episode as episode_table
from .tables import outbox as outbox_table
from .tables import timer

__all__ = ["HEAD", "SqlJournal", "parsed_url", "schema_of"]


class SqlJournal(Database):
    """The journal at a SQLAlchemy URL; `sqlite://` is in memory."""

    async def open(self, now: datetime) -> None:
        """Locks (SQLite file), migrates if needed, and frees the claims of a dead predecessor."""
        try:
            self._take_lock()
            if self._inline:
                self._migrate()
            else:
                await asyncio.get_running_loop().run_in_executor(self._threads, self._migrate)
        except BaseException:
            await self.close()
            raise
        if self.sqlite:  # the file's lock proves that the holder of the leases is gone
            await self._run(claims.free, now)

    async def store(self, bodies: Sequence[Body]) -> None:
        await self._run(inbox.store, bodies)

    async def inbox(self, limit: int) -> list[Body]:
        return await self._read(inbox.oldest, limit)

    async def unreadable(self, body: int, error: str) -> None:
        await self._run(inbox.unreadable, body, error)

    async def receive(self, deliveries: Sequence[Delivery]) -> list[Episode]:
        return await self._run(episodes.receive, deliveries)

    async def pending(self, now: datetime, limit: int = 500) -> list[Episode]:
        return await self._read(episodes.pending, now, limit)

    async def triaged(self, decided: Sequence[Triaged], now: datetime) -> None:
        await self._run(fates.triaged, decided, now)

    async def claim(self, now: datetime, lease: timedelta, *, waits: bool = True) -> Claim | None:
        return await self._note(claims.claim, now, lease, waits=waits)

    async def renew(self, remediation: Remediation, now: datetime, lease: timedelta) -> None:
        await self._note(claims.renew, remediation, now, lease)

    async def hasten(self, remediations: Sequence[RemediationId], now: datetime) -> None:
        await self._note(claims.hasten, remediations, now)

    async def retarget(
        self, remediation: Remediation, target: Target, root_key: str, now: datetime
    ) -> bool:
        return await self._run(remediations.retarget, remediation, target, root_key, now=now)

    async def begin(
        self, remediation: Remediation, intent: Intent, decide: Callable[[Usage], list[Verdict]]
    ) -> list[Verdict]:
        return await self._run(remediations.begin, remediation, intent, decide)

    async def usage(self, remediation: Remediation, reading: Reading, now: datetime) -> Usage:
        return await self._read(counting.read, remediation, reading, now)

    async def send(self, remediation: Remediation, attempt: Attempt) -> str:
        return await self._run(remediations.send, remediation, attempt)

    async def extend(self, remediation: Remediation, attempt: Attempt, now: datetime) -> None:
        await self._run(remediations.extend, remediation, attempt, now)

    async def write(
        self,
        remediation: Remediation,
        decided: Decided,
        tell: Callable[[Written], tuple[Message, ...]],
    ) -> Written:
        # what only goes on waiting is decided again if it is lost
        run = self._note if isinstance(decided, Wait | Hold) else self._run
        return await run(remediations.settle, remediation, decided, tell)

    async def close_episode(self, episode: Episode, now: datetime) -> None:
        await self._run(fates.close, episode, now)

    async def still_open(self, after: Episode | None, limit: int) -> list[Episode]:
        return await self._look(episodes.still_open, after, limit)

    async def ping(self) -> None:
        await self._read(_ping)

    async def next_due(self) -> datetime | None:
        return await self._read(_next_due)

    async def next_work(self) -> datetime | None:
        return await self._read(claims.next_work)

    async def escalations(self, now: datetime) -> list[Overdue]:
        return await self._read(people.escalations, now)

    async def escalated(
        self,
        remediation: RemediationId,
        messages: tuple[Message, ...],
        again_at: datetime | None,
        now: datetime,
    ) -> None:
        await self._run(people.escalated, remediation, messages, again_at, now=now)

    async def outbox(
        self,
        now: datetime,
        limit: int = 50,
        receiver: str | None = None,
        but_not: tuple[str, ...] = (),
    ) -> list[Letter]:
        if not await self._read(letters.any_due, now):
            return []
        return list(await self._run(letters.due, now, limit, receiver, but_not=but_not))

    async def oldest_message(self) -> datetime | None:
        return await self._read(letters.oldest)

    async def delivered(
        self,
        message: int,
        now: datetime,
        error: str | None,
        again_at: datetime | None,
        *,
        ref: str = "",
    ) -> None:
        await self._run(letters.delivered, message, now, error, again_at=again_at, ref=ref)

    async def quieted(self, limit: int) -> list[tuple[Remediation, tuple[str, ...]]]:
        return await self._read(people.quieted, limit)

    async def told_quiet(
        self, remediation: RemediationId, told: tuple[Message, ...], now: datetime
    ) -> None:
        await self._run(people.told_quiet, remediation, told, now)

    async def reloaded(self, rules_digest: str, now: datetime) -> None:
        await self._run(fates.reloaded, rules_digest, now)

    async def past(self, rule: str, target_key: str) -> Past:
        return await self._read(aftermath.past, rule, target_key)

    async def revivals(self, now: datetime, limit: int) -> list[Claim]:
        return await self._read(aftermath.revivals, now, limit)

    async def revive(self, remediation: RemediationId, now: datetime) -> None:
        await self._run(fates.revive, [remediation], now)

    async def revive_later(
        self, remediation: RemediationId, template: str, again_at: datetime | None
    ) -> None:
        await self._run(aftermath.revive_later, remediation, template, again_at)

    async def restorations(self, now: datetime, limit: int) -> list[Owed]:
        return await self._read(aftermath.restorations, now, limit)

    async def restore_later(self, attempt: str, again_at: datetime | None) -> None:
        await self._run(aftermath.restore_later, attempt, again_at)

    async def known(self, remediation: str) -> RemediationRecord | None:
        return await self._read(aftermath.known, remediation)

    async def undo(
        self, remediation: str, attempt: str, why: str, now: datetime, *, asked: str = ""
    ) -> str | None:
        return await self._run(aftermath.undo, remediation, attempt, why, now=now, asked=asked)

    async def pauses(self) -> list[Pause]:
        return list(await self._read(people.pauses))

    async def pause(
        self, scope: str, reason: str, author: str, until: datetime | None, *, now: datetime
    ) -> None:
        await self._run(people.pause, scope, reason, author, until=until, now=now)

    async def resume(self, scope: str, author: str, now: datetime) -> bool:
        return await self._run(people.resume, scope, author, now)

    async def decide(
        self,
        remediation: str,
        digest: str,
        operator: str,
        approve: bool,
        *,
        now: datetime,
        why: str = "",
    ) -> str | None:
        return await self._run(
            people.decide, remediation, digest, operator, approve=approve, now=now, why=why
        )

    async def cancel(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None:
        return await self._run(people.cancel, remediation, operator, now, why=why)

    async def retry(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None:
        return await self._run(people.retry, remediation, operator, now, why=why)

    async def remediations(
        self,
        limit: int,
        state: str | None,
        namespace: str = "",
        rule: str = "",
        *,
        since: datetime | None = None,
    ) -> list[Row]:
        return list(
            await self._look(views.remediations, limit, state, namespace, rule=rule, since=since)
        )

    async def show(self, remediation: str) -> Row | None:
        return await self._read(views.show, remediation)

    async def episodes(self, limit: int, fingerprint: str | None) -> list[Row]:
        return list(await self._look(views.episodes, limit, fingerprint))

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        return await self._look(views.counts)

    async def charges(self, since: datetime) -> list[Charge]:
        return await self._look(counting.charges, since)

    async def resolutions(self, since: datetime, until: datetime) -> list[tuple[str, bool, float]]:
        return await self._look(views.resolutions, since, until)

    async def storm(
        self, group: str, why: str, until: datetime, messages: tuple[Message, ...], *, now: datetime
    ) -> bool:
        return await self._run(trust.storm, group, why, until, told=messages, now=now)

    async def ends(self, rule: str, limit: int) -> tuple[Ended, ...]:
        return await self._read(counting.ends, rule, limit)

    async def suspects(self, since: datetime, limit: int) -> list[str]:
        return await self._read(trust.suspects, since, limit)

    async def breakers(self) -> list[Breaker]:
        return await self._read(trust.breakers)

    async def storms(self) -> tuple[Storm, ...]:
        return await self._read(trust.storms)

    async def troubled(self, cluster: str) -> tuple[Troubled, ...]:
        return await self._read(counting.troubled, cluster)

    async def calm(self, group: str, said: Notice, now: datetime) -> None:
        await self._run(trust.calm, group, said, now)

    async def breaker(
        self,
        rule: str,
        opened_at: datetime | None,
        why: str,
        to: Sequence[str],
        *,
        said: Notice,
        now: datetime,
    ) -> None:
        await self._run(trust.switch, rule, opened_at, why, to=to, said=said, now=now)

    async def reset(self, rule: str, operator: str, now: datetime) -> None:
        await self._run(trust.reset, rule, operator, now)

    async def record(self, rules: Sequence[str]) -> Mapping[str, Row]:
        return await self._look(trust.record, rules)

    async def began(self, since: datetime, namespace: str, limit: int) -> list[Episode]:
        return await self._read(episodes.began, since, namespace, limit)

    async def seal(self, now: datetime) -> tuple[int, str] | None:
        return await self._run(seals.write, now) if await self._read(seals.due) else None

    async def prune(self, before: datetime, now: datetime, longest: timedelta = timedelta()) -> int:
        return await self._run(people.prune, before, now, longest)


def _ping(c: Connection) -> None:
    c.execute(sa.select(sa.literal(1)))


NEXT = (
    sa.select(timer.c.due_at)
    .where(timer.c.due_at > timers.CLAIMED)
    .order_by(timer.c.due_at)
    .limit(1),
    sa.select(episode_table.c.due_at)
    .where(episode_table.c.open, episode_table.c.due_at.is_not(None))
    .order_by(episode_table.c.due_at)
    .limit(1),
    sa.select(outbox_table.c.due_at)
    .where(outbox_table.c.due_at.is_not(None), outbox_table.c.delivered_at.is_(None))
    .order_by(outbox_table.c.due_at)
    .limit(1),
)


def _next_due(c: Connection) -> datetime | None:
    return min(filter(None, (c.execute(query).scalar() for query in NEXT)), default=None)
