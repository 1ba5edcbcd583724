"""Episodes: what was delivered, and which episodes are open or pending."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..errors import AlreadyUnpacked
from ..model.alert import Episode, Fate
from ..model.identity import Known
from ..model.verdict import Reason
from ..ports.records import Delivery
from . import inbox
from .batch import Batch, States, born, from_row
from .chunks import chunks
from .fates import wake
from .tables import Instant
from .tables import episode as table

FIRST = datetime.min.replace(tzinfo=UTC)


def receive(c: Connection, deliveries: Sequence[Delivery]) -> list[Episode]:
    """Makes episodes of all alerts of all deliveries. Returns those that are new and open."""
    # in the transaction that makes the episodes: each webhook is either in the inbox or unpacked
    bodies = [delivery.body for delivery in deliveries if delivery.body]
    if bodies and not inbox.forget(c, bodies):
        raise AlreadyUnpacked("another replica has processed these webhooks; reading again")
    keys: set[tuple[str, str]] = set()
    for delivery in deliveries:
        keys |= {(delivery.source, alert.fingerprint) for alert in delivery.alerts}
    known = _known(c, keys)
    batch = Batch()
    for delivery in deliveries:
        batch.deliver(delivery, known)
    return _write(c, batch)


def _known(c: Connection, keys: set[tuple[str, str]]) -> States:
    """The open episode and the end of the last closed one for each key, in chunks."""
    out: States = {}
    now_open = sa.select(
        table.c.id, table.c.fingerprint, table.c.starts_at, table.c.last_seen
    ).where(table.c.open)
    for source in {source for source, _ in keys}:
        fingerprints = sorted(fingerprint for other, fingerprint in keys if other == source)
        for mine in chunks(fingerprints):
            # few sizes, the last one repeated: each is a statement to prepare and keep
            size = 1 << (len(mine) - 1).bit_length()
            named = {f"f{number}": mine[min(number, len(mine) - 1)] for number in range(size)}
            for fingerprint, ends_at in c.execute(
                _last_ends(c.dialect.name, size), {"source": source, **named}
            ):
                if ends_at is not None:
                    out[source, fingerprint] = {"known": Known(closed_end=ends_at), "row": None}
            for row in c.execute(
                now_open.where(table.c.source == source, table.c.fingerprint.in_(mine))
            ).mappings():
                state = out.setdefault((source, row["fingerprint"]), {"known": Known()})
                state["known"] = replace(
                    state["known"], open_start=row["starts_at"], last_seen=row["last_seen"]
                )
                state["row"] = {"id": row["id"], "starts_at": row["starts_at"], "deliveries": 0}
    return out


@lru_cache
def _last_ends(dialect: str, count: int) -> sa.TextualSelect:
    """The latest end of each fingerprint: one index step each."""
    ended = "open = 0" if dialect == "sqlite" else "NOT open"
    newest = (
        "SELECT max(ends_at) FROM episode WHERE fingerprint = asked.named AND source = :source AND"
        f" {ended}"
    )
    values = ", ".join(f"(:f{number})" for number in range(count))
    words = sa.text(
        f"WITH asked(named) AS (VALUES {values}) SELECT named, ({newest}) AS ends_at FROM asked"
    )
    return words.columns(sa.column("named", sa.String), sa.column("ends_at", Instant))


def _write(c: Connection, batch: Batch) -> list[Episode]:
    """Writes everything, closes before inserts because of the constraint of one open episode
    per key. Returns the new and open ones.
    """
    changes = batch.updates.values()
    _refresh(c, [change for change in changes if change["b_open"]])
    closed = [change for change in changes if not change["b_open"]]
    if closed:
        _close(c, closed, batch.now)
    # an episode that opened and closed within the batch must not collide with the one that
    # follows it
    for row in batch.inserts:
        if not row["open"]:
            c.execute(sa.insert(table), row)
    return _open(c, [row for row in batch.inserts if row["open"]])


def _open(c: Connection, opened: list[dict[str, Any]]) -> list[Episode]:
    """Those that are new."""
    if not opened:
        return []
    insert = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
    ids = c.execute(insert, opened).scalars()
    return [born(row, number) for row, number in zip(opened, ids, strict=True)]


def _refresh(c: Connection, refreshed: list[dict[str, Any]]) -> None:
    """Those that were delivered again and are still open."""
    if not refreshed:
        return
    bind = sa.bindparam
    values = {
        "deliveries": table.c.deliveries + bind("b_count"),
        "last_seen": bind("b_seen"),
        "confirmed_at": bind("b_seen"),
        "starts_at": bind("b_start"),
    }
    keys = ("b_id", "b_start", "b_count", "b_seen")
    rows = _only(keys, refreshed)
    c.execute(sa.update(table).where(table.c.id == bind("b_id")).values(**values), rows)


def _only(keys: Sequence[str], changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each change what a statement takes."""
    return [{key: change[key] for key in keys} for change in changes]


