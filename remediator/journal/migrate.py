"""Migrates a journal to this version's schema. Alembic is imported only here."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError
from ..telemetry import log

FOLDER = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7_305_803  # PostgreSQL's advisory lock that makes migrations one at a time


def upgrade(engine: Engine) -> None:
    """Runs missing migrations, one process at a time. Raises: ConfigurationError if a newer version
    wrote the journal.
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with _alone(engine), engine.connect() as connection:
        version = MigrationContext.configure(connection).get_current_revision()
        connection.rollback()
        if version is not None and version not in known:
            raise ConfigurationError(
                f"cannot open the journal: it was written by a newer version (schema {version});"
                " upgrade this one"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Ensures that nobody else migrates; a replica that waited finds the work done.

    A SQLite file is locked by its daemon.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # asked again and again rather than waited for: a statement that waits would keep indexes
        # from being built meanwhile
        waiting = False
        while not connection.execute(
            sa.text(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})")
        ).scalar():
            if not waiting:
                waiting = True
                log().warning("journal_migrating", by="another replica", why="waiting for it")
            connection.execute(sa.text("SELECT pg_sleep(0.2)"))
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a connection that has ended has let go of it already
                connection.execute(sa.text(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
