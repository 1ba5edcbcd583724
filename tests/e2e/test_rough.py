"""The world at its worst: an API server or Alertmanager that
fails, a full disk, floods, a second daemon.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.e2e.stack import Stack
from tests.real.parts import ControlPlane, missing, until

pytestmark = pytest.mark.timeout(300)


def crashing(stack: Stack, namespace: str) -> None:
    stack.plane.deploy(namespace, "web", "web:1")
    stack.plane.release(namespace, "web", "web:2", crashes=True)


def test_an_api_server_that_is_down_holds_and_when_it_is_back_it_acts_once(
    stack: Stack, namespace: str
) -> None:
    crashing(stack, namespace)
    stack.proxy.cut = True
    stack.fire(namespace)
    assert stack.wait(namespace, "held")["reason"] == "unknown_fact"
    stack.proxy.cut = False
    stack.wait(namespace, "verifying", seconds=90)
    assert len(stack.plane.acts(namespace, "web")) == 1


def test_a_slow_api_server_is_waited_for_and_acted_on_once(stack: Stack, namespace: str) -> None:
    crashing(stack, namespace)
    stack.proxy.delay = 0.5
    stack.fire(namespace)
    stack.wait(namespace, "verifying", seconds=90)
    stack.proxy.delay = 0.0
    assert len(stack.plane.acts(namespace, "web")) == 1
    (row,) = stack.remediations(namespace)
    attempts = stack.get(f"{stack.url}/api/v1/remediations/{row['id']}")["attempts"]
    assert [attempt["outcome"] for attempt in attempts if attempt["outcome"] != "cancelled"] == [
        None
    ]


@pytest.mark.parametrize(
    ("answers", "state", "reason"),
    [
        ([403], "failed", "forbidden"),
        ([422], "failed", "rejected"),
        ([409, 409, 409], "failed", "conflict"),
        ([409], "verifying", None),
        ([429], "verifying", None),
        ([500], "verifying", None),
    ],
)
def test_what_the_api_server_answers_has_a_named_end(
    stack: Stack, namespace: str, answers: list[int], state: str, *, reason: str | None
) -> None:
    crashing(stack, namespace)
    stack.proxy.answers = answers
    stack.fire(namespace)
    row = stack.wait(namespace, state, seconds=60)
    assert row["reason"] == reason
    assert len(stack.plane.acts(namespace, "web")) == (0 if reason else 1)


def test_an_alertmanager_that_is_down_holds(stack: Stack, namespace: str) -> None:
    crashing(stack, namespace)
    stack.pause(namespace)
    stack.fire(namespace)
    stack.wait(namespace, "held")
    stack.alertmanager.stop()
    stack.resume(namespace)
    until(lambda: stack.wait(namespace, "held")["reason"] == "unknown_fact", "the hold", 30)
    assert stack.plane.acts(namespace, "web") == []


def webhook(first: int, count: int, namespace: str) -> dict[str, object]:
    now = datetime.now(UTC).isoformat()
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "Flood", "namespace": namespace, "pod": f"p{n}"},
            "annotations": {},
            "startsAt": now,
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": f"{n:016x}",
        }
        for n in range(first, first + count)
    ]
    return {"version": "4", "status": "firing", "alerts": alerts}


def deliver(stack: Stack, body: object) -> int:
    return stack.status(f"{stack.url}/webhook", body, "am-secret")


def stored(stack: Stack) -> int:
    """Open episodes, once nothing waits to be unpacked."""
    counts = stack.get(f"{stack.url}/api/v1/counts")
    assert counts["webhooks"]["waiting"] == 0
    return int(sum(counts["episodes"].values()))


def peak_memory(stack: Stack) -> int:
    """The most that the daemon has had resident, in MB."""
    assert stack.daemon is not None
    status = Path(f"/proc/{stack.daemon.pid}/status").read_text()
    return (
        int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
        // 1024
    )


def test_of_100_000_alerts_in_a_burst_none_is_lost_by_two_kills_and_memory_is_bounded(
    stack: Stack, namespace: str
) -> None:
    accepted, idle, peaks = 0, peak_memory(stack), []
    for number in range(50):
        accepted += 2000 * (deliver(stack, webhook(number * 2000, 2000, namespace)) == 200)
        if number in (24, 49):
            peaks.append(peak_memory(stack))
            stack.kill_daemon()
            stack.start_daemon()
    assert accepted == 100_000
    assert until(lambda: stored(stack) == accepted, "every accepted alert", 150)
    peaks.append(peak_memory(stack))
    print(f"accepted {accepted}, all there; resident at most {max(peaks)} MB, {idle} MB idle")
    assert max(peaks) < 2 * idle


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        missing("root, to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes until nothing more fits."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(4096))
    os.close(file)


def test_a_full_disk_is_503_and_loses_nothing(
    control_plane: ControlPlane, tmp_path: Path, small_disk: Path
) -> None:
    stack = Stack(control_plane, tmp_path, f"sqlite:///{small_disk}/journal.db")
    try:
        stack.start_daemon()
        accepted = sum(deliver(stack, webhook(n, 1, "full")) == 200 for n in range(5))
        ballast = small_disk / "ballast"
        fill(ballast)
        until(lambda: deliver(stack, webhook(10_000, 500, "full")) == 503, "503", 30)
        assert stack.status(f"{stack.url}/healthz") == 200
        ballast.unlink()
        until(lambda: deliver(stack, webhook(20_000, 1, "full")) == 200, "room again", 30)
        until(lambda: stored(stack) >= accepted + 1, "every accepted alert", 30)
    finally:
        stack.stop()


def test_a_second_daemon_on_the_same_file_learns_why_it_cannot_start(
    stack: Stack, tmp_path: Path
) -> None:
    settings = yaml.safe_load((tmp_path / "remediator.yaml").read_text())
    settings["web"]["listen"] = "127.0.0.1:0"
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(settings))
    command = [
        sys.executable,
        "-m",
        "remediator",
        "serve",
        "--config",
        str(tmp_path / "second.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert (
        "another remediator is using it; stop that one, or use a PostgreSQL journal" in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_a_configmap_swap_and_sighup_reload_the_rules_and_a_bad_one_changes_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    good = (tmp_path / "rules" / "e2e.yaml").read_text()
    mount = tmp_path / "mounted"
    mount.mkdir()
    swap(mount, "..1", good)
    (mount / "e2e.yaml").symlink_to("..data/e2e.yaml")
    stack.stop_daemon()
    stack.configure(rules=[str(mount)])
    stack.start_daemon()
    first = digest(stack)
    swap(mount, "..2", good.replace("PodLeaks", "PodLeaks2"))
    second = until(lambda: digest(stack) != first and digest(stack), "the swapped rules", 15)
    swap(mount, "..3", "version: 1\ngroups: [{nme: x}]\n")
    metric = "remediator_config_last_reload_successful 0.0"
    until(
        lambda: metric in stack.get(f"{stack.url}/metrics", raw=True).decode(),
        "the failed reload's metric",
        15,
    )
    assert digest(stack) == second
    assert "rules_not_reloaded" in stack.processes.log("remediator")
    (mount / "..3" / "e2e.yaml").write_text(good)  # an edit in place, which nothing tells of
    assert stack.daemon is not None
    stack.daemon.send_signal(signal.SIGHUP)
    until(lambda: digest(stack) == first, "the rules as they were", 15)


def swap(mount: Path, version: str, text: str) -> None:
    """What kubelet does to a mounted ConfigMap."""
    (mount / version).mkdir()
    (mount / version / "e2e.yaml").write_text(text)
    (mount / "..tmp").symlink_to(version)
    (mount / "..tmp").rename(mount / "..data")


def digest(stack: Stack) -> str:
    return str(stack.get(f"{stack.url}/api/v1/rules")["digest"])


def test_two_alertmanagers_of_a_pair_are_one_source_and_one_act(
    stack: Stack, namespace: str
) -> None:
    crashing(stack, namespace)
    stack.fire(namespace)
    stack.wait(namespace, "verifying", seconds=60)
    row = stack.remediations(namespace)[0]
    shown = stack.get(f"{stack.url}/api/v1/remediations/{row['id']}")
    alert = shown["episodes"][0]
    body = {
        "version": "4",
        "status": "resolved",
        "truncatedAlerts": 3,
        "alerts": [
            {
                "status": "firing",
                "labels": alert["labels"],
                "annotations": {},
                "startsAt": alert["starts_at"],
                "endsAt": "0001-01-01T00:00:00Z",
                "fingerprint": alert["fingerprint"],
            }
        ],
    }
    assert [deliver(stack, body) for _ in range(3)] == [200, 200, 200]
    time.sleep(3)
    (again,) = stack.get(f"{stack.url}/api/v1/episodes?fingerprint={alert['fingerprint']}")
    assert again["deliveries"] == 4
    assert len(stack.remediations(namespace)) == len(stack.plane.acts(namespace, "web")) == 1
    assert (
        "remediator_alerts_truncated_total 9.0"
        in stack.get(f"{stack.url}/metrics", raw=True).decode()
    )


def test_bad_bodies_are_refused_with_few_words(stack: Stack) -> None:
    for body in (
        {},
        {"version": "4"},
        {"version": "9", "alerts": []},
        {"version": "4", "alerts": [{"status": "firing"}]},
    ):
        with pytest.raises(urllib.error.HTTPError) as error:
            stack.post(f"{stack.url}/webhook", body, "am-secret")
        assert error.value.code == 400
        assert len(json.loads(error.value.read())["error"]) < 300
        error.value.close()
