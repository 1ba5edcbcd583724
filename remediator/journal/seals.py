"""Seals: the history's entries are numbered and chained by digests, so that an edit, a gap or a
reordering is found.

One sealer at a time, after the writers: it numbers committed entries, and writes a seal over the
range and the previous seal. Someone who controls the database could still rewrite everything or cut
off the end; to detect that, the head is also in the log and in the metrics.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..model.entry import EntryKind
from ..model.seal import head_number
from . import entries
from .tables import EPOCH, MICROSECOND, entry, seal

AT_ONCE = 1000
# entries and seals, in one transaction: others wait for it
FORGOTTEN_AT_ONCE, SEALS_AT_ONCE = 5000, 500
SEAL_LOCK = 7_305_802  # PostgreSQL's advisory lock that makes sealers one at a time
START = "0" * 64
SHORTEST = 12  # digits of a digest that tell one from another


def digest_of(row: Any, number: int) -> str:
    """What is sealed of an entry: all of its content, and its position."""
    said = [
        number,
        row.id,
        (row.at - EPOCH) // MICROSECOND,
        row.remediation,
        row.kind,
        row.reason,
        row.text,
    ]
    return hashlib.sha256(
        json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    ).hexdigest()


def chained(previous: str, first: int, last: int, digests: list[str]) -> str:
    """A seal's digest: over the previous seal, its range, and its entries."""
    return hashlib.sha256("\n".join([previous, f"{first}-{last}", *digests]).encode()).hexdigest()


UNSEALED = sa.select(entry.c.id).where(entry.c.number.is_(None)).limit(1)


def due(c: Connection) -> bool:
    """Whether anything is unsealed; asked first, so that an idle sealer does not block writers."""
    return c.execute(UNSEALED).first() is not None


def write(c: Connection, now: datetime) -> tuple[int, str] | None:
    """Seals new entries. Returns the head; None if nothing is new or another sealer is at work."""
    if (
        c.dialect.name == "postgresql"
        and not c.execute(sa.text(f"SELECT pg_try_advisory_xact_lock({SEAL_LOCK})")).scalar()
    ):
        return None
    rows = c.execute(
        sa.select(entry).where(entry.c.number.is_(None)).order_by(entry.c.id).limit(AT_ONCE)
    ).all()
    if not rows:
        return None
    last = c.execute(sa.select(seal).order_by(seal.c.number.desc()).limit(1)).first()
    previous, first, number = (
        (last.digest, last.last + 1, last.number + 1) if last else (START, 1, 1)
    )
    sealed = [
        {"b_id": row.id, "b_number": n, "b_digest": digest_of(row, n)}
        for n, row in enumerate(rows, first)
    ]
    change = sa.update(entry).where(entry.c.id == sa.bindparam("b_id"))
    c.execute(
        change.values(number=sa.bindparam("b_number"), digest=sa.bindparam("b_digest")), sealed
    )
    end = first + len(rows) - 1
    digest = chained(previous, first, end, [item["b_digest"] for item in sealed])
    c.execute(
        sa.insert(seal).values(
            number=number, first=first, last=end, at=now, previous=previous, digest=digest
        )
    )
    return end, digest


def prune(c: Connection, before: datetime, now: datetime) -> int:
    """Deletes some whole sealed ranges older than `before`; their last seal is the anchor."""
    oldest = c.execute(sa.select(seal).order_by(seal.c.number).limit(SEALS_AT_ONCE)).all()
    few = [row for row in oldest if row.last - oldest[0].last <= FORGOTTEN_AT_ONCE]
    old = [row for row in few if row.at < before]
    anchor = old[-1] if old else None
    if anchor is None or anchor.pruned:
        return 0
    gone = c.execute(sa.delete(entry).where(entry.c.number <= anchor.last)).rowcount
    c.execute(sa.delete(seal).where(seal.c.number < anchor.number))
    c.execute(sa.update(seal).where(seal.c.number == anchor.number).values(pruned=True))
    entries.write(c, now, None, EntryKind.PRUNED, reason=None, text=_pruned(anchor))
    return int(gone)


def _pruned(anchor: Any) -> str:
    return (
        f"entries up to {anchor.last} were pruned; seal {anchor.number} over them was"
        f" {anchor.digest}"
    )


@dataclass(slots=True)
class SealReport:
    """What was found: the range, the head, what is not sealed yet, and what is wrong. `pruned_at`:
    when earlier entries are said to have been pruned.
    """

    first: int = 0
    last: int = 0
    seals: int = 0
    head: str = START
    unsealed: int = 0
    pruned_at: datetime | None = None
    findings: list[str] = field(default_factory=list)


def _count(c: Connection, which: sa.ColumnElement[bool]) -> int:
    """The number of entries."""
    return int(c.execute(sa.select(sa.func.count()).select_from(entry).where(which)).scalar() or 0)


