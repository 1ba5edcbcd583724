"""What people are told: messages of an end, of a plan that waits, and the escalation timer."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from ..journal_port import Message, Row
from ..model.notice import Notice
from ..model.remediation import Remediation, State
from ..model.verdict import Reason
from ..ports import Notifier
from ..rules.ruleset import Source
from ..telemetry import log
from .doors import Doors

GIVE_UP_AFTER = 12
LONGEST_PAUSE = timedelta(minutes=10)
AT_ONCE = 20
LONGEST_STORY = 20
SLOWEST = 30.0
ASK_AGAIN = timedelta(minutes=1)


def message(remediation: Remediation, state: str, reason: str, why: str, **more: Any) -> Notice:
    """What every receiver gets."""
    return Notice(
        remediation=remediation.undo_of or remediation.id,
        undo=remediation.id if remediation.undo_of else "",
        rule=remediation.rule,
        target=str(remediation.target),
        cluster=remediation.target.cluster,
        state=state,
        reason=reason,
        why=why,
        show=f"remediator show {remediation.id}",
        **more,
    )


def story(shown: Row | None) -> tuple[str, ...]:
    """What happened so far, a line each: what somebody who is paged wants to know first. `shown` as the journal shows it."""
    lines = []
    for line in (shown["history"] if shown else [])[-LONGEST_STORY:]:
        reason = f" {line['reason']}" if line["reason"] else ""
        lines.append(f"{line['at'][11:19]} {line['kind']}{reason}: {line['text']}"[:300])
    return tuple(lines)


def notice(ident: str, rule: str, state: str, reason: str, why: str, **more: Any) -> Notice:
    """A message about a rule or a scope rather than a remediation."""
    return Notice(
        remediation=ident,
        rule=rule,
        target="all",
        state=state,
        reason=reason,
        why=why,
        show="remediator rules",
        **more,
    )


async def told_of_storm(doors: Doors, remediation: Remediation, source: Source | None) -> set[str]:
    """Who was told of the storm that is on where a remediation belongs: its message speaks for its members."""
    scope = source.scope_of(remediation.target.cluster) if source else ""
    return {
        name
        for row in await doors.journal.storms()
        if row["scope"] == scope
        for name in row["told"]
    }


def to_all(receivers: list[str], said: Notice, trouble: bool = True) -> tuple[Message, ...]:
    """One message for each receiver."""
    return tuple(Message(name, said, trouble) for name in receivers)


async def escalate(doors: Doors, now: datetime) -> None:
    """Tells people of remediations that take too long; a converged attempt within its time is waited for."""
    for remediation in await doors.journal.escalations(now):
        shown = await doors.journal.show(remediation.id)
        if shown is None:
            continue
        later = _within_verification(shown, now) if remediation.state is State.VERIFYING else None
        if later is None and await _spoken_for(doors, remediation, shown):
            later = now + ASK_AGAIN
        if remediation.mode == "observe":
            await doors.journal.escalated(remediation.id, (), None, now)
            continue
        receivers = shown["rule_text"]["escalate"]["to"]
        why = f"not healed yet: {remediation.state}" + (
            f" ({remediation.why})" if remediation.why else ""
        )
        reason = remediation.reason or ""
        body = message(remediation, remediation.state, reason, why, story=story(shown))
        await doors.journal.escalated(remediation.id, to_all(receivers, body), later, now)
        if later is None:
            doors.metrics.count("escalations_total", remediation.rule, remediation.reason or "none")


async def _spoken_for(doors: Doors, remediation: Remediation, shown: Mapping[str, Any]) -> bool:
    """Whether a storm's message speaks for it; what it did itself, and what others than the storm keep it from, it tells itself."""
    if shown["attempts"] or remediation.reason != Reason.STORM:
        return False
    told = await told_of_storm(doors, remediation, doors.rules.find(remediation.rule))
    return set(shown["rule_text"]["escalate"]["to"]) <= told


def _within_verification(shown: Mapping[str, Any], now: datetime) -> datetime | None:
    last = shown["attempts"][-1] if shown["attempts"] else None
    if last is None or last["converged_at"] is None:
        return None
    ends = datetime.fromisoformat(last["converged_at"]) + timedelta(
        seconds=last["plan"].get("resolved_within", 1800)
    )
    return ends if ends > now else None


async def close(doors: Doors, now: datetime) -> None:
    """Says that it is over, to all who were told of trouble, once the remediation has ended and its alerts have resolved."""
    for remediation, receivers in await doors.journal.quieted(AT_ONCE):
        body = message(
            remediation,
            remediation.state,
            remediation.reason or "",
            "the alerts have resolved",
            closed=True,
        )
        await doors.journal.told_quiet(remediation.id, to_all(list(receivers), body), now)


async def deliver(
    doors: Doors, receivers: Mapping[str, Notifier], name: str, now: datetime
) -> None:
    """Delivers what the outbox holds for one receiver: a slow one keeps no other waiting."""
    await asyncio.gather(
        *(
            _deliver(doors, receivers[name], row, now)
            for row in await doors.journal.outbox(now, AT_ONCE, name)
        )
    )


async def undeliverable(doors: Doors, receivers: Mapping[str, Notifier], now: datetime) -> None:
    """Gives up messages to receivers that are not configured any more, loudly."""
    for row in await doors.journal.outbox(now, AT_ONCE, None, tuple(receivers)):
        await doors.journal.delivered(
            row["id"], now, f"no receiver {row['receiver']} is configured", None
        )
        log().error(
            "message_undeliverable", receiver=row["receiver"], remediation_id=row["remediation"]
        )


def failure(error: Exception) -> str:
    """Why a receiver did not take a message, without its URL: that is a secret."""
    if isinstance(error, aiohttp.InvalidURL):
        return f"{type(error).__name__}: invalid URL; include the scheme (https://…)"
    return f"{type(error).__name__}: {error}"[:300]


async def _deliver(doors: Doors, receiver: Notifier, row: Row, now: datetime) -> None:
    """One message; a failure is tried again with growing pauses, then given up and logged."""
    error: str | None = None
    again: datetime | None = None
    ref = ""
    try:
        async with asyncio.timeout(SLOWEST):
            said = replace(row["notice"], id=f"{row['remediation']}/{row['id']}")
            ref = await receiver.notify(said, row["ref"] or "")
    except (aiohttp.ClientError, OSError, TimeoutError) as failed:
        error = failure(failed)
        last = row["tries"] + 1 >= GIVE_UP_AFTER
        again = None if last else now + min(LONGEST_PAUSE, timedelta(seconds=5 * 2 ** row["tries"]))
    outcome = "delivered" if error is None else "retrying" if again else "given_up"
    doors.metrics.count("notifications_total", receiver.kind, outcome)
    if error:
        log().warning("notification_failed", receiver=row["receiver"], outcome=outcome, error=error)
    await doors.journal.delivered(row["id"], now, error, again, ref)
