"""An attempt keeps since when its change has not been complete any more."""

import sqlalchemy as sa
from alembic import op

from remediator.journal.tables import Instant

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """No attempt has relapsed yet."""
    op.add_column("attempt", sa.Column("relapsed_at", Instant(), nullable=True))
