"""Six incidents, sent to the daemon through its own webhook, on the in-memory cluster.

What is shown comes from `/api/v1`. Every incident has an expected end; any other end makes the exit
code 1.
"""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from ... import telemetry
from ...app import App, running
from ...cluster.sandbox import SandboxCluster
from ...setting_sections import ClusterSettings, Web
from ...settings import Settings
from .. import show

RULES = Path(__file__).parent / "rules.yaml"
PATIENCE = 25.0
REPLICAS = 3


@dataclass(frozen=True, slots=True)
class Incident:
    """One alert, its expected end, and whether the demo's monitoring sees it heal."""

    title: str
    fingerprint: str
    labels: Mapping[str, str]
    expected: tuple[str, str]


INCIDENTS = [
    Incident(
        "A new release of shop/api crashes. Expected: rolled back, verified.",
        "d0000000000000a1",
        {
            "alertname": "KubePodCrashLooping",
            "namespace": "shop",
            "deployment": "api",
            "severity": "critical",
        },
        ("succeeded", ""),
    ),
    Incident(
        "shop/cart leaks memory until it is OOM-killed. Expected: restarted, verified.",
        "d0000000000000a2",
        {
            "alertname": "PodOOMKilled",
            "namespace": "shop",
            "deployment": "cart",
            "severity": "warning",
        },
        ("succeeded", ""),
    ),
    Incident(
        "shop/cart leaks again. Expected: refused (the limit is one restart in six hours), people"
        " are notified.",
        "d0000000000000a3",
        {
            "alertname": "PodOOMKilled",
            "namespace": "shop",
            "deployment": "cart",
            "severity": "warning",
            "again": "yes",
        },
        ("blocked", "gave_up"),
    ),
    Incident(
        "shop/web is slow. Expected: two more replicas for an hour, verified.",
        "d0000000000000a5",
        {
            "alertname": "HighLatency",
            "namespace": "shop",
            "deployment": "web",
            "severity": "warning",
        },
        ("succeeded", ""),
    ),
    Incident(
        "A pod of shop/api looks compromised. Expected: isolated, kept running, replaced,"
        " verified.",
        "d0000000000000a6",
        {
            "alertname": "SuspectedCompromise",
            "namespace": "shop",
            "pod": "",
            "severity": "critical",
        },
        ("succeeded", ""),
    ),
    Incident(
        "shop/payments leaks; its rule requires approval. Expected: waiting for you.",
        "d0000000000000a4",
        {
            "alertname": "PodOOMKilledInPayments",
            "namespace": "shop",
            "deployment": "payments",
            "severity": "warning",
        },
        ("awaiting_approval", "approval_required"),
    ),
]
CRASHING: Mapping[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "KubePodCrashLooping", "namespace": "shop", "deployment": "web"},
    "annotations": {},
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "c0ffee0000000001",
}


async def run(port: int, leave: bool) -> int:
    """Plays all incidents, then serves on unless it is to exit. Returns the exit code."""
    telemetry.configure_log("error")
    with tempfile.TemporaryDirectory(prefix="remediator-demo-") as folder:
        settings = Settings(
            rules=(str(RULES),),
            journal=f"sqlite:///{folder}/demo.db",
            web=Web(listen=f"127.0.0.1:{port}"),
            cluster=ClusterSettings(kind="sandbox"),
            settle=timedelta(seconds=1),
            startup_grace=timedelta(0),
        )
        async with running(settings) as app:
            if not await _play(app):
                return 1
            if leave:
                return 0
            _farewell(app.url)
            await asyncio.Event().wait()
    return 0


async def _play(app: App) -> bool:
    """Whether every incident ended as expected; stops at the first that does not."""
    cluster = app.doors.clusters["default"]
    assert isinstance(cluster, SandboxCluster)
    prepare(cluster)
    print(
        f"remediator serves at {app.url}, on an in-memory cluster: Deployments api, cart, payments,"
        " web in namespace shop.\n"
    )
    async with aiohttp.ClientSession(app.url) as session:
        for number, incident in enumerate(INCIDENTS, 1):
            print(f"{number}. {incident.title}")
            if not await _plays_out(session, cluster, incident):
                return False
    return True


