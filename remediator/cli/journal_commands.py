"""journal verify, export, backup: the history, read directly from its database while the daemon may
run.
"""

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import RemediatorError


@click.group()
def journal() -> None:
    """Verify, export or back up the journal, also while the daemon runs."""


def _where(function: Any) -> Any:
    function = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Settings file that names the journal.",
    )(function)
    return click.option(
        "--journal", "url", help="The journal's URL, such as sqlite:///remediator.db."
    )(function)


def _url(config: Path | None, url: str | None) -> str:
    """The named journal, or the settings' one. Raises: ConfigurationError."""
    from .. import settings

    return url or settings.load(config).journal_url


@journal.command()
@_where
@click.option(
    "--head",
    default="",
    help=(
        "A digest from the log (`journal_sealed`), its first 12 digits, or the metric's number: it"
        " must be part of this history."
    ),
)
def verify(config: Path | None, url: str | None, head: str) -> None:
    """Recompute every digest, and report where an entry was changed, removed or moved.

    Exit code 1 if there is a finding.

    Limits: someone who controls the database can rewrite all of it, cut off its end, or its
    beginning as if it had been pruned, and recompute the digests. Keep a copy of the head elsewhere
    (the log, or the metric remediator_journal_head), and pass it as --head.
    """
    from ..journal import seals
    from ..journal.reading import reading

    with reading(_url(config, url)) as connection:
        found = seals.verify(connection, head)
    for finding in found.findings:
        click.echo(f"FINDING  {finding}")
    span = (
        f"entries {found.first} to {found.last} under {found.seals} seals"
        if found.seals
        else "no seals yet"
    )
    click.echo(f"{span}, {found.unsealed} entries not sealed yet, head {found.head}")
    if found.pruned_at:
        click.echo(
            f"earlier entries were pruned at {found.pruned_at:%Y-%m-%d %H:%M:%S} UTC, by"
            " journal_keep unless someone did it by hand"
        )
    if found.findings:
        raise RemediatorError(
            f"the journal was tampered with or damaged: {len(found.findings)} findings"
        )
    click.echo("every entry matches its seal")


@journal.command()
@_where
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; default: standard output.",
)
def export(config: Path | None, url: str | None, output: Path | None) -> None:
    """Export the history as JSON lines: every entry with its number and digest, each seal after its
    range.
    """
    from ..journal import seals
    from ..journal.reading import reading

    count = 0
    with reading(_url(config, url)) as connection, click.open_file(str(output or "-"), "w") as file:
        for line in seals.export(connection):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"{count} lines", file=sys.stderr)


@journal.command()
@_where
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
def backup(config: Path | None, url: str | None, target: Path) -> None:
    """Copy a SQLite journal consistently into TARGET while the daemon runs.

    For PostgreSQL use pg_dump.
    """
    from ..journal.reading import copy

    size = copy(_url(config, url), target)
    click.echo(
        f"wrote {target} ({size} bytes); start a daemon on it with journal: sqlite:///{target}"
    )


COMMANDS = [journal]
