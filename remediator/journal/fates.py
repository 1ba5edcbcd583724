"""Fates: what triage decided for episodes, and what sends them back to triage."""

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.alert import Episode, Fate
from ..model.entry import EntryKind
from ..model.remediation import STATES, WAITING, State
from ..model.verdict import Reason
from ..ports.records import Triaged, Wanted
from ..rules.stored import to_text
from . import entries, timers
from .alone import alone
from .tables import attachment, remediation, timer
from .tables import episode as table

CHUNK = 400


BY_RELOAD = frozenset(state for state, spec in STATES.items() if spec.by_reload)


def triaged(c: Connection, decided: Sequence[Triaged], now: datetime) -> None:
    """Stores fates in one statement; creates the wanted remediations, or attaches to live ones."""
    if not decided:
        return
    _store(c, decided)
    stale = [item.episode.id for item in decided if item.fate is Fate.STALE]
    if stale:
        ended = sa.update(table).where(table.c.id.in_(stale), table.c.open)
        c.execute(ended.values(open=False, ends_at=now))
    matched = [item for item in decided if item.wanted]
    asked = chain.from_iterable(item.wanted for item in matched)
    alone(c, *(f"{wanted.rule.name} {wanted.target.key}" for wanted in asked))
    _attach(c, matched, now)


def _attach(c: Connection, matched: Sequence[Triaged], now: datetime) -> None:
    """Attaches what is still open to the live remediation of each rule, creating it if needed."""
    over = _ended(c, [item.episode.id for item in matched])
    for item in matched:
        # it may have resolved while it was being triaged
        if not c.execute(sa.select(table.c.open).where(table.c.id == item.episode.id)).scalar():
            continue
        for wanted in item.wanted:
            if (item.episode.id, wanted.rule.name) not in over:
                attach(c, item.episode.id, _live(c, wanted, item.episode.id, now))


def _store(c: Connection, decided: Sequence[Triaged]) -> None:
    """The fates of those that are still open."""
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
            "b_id": item.episode.id,
            "b_fate": item.fate,
            "b_reason": item.reason,
            "b_digest": item.rules_digest,
            "b_due": item.again_at,
        }
        for item in decided
    ]
    c.execute(query, rows)


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


def _live(c: Connection, wanted: Wanted, episode_id: int, now: datetime) -> str:
    """The live remediation of the rule and target; created for the episode if there is none."""
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
    row = row_of(wanted, episode_id, now)
    created = str(row["id"])
    c.execute(sa.insert(table_).values(**row))
    timers.put(c, "work", created, wanted.settled_at)
    timers.put(c, "escalate", created, now + wanted.rule.escalate.after)
    entries.write(
        c,
        now,
        created,
        EntryKind.CREATED,
        reason=None,
        text=f"rule {wanted.rule.name} for {wanted.target}",
    )
    return created


def row_of(wanted: Wanted, episode_id: int, now: datetime) -> dict[str, Any]:
    """The columns of a remediation that is created for an episode."""
    target = wanted.target
    return {
        "id": entries.new_id("r"),
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
        "created_for": episode_id,
    }


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
    # another remediation acts for them now, so they need not wait until something changes
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


def retry(c: Connection, rule: str, firing: Sequence[int], now: datetime) -> bool:
    """Sends these open episodes back to triage, for the rule to try them once more: as long as one
    of its remediations of an episode counts as ended, it leaves the episode alone.
    """
    for at in range(0, len(firing), CHUNK):
        some = firing[at : at + CHUNK]
        theirs = attachment.c.episode.in_(some)
        joined = sa.join(attachment, remediation, remediation.c.id == attachment.c.remediation)
        query = sa.select(remediation.c.id).select_from(joined)
        found = c.execute(query.where(theirs, remediation.c.rule == rule, ~remediation.c.live))
        ids = list(found.scalars().unique())
        c.execute(
            sa.update(table).where(table.c.id.in_(some)).values(due_at=now, fate=Fate.PENDING)
        )
        again = sa.update(attachment).where(theirs, attachment.c.remediation.in_(ids))
        c.execute(again.values(ended=False))
        c.execute(sa.update(remediation).where(remediation.c.id.in_(ids)).values(retried_at=now))
    return bool(firing)


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
