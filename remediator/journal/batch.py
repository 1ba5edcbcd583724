"""What a batch of deliveries does to the episodes: pure, by what is known of each alert before."""

from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import orjson

from ..model.alert import Alert, AlertStatus, Episode, Fate
from ..model.identity import Change, Known, decide
from ..model.verdict import Reason
from ..ports.records import Delivery

# of one source, by its fingerprint: what is known, and the row of the open episode
States = dict[tuple[str, str], dict[str, Any]]


class Batch:
    """The inserts and updates of one shared commit."""

    now: datetime

    def __init__(self) -> None:
        self.inserts: list[dict[str, Any]] = []
        self.updates: dict[int, dict[str, Any]] = {}

    def deliver(self, delivery: Delivery, known: States) -> None:
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


def born(row: Mapping[str, Any], number: int) -> Episode:
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
