"""The command line: one file per group of commands; what a command needs is imported when it runs."""

import click

from .. import __version__
from . import daemon, doctor, journal, notify, operators, replay, rules, trust


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Acts on Kubernetes for Alertmanager alerts, under limits, and proves that the act helped."""


for command in (
    *daemon.COMMANDS,
    *doctor.COMMANDS,
    *rules.COMMANDS,
    *replay.COMMANDS,
    *notify.COMMANDS,
    *operators.COMMANDS,
    *trust.COMMANDS,
    *journal.COMMANDS,
):
    main.add_command(command)
