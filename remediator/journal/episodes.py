"""Episodes: what was delivered, and which episodes are open or pending."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..errors import AlreadyUnpacked
from ..model.alert import Alert, AlertStatus, Episode, Fate
from ..model.identity import Change, Known, decide
from ..model.verdict import Reason
from ..ports.records import Delivery
from . import inbox
from .fates import CHUNK, wake
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
    batch = _Batch()
    for delivery in deliveries:
        batch.deliver(delivery, known)
    return batch.write(c)


def _known(c: Connection, keys: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The open episode and the end of the last closed one for each key, in chunks."""
    out: dict[tuple[str, str], dict[str, Any]] = {}
    now_open = sa.select(
        table.c.id, table.c.fingerprint, table.c.starts_at, table.c.last_seen
    ).where(table.c.open)
    for source in {source for source, _ in keys}:
        fingerprints = sorted(fingerprint for other, fingerprint in keys if other == source)
        for at in range(0, len(fingerprints), CHUNK):
            mine = fingerprints[at : at + CHUNK]
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


class _Batch:
    """The inserts and updates of one shared commit."""

    now: datetime

    def __init__(self) -> None:
        self.inserts: list[dict[str, Any]] = []
        self.updates: dict[int, dict[str, Any]] = {}

    def deliver(self, delivery: Delivery, known: dict[tuple[str, str], dict[str, Any]]) -> None:
        """Applies a delivery, alert by alert: later ones see what earlier ones changed."""
        self.now = delivery.received_at
        for alert in delivery.alerts:
            key = (delivery.source, alert.fingerprint)
            state = known.setdefault(key, {"known": Known(), "row": None})
            self.take(decide(alert, state["known"]), alert, delivery.source, state)

    def take(self, change: Change, alert: Alert, source: str, state: dict[str, Any]) -> None:
        """Applies one delivery to what is known of its key."""
        known: Known = state["known"]
        if change in (Change.CLOSE, Change.REPLACE):
            end = alert.ends_at if change is Change.CLOSE else self.now
            self._set(state, open=False, ends_at=end or self.now, fate_resolved=True)
            state["row"], state["known"] = (
                None,
                Known(None, None, max(filter(None, (end, known.closed_end)), default=self.now)),
            )
        if change in (Change.OPEN, Change.REPLACE, Change.REOPEN_LATER):
            row = _row(alert, source, self.now, open_=True, reopened=change is Change.REOPEN_LATER)
            self.inserts.append(row)
            state["row"], state["known"] = row, Known(alert.starts_at, self.now, known.closed_end)
        elif change is Change.REFRESH:
            starts_at = min(alert.starts_at, known.open_start or alert.starts_at)
            self._set(state, starts_at=starts_at)
            state["known"] = Known(starts_at, self.now, known.closed_end)
        elif change is Change.RECORD_CLOSED:
            self.inserts.append(_row(alert, source, self.now, open_=False))
            state["known"] = Known(None, None, alert.ends_at or alert.starts_at)

    def _set(self, state: dict[str, Any], fate_resolved: bool = False, **values: Any) -> None:
        row = state["row"]
        if "id" not in row:  # created in this batch
            row.update(values, last_seen=self.now)
            row["deliveries"] += 1
            if not fate_resolved:
                row["confirmed_at"] = self.now
            else:
                row.update(fate=Fate.RESOLVED, reason=Reason.RESOLVED, due_at=None)
            return
        update = self.updates.setdefault(
            row["id"],
            {
                "b_id": row["id"],
                "b_open": True,
                "b_ends": None,
                "b_start": row["starts_at"],
                "b_count": 0,
            },
        )
        update["b_count"] += 1
        update["b_seen"] = self.now
        update["b_start"] = values.get("starts_at", update["b_start"])
        if fate_resolved:
            update.update(b_open=False, b_ends=values["ends_at"])

    def write(self, c: Connection) -> list[Episode]:
        """Writes everything, closes before inserts because of the constraint of one open episode
        per key. Returns the new and open ones.
        """
        changes = self.updates.values()
        self._refresh(c, [change for change in changes if change["b_open"]])
        self._close(c, [change for change in changes if not change["b_open"]])
        # an episode that opened and closed within the batch must not collide with the one that
        # follows it
        for row in self.inserts:
            if not row["open"]:
                c.execute(sa.insert(table), row)
        return self._open(c, [row for row in self.inserts if row["open"]])

    def _open(self, c: Connection, opened: list[dict[str, Any]]) -> list[Episode]:
        """Those that are new."""
        if not opened:
            return []
        insert = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
        ids = c.execute(insert, opened).scalars()
        return [_born(row, number) for row, number in zip(opened, ids, strict=True)]

    def _refresh(self, c: Connection, refreshed: list[dict[str, Any]]) -> None:
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
        rows = [{key: change[key] for key in keys} for change in refreshed]
        c.execute(sa.update(table).where(table.c.id == bind("b_id")).values(**values), rows)

    def _close(self, c: Connection, closed: list[dict[str, Any]]) -> None:
        """Those that resolved; undecided ones need no decision any more."""
        if not closed:
            return
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
        rows = [{key: change[key] for key in keys} for change in closed]
        c.execute(sa.update(table).where(table.c.id == bind("b_id")).values(**values), rows)
        pending = sa.and_(table.c.id == bind("b_id"), table.c.fate == Fate.PENDING)
        resolved = sa.update(table).where(pending)
        ids = [{"b_id": change["b_id"]} for change in closed]
        c.execute(resolved.values(fate=Fate.RESOLVED, reason=Reason.RESOLVED), ids)
        wake(c, [change["b_id"] for change in closed], self.now)


def _born(row: Mapping[str, Any], number: int) -> Episode:
    return from_row(SimpleNamespace(id=number, **row))


def _row(
    alert: Alert, source: str, now: datetime, open_: bool, *, reopened: bool = False
) -> dict[str, Any]:
    text = orjson.dumps(
        {
            "labels": alert.labels,
            "annotations": alert.annotations,
            "generator_url": alert.generator_url,
        }
    ).decode()
    return {
        "source": source,
        "fingerprint": alert.fingerprint,
        "open": open_,
        "fate": Fate.PENDING if open_ else Fate.RESOLVED,
        "reason": None if open_ else Reason.RESOLVED,
        "starts_at": alert.starts_at,
        "ends_at": None if open_ else alert.ends_at or alert.starts_at,
        "last_seen": now,
        "confirmed_at": now,
        "deliveries": 1,
        "alert": text,
        "rules_digest": "",
        "reopened": reopened,
        "due_at": now if open_ else None,
    }


def from_row(row: Any) -> Episode:
    """A stored episode."""
    data = orjson.loads(row.alert)
    status = AlertStatus.FIRING if row.open else AlertStatus.RESOLVED
    alert = Alert(
        row.fingerprint,
        status,
        data["labels"],
        data["annotations"],
        row.starts_at,
        row.ends_at,
        data["generator_url"],
    )
    reason = Reason(row.reason) if row.reason else None
    return Episode(
        row.id,
        row.source,
        alert,
        row.open,
        Fate(row.fate),
        reason,
        row.last_seen,
        row.confirmed_at,
        row.deliveries,
        row.rules_digest,
        row.reopened,
    )


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
