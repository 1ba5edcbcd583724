"""The first schema."""

import sqlalchemy as sa
from alembic import op

from remediator.journal.tables import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "attachment",
        sa.Column("episode", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("remediation", sa.String(length=40), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("episode", "remediation"),
    )
    op.create_index(op.f("ix_attachment_remediation"), "attachment", ["remediation"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("remediation", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("causes", sa.Text(), nullable=False),
        sa.Column("begun_at", Instant(), nullable=False),
        sa.Column("sent_by", Instant(), nullable=False),
        sa.Column("applied_at", Instant(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("converged_at", Instant(), nullable=True),
        sa.Column("proved_since", Instant(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_attempt_remediation"), "attempt", ["remediation"], unique=False)
    op.create_table(
        "charge",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("remediation", sa.String(length=40), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("root_key", sa.String(length=640), nullable=False),
        sa.Column("target_key", sa.String(length=640), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_charge_at"), "charge", ["at"], unique=False)
    op.create_table(
        "entry",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("remediation", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_entry_remediation"), "entry", ["remediation"], unique=False)
    op.create_table(
        "episode",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("fate", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=True),
        sa.Column("last_seen", Instant(), nullable=False),
        sa.Column("confirmed_at", Instant(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("alert", sa.Text(), nullable=False),
        sa.Column("rules_digest", sa.String(length=32), nullable=False),
        sa.Column("reopened", sa.Boolean(), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "episode_due",
        "episode",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "episode_ended",
        "episode",
        ["last_seen"],
        unique=False,
        sqlite_where=sa.text("NOT open"),
        postgresql_where=sa.text("NOT open"),
    )
    op.create_index(
        "episode_fingerprint", "episode", ["fingerprint", "source", "open", "ends_at"], unique=False
    )
    op.create_index(
        "episode_open",
        "episode",
        ["source", "fingerprint"],
        unique=True,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )
    op.create_table(
        "inbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("remediation", sa.String(length=40), nullable=False),
        sa.Column("receiver", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("delivered_at", Instant(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("ref", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outbox_due", "outbox", ["due_at"], unique=False)
    op.create_index("outbox_remediation", "outbox", ["remediation"], unique=False)
    op.create_table(
        "pause",
        sa.Column("scope", sa.String(length=300), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("until", Instant(), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "remediation",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("rule_digest", sa.String(length=32), nullable=False),
        sa.Column("rule_text", sa.Text(), nullable=False),
        sa.Column("undo_of", sa.String(length=40), nullable=False),
        sa.Column("undoes", sa.String(length=60), nullable=False),
        sa.Column("undo_why", sa.String(length=20), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("cluster", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("target_key", sa.String(length=640), nullable=False),
        sa.Column("root_key", sa.String(length=640), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("acted", sa.Boolean(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("born_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("held_since", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("approved_digest", sa.String(length=80), nullable=False),
        sa.Column("approved_by", sa.String(length=200), nullable=False),
        sa.Column("cancel_by", sa.String(length=200), nullable=False),
        sa.Column("retried_at", Instant(), nullable=True),
        sa.Column("ended_template", sa.String(length=32), nullable=False),
        sa.Column("look", sa.Text(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    told = sa.text("told")
    op.create_index(
        "remediation_told", "remediation", ["told"], sqlite_where=told, postgresql_where=told
    )
    op.create_index("remediation_born", "remediation", ["born_at"], unique=False)
    op.create_index(
        "remediation_live",
        "remediation",
        ["rule", "target_key"],
        unique=True,
        sqlite_where=sa.text("live AND undo_of = ''"),
        postgresql_where=sa.text("live AND undo_of = ''"),
    )
    op.create_index("remediation_target", "remediation", ["target_key"], unique=False)
    op.create_index(
        "remediation_undo",
        "remediation",
        ["undo_of"],
        unique=True,
        sqlite_where=sa.text("live AND undo_of != ''"),
        postgresql_where=sa.text("live AND undo_of != ''"),
    )
    op.create_table(
        "target_lock",
        sa.Column("key", sa.String(length=640), nullable=False),
        sa.Column("remediation", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(
        op.f("ix_target_lock_remediation"), "target_lock", ["remediation"], unique=False
    )
    op.create_table(
        "timer",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("ref", sa.String(length=60), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "ref"),
    )
    op.create_index(op.f("ix_timer_due_at"), "timer", ["due_at"], unique=False)
