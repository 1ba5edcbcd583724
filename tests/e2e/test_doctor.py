"""`remediator doctor` against real parts: all well, a right that lacks, and everything down."""

import subprocess
import sys
from itertools import chain
from pathlib import Path

import yaml

from remediator.generate import PRINTED
from tests.e2e.stack import Stack


def doctor(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [
        sys.executable,
        "-m",
        "remediator",
        "doctor",
        "--config",
        str(folder / "remediator.yaml"),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    return done.returncode, done.stdout + done.stderr


def test_all_is_well_to_the_end_of_a_test_alert_s_way(stack: Stack) -> None:
    stack.start_prometheus()
    code, shown = doctor(stack.folder, "--test-alert")
    assert code == 0, shown
    for line in (
        "ok    rules           6 rules, 5 of them in mode act",
        "ok    journal         in use by a running daemon",
        "ok    cluster         the API server answers",
        "ok    rbac            every permission that the rules need is granted",
        "ok    watches         what the rules look at can be watched",
        "ok    prometheus",
        "ok    alertmanager am",
        "and has a webhook receiver",
        "is ready",
        "from Alertmanager (am) to the journal in",
    ):
        assert line in shown, shown


def test_a_right_that_lacks_is_named_with_what_to_do(stack: Stack, namespace: str) -> None:
    stack.plane.namespace(namespace)
    role, *local = yaml.safe_load_all(PRINTED["rbac"]((stack.folder / "rules",)))
    given = chain.from_iterable(part["rules"] for part in (role, *local))
    role["rules"] = [rule for rule in given if rule["resources"] != ["deployments/scale"]]
    token = stack.plane.service_account(namespace, "doctor", role)
    stack.plane.write_kubeconfig(stack.folder / "limited", stack.plane.url, token)
    stack.configure(cluster={"kubeconfig": str(stack.folder / "limited")})
    code, shown = doctor(stack.folder)
    assert code == 1
    lacking = [line for line in shown.splitlines() if line.startswith("fail  rbac")]
    assert sorted(line.split("may not ")[1] for line in lacking) == [
        "get deployments/scale.apps (for scale)",
        "patch deployments/scale.apps (for scale)",
    ]
    assert "remediator generate rbac --rules" in shown
    assert "--test-alert sends one" in shown


def test_without_the_right_to_watch_it_is_slower_and_that_is_said(
    stack: Stack, namespace: str
) -> None:
    stack.plane.namespace(namespace)
    role, *local = yaml.safe_load_all(PRINTED["rbac"]((stack.folder / "rules",)))
    for rule in role["rules"]:
        rule["verbs"] = [verb for verb in rule["verbs"] if verb != "watch"]
    token = stack.plane.service_account(namespace, "unwatching", role, *local)
    stack.plane.write_kubeconfig(stack.folder / "limited", stack.plane.url, token)
    stack.configure(cluster={"kubeconfig": str(stack.folder / "limited")})
    _code, shown = doctor(stack.folder)
    (said,) = [line for line in shown.splitlines() if "watches" in line]
    assert said.startswith("warn  watches         may not list and watch namespaces, nodes, pods, ")
    assert said.endswith("they are read by requests, which is slower")
    assert "fail  rbac" not in shown
    stack.configure(cluster={"kubeconfig": str(stack.folder / "limited"), "watch": False})
    assert "watches" not in doctor(stack.folder)[1]


def test_everything_that_is_down_is_reported_line_by_line(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    (tmp_path / "rules.yaml").write_text("version: 2\n")
    (tmp_path / "token").write_text("t")
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "x", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    settings = {
        "rules": [str(tmp_path / "rules.yaml")],
        "journal": f"sqlite:///{tmp_path}/no/such/folder/journal.db",
        "sources": [{"name": "am", "token_file": str(tmp_path / "token"), "alertmanager": nowhere}],
        "cluster": {"kubeconfig": str(tmp_path / "kubeconfig")},
        "prometheus": nowhere,
        "receivers": [{"name": "log"}, {"name": "odd", "kind": "apprise", "url": "nonsense://"}],
        "web": {"listen": "127.0.0.1:9"},
    }
    (tmp_path / "remediator.yaml").write_text(yaml.safe_dump(settings))
    code, shown = doctor(tmp_path)
    assert code == 1
    for what in ("rules", "journal", "receiver", "cluster", "prometheus", "alertmanager am"):
        assert f"fail  {what}" in shown, shown
    assert "warn  daemon" in shown
    assert shown.count("->") >= 7
    assert "Traceback" not in shown
