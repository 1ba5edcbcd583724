"""What `remediator doctor` says of settings before it connects to anything."""

from pathlib import Path

from remediator.doctor.examine import DoctorLine, examine
from remediator.settings import Settings
from tests.unit.rules.files import file, group, rule


async def lines(tmp_path: Path, text: str = "", **more: object) -> dict[str, DoctorLine]:
    """The lines up to the cluster's, by what they are about."""
    (tmp_path / "r.yaml").write_text(text or file(group(rule())))
    given = {
        "rules": [str(tmp_path / "r.yaml")],
        "journal": f"sqlite:///{tmp_path}/j.db",
        "cluster": {"kind": "sandbox"},
        **more,
    }
    found: dict[str, DoctorLine] = {}
    async for line in examine(Settings.model_validate(given), "", False):
        found[line.what] = line
        if line.what == "cluster":
            break
    return found


async def test_good_settings_have_no_failing_line(tmp_path: Path) -> None:
    found = await lines(tmp_path)
    assert [line.state for line in found.values()] == ["ok", "ok", "ok", "ok", "warn"]
    assert "no real cluster is touched" in found["cluster"].found


async def test_rules_with_mistakes_fail_and_name_the_command_that_shows_them(
    tmp_path: Path,
) -> None:
    line = (await lines(tmp_path, file(group(rule(more="mode: aprove")))))["rules"]
    assert (line.state, line.found) == ("fail", "cannot load the rules: 1 mistake")
    assert line.advice == f"remediator check {tmp_path}/r.yaml"


async def test_a_receiver_that_the_settings_do_not_define_fails(tmp_path: Path) -> None:
    text = file(group(rule())).replace("to: [log]", "to: [pager]")
    line = (await lines(tmp_path, text))["rules"]
    assert line.state == "fail"
    assert "it escalates to `pager`, but the settings define only log" in line.found


async def test_the_whole_network_is_not_listened_to_without_credentials(tmp_path: Path) -> None:
    found = await lines(tmp_path, web={"listen": "0.0.0.0:9099"})
    assert found["web"].state == "fail"


async def test_only_rules_in_mode_act_are_counted_as_such(tmp_path: Path) -> None:
    modes = ("observe", "approve", "act")
    text = file(group(*(rule(mode, f"mode: {mode}") for mode in modes)))
    assert (await lines(tmp_path, text))["rules"].found == "3 rules, 1 of them in mode act"
