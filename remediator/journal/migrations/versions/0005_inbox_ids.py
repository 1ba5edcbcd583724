"""SQLite gives each webhook an id that no earlier one had.

The inbox is emptied all the time, and SQLite's ids start again at 1 in an empty table unless the
table says AUTOINCREMENT. A replica that still holds the id of a webhook which another one has
unpacked would delete a newer webhook. PostgreSQL's sequences never return an id twice.
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Copies the inbox into a table whose ids only grow."""
    if op.get_bind().dialect.name == "sqlite":
        growing = {"sqlite_autoincrement": True}
        with op.batch_alter_table("inbox", recreate="always", table_kwargs=growing):
            pass
