"""The page of commands names each command and each option once, in cells that nothing breaks."""

import re
from collections.abc import Iterator

import click
import pytest

from remediator.cli import main
from remediator.cli.manual import page

PAGE = page(main)


def commands(group: click.Group, name: str = "remediator") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its words."""
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


@pytest.mark.parametrize(("name", "command"), list(commands(main)), ids=lambda value: str(value))
def test_a_command_has_one_section_with_all_of_its_options(
    name: str, command: click.Command
) -> None:
    (section,) = [part for part in PAGE.split("\n## ") if part.startswith(f"{name}\n")]
    for option in (item for item in command.params if isinstance(item, click.Option)):
        assert len(re.findall(rf"^\| `[^`]*{option.opts[-1]}\b", section, re.M)) == 1, option.opts
        assert option.help or isinstance(option.type, click.Choice), option.opts
    for argument in (item for item in command.params if isinstance(item, click.Argument)):
        assert argument.make_metavar(click.Context(command)) in section


def test_sections_are_in_order_and_nothing_else_is_one() -> None:
    shown = re.findall(r"^## (.+)$", PAGE, re.M)
    assert shown == sorted(name for name, _ in commands(main))


def test_a_bar_in_a_text_does_not_begin_a_cell_and_a_break_no_row() -> None:
    @click.group()
    def root() -> None: ...

    @root.command()
    @click.option("--mode", help="either a|b\nor nothing")
    def one() -> None:
        """Does
        this."""

    shown = page(root)
    assert "| `--mode TEXT` | either a\\|b or nothing |" in shown
    assert "\n\nDoes this.\n\n" in shown


def test_a_command_without_options_has_no_table() -> None:
    @click.group()
    def root() -> None: ...

    @root.command()
    def bare() -> None:
        """Does it."""

    assert "|" not in page(root)
