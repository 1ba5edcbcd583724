"""The journal's port: what the rest asks of the durable store, split by who asks it.

Every method is one transaction. Raises: JournalUnavailable where it cannot be written, LeaseLost
where a token is old.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from ..model.alert import Episode
from ..model.decision import Decided
from ..model.notice import Notice
from ..model.past import Past
from ..model.pauses import Pause
from ..model.remediation import Attempt, Remediation, RemediationId
from ..model.target import Target
from ..model.usage import Charge, Ended, Reading, Troubled, Usage
from ..model.verdict import Verdict
from .records import (
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


class Inbox(Protocol):
    """What comes in: webhooks, and the alerts in them."""

    async def store(self, bodies: Sequence[Body]) -> None:
        """Makes webhooks durable, as they came: what 200 is answered for."""

    async def inbox(self, limit: int) -> list[Body]:
        """The oldest stored webhooks, in the order in which they came."""

    async def unreadable(self, body: int, error: str) -> None:
        """Puts a stored webhook aside that cannot be unpacked; it is kept."""

    async def receive(self, deliveries: Sequence[Delivery]) -> list[Episode]:
        """Makes episodes of every alert of every delivery, and forgets their bodies.

        Those that are new and open.
        """

    async def pending(self, now: datetime, limit: int = 500) -> list[Episode]: ...

    async def triaged(self, decided: Sequence[Triaged], now: datetime) -> None: ...

    async def reloaded(self, rules_digest: str, now: datetime) -> None:
        """Sends back to triage what a reload may match differently."""

    async def began(self, since: datetime, namespace: str, limit: int) -> list[Episode]:
        """Open critical episodes that name the namespace and began since then, the newest first."""

    async def still_open(self, after: Episode | None, limit: int) -> list[Episode]:
        """Open episodes by when they began, those after one of them."""

    async def close_episode(self, episode: Episode, now: datetime) -> None:
        """Resolved, though nobody delivered it; its remediations look at once."""


class Work(Protocol):
    """Remediations, from a claim to what was decided of it.

    Each is written under the lease of its claim.
    """

    async def claim(self, now: datetime, lease: timedelta) -> Claim | None:
        """The most overdue remediation.

        One that cannot be read is put aside, and told in the history.
        """

    async def renew(self, remediation: Remediation, now: datetime, lease: timedelta) -> None:
        """Keeps the lease for longer, while the work goes on."""

    async def retarget(
        self, remediation: Remediation, target: Target, root_key: str, now: datetime
    ) -> bool:
        """Fixes the climbed target.

        False where this one was superseded by a live one of the same rule and target.
        """

    async def usage(self, remediation: Remediation, reading: Reading, now: datetime) -> Usage: ...

    async def begin(
        self, remediation: Remediation, intent: Intent, decide: Callable[[Usage], list[Verdict]]
    ) -> list[Verdict]:
        """Usage, `decide`, locks, charge and intent in one transaction.

        The verdicts, all allowing where it began.
        """

    async def send(self, remediation: Remediation, attempt: Attempt) -> str:
        """Makes durable what the attempt's calls were answered, and
        until when the next may be sent.

        Who has cancelled it.
        """

    async def extend(self, remediation: Remediation, attempt: Attempt, now: datetime) -> None:
        """Makes further calls of an attempt durable, before the first of them is sent."""

    async def write(
        self,
        remediation: Remediation,
        decided: Decided,
        tell: Callable[[Written], tuple[Message, ...]],
    ) -> Written:
        """Writes what was decided, if it still holds, and what `tell`
        says that people are to be told of it.
        """

    async def next_work(self) -> datetime | None:
        """When a remediation is due next that nobody works on."""


class Aftermath(Protocol):
    """What is still to be done for remediations that have ended."""

    async def revivals(self, now: datetime, limit: int) -> list[Claim]:
        """Ended remediations whose alerts fire on and that are to be looked at.

        Nothing is leased.
        """

    async def revive(self, remediation: RemediationId, now: datetime) -> None:
        """Sends the still open episodes back to triage."""

    async def revive_later(
        self, remediation: RemediationId, template: str, again_at: datetime | None
    ) -> None:
        """Remembers the target's template at the end, and looks again at a time, or never."""

    async def restorations(self, now: datetime, limit: int) -> list[Owed]:
        """What is to be taken back, and is due."""

    async def restore_later(self, attempt: str, again_at: datetime | None) -> None:
        """Looks again at a time, or never."""

    async def undo(
        self, remediation: str, attempt: str, why: str, now: datetime, *, asked: str = ""
    ) -> str | None:
        """Gives birth to an undo of an attempt of a remediation that has ended.

        None where it did, else why not.

        `asked` says who wanted it, and why.
        """

    async def past(self, rule: str, target_key: str) -> Past:
        """Every act on the target, and the history of the rule's alerts of it."""


