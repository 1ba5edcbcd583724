"""kill -9 in a loop under load.

What was accepted is there, every remediation ends, and each acted once by the audit log.

REMEDIATOR_KILLS says how often (default 4, for CI). The alerts come from a real Alertmanager, which
delivers again.
"""

import os
import random
import threading
import time
import urllib.error
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from remediator.journal.tables import episode
from tests.e2e.stack import Stack
from tests.real.parts import ControlPlane, PostgreSQL, until

KILLS = int(os.environ.get("REMEDIATOR_KILLS", "4"))
pytestmark = pytest.mark.timeout(900 + 10 * KILLS)
WORKLOADS = 8
OVERRIDE = {
    "version": 1,
    "overrides": [{"rules": ["roll-back"], "limits": {"in_flight": 50, "per_rule": "1000/1h"}}],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def stack(
    request: pytest.FixtureRequest, control_plane: ControlPlane, tmp_path: Path
) -> Iterator[Stack]:
    journal = ""
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        journal = server.database(f"e{uuid.uuid4().hex[:10]}")
    built = Stack(control_plane, tmp_path, journal)
    (tmp_path / "rules" / "override.yaml").write_text(yaml.safe_dump(OVERRIDE))
    built.configure(limits={"namespace": "10000/1h", "all": "10000/1h"})
    with built.running():
        yield built


class Noise:
    """Webhooks of alerts that no rule matches, one after the other.

    Counts those that were answered 200.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack, self.accepted, self.sent = stack, set[str](), 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            names = [f"noise{self.sent + n}" for n in range(50)]
            self.sent += len(names)
            now = datetime.now(UTC).isoformat()
            alerts = [
                {
                    "status": "firing",
                    "labels": {"alertname": "Noise", "n": name},
                    "startsAt": now,
                    "fingerprint": name,
                }
                for name in names
            ]
            try:
                self.stack.post(
                    f"{self.stack.url}/webhook",
                    {"version": "4", "status": "firing", "alerts": alerts},
                    "am-secret",
                )
                self.accepted |= set(names)
                time.sleep(0.02)
            except (OSError, urllib.error.HTTPError, ValueError):
                time.sleep(0.05)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)


def stored(stack: Stack) -> set[str]:
    """The fingerprints of all noise in the journal's own tables."""
    url = stack.settings["journal"]
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = set(
            connection.execute(
                sa.select(episode.c.fingerprint).where(episode.c.fingerprint.like("noise%"))
            ).scalars()
        )
    engine.dispose()
    return found


def whole(stack: Stack, namespace: str, name: str) -> Any:
    obj: Any = stack.plane.deployment(namespace, name)
    image = obj["spec"]["template"]["spec"]["containers"][0]["image"]
    return (
        image == f"{name}:1"
        and obj["status"].get("updatedReplicas") == obj["status"].get("availableReplicas") == 2
    )


def alert(stack: Stack, namespace: str, name: str, ended: bool = False) -> None:
    stack.alertmanager.fire(
        {
            "alertname": "KubePodCrashLooping",
            "namespace": namespace,
            "deployment": name,
            "severity": "critical",
        },
        ended,
    )


def test_killed_in_a_loop_under_load_nothing_is_lost_and_nothing_acts_twice(
    stack: Stack, namespace: str
) -> None:
    """In waves: as soon as all workloads of one are whole, the next
    one breaks, until there were enough kills.
    """
    names: list[str] = []
    dice, noise, healing, kills = random.Random(7), Noise(stack), set[str](), 0
    again = time.monotonic() + 60
    while healing or kills < KILLS:
        if not healing:
            wave = [f"w{len(names) + n}" for n in range(WORKLOADS)]
            names += wave
            healing = set(broken(stack, namespace, wave))
        time.sleep(dice.uniform(0.2, 1.5))
        if kills < KILLS:
            stack.kill_daemon()
            stack.start_daemon()
            kills += 1
        for name in [name for name in healing if whole(stack, namespace, name)]:
            alert(stack, namespace, name, ended=True)
            healing.discard(name)
        # as Prometheus does: an alert that is not sent again ends after five minutes
        if time.monotonic() > again:
            again = time.monotonic() + 60
            for name in healing:
                alert(stack, namespace, name)
    noise.stop()
    until(lambda: len(ended(stack, namespace)) == len(names), "every remediation's end", 240)
    until(
        lambda: stack.get(f"{stack.url}/api/v1/counts")["webhooks"]["waiting"] == 0,
        "the inbox",
        120,
    )
    there = stored(stack)
    acts = {name: len(stack.plane.acts(namespace, name)) for name in names}
    print(
        f"killed {kills} times; noise: {noise.sent} sent, {len(noise.accepted)} accepted,"
        f" {len(noise.accepted - there)} lost; acts by the audit log: {sum(acts.values())} on"
        f" {len(names)} workloads, {sum(count > 1 for count in acts.values())} doubled"
    )
    assert [row["state"] for row in ended(stack, namespace)] == ["succeeded"] * len(names)
    assert noise.accepted <= there
    assert acts == dict.fromkeys(names, 1)


def broken(stack: Stack, namespace: str, names: list[str]) -> list[str]:
    """Workloads of which a new release crashes, and their alerts."""
    for name in names:
        stack.plane.deploy(namespace, name, f"{name}:1", replicas=2)
    for name in names:
        stack.plane.release(namespace, name, f"{name}:2", crashes=True)
    for name in names:
        alert(stack, namespace, name)
    return names


def ended(stack: Stack, namespace: str) -> list[Any]:
    return [row for row in stack.remediations(namespace) if row["ended_at"]]
