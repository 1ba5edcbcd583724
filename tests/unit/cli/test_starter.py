"""What `init` writes is ready to be used, is secret where it has to be, and replaces nothing."""

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.cli import starter
from remediator.errors import ConfigurationError
from remediator.rules.loader import load
from remediator.settings import load as load_settings

WRITTEN = {
    "remediator.yaml",
    "rules/first.yaml",
    "alertmanager.yaml",
    "secrets/alertmanager",
    "secrets/me",
}


def files(folder: Path) -> dict[str, str]:
    """What is in a folder, by path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def route(folder: Path) -> Any:
    return yaml.safe_load((folder / "alertmanager.yaml").read_text())


@pytest.mark.parametrize(
    "name",
    [
        "ops",
        "with space",
        "it's",
        "ümläut",
        "per % cent",
        "a, b",
        "a #b",
        "a: b",
        "[x]",
        "{folder}",
        "$rules",
        'a"b',
        "a\\b",
    ],
)
def test_the_settings_can_be_used_wherever_they_are_written(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    starter.write(folder)
    written = load_settings(folder / "remediator.yaml")
    assert written.rules == (str(folder / "rules"),)
    assert written.journal == f"sqlite:///{folder}/remediator.db"
    (operator,) = written.operators
    assert operator.token_file is not None
    assert operator.token_file.get_secret_value() == files(folder)["secrets/me"].strip()
    (sent,) = route(folder)["receivers"][0]["webhook_configs"]
    assert sent["http_config"]["authorization"]["credentials_file"] == str(
        folder / "secrets/alertmanager"
    )


def test_a_relative_folder_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {str(path) for path in starter.write(Path("ops"))} == {f"ops/{name}" for name in WRITTEN}
    assert load_settings(Path("ops/remediator.yaml")).rules == (str(tmp_path / "ops" / "rules"),)


def test_the_first_rules_only_observe(tmp_path: Path) -> None:
    starter.write(tmp_path)
    assert [source.rule.mode for source in load([tmp_path / "rules"]).sources] == ["observe"]


def test_secrets_are_long_new_and_for_their_owner_only(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        starter.write(tmp_path / folder)
    secrets = [text for name, text in files(tmp_path).items() if "secrets/" in name]
    assert len(set(secrets)) == 4
    assert all(len(secret.strip()) >= 32 for secret in secrets)
    for path in tmp_path.rglob("secrets/*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_secret_is_in_any_other_file(tmp_path: Path) -> None:
    starter.write(tmp_path)
    written = files(tmp_path)
    open_ = "".join(text for name, text in written.items() if not name.startswith("secrets/"))
    for name in ("secrets/alertmanager", "secrets/me"):
        assert written[name].strip() not in open_


def test_alertmanager_sends_what_the_settings_take(tmp_path: Path) -> None:
    starter.write(tmp_path)
    (sent,) = route(tmp_path)["receivers"][0]["webhook_configs"]
    taken = load_settings(tmp_path / "remediator.yaml")
    assert sent["url"] == f"http://{taken.web.listen}/webhook"
    token = Path(sent["http_config"]["authorization"]["credentials_file"]).read_text().strip()
    (source,) = taken.sources
    assert source.token_file is not None
    assert token == source.token_file.get_secret_value()
    assert (sent["send_resolved"], sent["max_alerts"]) == (True, 0)


def test_every_route_to_remediator_goes_on_to_the_others_and_waits_for_nothing(
    tmp_path: Path,
) -> None:
    starter.write(tmp_path)
    ours = [r for r in route(tmp_path)["route"]["routes"] if r["receiver"] == "remediator"]
    assert len(ours) == 2
    assert all((r["continue"], r["group_wait"]) == (True, "0s") for r in ours)
    (alerts,) = [r for r in ours if r["group_by"] == ["..."]]
    assert alerts["matchers"] == ['alertname!="Watchdog"']


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_nothing_is_written_where_one_of_the_files_exists(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("ours")
    with pytest.raises(ConfigurationError, match=f"{name} already exists; nothing was changed"):
        starter.write(tmp_path)
    assert files(tmp_path) == {name: "ours"}


@pytest.mark.parametrize("name", ["rules", "secrets"])
def test_nothing_is_written_where_one_of_the_files_cannot_be(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a file, not a folder")
    with pytest.raises(ConfigurationError, match="cannot write"):
        starter.write(tmp_path)
    assert list(files(tmp_path)) == [name]


def test_a_second_folder_beside_the_first_is_fine(tmp_path: Path) -> None:
    for name in ("one", "one/two"):
        starter.write(tmp_path / name)
    assert set(files(tmp_path / "one" / "two")) == WRITTEN


@pytest.mark.parametrize("name", ["what?x", "a%20b", "a\x7fb", "a\udce9b"])
def test_a_folder_that_the_journal_s_url_cannot_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="choose another folder"):
        starter.write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
