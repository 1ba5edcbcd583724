"""Indexes that keep what is asked every second as fast after years as on the first day.

SQLite never used the partial indexes of before: their words were not those of the statements. On
PostgreSQL they are built without keeping other replicas from writing; a build that was interrupted
is begun again.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from remediator.journal.tables import Instant
from remediator.telemetry import log

revision = "0003"
down_revision = "0002"

BAD, JUDGED = (
    "state IN ('failed', 'ineffective')",
    "state IN ('failed', 'ineffective', 'succeeded')",
)
OPEN = ("open = 1", "open")
SLICE = 10_000
REPLACED = {
    "episode": ("episode_due", "episode_ended"),
    "remediation": ("remediation_told", "remediation_bad"),
}
INDEXES: list[tuple[str, str, list[str], tuple[str, ...] | None]] = [
    ("episode_pending", "episode", ["due_at", "id"], OPEN),
    ("episode_began", "episode", ["starts_at", "id"], OPEN),
    ("episode_fate", "episode", ["fate"], OPEN),
    ("episode_ended", "episode", ["last_seen"], ("open = 0", "NOT open")),
    ("remediation_told", "remediation", ["told"], ("told = 1", "told")),
    ("remediation_state", "remediation", ["state", "born_at"], None),
    ("remediation_alive", "remediation", ["state"], ("live = 1", "live")),
    ("remediation_ended", "remediation", ["ended_at"], ("live = 0", "NOT live")),
    ("remediation_history", "remediation", ["rule", "target_key", "born_at"], None),
    (
        "remediation_retried",
        "remediation",
        ["rule", "target_key", "retried_at"],
        ("retried_at IS NOT NULL",) * 2,
    ),
    ("remediation_acts", "remediation", ["target_key", "born_at"], ("acted = 1", "acted")),
    ("remediation_undoes", "remediation", ["undo_of", "born_at"], ("undo_of != ''",) * 2),
    (
        "remediation_acting",
        "remediation",
        ["rule"],
        ("state IN ('executing', 'undoing', 'verifying')",) * 2,
    ),
    ("remediation_bad", "remediation", ["ended_at"], (f"acted = 1 AND {BAD}", f"acted AND {BAD}")),
    (
        "remediation_judged",
        "remediation",
        ["rule", "ended_at"],
        (f"acted = 1 AND {JUDGED}", f"acted AND {JUDGED}"),
    ),
    (
        "remediation_acted",
        "remediation",
        ["rule", "target_key", "ended_at"],
        ("acted = 1 AND live = 0", "acted AND NOT live"),
    ),
    (
        "remediation_record",
        "remediation",
        ["rule", "undo_of", "state", "reason", "acted", "born_at"],
        ("live = 0", "NOT live"),
    ),
    ("entry_decision", "entry", ["kind", "remediation"], ("kind IN ('approved', 'denied')",) * 2),
    ("attachment_ended", "attachment", ["episode"], ("ended = 1", "ended")),
    ("outbox_at", "outbox", ["at"], None),
    ("charge_root", "charge", ["root_key", "at"], None),
    ("charge_rule", "charge", ["rule", "root_key", "at"], None),
    ("charge_per_rule", "charge", ["rule", "at"], None),
    ("charge_action", "charge", ["action", "at"], None),
    ("charge_namespace", "charge", ["namespace", "at"], None),
    ("charge_remediation", "charge", ["remediation"], None),
    ("timer_due", "timer", ["kind", "due_at", "ref"], None),
    ("timer_ref", "timer", ["ref"], None),
]


def upgrade() -> None:
    # an interrupted run made it
    if "at" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("outbox")}:
        op.add_column("outbox", sa.Column("at", Instant(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            _date_messages()
            _build(postgresql_concurrently=True, if_not_exists=True)
    else:
        _date_messages()
        _build()


def _date_messages() -> None:
    """Messages of before are as old as their delivery.

    In slices, so that no other replica waits for long.
    """
    newest = op.get_bind().execute(sa.text("SELECT max(id) FROM outbox")).scalar() or 0
    if newest:
        log().warning("journal_migrating", schema=revision, dating="outbox", messages=newest)
    for first in range(0, newest + 1, SLICE):
        within = f"at IS NULL AND id >= {first} AND id < {first + SLICE}"
        op.execute(f"UPDATE outbox SET at = coalesce(delivered_at, due_at, 0) WHERE {within}")


def _build(**how: Any) -> None:
    concurrently: dict[str, Any] = {"postgresql_concurrently": True} if how else {}
    for table, names in REPLACED.items():
        for name in names:
            op.drop_index(name, table, if_exists=True, **concurrently)
    for name in _halfway() if how else ():
        op.drop_index(name, if_exists=True, **concurrently)
    used = op.get_bind().execute(sa.text("SELECT 1 FROM episode LIMIT 1")).first()
    for number, (name, table, columns, where) in enumerate(INDEXES, 1):
        if used:
            log().warning(
                "journal_migrating", schema=revision, building=name, step=f"{number}/{len(INDEXES)}"
            )
        rows: dict[str, Any] = (
            {"sqlite_where": sa.text(where[0]), "postgresql_where": sa.text(where[1])}
            if where
            else {}
        )
        op.create_index(name, table, columns, **rows, **how)


def _halfway() -> list[str]:
    """Indexes of which an interrupted build left what PostgreSQL does not use."""
    query = (
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT"
        " i.indisvalid"
    )
    mine = {name for name, *_ in INDEXES}
    return [name for name in op.get_bind().execute(sa.text(query)).scalars() if name in mine]
