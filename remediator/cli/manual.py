"""The page of all commands, from the commands themselves."""

import click


def page(main: click.Group) -> str:
    """Every command with its options, as Markdown."""
    parts = [
        "# Commands",
        (
            "The output of `-h` on one page. Exit codes: 0 success; 1 failure, or a negative"
            " answer; 2 a mistake in the command, the settings or the rules."
        ),
    ]
    return "\n\n".join([*parts, *_sections(main, "remediator")]) + "\n"


def _sections(group: click.Group, name: str) -> list[str]:
    found: list[str] = []
    for word, command in sorted(group.commands.items()):
        path = f"{name} {word}"
        if isinstance(command, click.Group):
            found += _sections(command, path)
            continue
        context = click.Context(command, info_name=path, terminal_width=96, max_content_width=96)
        usage = command.collect_usage_pieces(context)
        about = " ".join((command.help or "").split())
        found.append(f"## {path}\n\n    {path} {' '.join(usage)}\n\n{about}")
        records = [
            item.get_help_record(context)
            for item in command.params
            if isinstance(item, click.Option)
        ]
        rows = [
            f"| `{option}` | {' '.join(text.split()).replace('|', chr(92) + '|')} |"
            for option, text in filter(None, records)
        ]
        found += ["| option | |\n|---|---|\n" + "\n".join(rows)] if rows else []
    return found
