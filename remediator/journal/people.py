"""What operators do: pause, resume, approve, deny, cancel, retry; and what is reported."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.entry import EntryKind
from ..model.pauses import Pause
from ..model.remediation import LIVE, Remediation, State
from ..model.verdict import Reason
from ..ports.records import Line, Message, Overdue
from ..rules.stored import from_text
from . import claims, entries, fates, letters, seals, timers, trust
from .tables import attachment, attempt, charge, episode, inbox, outbox, timer
from .tables import pause as pause_table
from .tables import remediation as table

PAUSES = sa.select(pause_table)
SECOND = "a second operator must approve too"


def pauses(c: Connection) -> list[Pause]:
    """All pauses."""
    rows = c.execute(PAUSES).all()
    return [Pause(row.scope, row.reason, row.author, row.until, row.at) for row in rows]


def pause(
    c: Connection, scope: str, reason: str, author: str, *, until: datetime | None, now: datetime
) -> None:
    """Sets a pause; a second one of the same scope replaces the first."""
    c.execute(sa.delete(pause_table).where(pause_table.c.scope == scope))
    c.execute(
        sa.insert(pause_table).values(
            scope=scope, reason=reason, author=author, until=until, at=now
        )
    )
    entries.write(
        c,
        now,
        None,
        EntryKind.PAUSED,
        reason=Reason.PAUSED,
        text=f"{author} paused {scope}: {reason}",
    )


def resume(c: Connection, scope: str, author: str, now: datetime) -> bool:
    """Lifts a pause. False if there was none."""
    done = c.execute(sa.delete(pause_table).where(pause_table.c.scope == scope))
    if done.rowcount:
        entries.write(
            c, now, None, EntryKind.RESUMED, reason=None, text=f"{author} resumed {scope}"
        )
        pull_forward(c, now)
    return bool(done.rowcount)


def pull_forward(c: Connection, now: datetime) -> None:
    """Makes every held and waiting remediation, and every revival, due."""
    refs = sa.select(table.c.id).where(table.c.state.in_([State.HELD, State.AWAITING_APPROVAL]))
    timers.pull(c, sa.or_(timer.c.kind == "revive", timers.work_of(refs)), now)


def decide(
    c: Connection,
    remediation_id: str,
    digest: str,
    operator: str,
    *,
    approve: bool,
    now: datetime,
    why: str = "",
) -> str | None:
    """Approves exactly the digest that is shown, or denies. Returns None, or why not."""
    row = c.execute(sa.select(table).where(table.c.id == remediation_id).with_for_update()).first()
    if row is None:
        return f"no remediation {remediation_id}"
    against = refused(row, digest, operator)
    if against:
        return against
    if not approve:
        return cancel(c, remediation_id, operator, now, why=why, kind=EntryKind.DENIED)
    approved = approved_by(row, operator, now)
    if isinstance(approved, str):
        return approved
    claims.update(c, remediation_id, **approved.columns)
    if approved.complete:
        timers.put(c, "work", remediation_id, now)
    entries.write(
        c,
        now,
        remediation_id,
        EntryKind.APPROVED,
        reason=Reason.OPERATOR,
        text=because(approved.text, why),
    )
    return None


class Approved(NamedTuple):
    """An approval: the columns that change, whether it is complete, and its line in the history."""

    columns: Mapping[str, str]
    complete: bool
    text: str


def approved_by(row: Any, operator: str, now: datetime) -> Approved | str:
    """What an operator's approval of the plan that is shown comes to, or why it does not count."""
    if row.approved_digest:
        return f"{row.approved_by} already approved {row.id}"
    approval, shown = from_text(row.rule_text).approval, _shown_digest(row)
    if now - row.changed_at > approval.expires:
        return f"the approval of {row.id} has expired"
    columns = _approval_columns(row, shown, operator, approval.two_person)
    if columns is None:
        return f"{operator} already approved {row.id}; {SECOND}"
    complete, text = "approved_digest" in columns, f"{operator} approved {shown}"
    return Approved(columns, complete, text if complete else f"{text}; {SECOND}")


def _approval_columns(row: Any, digest: str, operator: str, two: bool) -> dict[str, str] | None:
    """The columns of an approval: complete, or the first of two. None if both are by one person."""
    if not two:
        return {"approved_digest": digest, "approved_by": operator}
    approved, _, first = row.approved_first.partition(" ")
    if approved != digest:
        return {"approved_first": f"{digest} {operator}"}
    if first.casefold() == operator.casefold():
        return None
    return {"approved_digest": digest, "approved_by": f"{first} and {operator}"}


