"""Read-only access to the journal next to a running daemon: verify, export, copy."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError, JournalUnavailable
from .sql import HEAD, parsed_url, schema_of


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """One transaction that sees the journal as it is now. Raises: ConfigurationError,
    JournalUnavailable.
    """
    parsed = parsed_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = _file(parsed)
        engine = sa.create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None),
            poolclass=NullPool,
        )
        # one snapshot for all
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    else:
        engine = sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"), isolation_level="REPEATABLE READ"
        )
    try:
        with engine.connect() as connection:
            version = schema_of(connection)
            if version != HEAD:
                why = (
                    f"its schema is {version or 'none'} but this version needs {HEAD}; start the"
                    " daemon once to migrate it"
                )
                raise ConfigurationError(f"cannot read the journal: {why}")
            yield connection
    except sa.exc.DBAPIError as error:
        raise JournalUnavailable(f"cannot read the journal: {error.orig}") from None
    finally:
        engine.dispose()


def copy(url: str, target: Path) -> int:
    """Copies a SQLite journal consistently. Returns its size in bytes. Raises: ConfigurationError,
    JournalUnavailable.
    """
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            "cannot copy this journal: not a SQLite file; use pg_dump for PostgreSQL"
        )
    path = _file(parsed)
    if target.exists():
        raise ConfigurationError(f"cannot write {target}: it already exists; name a new file")
    try:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as made,
        ):
            source.backup(made)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise JournalUnavailable(f"cannot copy the journal: {error}") from None
    return target.stat().st_size


def _file(parsed: sa.URL) -> Path:
    path = Path(parsed.database or "")
    if not parsed.database or not path.is_file():
        raise ConfigurationError(
            f"cannot read the journal {path}: no such file; name one with --journal or --config"
        )
    return path.resolve()
