"""Alembic's entry: runs on the connection that `migrate.upgrade` passes.

Each migration is a transaction of its own.
"""

from alembic import context

from remediator.journal.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
