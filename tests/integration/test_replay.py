"""Recorded webhooks through the engine on virtual time, with the doors closed."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remediator.cluster.sandbox import SandboxCluster
from remediator.kinds import DEPLOYMENT
from remediator.replay.recorded import read

FIXTURES = Path(__file__).parents[1] / "fixtures" / "alertmanager"
WEBHOOKS = sorted(path for path in FIXTURES.glob("*.json") if not path.name.startswith("headers"))
T = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = """\
version: 1
groups:
  - name: g
    scope: {namespaces: ["shop|pawpal|prp-system"], alerts: ["shop|pawpal|prp-system"]}
    defaults: {mode: act, escalate: {to: [pager], after: 5m}}
    rules:
      - {name: back, match: ['alertname=~"KubePodCrashLooping|Crash"'],
         steps: [{action: rollback_workload}]}
      - name: more
        match: ['alertname="Slow"']
        mode: observe
        when: ['up{namespace="{{ root.namespace }}"} == 1']
        steps: [{action: scale_workload, if: always, with: {by: 2}}]
      - {name: isolate, match: ['alertname="Suspect"'], target: object,
         steps: [{action: quarantine_pod, if: always}]}
"""


def webhook(
    name: str, minute: float, firing: bool = True, began: float = 0.0, **labels: str
) -> str:
    given = {"alertname": name, "namespace": "shop", **(labels or {"deployment": "web"})}
    starts, now = (
        T + timedelta(minutes=began if not firing else minute),
        T + timedelta(minutes=minute),
    )
    alert = {
        "status": "firing" if firing else "resolved",
        "labels": given,
        "startsAt": starts.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z" if firing else now.isoformat(),
        "fingerprint": f"{name}0"[:64],
    }
    return json.dumps({"version": "4", "status": alert["status"], "alerts": [alert]})


class Folder:
    """A folder with rules and recordings, and the command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "rules.yaml").write_text(RULES)

    def record(self, *lines: str) -> Path:
        path = self.path / "recorded.jsonl"
        path.write_text("\n".join(lines) + "\n")
        return path

    def replay(self, *arguments: object) -> Result:
        from remediator.cli import main

        given = ["replay", "--rules", str(self.path / "rules.yaml"), *map(str, arguments)]
        return CliRunner().invoke(main, given, standalone_mode=True)

    def report(self, *arguments: object) -> Any:
        result = self.replay(*arguments, "--output", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def whats(report: Any) -> list[str]:
    return [line["what"] for line in report["timeline"]]


@pytest.mark.parametrize("path", WEBHOOKS, ids=lambda path: path.name)
def test_each_captured_webhook_is_replayed_as_far_as_its_labels_allow(
    folder: Folder, path: Path
) -> None:
    report = folder.report(path)
    assert report["summary"]["webhooks"] == 1
    assert report["summary"]["alerts"] == len(json.loads(path.read_text())["alerts"])
    assert report["summary"]["calls"] == 0
    for row in report["remediations"]:
        assert (row["state"], row["reason"]) == ("blocked", "unknown_fact")
        assert "add --facts FILE, --cluster, or --assume healthy" in row["why"]


def test_the_captured_folder_is_replayed_in_the_order_of_time(folder: Folder) -> None:
    captured = folder.path / "captured"
    captured.mkdir()
    for path in WEBHOOKS:
        (captured / path.name).write_text(path.read_text())
    recorded = read([captured])
    assert len(recorded) == len(WEBHOOKS)
    assert [item.at for item in recorded] == sorted(item.at for item in recorded)
    table = folder.replay(captured)
    assert table.exit_code == 0
    assert f"{len(WEBHOOKS)} webhooks" in table.output
    assert "1 truncated (set max_alerts: 0)" in table.output
    assert "nothing was sent" in table.output


def test_a_scale_out_is_planned_recorded_verified_and_undone(folder: Folder) -> None:
    recorded = folder.record(webhook("Slow", 0), webhook("Slow", 10, firing=False))
    report = folder.report(recorded, "--assume", "healthy", "--mode", "act")
    assert [(row["state"], row["undo_why"]) for row in report["remediations"]] == [
        ("succeeded", ""),
        ("succeeded", "timed"),
    ]
    called = [line["text"] for line in report["timeline"] if line["what"] == "would call"]
    assert called == ["PATCH Deployment/shop/web/scale (/spec/replicas)"] * 2
    assert report["notifications"] == []  # a converged attempt within its time postpones the pager
    (born,) = [
        line["at"]
        for line in report["timeline"]
        if line["what"] == "created" and line["remediation"].startswith("u")
    ]
    assert datetime.fromisoformat(born) >= T + timedelta(minutes=70)


def test_a_rule_that_observes_shows_its_plan_and_two_replays_are_the_same(folder: Folder) -> None:
    recorded = folder.record(webhook("Slow", 0))
    first, second = (folder.report(recorded, "--assume", "healthy") for _ in range(2))
    (row,) = first["remediations"]
    assert (row["state"], row["look"]["plan"]["summary"]) == (
        "observed",
        "scale Deployment/shop/web from 3 to 5 replicas",
    )
    assert first == second


def test_a_query_is_not_asked_and_so_it_holds(folder: Folder) -> None:
    facts = dumped(folder, SandboxCluster(lambda: T), crashing=False)
    recorded = folder.record(webhook("Slow", 0))
    (row,) = folder.report(recorded, "--facts", facts, "--mode", "act")["remediations"]
    assert (row["state"], row["reason"]) == ("expired", "unknown_fact")
    assert "not queried in a replay" in row["why"]


def dumped(folder: Folder, cluster: SandboxCluster, crashing: bool = True) -> Path:
    """The cluster as `kubectl get … -o json` prints it, with a crashing release of web."""
    cluster.create_workload("Deployment", "shop", "web", "web:1")
    if crashing:
        cluster.crashing.add("web:2")
        cluster.set_image("Deployment", "shop", "web", "web:2")
    asyncio.run(cluster.get(DEPLOYMENT, "shop", "web"))
    path = folder.path / "facts.json"
    path.write_text(json.dumps({"kind": "List", "items": list(cluster.objects.values())}))
    return path


def test_facts_of_a_crashing_release_lead_to_its_rollback(folder: Folder) -> None:
    facts = dumped(folder, SandboxCluster(lambda: T))
    recorded = folder.record(webhook("Crash", 5), webhook("Crash", 8, firing=False, began=5))
    report = folder.report(recorded, "--facts", facts)
    (row,) = report["remediations"]
    assert row["state"] == "succeeded"
    assert {cause["name"] for cause in row["look"]["causes"]} == {"rollout_changed", "crash_loop"}
    assert "would call" in whats(report)
    # what was read stays as it was
    assert "web:1" not in json.dumps(json.loads(facts.read_text())["items"][0])


def test_an_alert_that_goes_on_is_seen_not_to_have_been_helped(folder: Folder) -> None:
    facts = dumped(folder, SandboxCluster(lambda: T))
    result = folder.replay(
        folder.record(webhook("Crash", 5)), "--facts", facts, "--fail-on", "ineffective"
    )
    assert result.exit_code == 1
    assert "the alert still fires" in result.output


def test_a_suspected_pod_would_be_isolated(folder: Folder) -> None:
    recorded = folder.record(webhook("Suspect", 0, pod="web-7d9c5f6b8-x7k2p"))
    (row,) = folder.report(recorded, "--assume", "healthy")["remediations"]
    assert (row["state"], row["target"]) == ("succeeded", "Pod/shop/web-7d9c5f6b8-x7k2p")


def test_what_no_rule_matches_says_why_and_can_fail_the_command(folder: Folder) -> None:
    recorded = folder.record(
        webhook("Nobody", 0), webhook("Crash", 1, namespace="db", deployment="web")
    )
    result = folder.replay(recorded, "--fail-on", "unmatched")
    assert result.exit_code == 1
    assert "no rule's matchers hold (of 3)" in result.output
    assert "'db' is outside the scope of group `g`" in result.output
    assert folder.replay(recorded, "--fail-on", "failed").exit_code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "recorded.jsonl:1: not an Alertmanager webhook"),
        ('{"version": "3", "alerts": []}', "version"),
        ('{"version": "4", "alerts": []}', "the list is empty"),
        (webhook("Crash", 0) + "\nnonsense", "recorded.jsonl:2"),
        ("", "no webhooks found in"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(
    folder: Folder, content: str, words: str
) -> None:
    result = folder.replay(folder.record(content))
    assert result.exit_code != 0
    assert words in str(result.exception or "") + result.output


def test_facts_that_are_none_are_refused(folder: Folder) -> None:
    recorded = folder.record(webhook("Crash", 0))
    (folder.path / "facts.yaml").write_text("a: 1\n")
    result = folder.replay(recorded, "--facts", folder.path / "facts.yaml")
    assert "not Kubernetes objects" in str(result.exception)
    both = folder.replay(recorded, "--facts", folder.path / "facts.yaml", "--assume", "healthy")
    assert "use only one of" in both.output
    unknown = folder.replay(recorded, "--fail-on", "never")
    assert "unknown in --fail-on: never" in unknown.output


def test_hundreds_of_recorded_alerts_take_seconds(folder: Folder) -> None:
    lines = [
        webhook("Crash", minute / 10, namespace="shop", deployment=f"web-{minute}")
        for minute in range(300)
    ]
    lines = [
        line.replace('"fingerprint": "Crash0"', f'"fingerprint": "f{number}"')
        for number, line in enumerate(lines)
    ]
    report = folder.report(folder.record(*lines))
    assert report["summary"]["episodes"] == 300
    assert sum(report["summary"]["remediations"].values()) == 300