def refused(row: Any, digest: str, operator: str) -> str | None:
    """Why the operator cannot decide now. What is cheap to know comes first: the rule of a row that
    has ended may be one that this version cannot read.
    """
    if row.state != State.AWAITING_APPROVAL:
        return f"{row.id} is {row.state}; it is not waiting for approval"
    if row.cancel_by:
        return f"{row.cancel_by} already; {row.id} ends at its next look"
    shown = _shown_digest(row)
    if digest and digest != shown:
        seen = f"review it with `remediator show {row.id}`"
        return f"the plan changed: its digest is now {shown}; {seen}"
    by = from_text(row.rule_text).approval.by
    if by and operator not in by:
        return f"{operator} may not approve for rule {row.rule}; allowed: {', '.join(by)}"
    return None


def _shown_digest(row: Any) -> str:
    """The digest of the plan that waits for approval."""
    return str(orjson.loads(row.look).get("digest", ""))


def cancel(
    c: Connection,
    remediation_id: str,
    operator: str,
    now: datetime,
    *,
    why: str = "",
    kind: EntryKind = EntryKind.CANCELLED,
) -> str | None:
    """Cancels what has not ended: now while it waits, at its next evaluation while it acts."""
    row = c.execute(sa.select(table).where(table.c.id == remediation_id).with_for_update()).first()
    if row is None:
        return f"no remediation {remediation_id}"
    against = too_late_to_cancel(row)
    if against:
        return against
    text = f"{operator} {kind} it"
    claims.update(c, remediation_id, cancel_by=text)
    timers.put(c, "work", remediation_id, now)
    entries.write(c, now, remediation_id, kind, reason=Reason.OPERATOR, text=because(text, why))
    return None


def too_late_to_cancel(row: Any) -> str | None:
    """Why it cannot be cancelled any more, or need not be."""
    if State(row.state) not in LIVE:
        return f"{row.id} has already ended: {row.state}"
    if row.cancel_by:
        return f"{row.cancel_by} already; {row.id} ends at its next look"
    return None


def because(text: str, why: str) -> str:
    """What someone did, and their reason if given."""
    return f"{text}: {why}" if why else text


def retry(
    c: Connection, remediation_id: str, operator: str, now: datetime, *, why: str = ""
) -> str | None:
    """Sends the firing alerts of an ended remediation back to triage; ineffective steps may be
    tried again.
    """
    row = c.execute(sa.select(table).where(table.c.id == remediation_id)).first()
    if row is None:
        return f"no remediation {remediation_id}"
    if State(row.state) in LIVE:
        return f"{remediation_id} is {row.state}; only an ended remediation can be retried"
    mine = attachment.c.remediation == remediation_id
    joined = sa.join(attachment, episode, episode.c.id == attachment.c.episode)
    firing = sa.select(episode.c.id).select_from(joined).where(mine, episode.c.open)
    if not fates.retry(c, row.rule, list(c.execute(firing).scalars()), now):
        return f"no alert of {remediation_id} is still firing"
    c.execute(sa.delete(timer).where(timer.c.kind == "revive", timer.c.ref == remediation_id))
    entries.write(
        c,
        now,
        remediation_id,
        EntryKind.RETRIED,
        reason=Reason.OPERATOR,
        text=because(f"retry requested by {operator}", why),
    )
    return None


RESOLVED_WITHIN = 1800  # seconds; where an older version did not say
UNTOLD = timers.due(table, table.c.id, "escalate")


def escalations(c: Connection, now: datetime) -> list[Overdue]:
    """Live remediations whose escalation timer is due."""
    rows = c.execute(UNTOLD, {"now": now}).all()
    read = (
        claims.readable(c, "escalate", row.id, now, read=partial(_overdue, c, row)) for row in rows
    )
    return [item for item in read if item is not None]


def _overdue(c: Connection, row: Any) -> Overdue:
    """What to report, even if the rest of the remediation cannot be read."""
    newest = sa.select(attempt.c.converged_at, attempt.c.plan).where(
        attempt.c.remediation == row.id
    )
    last = c.execute(newest.order_by(attempt.c.number.desc()).limit(1)).first()
    return overdue_of(row, last, entries.of(c, row.id))


def overdue_of(row: Any, last: Any, history: tuple[Line, ...]) -> Overdue:
    """A remediation that takes too long, by its row and that of its last attempt, if any."""
    proof_until = None
    if last is not None and last.converged_at is not None and row.state == State.VERIFYING:
        seconds = orjson.loads(last.plan).get("resolved_within", RESOLVED_WITHIN)
        proof_until = last.converged_at + timedelta(seconds=seconds)
    to = orjson.loads(row.rule_text)["escalate"]["to"]
    return Overdue(claims.from_row(row), tuple(to), last is not None, proof_until, history)


