"""A page's commands, run word by word in a folder of their own; what stands for the reader's own world is said once."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.real.parts import binary

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"(\.venv/bin/remediator|remediator|helm|kubectl|make|export) ")


class Page:
    """The sections of a page by number: the commands in their order, and the blocks that are YAML."""

    def __init__(self, path: Path) -> None:
        self._sections = re.split(r"^## ", path.read_text(), flags=re.M)[1:]

    def commands(self, section: int) -> list[str]:
        text = self._sections[section - 1].replace("\\\n", " ")
        found = [line.strip() for line in text.splitlines() if line.startswith("    ") and COMMAND.match(line.strip())]
        return [*found, *re.findall(r"`((?:remediator|kubectl) [^`]*)`", re.sub(r"\n(?! {4})", " ", self._sections[section - 1]))]

    def blocks(self, section: int) -> list[Any]:
        """What is indented and no command, as YAML."""
        parts = re.findall(r"(?:^ {4}.*\n)+", self._sections[section - 1], re.M)
        return [yaml.safe_load(part) for part in parts if not COMMAND.match(part.strip())]

    def all(self) -> list[str]:
        return [line for number in range(1, len(self._sections) + 1) for line in self.commands(number)]


class Walk:
    """Runs commands in a folder that looks like a clone's, with kubectl, helm and remediator on the PATH."""

    def __init__(self, page: Page, folder: Path, kubeconfig: Path, url: str) -> None:
        self.page, self.folder = page, folder
        self.walked: set[str] = set()
        self.put: dict[str, str] = {}
        for name in ("helm", "rules"):
            (folder / name).symlink_to(ROOT / name)
        for name in ("bin", ".venv"):
            (folder / name).mkdir()
        tools = {"helm": binary("helm", "helm"), "kubectl": binary("kubernetes", "kubectl")}
        for name, target in {**tools, "remediator": str(Path(sys.executable).with_name("remediator"))}.items():
            (folder / "bin" / name).symlink_to(target)
        (folder / ".venv" / "bin").symlink_to(folder / "bin")
        self.env = {
            **os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), "KUBECONFIG": str(kubeconfig),
            "REMEDIATOR_URL": url,
        }  # fmt: skip

    def words(self, line: str, more: Mapping[str, str] | None = None) -> list[str]:
        """The command for a shell, with the reader's own values in their places."""
        for word, value in {**self.put, **(more or {})}.items():
            line = line.replace(word, value)
        return ["bash", "-euo", "pipefail", "-c", line]

    def run(self, line: str, more: Mapping[str, str] | None = None, answer: str = "") -> str:
        """One command of the page, at a terminal whose reader answers. Its output, once it ended well."""
        assert line in self.page.all(), f"the page shows no {line!r}"
        self.walked.add(line)
        ours, terminal = pty.openpty()
        os.write(ours, answer.encode())
        try:
            done = subprocess.run(
                self.words(line, more), cwd=self.folder, env=self.env, stdin=terminal, capture_output=True, text=True, timeout=180
            )
        finally:
            os.close(ours)
            os.close(terminal)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def starting(self, start: str) -> str:
        """The page's only command that starts so."""
        (found,) = {line for line in self.page.all() if line.startswith(start)}
        return found
