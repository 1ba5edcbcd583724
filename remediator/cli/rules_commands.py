"""check and generate."""

from pathlib import Path

import click


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Settings file; also check that it defines every receiver that is named.",
)
def check(paths: tuple[Path, ...], config: Path | None) -> None:
    """Check rule files, or folders of them. Every mistake is printed with its place and what to do.

    Exit code 2 if there is one.
    """
    from ..errors import ConfigurationError
    from ..rules.loader import load, rule_files

    if not rule_files(paths):
        raise ConfigurationError(
            f"cannot check {', '.join(map(str, paths))}: no .yaml or .yml files found"
        )
    rules = load(paths)
    if config is not None:
        from .. import app, settings

        app.check_people(settings.load(config), rules)
    modes = {
        mode: sum(s.rule.mode == mode for s in rules.sources)
        for mode in ("observe", "approve", "act")
    }
    counted = ", ".join(f"{count} {mode}" for mode, count in modes.items())
    click.echo(
        f"{len(rule_files(paths))} files, {len(rules.sources)} rules ({counted}),"
        f" {len(rules.overrides)} overrides: no mistakes"
    )


@click.command()
@click.argument("what", type=click.Choice(["schema", "rbac", "permissions", "reference"]))
@click.option(
    "--rules",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Rule files to generate RBAC for; default: every action.",
)
@click.option(
    "--service-account",
    help="NAMESPACE/NAME; `rbac` also prints this ServiceAccount and its binding.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reference"),
    show_default=True,
    help="Folder that `reference` writes its pages to.",
)
def generate(what: str, paths: tuple[Path, ...], service_account: str | None, output: Path) -> None:
    """Print what follows from the definitions: a JSON Schema of rule files, or RBAC. With
    `reference`, write the reference pages and schemas of this version, plugins included.
    """
    from ..generate import PRINTED
    from ..generate.rbac import binding

    if what == "reference":
        _write_reference(output)
        return
    click.echo(PRINTED[what](paths), nl=False)
    if what == "rbac" and service_account:
        click.echo(binding(service_account, paths), nl=False)


def _write_reference(output: Path) -> None:
    from ..generate import reference
    from .manual import page

    root = click.get_current_context().find_root().command
    assert isinstance(root, click.Group)
    for path, text in {**reference(), "cli.md": page(root)}.items():
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        (output / path).write_text(text)
    click.echo(f"wrote {output}")


COMMANDS = [check, generate]