class Outbox(Protocol):
    """Messages: whom they are owed to, and how their delivery went."""

    async def escalations(self, now: datetime) -> list[Overdue]: ...

    async def escalated(
        self,
        remediation: RemediationId,
        messages: tuple[Message, ...],
        again_at: datetime | None,
        now: datetime,
    ) -> None: ...

    async def quieted(self, limit: int) -> list[tuple[Remediation, tuple[str, ...]]]:
        """Ended remediations of which trouble was told (to whom),
        and whose alerts have all resolved.
        """

    async def told_quiet(
        self, remediation: RemediationId, messages: tuple[Message, ...], now: datetime
    ) -> None:
        """Sends the last messages about a remediation."""

    async def outbox(
        self,
        now: datetime,
        limit: int = 50,
        receiver: str | None = None,
        but_not: tuple[str, ...] = (),
    ) -> list[Letter]:
        """Takes messages that are due, for a while: of one receiver, or of all others.

        Of one remediation only the oldest.
        """

    async def delivered(
        self,
        message: int,
        now: datetime,
        error: str | None,
        again_at: datetime | None,
        *,
        ref: str = "",
    ) -> None: ...

    async def oldest_message(self) -> datetime | None:
        """Since when the oldest message waits that is not delivered."""


class People(Protocol):
    """What operators ask and say."""

    async def pauses(self) -> list[Pause]: ...

    async def pause(
        self, scope: str, reason: str, author: str, until: datetime | None, *, now: datetime
    ) -> None: ...

    async def resume(self, scope: str, author: str, now: datetime) -> bool: ...

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
        """None where it took effect, else why not."""

    async def cancel(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None: ...

    async def retry(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None: ...

    async def known(self, remediation: str) -> RemediationRecord | None:
        """All that is known of it, with nothing leased."""

    async def show(self, remediation: str) -> Row | None: ...

    async def remediations(
        self,
        limit: int,
        state: str | None,
        namespace: str = "",
        rule: str = "",
        *,
        since: datetime | None = None,
    ) -> list[Row]:
        """The newest first."""

    async def episodes(self, limit: int, fingerprint: str | None) -> list[Row]: ...


class Trust(Protocol):
    """Storms, breakers, and the record of each rule."""

    async def storm(
        self, scope: str, why: str, until: datetime, messages: tuple[Message, ...], *, now: datetime
    ) -> bool:
        """A storm is on: its row is written or prolonged.

        True, and the messages are sent, where it is a new one.
        """

    async def storms(self) -> tuple[Storm, ...]:
        """The storms that are on, or in their calm."""

    async def calm(self, scope: str, said: Notice, now: datetime) -> None:
        """A storm is over: its row goes, and whoever was told of it is told this."""

    async def troubled(self, cluster: str) -> tuple[Troubled, ...]:
        """The roots of which alerts fire now."""

    async def breakers(self) -> list[Breaker]: ...

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
        """A breaker opened (or closed, without a time).

        Writes and tells only where that is news.
        """

    async def ends(self, rule: str, limit: int) -> tuple[Ended, ...]:
        """How the rule's last acting remediations ended, since its breaker was reset.

        The newest first.
        """

    async def suspects(self, since: datetime, limit: int) -> list[str]:
        """The rules of which a remediation did not help, or failed, since then."""

    async def reset(self, rule: str, operator: str, now: datetime) -> None:
        """Forgets how the rule's remediations ended until now: its breaker closes."""

    async def record(self, rules: Sequence[str]) -> Mapping[str, Row]:
        """What became of each rule's remediations: see `journal.trust.record`."""


class Upkeep(Protocol):
    """The store itself."""

    async def open(self, now: datetime) -> None: ...

    async def close(self) -> None: ...

    async def ping(self) -> None:
        """Whether it answers; asks for nothing that grows."""

    def stuck_for(self) -> float:
        """Seconds since the oldest transaction that has not ended began."""

    async def next_due(self) -> datetime | None:
        """When anything is due next."""

    async def counts(self) -> Mapping[str, Mapping[str, int]]: ...

    async def charges(self, since: datetime) -> list[Charge]: ...

    async def resolutions(self, since: datetime, until: datetime) -> list[tuple[str, bool, float]]:
        """(rule, whether it acted, seconds from start to end) of matched
        alerts whose end was learnt in that time.
        """

    def size(self) -> int:
        """Bytes on disk, where that can be known."""

    async def seal(self, now: datetime) -> tuple[int, str] | None:
        """Seals the history that is not sealed yet: (number of its last entry, digest).

        None where nothing is new.
        """

    async def prune(self, before: datetime, now: datetime, longest: timedelta = timedelta()) -> int:
        """Forgets a part of what is older, and how much that was.

        Of the sealed history whole ranges. Ask until it is 0.
        """


class Journal(Inbox, Work, Aftermath, Outbox, People, Trust, Upkeep, Protocol):
    """All of it: one store."""