def _close(c: Connection, closed: list[dict[str, Any]], now: datetime) -> None:
    """Those that resolved; undecided ones need no decision any more."""
    bind = sa.bindparam
    values = {
        "open": False,
        "starts_at": bind("b_start"),
        "ends_at": bind("b_ends"),
        "due_at": None,
        "deliveries": table.c.deliveries + bind("b_count"),
        "last_seen": bind("b_seen"),
    }
    keys = ("b_id", "b_start", "b_ends", "b_count", "b_seen")
    rows = _only(keys, closed)
    c.execute(sa.update(table).where(table.c.id == bind("b_id")).values(**values), rows)
    pending = sa.and_(table.c.id == bind("b_id"), table.c.fate == Fate.PENDING)
    resolved = sa.update(table).where(pending)
    ids = _only(("b_id",), closed)
    c.execute(resolved.values(fate=Fate.RESOLVED, reason=Reason.RESOLVED), ids)
    wake(c, [change["b_id"] for change in closed], now)


PENDING = (
    sa.select(table)
    .where(table.c.due_at <= sa.bindparam("now"), table.c.open)
    .order_by(table.c.due_at, table.c.id)
    .limit(sa.bindparam("most"))
)


def pending(c: Connection, now: datetime, limit: int) -> list[Episode]:
    """Open episodes that triage must decide."""
    return [from_row(row) for row in c.execute(PENDING, {"now": now, "most": limit})]


BEGAN = (  # by words of the stored alert: thousands that begin meanwhile elsewhere are not read
    sa.select(table)
    .where(table.c.open, table.c.starts_at > sa.bindparam("since"))
    .where(
        table.c.alert.contains('"severity":"critical"'),
        table.c.alert.contains(sa.bindparam("named")),
    )
    .order_by(table.c.starts_at.desc())
    .limit(sa.bindparam("most"))
)


def began(c: Connection, since: datetime, namespace: str, limit: int) -> list[Episode]:
    """Open critical episodes in the namespace that started since then, newest first."""
    return [
        from_row(row)
        for row in c.execute(BEGAN, {"since": since, "named": f'"{namespace}"', "most": limit})
    ]


STILL_OPEN = (
    sa.select(table)
    .where(
        table.c.open,
        sa.tuple_(table.c.starts_at, table.c.id)
        > sa.tuple_(sa.bindparam("start", type_=Instant), sa.bindparam("id")),
    )
    .order_by(table.c.starts_at, table.c.id)
    .limit(sa.bindparam("most"))
)


def still_open(c: Connection, after: Episode | None, limit: int) -> list[Episode]:
    """Open episodes by start, after the given one."""
    start, number = (after.alert.starts_at, after.id) if after else (FIRST, 0)
    return [
        from_row(row)
        for row in c.execute(STILL_OPEN, {"start": start, "id": number, "most": limit})
    ]
