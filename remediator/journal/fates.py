"""Fates: what triage decided for episodes, and what sends them back to triage."""

from collections.abc import Sequence
from datetime import datetime
from itertools import chain, repeat
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.alert import Episode, Fate
from ..model.remediation import STATES, WAITING, State
from ..model.verdict import Reason
from ..ports.records import Triaged
from . import births, timers
from .alone import alone
from .chunks import chunks
from .tables import attachment, remediation, timer
from .tables import episode as table

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
    ids = [item.episode.id for item in matched]
    # some may have resolved while they were being triaged
    over, still_open = _ended(c, ids), _open(c, ids)
    firing = [item for item in matched if item.episode.id in still_open]
    asked = chain.from_iterable(zip(repeat(item.episode.id), item.wanted) for item in firing)
    new = [pair for pair in asked if (pair[0], pair[1].rule.name) not in over]
    births.attach(c, new, now)


def _open(c: Connection, episode_ids: Sequence[int]) -> set[int]:
    """Those of them that are open."""
    found: set[int] = set()
    for part in chunks(episode_ids):
        some = table.c.id.in_(part)
        found |= set(c.execute(sa.select(table.c.id).where(some, table.c.open)).scalars())
    return found


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
    for part in chunks(episode_ids):
        some = attachment.c.episode.in_(part)
        found |= {
            (row.episode, row.rule) for row in c.execute(query.where(some, attachment.c.ended))
        }
    return found


def wake(c: Connection, episode_ids: Sequence[int], now: datetime) -> None:
    """Makes the live remediations of these episodes due: something changed for them."""
    for part in chunks(episode_ids):
        refs = sa.select(attachment.c.remediation).where(attachment.c.episode.in_(part))
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
    for some in chunks(firing):
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
