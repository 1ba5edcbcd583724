"""Episodes: what was delivered, what triage decided, and what sends them back to triage."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from types import SimpleNamespace
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..errors import AlreadyUnpacked
from ..model.alert import Alert, AlertStatus, Episode, Fate
from ..model.entry import EntryKind
from ..model.identity import Change, Known, decide
from ..model.remediation import STATES, WAITING, State
from ..model.verdict import Reason
from ..ports.records import Delivery, Triaged, Wanted
from ..rules.stored import to_text
from . import entries, inbox, timers
from .alone import alone
from .tables import Instant, attachment, remediation, timer
from .tables import episode as table

CHUNK = 400
FIRST = datetime.min.replace(tzinfo=UTC)
BY_RELOAD = frozenset(state for state, spec in STATES.items() if spec.by_reload)


def receive(c: Connection, deliveries: Sequence[Delivery]) -> list[Episode]:
    """Makes episodes of all alerts of all deliveries. Returns those that are new and open."""
    bodies = [delivery.body for delivery in deliveries if delivery.body]
    if bodies and not inbox.forget(c, bodies):
        raise AlreadyUnpacked("another replica has processed these webhooks; reading again")
    keys: set[tuple[str, str]] = set()
    for delivery in deliveries:
        keys |= {(delivery.source, alert.fingerprint) for alert in delivery.alerts}
    known = _known(c, keys)
    batch = _Batch()
    for delivery in deliveries:
        batch.now = delivery.received_at
        for alert in delivery.alerts:
            key = (delivery.source, alert.fingerprint)
            state = known.setdefault(key, {"known": Known(), "row": None})
            batch.take(decide(alert, state["known"]), alert, delivery.source, state)
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
            size = (
                1 << (len(mine) - 1).bit_length()
            )  # few sizes, the last one repeated: each is a statement to prepare and keep
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
            row.update(values, last_seen=self.now, confirmed_at=self.now)
            row["deliveries"] += 1
            if fate_resolved:
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
        self._refresh(c, [change for change in self.updates.values() if change["b_open"]])
        self._close(c, [change for change in self.updates.values() if not change["b_open"]])
        # an episode that opened and closed within the batch must not collide with the one that
        # follows it
        for row in (row for row in self.inserts if not row["open"]):
            c.execute(sa.insert(table), row)
        still_open = [row for row in self.inserts if row["open"]]
        if not still_open:
            return []
        insert = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
        ids = c.execute(insert, still_open).scalars()
        return [_born(row, number) for row, number in zip(still_open, ids, strict=True)]

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
            "ends_at": bind("b_ends"),
            "due_at": None,
            "deliveries": table.c.deliveries + bind("b_count"),
            "last_seen": bind("b_seen"),
        }
        keys = ("b_id", "b_ends", "b_count", "b_seen")
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


def triaged(c: Connection, decided: Sequence[Triaged], now: datetime) -> None:
    """Stores fates in one statement; creates the wanted remediations, or attaches to live ones."""
    if not decided:
        return
    bind = sa.bindparam
    values: dict[str, Any] = {
        "fate": bind("b_fate"),
        "reason": bind("b_reason"),
        "rules_digest": bind("b_digest"),
        "due_at": bind("b_due"),
    }
    query = sa.update(table).where(table.c.id == bind("b_id"), table.c.open).values(**values)
    rows = [
        {
            "b_id": d.episode.id,
            "b_fate": d.fate,
            "b_reason": d.reason,
            "b_digest": d.rules_digest,
            "b_due": d.again_at,
        }
        for d in decided
    ]
    c.execute(query, rows)
    stale = [item.episode.id for item in decided if item.fate is Fate.STALE]
    if stale:
        c.execute(
            sa.update(table)
            .where(table.c.id.in_(stale), table.c.open)
            .values(open=False, ends_at=now)
        )
    wanted_now = chain.from_iterable(item.wanted for item in decided)
    alone(c, *(f"{wanted.rule.name} {wanted.target.key}" for wanted in wanted_now))
    matched = [item for item in decided if item.wanted]
    ended = _ended(c, [item.episode.id for item in matched])
    for item in matched:
        if not c.execute(sa.select(table.c.open).where(table.c.id == item.episode.id)).scalar():
            continue
        for wanted in item.wanted:
            if (item.episode.id, wanted.rule.name) not in ended:
                attach(c, item.episode.id, _live(c, wanted, now))


def _ended(c: Connection, episode_ids: Sequence[int]) -> set[tuple[int, str]]:
    """(episode, rule) pairs where the rule's remediation of the episode has ended and was not
    revived.
    """
    query = sa.select(attachment.c.episode, remediation.c.rule).join(
        remediation, remediation.c.id == attachment.c.remediation
    )
    found: set[tuple[int, str]] = set()
    for at in range(0, len(episode_ids), CHUNK):
        some = attachment.c.episode.in_(episode_ids[at : at + CHUNK])
        found |= {
            (row.episode, row.rule) for row in c.execute(query.where(some, attachment.c.ended))
        }
    return found


def attach(c: Connection, episode_id: int, remediation_id: str) -> None:
    """Puts an episode on a remediation, once."""
    there = sa.select(attachment.c.episode).where(
        attachment.c.episode == episode_id, attachment.c.remediation == remediation_id
    )
    if c.execute(there).first() is None:
        c.execute(sa.insert(attachment).values(episode=episode_id, remediation=remediation_id))


def _live(c: Connection, wanted: Wanted, now: datetime) -> str:
    """The live remediation of the rule and target; created if there is none."""
    table_ = remediation
    query = (
        sa.select(table_.c.id)
        .where(
            table_.c.rule == wanted.rule.name,
            table_.c.target_key == wanted.target.key,
            table_.c.live,
            table_.c.undo_of == "",
        )
        .with_for_update()
    )
    found = c.execute(query).scalar()
    if found:
        return str(found)
    created = entries.new_id("r")
    target = wanted.target
    row = {
        "id": created,
        "rule": wanted.rule.name,
        "rule_digest": wanted.rule_digest,
        "rule_text": to_text(wanted.rule),
        "mode": wanted.rule.mode,
        "cluster": target.cluster,
        "kind": target.kind,
        "namespace": target.namespace,
        "name": target.name,
        "uid": target.uid,
        "target_key": target.key,
        "state": State.QUEUED,
        "live": True,
        "reason": Reason.SETTLING,
        "created_at": now,
        "changed_at": now,
        "priority": wanted.rule.priority,
    }
    c.execute(sa.insert(table_).values(**row))
    timers.put(c, "work", created, wanted.settled_at)
    timers.put(c, "escalate", created, now + wanted.rule.escalate.after)
    entries.write(
        c,
        now,
        created,
        EntryKind.CREATED,
        reason=None,
        text=f"rule {wanted.rule.name} for {target}",
    )
    return created


def wake(c: Connection, episode_ids: Sequence[int], now: datetime) -> None:
    """Makes the live remediations of these episodes due: something changed for them."""
    for at in range(0, len(episode_ids), CHUNK):
        refs = sa.select(attachment.c.remediation).where(
            attachment.c.episode.in_(episode_ids[at : at + CHUNK])
        )
        timers.pull(c, timers.work_of(refs), now)


def close(c: Connection, item: Episode, now: datetime) -> None:
    """Closes an episode that Alertmanager no longer lists, unless it was delivered since."""
    values = {"open": False, "ends_at": now, "due_at": None, "last_seen": now}
    same = sa.and_(table.c.id == item.id, table.c.open, table.c.last_seen == item.last_seen)
    if not c.execute(sa.update(table).where(same).values(**values)).rowcount:
        return
    settled = sa.update(table).where(
        table.c.id == item.id, table.c.fate.in_((Fate.PENDING, Fate.UNMATCHED))
    )
    c.execute(settled.values(fate=Fate.RESOLVED, reason=Reason.RESOLVED))
    wake(c, [item.id], now)


def release(c: Connection, remediation_id: str, state: State, now: datetime) -> None:
    """After an end: its firing alerts wait for a revival, or are triaged again if it was
    superseded.
    """
    mine = sa.select(attachment.c.episode).where(attachment.c.remediation == remediation_id)
    closed = sa.update(table).where(table.c.id.in_(mine), ~table.c.open)
    c.execute(closed.values(fate=Fate.RESOLVED, reason=Reason.RESOLVED, due_at=None))
    if state is State.SUPERSEDED:
        c.execute(sa.update(table).where(table.c.id.in_(mine), table.c.open).values(due_at=now))
        return
    c.execute(
        sa.update(attachment).where(attachment.c.remediation == remediation_id).values(ended=True)
    )
    firing = c.execute(
        sa.select(table.c.id).where(table.c.id.in_(mine), table.c.open).limit(1)
    ).first()
    if firing and state not in BY_RELOAD:
        timers.put(c, "revive", remediation_id, now)


def revive(c: Connection, ended: Any, now: datetime) -> int:
    """Sends the open episodes of ended remediations back to triage. Returns how many. `ended`: a
    list, or a query, of their IDs.
    """
    mine = sa.select(attachment.c.episode).where(attachment.c.remediation.in_(ended))
    done = c.execute(
        sa.update(table)
        .where(table.c.open, table.c.id.in_(mine))
        .values(due_at=now, fate=Fate.PENDING)
    )
    c.execute(sa.delete(timer).where(timer.c.kind == "revive", timer.c.ref.in_(ended)))
    c.execute(sa.update(attachment).where(attachment.c.remediation.in_(ended)).values(ended=False))
    return int(done.rowcount)


def reloaded(c: Connection, rules_digest: str, now: datetime) -> None:
    """Triages unmatched, observed and blocked episodes again; waiting remediations are due
    immediately.
    """
    other = table.c.rules_digest != rules_digest
    c.execute(
        sa.update(table)
        .where(table.c.open, table.c.fate == Fate.UNMATCHED, other)
        .values(due_at=now)
    )
    joined = sa.join(table, attachment, attachment.c.episode == table.c.id)
    ended = (
        sa.select(remediation.c.id)
        .select_from(sa.join(joined, remediation, remediation.c.id == attachment.c.remediation))
        .where(table.c.open, other, attachment.c.ended, remediation.c.state.in_(sorted(BY_RELOAD)))
    )
    revive(c, ended, now)
    refs = sa.select(remediation.c.id).where(
        remediation.c.live, remediation.c.state.in_(sorted(WAITING))
    )
    timers.pull(c, timers.work_of(refs), now)
