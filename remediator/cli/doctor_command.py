"""doctor."""

import asyncio
from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="Settings file.",
)
@click.option("--url", default="", help="URL of the daemon; default: the address in the settings.")
@click.option(
    "--test-alert",
    is_flag=True,
    help=(
        "Send a test alert through Alertmanager and wait for it; your other routes receive it too."
    ),
)
def doctor(config: Path, url: str, test_alert: bool) -> None:
    """Check that everything the settings name is reachable and permitted.

    Exit code 1 if something fails.
    """
    from .. import settings, telemetry

    telemetry.configure_log("error")
    raise SystemExit(1 if asyncio.run(_doctor(settings.load(config), url, test_alert)) else 0)


async def _doctor(loaded: object, url: str, test_alert: bool) -> bool:
    """Whether something failed; each line is printed as soon as it is known."""
    from ..doctor.examine import examine
    from ..settings import Settings

    assert isinstance(loaded, Settings)
    failed = False
    async for finding in examine(loaded, url, test_alert):
        click.echo(finding.render())
        failed = failed or finding.state == "fail"
    return failed


COMMANDS = [doctor]
