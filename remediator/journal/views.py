"""What the API and the CLI show: plain rows, times as RFC 3339."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.entry import named
from . import timers
from .tables import attachment, attempt, entry, episode, inbox, outbox, timer
from .tables import remediation as table

HIDDEN = {"rule_text", "token", "lease_until", "live", "look"}
SHOWN_AS = {"born_at": "created_at", "told": "escalated", "begun_at": "started_at"}
"""Columns that the first schema called otherwise."""
OF_AN_UNDO = ("id", "undoes", "state", "reason", "why", "created_at", "ended_at")


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        SHOWN_AS.get(key, key): (
            value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        )
        for key, value in row.items()
    }


def remediation_row(row: Any) -> dict[str, Any]:
    shown = plain({k: v for k, v in row._asdict().items() if k not in HIDDEN})
    shown["target"] = (
        f"{row.kind}/{row.namespace}/{row.name}" if row.namespace else f"{row.kind}/{row.name}"
    )
    return shown


def remediations(
    c: Connection,
    limit: int,
    state: str | None,
    namespace: str,
    *,
    rule: str,
    since: datetime | None,
) -> list[dict[str, Any]]:
    """The newest remediations first."""
    query = sa.select(table).order_by(table.c.created_at.desc(), table.c.id).limit(limit)
    for column, wanted in (
        (table.c.state, state),
        (table.c.namespace, namespace),
        (table.c.rule, rule),
    ):
        query = query.where(column == wanted) if wanted else query
    if since is not None:
        query = query.where(table.c.created_at >= since)
    return [remediation_row(row) for row in c.execute(query)]


def show(c: Connection, remediation_id: str) -> dict[str, Any] | None:
    """One remediation with everything: its last evaluation, attempts, alerts, history and
    notifications.
    """
    row = c.execute(sa.select(table).where(table.c.id == remediation_id)).first()
    if row is None:
        return None
    shown = remediation_row(row)
    shown["look"] = orjson.loads(row.look)
    shown["rule_text"] = orjson.loads(row.rule_text)
    attempts = c.execute(
        sa.select(attempt).where(attempt.c.remediation == remediation_id).order_by(attempt.c.number)
    ).all()
    shown["attempts"] = [attempt_row(a) for a in attempts]
    joined = (
        sa.select(episode)
        .join(attachment, attachment.c.episode == episode.c.id)
        .where(attachment.c.remediation == remediation_id)
    )
    shown["episodes"] = [episode_row(e) for e in c.execute(joined.order_by(episode.c.id))]
    history = sa.select(entry).where(entry.c.remediation == remediation_id).order_by(entry.c.id)
    shown["history"] = list(map(history_row, c.execute(history)))
    shown["messages"] = _messages(c, remediation_id)
    shown["next_look"] = _next(c, "work", [remediation_id])
    shown["undo_due_at"] = _next(c, "restore", [a.id for a in attempts])
    shown["undos"] = _undos(c, remediation_id)
    return shown


def attempt_row(row: Any) -> dict[str, Any]:
    """An attempt, with what is stored as text read."""
    texts = {
        "plan": row.plan,
        "causes": row.causes,
        "evidence": row.evidence or "null",
        "after": row.after or "null",
    }
    return plain(row._asdict()) | {name: orjson.loads(text) for name, text in texts.items()}


def _messages(c: Connection, remediation_id: str) -> list[dict[str, Any]]:
    """Its notifications, without their texts."""
    told = sa.select(outbox).where(outbox.c.remediation == remediation_id).order_by(outbox.c.id)
    return list(map(message_row, c.execute(told)))


def message_row(row: Any) -> dict[str, Any]:
    """A notification, without its text."""
    return plain({k: v for k, v in row._asdict().items() if k != "body"})


def history_row(row: Any) -> dict[str, Any]:
    """A line of the history."""
    return plain(row._asdict()) | {"kind": named(row.kind)}


def _next(c: Connection, kind: str, refs: Sequence[str]) -> str | None:
    """When the first timer of a kind is due."""
    mine = (timer.c.kind == kind, timer.c.ref.in_(refs))
    due = c.execute(sa.select(sa.func.min(timer.c.due_at)).where(*mine)).scalar()
    return due.isoformat() if due and due != timers.CLAIMED else None


def _undos(c: Connection, remediation_id: str) -> list[dict[str, Any]]:
    """What undoes it, oldest first."""
    undoing = sa.select(*(table.c[column] for column in OF_AN_UNDO))
    mine = undoing.where(table.c.undo_of == remediation_id, sa.text("undo_of != ''"))
    return list(map(undo_row, c.execute(mine.order_by(table.c.created_at))))


def undo_row(row: Any) -> dict[str, Any]:
    """An undo, in short."""
    return plain({column: getattr(row, column) for column in OF_AN_UNDO})


def episode_row(row: Any) -> dict[str, Any]:
    data = orjson.loads(row.alert)
    hidden = {"alert", "due_at"}
    return plain({k: v for k, v in row._asdict().items() if k not in hidden}) | {
        "labels": data["labels"],
        "annotations": data["annotations"],
    }


def episodes(c: Connection, limit: int, fingerprint: str | None) -> list[dict[str, Any]]:
    """The newest episodes first, each with its remediations."""
    query = sa.select(episode).order_by(episode.c.id.desc()).limit(limit)
    if fingerprint:
        query = query.where(episode.c.fingerprint == fingerprint)
    rows = c.execute(query).all()
    joined = sa.select(attachment).where(attachment.c.episode.in_([row.id for row in rows]))
    attached: dict[int, list[str]] = {}
    for a in c.execute(joined):
        attached.setdefault(a.episode, []).append(a.remediation)
    return [episode_row(row) | {"remediations": attached.get(row.id, [])} for row in rows]


def counts(c: Connection) -> dict[str, dict[str, int]]:
    """Open episodes by fate, live remediations by state, webhooks to unpack, notifications to
    deliver.
    """
    packed = c.execute(
        sa.select(sa.func.count()).where(inbox.c.error.is_(None)).select_from(inbox)
    ).scalar()
    fates = c.execute(
        sa.select(episode.c.fate, sa.func.count()).where(episode.c.open).group_by(episode.c.fate)
    )
    states = c.execute(
        sa.select(table.c.state, sa.func.count()).where(table.c.live).group_by(table.c.state)
    )
    waiting = c.execute(
        sa.select(sa.func.count()).where(
            outbox.c.delivered_at.is_(None), outbox.c.due_at.is_not(None)
        )
    ).scalar()
    return {
        "episodes": dict(tuple(row) for row in fates),
        "remediations": dict(tuple(row) for row in states),
        "webhooks": {"waiting": packed or 0},
        "messages": {"waiting": waiting or 0},
    }


def resolutions(c: Connection, since: datetime, until: datetime) -> list[tuple[str, bool, float]]:
    """(rule, acted, seconds) of matched alerts that ended in that time, each once per rule."""
    acted = sa.func.max(sa.cast(table.c.acted, sa.Integer)).label("acted")
    query = (
        sa.select(table.c.rule, acted, episode.c.starts_at, episode.c.ends_at)
        .join(attachment, attachment.c.remediation == table.c.id)
        .join(episode, episode.c.id == attachment.c.episode)
        .where(
            ~episode.c.open,
            episode.c.last_seen > since,
            episode.c.last_seen <= until,
            table.c.undo_of == "",
        )
        .group_by(table.c.rule, episode.c.id)
    )
    return [
        (row.rule, bool(row.acted), max(0.0, (row.ends_at - row.starts_at).total_seconds()))
        for row in c.execute(query)
    ]