async def _plays_out(
    session: aiohttp.ClientSession, cluster: SandboxCluster, incident: Incident
) -> bool:
    """Breaks something, delivers its alert, and prints what came of it."""
    break_something(cluster, incident)
    if "pod" in incident.labels:
        pod = cluster.pods("shop", "api")[0]["metadata"]["name"]
        incident = replace(incident, labels={**incident.labels, "pod": pod})
    try:
        await post(session, incident, firing=True)
        row = await _until_expected(session, cluster, incident)
    except (aiohttp.ClientError, ValueError) as error:
        print(f"   => NOT as expected: remediator's API answered {error}\n")
        return False
    print(
        "   "
        + (show.remediation(row).replace("\n", "\n   ") if row else "no remediation was created")
    )
    came = (row["state"], row["reason"] or "") if row else ("nothing", "")
    right = came[0] == incident.expected[0] and (
        not incident.expected[1] or came[1] == incident.expected[1]
    )
    print(
        f"   => {'as expected' if right else f'NOT as expected: {incident.expected}, got {came}'}\n"
    )
    return right


def prepare(cluster: SandboxCluster) -> None:
    """The cluster before anything breaks."""
    for name in ("api", "cart", "payments", "web"):
        cluster.create_workload("Deployment", "shop", name, f"{name}:1.0", replicas=REPLICAS)
    cluster.create_service("shop", "api", {"app": "api"})


def break_something(cluster: SandboxCluster, incident: Incident) -> None:
    """What goes wrong before the alert."""
    name = incident.labels.get("deployment", "")
    match incident.labels["alertname"]:
        case "KubePodCrashLooping":
            cluster.crashing.add("api:1.1")
            cluster.set_image("Deployment", "shop", "api", "api:1.1")
        case "PodOOMKilled" | "PodOOMKilledInPayments":
            cluster.leaking.update(pod["metadata"]["name"] for pod in cluster.pods("shop", name))


def healed(cluster: SandboxCluster, incident: Incident) -> bool:
    """What the demo's monitoring sees: enough pods, and none crashes or was killed."""
    name = incident.labels.get("deployment", "")
    if incident.labels["alertname"] == "HighLatency":
        return len(cluster.pods("shop", name)) > REPLICAS
    if not name:
        return True
    pods = cluster.pods("shop", name)
    return bool(pods) and all(
        pod["lively"] and pod["metadata"]["name"] not in cluster.leaking for pod in pods
    )


async def post(session: aiohttp.ClientSession, incident: Incident, firing: bool) -> None:
    """Delivers as Alertmanager does."""
    now = datetime.now(UTC).isoformat()  # noqa: TID251 - the demo is its own monitoring
    status = "firing" if firing else "resolved"
    ends_at = "0001-01-01T00:00:00Z" if firing else now
    alert = {
        "status": status,
        "labels": incident.labels,
        "annotations": {},
        "startsAt": now,
        "endsAt": ends_at,
        "fingerprint": incident.fingerprint,
    }
    async with session.post(
        "/webhook", json={"version": "4", "status": status, "alerts": [alert]}
    ) as answer:
        answer.raise_for_status()


async def _until_expected(
    session: aiohttp.ClientSession, cluster: SandboxCluster, incident: Incident
) -> Any:
    """The remediation once it is as expected, or when time is up. Resolves the alert once the
    cluster is healthy.
    """
    loop = asyncio.get_running_loop()
    ends, resolved, row = loop.time() + PATIENCE, False, None
    while loop.time() < ends:
        await asyncio.sleep(0.2)
        row = await _remediation_of(session, incident.fingerprint)
        if row and row["state"] == incident.expected[0]:
            return row
        acted = bool(row and row["attempts"] and row["attempts"][-1]["converged_at"])
        if acted and not resolved and healed(cluster, incident):
            await post(session, incident, firing=False)
            resolved = True
    return row


async def _remediation_of(session: aiohttp.ClientSession, fingerprint: str) -> Any:
    async with session.get("/api/v1/episodes", params={"fingerprint": fingerprint}) as answer:
        answer.raise_for_status()
        episodes = await answer.json()
    ids = episodes[0]["remediations"] if episodes else []
    if not ids:
        return None
    async with session.get(f"/api/v1/remediations/{ids[-1]}") as answer:
        answer.raise_for_status()
        return await answer.json()


def _farewell(url: str) -> None:
    now = datetime.now(UTC).isoformat()  # noqa: TID251 - for the user's shell
    alert = {**CRASHING, "startsAt": now}
    body = json.dumps({"version": "4", "status": "firing", "alerts": [alert]})
    print(f"Still serving at {url}. In another terminal, from this folder:\n")
    print(f"  .venv/bin/remediator list --url {url}")
    print(f"  .venv/bin/remediator approve --url {url} ID          # the ID that awaits approval")
    print(
        f"  .venv/bin/remediator undo --url {url} ID             # the ID that scaled web, or"
        " isolated the pod"
    )
    print(f"  curl -s {url}/webhook -d '{body}'")
    print(f"  .venv/bin/remediator explain --url {url} c0ffee0000000001\n")
    print("Ctrl-C ends it.", flush=True)