def escalated(
    c: Connection,
    remediation_id: str,
    told: Sequence[Message],
    again_at: datetime | None,
    *,
    now: datetime,
) -> None:
    """It was reported, or will be later."""
    # gone where it ended meanwhile
    mine = sa.and_(timer.c.kind == "escalate", timer.c.ref == remediation_id)
    if again_at is not None:
        c.execute(sa.update(timer).where(mine).values(due_at=again_at))
        return
    done = c.execute(sa.delete(timer).where(mine))
    if not done.rowcount:
        return
    if told:
        claims.update(c, remediation_id, told=True)
    for message in told:
        letters.put(c, remediation_id, message.receiver, message.notice, now=now)
    entries.write(
        c,
        now,
        remediation_id,
        EntryKind.ESCALATED,
        reason=None,
        text=f"notified {', '.join(m.receiver for m in told)}",
    )


FIRING = sa.exists().where(
    attachment.c.remediation == table.c.id, episode.c.id == attachment.c.episode, episode.c.open
)
QUIETED = sa.select(table).where(table.c.told, ~table.c.live, ~FIRING).limit(sa.bindparam("most"))


def quieted(c: Connection, limit: int) -> list[tuple[Remediation, tuple[str, ...]]]:
    """Ended remediations that were reported, whose alerts have all resolved; with the receivers."""
    out = []
    for row in c.execute(QUIETED, {"most": limit}).all():
        out.append((claims.from_row(row), tuple(letters.told(c, row.id))))
    return out


def told_quiet(c: Connection, remediation_id: str, told: Sequence[Message], now: datetime) -> None:
    """The last notifications about a remediation."""
    done = c.execute(
        sa.update(table).where(table.c.id == remediation_id, table.c.told).values(told=False)
    )
    for message in told if done.rowcount else ():
        letters.put(c, remediation_id, message.receiver, message.notice, now=now)


SLICE = 100  # what is forgotten in one transaction: others wait for it


def prune(c: Connection, before: datetime, now: datetime, longest: timedelta = timedelta()) -> int:
    """Deletes a slice of closed episodes, ended remediations and sealed history older than
    `before`, and charges that no limit counts. Returns how much; 0 once nothing is left.
    """
    waiting = sa.exists().where(timer.c.ref == table.c.id)  # an alert of it fires on
    owing = sa.exists().where(attempt.c.remediation == table.c.id, timer.c.ref == attempt.c.id)
    undo = table.alias()
    undoing = sa.exists().where(undo.c.undo_of == table.c.id, undo.c.undo_of != "", undo.c.live)
    # what a reload may bring back, or is told once it is over, has no timer, but its alert
    firing = sa.exists().where(
        sa.or_(table.c.told, table.c.state.in_(sorted(fates.BY_RELOAD))),
        attachment.c.remediation == table.c.id,
        episode.c.id == attachment.c.episode,
        episode.c.open,
    )
    forgotten = sa.select(table.c.id).where(
        ~table.c.live, table.c.ended_at < before, ~waiting, ~owing, ~undoing, ~firing
    )
    old = list(c.execute(forgotten.order_by(table.c.ended_at).limit(SLICE)).scalars())
    sent = sa.or_(outbox.c.due_at.is_(None), outbox.c.delivered_at.is_not(None))
    c.execute(sa.delete(attempt).where(attempt.c.remediation.in_(old)))
    c.execute(sa.delete(attachment).where(attachment.c.remediation.in_(old)))
    c.execute(sa.delete(outbox).where(outbox.c.remediation.in_(old), sent))
    gone = c.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount
    if len(old) < SLICE:  # before, most old messages and alerts are of remediations that go next
        kept = sa.exists().where(attachment.c.episode == episode.c.id)
        closed = sa.select(episode.c.id).where(~episode.c.open, episode.c.last_seen < before, ~kept)
        gone += _prune_others(c, before, sent) + _forget(
            c, episode, closed.order_by(episode.c.last_seen)
        )
    gone += seals.prune(c, before, now)
    uncounted = (
        sa.select(charge.c.id).where(charge.c.at < min(before, now - longest)).order_by(charge.c.at)
    )
    return int(gone + _forget(c, charge, uncounted))


def _forget(c: Connection, where: sa.Table, ids: sa.Select[Any]) -> int:
    """Deletes a slice of rows by their IDs, looked up first, since a delete by search locks what it
    searched. Returns how many.
    """
    chosen = list(c.execute(ids.limit(SLICE)).scalars())
    return c.execute(sa.delete(where).where(where.c.id.in_(chosen))).rowcount


def _prune_others(c: Connection, before: datetime, sent: sa.ColumnElement[bool]) -> int:
    """Notifications without a remediation, unless their storm or breaker lasts; unreadable
    webhooks.
    """
    theirs = sa.exists().where(table.c.id == outbox.c.remediation)
    notices = sa.select(outbox.c.id).where(
        outbox.c.at < before, sent, ~theirs, outbox.c.remediation.not_in(trust.lasting(c))
    )
    unread = sa.select(inbox.c.id).where(inbox.c.error.is_not(None), inbox.c.received_at < before)
    return _forget(c, outbox, notices) + _forget(c, inbox, unread)
