"""What people read is plain English: the words of an on-call engineer."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SAID = re.compile(
    r"\b(whoever|whomever|theirs|anew|born|births?|lets go|it is so|its \w+ is none"
    r"|not to be (?:reached|had))\b",
    re.I,
)
OLD_WORDS = {"remediator/model/entry.py", "remediator/journal/views.py"}  # read from old journals
PYTHON = sorted((ROOT / "remediator").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "docs").rglob("*.json"),
    *(ROOT / "alerts").rglob("*.yaml"),
    *(ROOT / "rules").rglob("*.yaml"),
]


def read_by_people(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and texts, docstrings among them, with their lines."""
    with tokenize.open(path) as source:
        for token in tokenize.generate_tokens(io.StringIO(source.read()).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield token.start[0], token.string


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_code_speaks_plain_english(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name in OLD_WORDS or "migrations" in name or name.endswith("journal/tables.py"):
        return
    for line, text in read_by_people(path):
        assert NOT_SAID.findall(text) == [], f"{name}:{line}"


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_speak_plain_english(path: Path) -> None:
    code = re.compile(r"`[^`\n]*`")  # names of tests among it
    assert NOT_SAID.findall(code.sub("", path.read_text())) == []
