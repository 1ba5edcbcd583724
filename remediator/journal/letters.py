"""The outbox: notifications in order, until they are delivered or given up."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.notice import Notice, from_payload
from ..ports.records import Letter
from .tables import EPOCH, outbox


def dumps(value: Any) -> str:
    """JSON for a column."""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def put(c: Connection, remediation_id: str, receiver: str, said: Notice, *, now: datetime) -> None:
    """Adds a notification."""
    body = dumps(said.payload())
    values = {"remediation": remediation_id, "receiver": receiver, "body": body}
    c.execute(sa.insert(outbox).values(**values, due_at=now, at=now))


# A replica of before may still write without `at`; and for the bare column SQLite would go through
# all that was ever delivered
written_at = sa.func.coalesce(outbox.c.at, outbox.c.delivered_at, outbox.c.due_at)


def told(c: Connection, remediation_id: str, since: datetime = EPOCH) -> list[str]:
    """The receivers that were notified of it."""
    names = (
        sa.select(outbox.c.receiver)
        .where(outbox.c.remediation == remediation_id, written_at >= since)
        .distinct()
    )
    return list(c.execute(names.order_by(outbox.c.receiver)).scalars())


# longer than any receiver is waited for; who took a message and died is followed then
LEASE = timedelta(minutes=1)


def due(
    c: Connection, now: datetime, limit: int, receiver: str | None, *, but_not: tuple[str, ...]
) -> list[Letter]:
    """Takes notifications that are due, each with what the receiver returned for an earlier one of
    its remediation.

    One waits while an earlier one to the same receiver about the same remediation is not delivered,
    since threads have an order. They are due again when the lease is over, unless the end of the
    delivery was written before.
    """
    whose = {"receiver": receiver} if receiver is not None else {"but_not": but_not}
    found = c.execute(_due(receiver is not None), {"now": now, "most": limit, **whose}).all()
    if found:
        taken = outbox.c.id.in_([row.id for row in found])
        c.execute(sa.update(outbox).where(taken).values(due_at=now + LEASE))
    return [
        Letter(
            row.id,
            row.remediation,
            row.receiver,
            from_payload(orjson.loads(row.body)),
            row.ref or "",
            row.tries,
        )
        for row in found
    ]


ANY_DUE = (
    sa.select(outbox.c.id)
    .where(outbox.c.due_at <= sa.bindparam("now"), outbox.c.delivered_at.is_(None))
    .limit(1)
)


def any_due(c: Connection, now: datetime) -> bool:
    """Whether anything is due; asked first, so that an idle task does not block writers."""
    return c.execute(ANY_DUE, {"now": now}).first() is not None


OLDEST = sa.select(sa.func.min(written_at)).where(
    outbox.c.due_at > EPOCH, outbox.c.delivered_at.is_(None)
)


def oldest(c: Connection) -> datetime | None:
    """Since when the oldest notification waits."""
    found: datetime | None = c.execute(OLDEST).scalar()
    return found


@cache
def _due(one_receiver: bool) -> sa.Select[Any]:
    earlier, before = outbox.alias(), outbox.alias()
    same = sa.and_(
        earlier.c.remediation == outbox.c.remediation, earlier.c.receiver == outbox.c.receiver
    )
    waiting = sa.exists().where(
        same,
        earlier.c.id < outbox.c.id,
        earlier.c.delivered_at.is_(None),
        earlier.c.due_at.is_not(None),
    )
    ref = (
        sa.select(before.c.ref)
        .where(
            before.c.remediation == outbox.c.remediation,
            before.c.receiver == outbox.c.receiver,
            before.c.ref != "",
        )
        .order_by(before.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    whose = (
        outbox.c.receiver == sa.bindparam("receiver")
        if one_receiver
        else outbox.c.receiver.not_in(sa.bindparam("but_not", expanding=True))
    )
    return (
        sa.select(
            outbox.c.id,
            outbox.c.remediation,
            outbox.c.receiver,
            outbox.c.body,
            outbox.c.tries,
            outbox.c.due_at,
            ref.label("ref"),
        )
        .where(
            outbox.c.due_at <= sa.bindparam("now"), outbox.c.delivered_at.is_(None), whose, ~waiting
        )
        .order_by(outbox.c.due_at)
        .limit(sa.bindparam("most"))
        .with_for_update(of=outbox, skip_locked=True)
    )


def delivered(
    c: Connection,
    message: int,
    now: datetime,
    error: str | None,
    *,
    again_at: datetime | None,
    ref: str,
) -> None:
    """The end of a delivery: done, to be retried at a time, or given up (no time)."""
    values: dict[str, Any] = {
        "tries": outbox.c.tries + 1,
        "error": error,
        "due_at": again_at,
        "ref": ref,
    }
    if error is None:
        values["delivered_at"] = now
    c.execute(sa.update(outbox).where(outbox.c.id == message).values(**values))