def verify(c: Connection, head: str = "") -> SealReport:
    """Reads the whole history and recomputes every digest. `head` is an outside copy of a digest
    (or the metric) that must be part of it.
    """
    rows = c.execute(sa.select(seal).order_by(seal.c.number)).all()
    out = SealReport()
    pruned = bool(rows) and rows[0].pruned
    if pruned:
        previous, expected = _anchored(c, out, rows[0])
        expected = _chain(c, out, rows[1:], previous, expected=expected)
        out.first = out.first or expected
    else:
        expected = _chain(c, out, rows, START, expected=1)
    uncovered = _count(c, entry.c.number >= expected) + _count(c, entry.c.number < (out.first or 1))
    if uncovered:
        out.findings.append(f"{uncovered} entries are numbered but not covered by a seal")
    out.unsealed = _count(c, entry.c.number.is_(None))
    seen = [START, *(row.digest for row in rows)]
    if head and not any(_is_head(head, digest) for digest in seen):
        cut = ", or lies before what was pruned" if pruned else ""
        why = f"it was taken from another history, or this one was cut{cut}"
        out.findings.append(f"no seal has the digest {head}: {why}")
    return out


def _anchored(c: Connection, out: SealReport, anchor: Any) -> tuple[str, int]:
    """The digest that the first seal after pruning continues, and the number of its first entry."""
    out.head, out.first, out.last = anchor.digest, anchor.last + 1, anchor.last
    out.pruned_at = _told(c, anchor)
    if out.pruned_at is None:
        why = "claims that earlier entries were pruned, but no entry records it"
        out.findings.append(f"seal {anchor.number} {why}")
    return anchor.digest, anchor.last + 1


def _chain(
    c: Connection, out: SealReport, rows: Sequence[Any], previous: str, *, expected: int
) -> int:
    """Checks each seal against the one before. Returns the number of the next entry."""
    for row in rows:
        out.seals += 1
        if row.pruned:
            out.findings.append(f"seal {row.number} is marked as pruned but has others before it")
        if row.first != expected or row.previous != previous:
            place = f"before seal {row.number} (entries {row.first} to {row.last})"
            out.findings.append(f"{place} at least one seal is missing or was changed")
        out.findings += _range(c, row)
        out.first = out.first or row.first
        previous, expected = row.digest, row.last + 1
        out.head, out.last = row.digest, row.last
    return expected


def _is_head(given: str, digest: str) -> bool:
    """Whether an outside copy belongs to this digest: all of it, its beginning, or the metric's
    number.
    """
    with contextlib.suppress(ValueError):  # a digest is no number, but by chance
        if float(given) == head_number(digest):  # 7.1662063051e+13, as Prometheus shows it
            return True
    return len(given) >= SHORTEST and digest.startswith(given.lower())


def _told(c: Connection, anchor: Any) -> datetime | None:
    """When pruning was recorded."""
    mine = sa.select(entry.c.at).where(
        entry.c.kind == EntryKind.PRUNED, entry.c.text == _pruned(anchor)
    )
    found: datetime | None = c.execute(mine.order_by(entry.c.id).limit(1)).scalar()
    return found


def _range(c: Connection, row: Any) -> Iterator[str]:
    """What is wrong within one seal's range."""
    mine = (
        sa.select(entry).where(entry.c.number.between(row.first, row.last)).order_by(entry.c.number)
    )
    found = {item.number: item for item in c.execute(mine)}
    clean = True
    for number in range(row.first, row.last + 1):
        item = found.get(number)
        if item is None:
            yield f"entry {number} is missing"
        elif digest_of(item, number) != item.digest:
            yield (
                f"entry {number} ({item.at:%Y-%m-%d %H:%M:%S}, {item.kind}) was changed or moved"
            )
        else:
            continue
        clean = False
    digests = [found[number].digest for number in sorted(found)]
    if clean and chained(row.previous, row.first, row.last, digests) != row.digest:
        yield (
            f"seal {row.number} does not match its entries {row.first} to {row.last}: they were"
            " changed together with their digests"
        )


def export(c: Connection) -> Iterator[dict[str, Any]]:
    """Every entry with number and digest, and every seal after its range, for verification by other
    programs.
    """
    bounds = {row.last: row for row in c.execute(sa.select(seal).order_by(seal.c.number)).all()}
    for row in c.execute(
        sa.select(entry).order_by(entry.c.number.is_(None), entry.c.number, entry.c.id)
    ):
        yield {
            "type": "entry",
            **{
                k: v.isoformat() if isinstance(v, datetime) else v for k, v in row._asdict().items()
            },
        }
        closing = bounds.get(row.number)
        if closing is not None:
            yield {
                "type": "seal",
                **{
                    k: v.isoformat() if isinstance(v, datetime) else v
                    for k, v in closing._asdict().items()
                },
            }
