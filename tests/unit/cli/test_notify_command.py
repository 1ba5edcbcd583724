"""`notify test` tells of each receiver what came of it, and of none what is secret."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from remediator.cli import main

LOG = {"name": "log"}
NOBODY = {"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:9/SECRET"}
INVALID = {"name": "mail", "kind": "apprise", "url": "nonsense://SECRET"}


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def outcome(folder: Path, *receivers: dict[str, Any], names: tuple[str, ...] = ()) -> Result:
    """What the command comes to with these receivers."""
    (folder / "c.yaml").write_text(json.dumps({"receivers": receivers}))
    config = ["--config", str(folder / "c.yaml")]
    return CliRunner().invoke(main, ["notify", "test", *names, *config])


def test_each_receiver_has_a_line_and_one_that_fails_fails_all(tmp_path: Path) -> None:
    result = outcome(tmp_path, LOG, NOBODY)
    lines = sorted(line.split()[0] for line in result.stdout.splitlines())
    assert (result.exit_code, lines) == (1, ["hook", "log"])
    assert "hook                 webhook    FAILED: ClientConnectorError" in result.stdout
    assert "SECRET" not in result.output


def test_only_those_that_are_named_are_tested(tmp_path: Path) -> None:
    result = outcome(tmp_path, LOG, NOBODY, names=("log",))
    assert (result.exit_code, "hook" in result.output) == (0, False)


def test_one_that_is_not_known_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    result = outcome(tmp_path, LOG, names=("log", "pager"))
    assert str(result.exception) == "unknown receiver pager; the settings define log"
    assert result.output == ""


def test_one_that_cannot_be_made_is_told_of_as_any_other(tmp_path: Path) -> None:
    result = outcome(tmp_path, LOG, INVALID)
    lines = sorted(line.split()[0] for line in result.stdout.splitlines())
    assert (result.exit_code, lines) == (1, ["log", "mail"])
    assert "SECRET" not in result.output


def test_one_that_no_request_can_be_made_with_is_told_of_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    both = {**NOBODY, "url": "http://a:SECRET@127.0.0.1:9", "token_file": str(tmp_path / "token")}
    result = outcome(tmp_path, both)
    assert (result.exit_code, "FAILED" in result.stdout) == (1, True)
    assert "SECRET" not in result.output
