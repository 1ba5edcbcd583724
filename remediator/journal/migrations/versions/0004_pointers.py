"""No other table: plans and evidence name fields by JSON
pointers, which earlier versions cannot read.

The number keeps an earlier version from opening a journal in which a later one has acted.
"""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """What is stored in the older form is read as it is."""
