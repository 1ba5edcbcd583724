"""What triage asks for: each rule's live remediation of a target, created if there is none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.entry import EntryKind
from ..model.remediation import State
from ..model.verdict import Reason
from ..ports.records import Wanted
from ..rules.stored import to_text
from . import entries
from .chunks import chunks
from .tables import attachment, entry, timer
from .tables import remediation as table

# an episode, and a remediation that it asks for or is on
Asked = tuple[int, Wanted]
Pair = tuple[int, str]

LIVE = (
    sa.select(table.c.id, table.c.state, table.c.created_at)
    .where(
        table.c.rule == sa.bindparam("rule"),
        table.c.target_key == sa.bindparam("target"),
        table.c.live,
        table.c.undo_of == "",
    )
    .with_for_update()
)


def live(c: Connection, rule: str, target_key: str) -> Any:
    """The live remediation of a rule and target, of which there is one at most, locked."""
    return c.execute(LIVE, {"rule": rule, "target": target_key}).first()


def attach(c: Connection, asked: Sequence[Asked], now: datetime) -> None:
    """Puts each episode on the live remediation of the rule and target. All that is new is inserted
    together, since in a storm it is much.
    """
    living: dict[tuple[str, str], str] = {}
    born = _Born(now)
    pairs: list[Pair] = []
    for episode, wanted in asked:
        key = wanted.rule.name, wanted.target.key
        if key not in living:
            found = live(c, *key)
            living[key] = found.id if found is not None else born.add(wanted, episode)
        pairs.append((episode, living[key]))
    born.insert(c)
    _put_on(c, pairs)


def attach_to(c: Connection, episodes: Sequence[int], remediation: str) -> None:
    """Puts these episodes on a remediation, each once."""
    _put_on(c, [(episode, remediation) for episode in episodes])


class _Born:
    """The rows of the remediations that are created together."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._rows: list[dict[str, Any]] = []
        self._timers: list[dict[str, Any]] = []
        self._lines: list[dict[str, Any]] = []

    def add(self, wanted: Wanted, episode: int) -> str:
        """One more; its ID."""
        row = row_of(wanted, episode, self._now)
        made, late = str(row["id"]), self._now + wanted.rule.escalate.after
        self._rows.append(row)
        self._timers.append({"kind": "work", "ref": made, "due_at": wanted.settled_at})
        self._timers.append({"kind": "escalate", "ref": made, "due_at": late})
        line = {"at": self._now, "remediation": made, "kind": EntryKind.CREATED}
        self._lines.append(line | {"text": f"rule {wanted.rule.name} for {wanted.target}"})
        return made

    def insert(self, c: Connection) -> None:
        """All of them."""
        _insert(c, table, self._rows)
        _insert(c, timer, self._timers)
        _insert(c, entry, self._lines)


def _put_on(c: Connection, pairs: Sequence[Pair]) -> None:
    known = _attached(c, [episode for episode, _ in pairs])
    new = dict.fromkeys(pair for pair in pairs if pair not in known)
    _insert(c, attachment, [{"episode": episode, "remediation": one} for episode, one in new])


def _attached(c: Connection, episodes: Sequence[int]) -> set[Pair]:
    """On which remediations the episodes are."""
    found: set[Pair] = set()
    for part in chunks(episodes):
        some = attachment.c.episode.in_(part)
        rows = c.execute(sa.select(attachment.c.episode, attachment.c.remediation).where(some))
        found |= {(row.episode, row.remediation) for row in rows}
    return found


def _insert(c: Connection, where: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        c.execute(sa.insert(where), rows)


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
