"""serve, init, demo."""

import asyncio
from pathlib import Path

import click


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings file (`remediator init` writes one).")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True)
def serve(config: Path | None, log_level: str) -> None:
    """Run the daemon: take alerts, act by the rules, prove it. Without rules it only records."""
    import uvloop

    from .. import app, settings, telemetry

    loaded = settings.load(config)
    telemetry.configure_log(log_level)
    uvloop.run(app.serve(loaded))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write a commented configuration, a first rule file and Alertmanager's routes into FOLDER; overwrites nothing."""
    from .starter import write

    for path in write(folder):
        click.echo(f"wrote {path}")
    click.echo(f"next: remediator check {folder / 'rules'}; then remediator serve --config {folder / 'remediator.yaml'}")


@click.command()
@click.option("--port", default=9099, show_default=True, help="Port on loopback; 0 = any free one.")
@click.option("--exit", "leave", is_flag=True, help="End after the incidents instead of serving on.")
def demo(port: int, leave: bool) -> None:
    """Play six incidents on an in-memory cluster, show what happened and why, and keep serving."""
    from ..demo import run

    raise SystemExit(asyncio.run(run(port, leave)))


COMMANDS = [serve, init, demo]
