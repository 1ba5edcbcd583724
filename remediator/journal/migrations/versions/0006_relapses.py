"""An attempt keeps since when its change has not been complete any more; a remediation, for which
episode it was created: others that join it may have other overrides.
"""

import sqlalchemy as sa
from alembic import op

from remediator.journal.tables import Instant

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """No attempt has relapsed yet, and of older remediations nobody knows."""
    op.add_column("attempt", sa.Column("relapsed_at", Instant(), nullable=True))
    op.add_column("remediation", sa.Column("created_for", sa.BigInteger(), nullable=True))
