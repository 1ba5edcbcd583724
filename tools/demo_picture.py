#!/usr/bin/env python3
"""Draws docs/pictures/demo.svg.

The first incident of the demo and the last lines, as a terminal shows them.
"""

import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 106  # what a README's column shows at a size that can be read
COLOURS = [
    (r"=> as expected", "bold green"),
    (r"^\d\. .*", "bold"),
    (r"succeeded|awaiting_approval", "green"),
    (r"blocked|gave_up", "yellow"),
]


def main() -> None:
    command = [sys.executable, "-m", "remediator", "demo", "--port", "0", "--exit"]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    # it is drawn, not printed
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Text("$ make demo", style="bold cyan"))
    first, last = (
        shown.index(next(line for line in shown if line.startswith("1. "))),
        [n for n, line in enumerate(shown) if "=>" in line],
    )
    third = shown.index(next(line for line in shown if line.startswith("3. ")))
    for line in [*shown[first : last[0] + 2], *shown[third : last[2] + 1]]:
        if line.strip().startswith("allowed"):  # every guard by name: too long for a picture
            continue
        text = Text(line if len(line) < WIDTH else line[: WIDTH - 3] + " …")
        for pattern, style in COLOURS:
            text.highlight_regex(re.compile(pattern), style)
        console.print(text)
    svg = console.export_svg(title="remediator demo", clear=False)
    # no picture of ours asks the net for a font
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S)
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    (folder / "demo.svg").write_text(re.sub(r"[ \t]+\n", "\n", svg))


if __name__ == "__main__":
    main()
