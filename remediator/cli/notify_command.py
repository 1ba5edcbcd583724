"""notify."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..setting_sections import ReceiverSettings


@click.group()
def notify() -> None:
    """Receivers of notifications."""


@notify.command()
@click.argument("receivers", nargs=-1)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="Settings file.",
)
def test(receivers: tuple[str, ...], config: Path) -> None:
    """Send a test message to each of the settings' RECEIVERS (default: all), and report the result.

    Exit code 1 if one failed.
    """
    from .. import settings, telemetry
    from ..errors import ConfigurationError

    loaded = settings.load(config)
    telemetry.configure_log("error")
    known = {item.name: item for item in loaded.receivers}
    unknown = [name for name in receivers if name not in known]
    if unknown:
        raise ConfigurationError(
            f"unknown receiver {', '.join(unknown)}; the settings define {', '.join(sorted(known))}"
        )
    chosen = [known[name] for name in receivers] or list(known.values())
    if not all(asyncio.run(_test(chosen))):
        raise SystemExit(1)


async def _test(chosen: "list[ReceiverSettings]") -> list[bool]:
    return list(await asyncio.gather(*(_one(item) for item in chosen)))


async def _one(item: "ReceiverSettings") -> bool:
    """Sends an opening message and a closing one, as a remediation does."""
    from ..engine.tell.deliver import FAILURES, failure
    from ..errors import ConfigurationError
    from ..model.notice import Notice

    message = Notice(
        id="test/1",
        remediation="r-test",
        rule="a-test",
        target="Deployment/shop/web",
        state="failed",
        reason="",
        why="a test message, sent by `remediator notify test`",
        show="",
    )
    ending = replace(message, id="test/2", closed=True, why="the test has ended")
    try:
        receiver = item.make()
        ref = await receiver.notify(message)
        await receiver.notify(ending, ref)
    except (*FAILURES, ConfigurationError) as error:
        click.echo(
            f"{item.name:<20} {item.kind:<10} FAILED: {failure(error)}; check its URL, token and"
            " channel"
        )
        return False
    click.echo(f"{item.name:<20} {item.kind:<10} delivered a test message and its resolution")
    return True


COMMANDS = [notify]
