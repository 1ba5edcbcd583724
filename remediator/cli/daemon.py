"""serve, init, credentials, demo."""

import asyncio
from pathlib import Path
from shlex import quote

import click


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file (`remediator init` writes one).",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
def serve(config: Path | None, log_level: str) -> None:
    """Run the daemon: take alerts, act by the rules, verify. Without rules it only records."""
    import uvloop

    from .. import app, settings, telemetry

    loaded = settings.load(config)
    telemetry.configure_log(log_level)
    uvloop.run(app.serve(loaded))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write a commented configuration, a first rule file and Alertmanager's routes into FOLDER.

    Nothing is overwritten.
    """
    from .starter import write

    for path in write(folder):
        click.echo(f"wrote {path}")
    click.echo(
        f"next: remediator check {quote(str(folder / 'rules'))}; then remediator serve --config"
        f" {quote(str(folder / 'remediator.yaml'))}"
    )


@click.command()
@click.argument("secret")
@click.option(
    "--earlier",
    default="",
    help="An existing Secret in the same namespace whose tokens are reused.",
)
@click.option(
    "--kubeconfig", default="", help="Kubeconfig file; default: the pod's own ServiceAccount."
)
def credentials(secret: str, earlier: str, kubeconfig: str) -> None:
    """Create the Secret NAMESPACE/NAME with tokens for Alertmanager, an operator and links.

    An existing one is left unchanged.
    """
    from ..errors import ConfigurationError

    namespace, _, name = secret.partition("/")
    if not namespace or not name:
        raise ConfigurationError(f"cannot create {secret!r}: use NAMESPACE/NAME")
    made = asyncio.run(_credentials(namespace, name, earlier, kubeconfig))
    done = f"created {', '.join(made)}" if made else "already complete; left unchanged"
    click.echo(f"Secret {secret}: {done}")


async def _credentials(namespace: str, name: str, earlier: str, kubeconfig: str) -> list[str]:
    from ..cluster import credentials as making
    from ..cluster.client import connect

    cluster = await connect(kubeconfig, "", qps=20)
    try:
        return await making.make(cluster, namespace, name, earlier)
    finally:
        await cluster.close()


@click.command()
@click.option("--port", default=9099, show_default=True, help="Port on loopback; 0 = any free one.")
@click.option(
    "--exit", "leave", is_flag=True, help="Exit after the incidents instead of serving on."
)
def demo(port: int, leave: bool) -> None:
    """Play six incidents on an in-memory cluster, show what happened and why, and keep serving."""
    from .demo import run

    raise SystemExit(asyncio.run(run(port, leave)))


COMMANDS = [serve, init, credentials, demo]
