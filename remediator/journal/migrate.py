"""Brings a journal to this version's schema. Alembic is imported here only."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from ..errors import ConfigurationError

FOLDER = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, version: str | None) -> None:
    """Runs the missing migrations. Raises: ConfigurationError where a newer remediator wrote the journal."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise ConfigurationError(f"cannot open the journal: a newer remediator wrote it (schema {version}); upgrade this one")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
