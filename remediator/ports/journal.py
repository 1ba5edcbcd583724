"""The journal's port, split by who uses it.

Every method is one transaction. Raises: JournalUnavailable if it cannot be written, LeaseLost if
the claim is no longer ours.
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
    """What arrives: webhooks, and the alerts in them."""

    async def store(self, bodies: Sequence[Body]) -> None:
        """Makes webhooks durable as they came, so that they can be acknowledged."""

    async def inbox(self, limit: int) -> list[Body]:
        """The oldest stored webhooks, in the order of arrival."""

    async def unreadable(self, body: int, error: str) -> None:
        """Sets aside a stored webhook that cannot be read; it is kept."""

    async def receive(self, deliveries: Sequence[Delivery]) -> list[Episode]:
        """Makes episodes of every alert of the deliveries and deletes their bodies. Returns those
        that are new and open.
        """

    async def pending(self, now: datetime, limit: int = 500) -> list[Episode]: ...

    async def triaged(self, decided: Sequence[Triaged], now: datetime) -> None: ...

    async def reloaded(self, rules_digest: str, now: datetime) -> None:
        """Sends back to triage what the new rules may match differently."""

    async def began(self, since: datetime, namespace: str, limit: int) -> list[Episode]:
        """Open critical episodes in the namespace that started since then, newest first."""

    async def still_open(self, after: Episode | None, limit: int) -> list[Episode]:
        """Open episodes by start, after the given one."""

    async def close_episode(self, episode: Episode, now: datetime) -> None:
        """Closes an episode that resolved without a delivery; its remediations are due now."""


class Work(Protocol):
    """Remediations, from a claim to a decision. Each is written under the lease of its claim."""

    async def claim(self, now: datetime, lease: timedelta, *, waits: bool = True) -> Claim | None:
        """Claims the most overdue remediation, last those that only wait: with `waits` they are
        claimed too. One that cannot be read is set aside, which the history records.
        """

    async def renew(self, remediation: Remediation, now: datetime, lease: timedelta) -> None:
        """Extends the lease while the work goes on."""

    async def retarget(
        self, remediation: Remediation, target: Target, root_key: str, now: datetime
    ) -> bool:
        """Sets the target after climbing. False if a live remediation of the same rule and target
        took this one over.
        """

    async def usage(self, remediation: Remediation, reading: Reading, now: datetime) -> Usage: ...

    async def begin(
        self, remediation: Remediation, intent: Intent, decide: Callable[[Usage], list[Verdict]]
    ) -> list[Verdict]:
        """Reads usage, calls `decide`, and writes locks, charge and intent in one transaction.
        Returns the verdicts; all allow if it started.
        """

    async def send(self, remediation: Remediation, attempt: Attempt) -> str:
        """Stores the answers of the attempt's calls, and until when the next may be sent. Returns
        who cancelled it.
        """

    async def extend(self, remediation: Remediation, attempt: Attempt, now: datetime) -> None:
        """Makes further calls of an attempt durable before the first is sent."""

    async def write(
        self,
        remediation: Remediation,
        decided: Decided,
        tell: Callable[[Written], tuple[Message, ...]],
    ) -> Written:
        """Writes a decision if it still holds, with the notifications that `tell` makes of it."""

    async def hasten(self, remediations: Sequence[RemediationId], now: datetime) -> None:
        """Makes those due that are held, verified or undone: something happened to their
        objects.
        """

    async def next_work(self) -> datetime | None:
        """When the next unclaimed remediation is due."""


class Aftermath(Protocol):
    """What remains to be done for remediations that have ended."""

    async def revivals(self, now: datetime, limit: int) -> list[Claim]:
        """Ended remediations with firing alerts that are due to be checked. Nothing is leased."""

    async def revive(self, remediation: RemediationId, now: datetime) -> None:
        """Sends the open episodes back to triage."""

    async def revive_later(
        self, remediation: RemediationId, template: str, again_at: datetime | None
    ) -> None:
        """Stores the target's pod template at the end; checks again at a time, or never."""

    async def restorations(self, now: datetime, limit: int) -> list[Owed]:
        """Temporary changes that are due to be undone."""

    async def restore_later(self, attempt: str, again_at: datetime | None) -> None:
        """Checks again at a time, or never."""

    async def undo(
        self, remediation: str, attempt: str, why: str, now: datetime, *, asked: str = ""
    ) -> str | None:
        """Creates an undo for an attempt of an ended remediation. Returns None, or why not.
        `asked`: who requested it, and why.
        """

    async def past(self, rule: str, target_key: str) -> Past:
        """Every attempt on the target, and the history of the rule's alerts of it."""


