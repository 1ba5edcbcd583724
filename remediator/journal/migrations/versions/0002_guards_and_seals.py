"""Storms, breakers, priorities, second approvals, what an
attempt left, and seals over the history.
"""

import sqlalchemy as sa
from alembic import op

from remediator.journal.tables import Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "remediation",
        sa.Column("approved_first", sa.String(length=200), nullable=False, server_default=""),
    )
    op.add_column(
        "remediation", sa.Column("priority", sa.Integer(), nullable=False, server_default="0")
    )
    op.create_index("remediation_rule", "remediation", ["rule", "ended_at"], unique=False)
    bad = sa.text("acted AND state IN ('ineffective', 'failed')")
    op.create_index(
        "remediation_bad", "remediation", ["ended_at"], sqlite_where=bad, postgresql_where=bad
    )
    op.add_column("attempt", sa.Column("after", sa.Text(), nullable=True))
    op.add_column("entry", sa.Column("number", sa.BigInteger(), nullable=True))
    op.add_column("entry", sa.Column("digest", sa.String(length=64), nullable=True))
    op.create_index("entry_number", "entry", ["number"], unique=True)
    unsealed = sa.text("number IS NULL")
    op.create_index(
        "entry_unsealed", "entry", ["id"], sqlite_where=unsealed, postgresql_where=unsealed
    )
    op.create_table(
        "seal",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("pruned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "storm",
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "breaker",
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("opened_at", Instant(), nullable=True),
        sa.Column("reset_at", Instant(), nullable=True),
        sa.Column("reset_by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("rule"),
    )
