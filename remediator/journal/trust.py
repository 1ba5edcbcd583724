"""What is known of rules: storms, breakers, and their record."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.entry import EntryKind
from ..model.notice import Notice
from ..model.remediation import State
from ..model.verdict import Reason
from ..ports.records import Breaker, Message, Storm
from . import entries, letters
from .tables import IS_BAD, IS_DECISION, breaker, entry
from .tables import remediation as table
from .tables import storm as storm_table

EXAMPLES = 3
BAD = (State.FAILED, State.INEFFECTIVE)  # as in `IS_BAD`
COUNTED = (
    "would",
    "idle",
    "approved",
    "denied",
    "undecided",
    "succeeded",
    "ineffective",
    "failed",
    "other",
)


def storm(
    c: Connection, group: str, why: str, until: datetime, *, told: Sequence[Message], now: datetime
) -> bool:
    """Writes or extends a storm's row. True if it is new."""
    mine = storm_table.c.group == group
    there = c.execute(sa.select(storm_table).where(mine)).first()
    if there is not None and there.until > now:
        c.execute(sa.update(storm_table).where(mine).values(until=max(there.until, until)))
        _tell(c, group, there.since, told, now=now)
        return False
    c.execute(sa.delete(storm_table).where(mine))
    c.execute(sa.insert(storm_table).values(group=group, since=now, until=until, why=why))
    entries.write(c, now, None, EntryKind.STORM, reason=Reason.STORM, text=why)
    _tell(c, group, now, told, now=now)
    return True


def _tell(
    c: Connection, group: str, since: datetime, told: Sequence[Message], *, now: datetime
) -> None:
    """Notifies receivers that were not notified yet; another rule of the group may name others."""
    known = letters.told(c, ident("storm", group), since) if told else ()
    for message in told:
        if message.receiver not in known:
            letters.put(c, ident("storm", group), message.receiver, message.notice, now=now)


def lasting(c: Connection) -> list[str]:
    """Keys of current storms and open breakers in the outbox."""
    storms = c.execute(sa.select(storm_table.c.group)).scalars()
    opened = c.execute(sa.select(breaker.c.rule).where(breaker.c.opened_at.is_not(None))).scalars()
    return [
        *(ident("storm", group) for group in storms),
        *(ident("breaker", rule) for rule in opened),
    ]


LONGEST_KEY = 40


def ident(kind: str, name: str) -> str:
    """The key of notifications about a storm or a breaker; short enough for a thread, and another
    one for each name however long it is.
    """
    key = f"{kind}-{name}"
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:10]
    return f"{key[: LONGEST_KEY - 11]}-{digest}"


def storms(c: Connection) -> tuple[Storm, ...]:
    """All storms, with the receivers that were notified."""
    rows = c.execute(sa.select(storm_table)).all()
    return tuple(
        Storm(
            row.group,
            row.since,
            row.until,
            row.why,
            tuple(letters.told(c, ident("storm", row.group), row.since)),
        )
        for row in rows
    )


def calm(c: Connection, group: str, said: Notice, now: datetime) -> None:
    """Ends a storm and notifies everyone who was notified of it."""
    since = c.execute(sa.select(storm_table.c.since).where(storm_table.c.group == group)).scalar()
    gone = c.execute(
        sa.delete(storm_table).where(storm_table.c.group == group, storm_table.c.until <= now)
    )
    if not gone.rowcount:  # another daemon said so, or it came back
        return
    entries.write(
        c, now, None, EntryKind.STORM_OVER, reason=None, text=f"the storm in {group} is over"
    )
    for receiver in letters.told(c, ident("storm", group), since or now):
        letters.put(c, ident("storm", group), receiver, said, now=now)


def suspects(c: Connection, since: datetime, limit: int) -> list[str]:
    """Rules with a remediation that acted and ended badly since then."""
    lately: Any = table.c.ended_at > since
    # else SQLite would look at all that ever ended so, rather than at what ended lately
    if c.dialect.name == "sqlite":
        lately = sa.func.likelihood(lately, sa.literal_column("0.000001"))
    query = (
        sa.select(table.c.rule)
        .distinct()
        .where(lately, table.c.acted, sa.text(IS_BAD))
        .limit(limit)
    )
    return list(c.execute(query).scalars())


def breakers(c: Connection) -> list[Breaker]:
    """All rows."""
    rows = c.execute(sa.select(breaker)).all()
    return [Breaker(row.rule, row.opened_at, row.reset_at, row.reset_by or "") for row in rows]


OPENED, CLOSED = (EntryKind.BREAKER_OPENED, Reason.BREAKER_OPEN), (EntryKind.BREAKER_CLOSED, None)


