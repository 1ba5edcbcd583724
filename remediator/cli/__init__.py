"""The command line: one file per group of commands, whose imports happen when they run."""

import click

from .. import __version__
from . import (
    daemon,
    doctor_command,
    journal_commands,
    notify_command,
    operators,
    replay_command,
    rules_commands,
    trust_commands,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Acts on Kubernetes for Alertmanager alerts, within limits, and verifies that it helped."""


for command in (
    *daemon.COMMANDS,
    *doctor_command.COMMANDS,
    *rules_commands.COMMANDS,
    *replay_command.COMMANDS,
    *notify_command.COMMANDS,
    *operators.COMMANDS,
    *trust_commands.COMMANDS,
    *journal_commands.COMMANDS,
):
    main.add_command(command)
