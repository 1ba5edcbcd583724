"""Recorded webhooks against a real cluster that is only read."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.stack import RULES
from tests.real.parts import ControlPlane


def replay(folder: Path, *arguments: str) -> Any:
    """The command's report."""
    command = [
        sys.executable,
        "-m",
        "remediator",
        "replay",
        str(folder / "w.json"),
        "--rules",
        str(folder / "rules.yaml"),
    ]
    done = subprocess.run(
        [*command, "--output", "json", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_facts_come_from_the_cluster_and_nothing_is_written(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    namespace = "e2e-replay"
    control_plane.deploy(namespace, "web", "web:1")
    control_plane.release(namespace, "web", "web:2", crashes=True)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    labels = {"alertname": "KubePodCrashLooping", "namespace": namespace, "deployment": "web"}
    alert = {
        "status": "firing",
        "labels": labels,
        "startsAt": datetime.now(UTC).isoformat(),
        "fingerprint": "f1",
    }
    (tmp_path / "w.json").write_text(
        json.dumps({"version": "4", "status": "firing", "alerts": [alert]})
    )
    before = control_plane.deployment(namespace, "web")
    (row,) = replay(tmp_path, "--cluster", "--kubeconfig", str(control_plane.kubeconfig))[
        "remediations"
    ]
    assert {cause["name"] for cause in row["look"]["causes"]} == {"rollout_changed", "crash_loop"}
    assert row["attempts"][0]["plan"]["summary"].startswith(
        "roll Deployment/e2e-replay/web back to revision 1"
    )
    assert row["state"] == "ineffective"  # its end was never recorded
    assert control_plane.deployment(namespace, "web")["spec"] == before["spec"]
    assert control_plane.acts(namespace, "web") == []
    listed = [
        f"/apis/apps/v1/namespaces/{namespace}/{kind}" for kind in ("deployments", "replicasets")
    ]
    items: list[Any] = []
    for path, kind in zip(
        [*listed, f"/api/v1/namespaces/{namespace}/pods"],
        ("Deployment", "ReplicaSet", "Pod"),
        strict=True,
    ):
        items += [{**item, "kind": kind} for item in control_plane.ask("GET", path)["items"]]
    (tmp_path / "facts.json").write_text(json.dumps({"kind": "List", "items": items}))
    (same,) = replay(tmp_path, "--facts", str(tmp_path / "facts.json"))["remediations"]
    # what was written down is what was seen
    assert same["attempts"][0]["digest"] == row["attempts"][0]["digest"]