def switch(
    c: Connection,
    rule: str,
    opened_at: datetime | None,
    why: str,
    *,
    to: Sequence[str],
    said: Notice,
    now: datetime,
) -> None:
    """Records that a breaker opened or closed, once. `to` are notified; of its closing, those who
    were notified before.
    """
    mine = breaker.c.rule == rule
    row = c.execute(sa.select(breaker).where(mine).with_for_update()).first()
    if (row.opened_at if row else None) == opened_at:
        return
    if row is None:
        c.execute(sa.insert(breaker).values(rule=rule, opened_at=opened_at))
    else:
        c.execute(sa.update(breaker).where(mine).values(opened_at=opened_at))
    if row is not None and row.opened_at is not None and opened_at is not None:
        return  # it opened again before it closed: known
    kind, reason = OPENED if opened_at else CLOSED
    entries.write(c, now, None, kind, reason=reason, text=f"rule {rule}: {why}")
    key = ident("breaker", rule)
    for receiver in letters.told(c, key) if opened_at is None else to:
        letters.put(c, key, receiver, said, now=now)


def reset(c: Connection, rule: str, operator: str, now: datetime) -> None:
    """Earlier outcomes of the rule's remediations no longer count."""
    values = {"reset_at": now, "reset_by": operator}
    if c.execute(sa.update(breaker).where(breaker.c.rule == rule).values(**values)).rowcount == 0:
        c.execute(sa.insert(breaker).values(rule=rule, **values))
    entries.write(
        c,
        now,
        None,
        EntryKind.BREAKER_RESET,
        reason=Reason.OPERATOR,
        text=f"{operator} reset the breaker of rule {rule}",
    )


def record(c: Connection, rules: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """For each rule: how often it `would` have acted and how often there was nothing to do
    or something against it (`idle`, with `against` by reason); approved, denied, expired
    (undecided), acted, and of those succeeded, ineffective, failed; and `lately` with
    the newest plans that it only observed.
    """
    out = {rule: nothing_yet() for rule in rules}
    mine = sa.and_(table.c.rule.in_(rules), table.c.undo_of == "")
    grouped = sa.select(
        table.c.rule, table.c.state, table.c.reason, table.c.acted, sa.func.count()
    ).where(mine, ~table.c.live)
    for rule, state, reason, acted, count in c.execute(
        grouped.group_by(table.c.rule, table.c.state, table.c.reason, table.c.acted)
    ):
        add_to(out[rule], state, reason, acted, count=count)
    each = sa.func.count(sa.distinct(table.c.id))  # however many persons one of them needed
    said = sa.select(table.c.rule, entry.c.kind, each).join(
        entry, entry.c.remediation == table.c.id
    )
    decided = said.where(mine, sa.text(f"entry.{IS_DECISION}")).group_by(table.c.rule, entry.c.kind)
    for rule, kind, count in c.execute(decided):
        out[rule][kind] += count
    for rule in rules:
        out[rule]["lately"] = _latest_plans(c, rule)
    return out


def nothing_yet() -> dict[str, Any]:
    """The record of a rule of which no remediation has ended."""
    return dict.fromkeys(COUNTED, 0) | {"against": {}, "lately": []}


def add_to(
    counts: dict[str, Any], state: str, reason: str | None, acted: bool, *, count: int
) -> None:
    """Adds remediations that ended alike to a rule's record."""
    if state == State.OBSERVED and reason == Reason.OBSERVE_MODE:
        counts["would"] += count
    elif state == State.OBSERVED:
        counts["idle"] += count
        counts["against"][reason] = counts["against"].get(reason, 0) + count
    elif reason == Reason.APPROVAL_EXPIRED:
        counts["undecided"] += count
    elif acted:
        counts[state if state in counts else "other"] += count


def _latest_plans(c: Connection, rule: str) -> list[str]:
    """The latest plans that the rule only observed."""
    newest = (
        sa.select(table.c.look)
        .where(table.c.rule == rule, table.c.undo_of == "", ~table.c.live, ~table.c.acted)
        .where(table.c.state == State.OBSERVED, table.c.reason == Reason.OBSERVE_MODE)
        .order_by(table.c.created_at.desc())
        .limit(EXAMPLES)
    )
    return planned_in(c.execute(newest).scalars())


def planned_in(looks: Iterable[str]) -> list[str]:
    """What was planned at each look, in short."""
    plans = [orjson.loads(look).get("plan") or {} for look in looks]
    return [plan["summary"] for plan in plans if plan.get("summary")]