class Outbox(Protocol):
    """Notifications: who gets them, and how their delivery went."""

    async def escalations(self, now: datetime) -> list[Overdue]: ...

    async def escalated(
        self,
        remediation: RemediationId,
        messages: tuple[Message, ...],
        again_at: datetime | None,
        now: datetime,
    ) -> None: ...

    async def quieted(self, limit: int) -> list[tuple[Remediation, tuple[str, ...]]]:
        """Ended remediations that were notified (to whom), whose alerts have all resolved."""

    async def told_quiet(
        self, remediation: RemediationId, messages: tuple[Message, ...], now: datetime
    ) -> None:
        """Sends the last notifications about a remediation."""

    async def outbox(
        self,
        now: datetime,
        limit: int = 50,
        receiver: str | None = None,
        but_not: tuple[str, ...] = (),
    ) -> list[Letter]:
        """Takes notifications that are due, of one receiver or of all others. Of each remediation
        only the oldest.
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
        """Since when the oldest undelivered notification waits."""


class People(Protocol):
    """What operators ask for and decide."""

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
        """None if it took effect, else why not."""

    async def cancel(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None: ...

    async def retry(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None: ...

    async def known(self, remediation: str) -> RemediationRecord | None:
        """Everything about a remediation, without a lease."""

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
        self, group: str, why: str, until: datetime, messages: tuple[Message, ...], *, now: datetime
    ) -> bool:
        """Stores that a storm is on. True if it is new; then its notifications are sent."""

    async def storms(self) -> tuple[Storm, ...]:
        """Storms that are on, or calming down."""

    async def calm(self, group: str, said: Notice, now: datetime) -> None:
        """Ends a storm and notifies everyone who was notified of it."""

    async def troubled(self, cluster: str) -> tuple[Troubled, ...]:
        """The workloads with firing alerts."""

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
        """Stores that a breaker opened, or closed (without a time). Notifies only of a change."""

    async def ends(self, rule: str, limit: int) -> tuple[Ended, ...]:
        """How the rule's last remediations that acted ended, since its breaker was reset; newest
        first.
        """

    async def suspects(self, since: datetime, limit: int) -> list[str]:
        """Rules with a remediation that failed or did not help since then."""

    async def reset(self, rule: str, operator: str, now: datetime) -> None:
        """Resets the rule's breaker: earlier outcomes no longer count."""

    async def record(self, rules: Sequence[str]) -> Mapping[str, Row]:
        """The outcomes of each rule's remediations; see `journal.trust.record`."""


class Upkeep(Protocol):
    """The store itself."""

    async def open(self, now: datetime) -> None: ...

    async def close(self) -> None: ...

    async def ping(self) -> None:
        """Checks that it answers, at constant cost."""

    def stuck_for(self) -> float:
        """Seconds since the oldest unfinished transaction started."""

    async def next_due(self) -> datetime | None:
        """When anything is due next."""

    async def counts(self) -> Mapping[str, Mapping[str, int]]: ...

    async def charges(self, since: datetime) -> list[Charge]: ...

    async def resolutions(self, since: datetime, until: datetime) -> list[tuple[str, bool, float]]:
        """(rule, acted, seconds from start to end) of matched alerts that ended in that time."""

    def size(self) -> int:
        """Bytes on disk, if known."""

    async def seal(self, now: datetime) -> tuple[int, str] | None:
        """Seals new entries of the history. Returns (number of the last entry, digest); None if
        nothing is new.
        """

    async def prune(self, before: datetime, now: datetime, longest: timedelta = timedelta()) -> int:
        """Deletes part of what is older, sealed history in whole ranges. Returns how much; repeat
        until 0.
        """


class Journal(Inbox, Work, Aftermath, Outbox, People, Trust, Upkeep, Protocol):
    """All of it: one store."""
