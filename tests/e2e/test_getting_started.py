"""The page for newcomers, word by word, against what kube-prometheus-stack installs."""

import gzip
import json
import shutil
import subprocess
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.settings import Settings
from tests.contract.test_alertmanager import KPS
from tests.e2e.walk import FIRING, IN_THE_POD, Newcomer
from tests.real.parts import until

pytestmark = pytest.mark.timeout(600)
SHOP, ELSEWHERE = FIRING["namespace"], "walk-elsewhere"


def test_every_command_of_the_page_does_what_it_says(newcomer: Newcomer) -> None:
    plane = newcomer.plane
    for name in (SHOP, ELSEWHERE):
        plane.deploy(name, "web", "web:1")
        plane.release(name, "web", "web:2", crashes=True)
    pod = plane.ask("GET", f"/api/v1/namespaces/{SHOP}/pods?labelSelector=app%3Dweb")["items"][-1][
        "metadata"
    ]["name"]
    look(newcomer)
    replay(newcomer, pod)
    install(newcomer)
    post(newcomer, pod)
    act(newcomer)
    without_helm(newcomer)
    assert [line for line in newcomer.page.all() if line not in newcomer.walked] == []


def look(walk: Newcomer) -> None:
    """1. The demo, on a port of its own."""
    walk.walked.add("make demo")
    walk.serve("demo", "demo", "--port", str(walk.port))

    def played() -> Any:
        rows = walk.remediator("list")
        return (
            rows
            if len(rows) >= 6 and any(row["state"] == "awaiting_approval" for row in rows)
            else None
        )

    rows = until(played, "the six incidents", 90)
    waits = next(row["id"] for row in rows if row["state"] == "awaiting_approval")
    scaled = next(
        row["id"] for row in rows if row["state"] == "succeeded" and "scale" in row["rule"]
    )
    assert "awaiting_approval" in walk.run(walk.starting(".venv/bin/remediator list"))
    assert "from 3 to 5 replicas: converged, and the alert stayed quiet" in walk.run(
        walk.starting(".venv/bin/remediator show"), {"ID": scaled}
    )
    assert "Approve this plan" in walk.run(
        walk.starting(".venv/bin/remediator approve"), {"ID": waits}, "y\n"
    )
    assert "replicas" in walk.run(walk.starting(".venv/bin/remediator undo"), {"ID": scaled}, "y\n")
    walk.processes.stop()


def replay(walk: Newcomer, pod: str) -> None:
    """2. What was recorded, against facts of three kinds."""
    (walk.folder / "recorded").mkdir()
    alert = {
        "status": "firing",
        "labels": {**FIRING, "pod": pod},
        "startsAt": now(),
        "fingerprint": "00000000000000f1",
    }
    (walk.folder / "recorded" / "one.json").write_text(
        json.dumps({"version": "4", "status": "firing", "alerts": [alert]})
    )
    for line in walk.page.commands(2):
        shown = walk.run(line)
        if "facts" in line and not line.startswith("kubectl"):
            assert f"roll Deployment/{SHOP}/web back" in shown
    assert plane_untouched(walk)


def install(walk: Newcomer) -> None:
    """3. The chart, into a real API server."""
    walk.with_hooks(walk.starting("helm install"))
    arguments = walk.kubelet()
    walk.serve("remediator", *arguments)
    walk.env["REMEDIATOR_TOKEN_FILE"] = str(walk.pod / "etc/remediator/secrets/operator")
    assert "no remediations yet" in walk.run(walk.starting(f"{IN_THE_POD}remediator list"))


def post(walk: Newcomer, pod: str) -> None:
    """4. Alertmanager with the configuration and the mounts that the operator makes."""
    walk.plane.namespace("monitoring")
    walk.operator()
    (config,) = walk.page.blocks(4)
    merged = {
        **KPS,
        "route": {**KPS["route"], "routes": [*config["route"]["routes"], *KPS["route"]["routes"]]},
        "receivers": [*KPS["receivers"], *config["receivers"]],
        "templates": ["/etc/alertmanager/config/*.tmpl"],
    }
    text = b64encode(yaml.safe_dump(merged).encode()).decode()
    walk.plane.ask(
        "POST",
        "/api/v1/namespaces/monitoring/secrets",
        {"metadata": {"name": "alertmanager-kps"}, "data": {"alertmanager.yaml": text}},
    )
    for line in walk.page.commands(4):
        if line.startswith("kubectl -n") and " exec " not in line:
            walk.run(line)
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Alertmanager",
        "metadata": {"name": "kps"},
        "spec": {"replicas": 1, "secrets": ["remediator"]},
    }
    walk.plane.ask(
        "POST", "/apis/monitoring.coreos.com/v1/namespaces/monitoring/alertmanagers", resource
    )
    path = "/apis/apps/v1/namespaces/monitoring/statefulsets/alertmanager-kps"
    made = walk.processes.until(
        lambda: walk.plane.ask("GET", path), "the operator's StatefulSet", 60
    )
    container = next(
        one
        for one in made["spec"]["template"]["spec"]["containers"]
        if one["name"] == "alertmanager"
    )
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    folder = Path(f"{walk.folder}{mounts['secret-remediator']}")
    folder.mkdir(parents=True)
    for name, data in walk.secret("monitoring", "remediator").items():
        (folder / name).write_bytes(data)
    service = walk.plane.ask("GET", "/api/v1/namespaces/monitoring/services/alertmanager-operated")
    assert (
        service["spec"]["clusterIP"],
        9093 in [port["port"] for port in service["spec"]["ports"]],
    ) == ("None", True)
    generated = gzip.decompress(
        walk.secret("monitoring", "alertmanager-kps-generated")["alertmanager.yaml.gz"]
    ).decode()
    for word, value in walk.put.items():
        generated = generated.replace(word, value)
    walk.alertmanager.start(yaml.safe_load(generated))
    walk.start_prometheus(pod)
    row = until(
        lambda: next((row for row in walk.remediator("list") if row["state"] == "observed"), None),
        "what it would do",
        90,
    )
    assert (row["rule"], row["namespace"]) == ("heal-a-crashing-workload", SHOP)
    assert f"roll Deployment/{SHOP}/web back" in json.dumps(walk.remediator("show", row["id"]))
    metrics = subprocess.run(
        ["curl", "-fs", f"{walk.env['REMEDIATOR_URL']}/metrics"], capture_output=True, text=True
    ).stdout
    seen = next(
        line
        for line in metrics.splitlines()
        if line.startswith("remediator_watchdog_last_seen_timestamp_seconds")
    )
    assert float(seen.split()[-1]) > time.time() - 600
    shown = walk.run(walk.starting(f"{IN_THE_POD}remediator doctor"))
    assert "fail" not in shown
    assert "from Alertmanager (alertmanager) to the journal in" in shown
    assert plane_untouched(walk)


def act(walk: Newcomer) -> None:
    """5. One rule, one namespace; a person approves."""
    override, web = walk.page.blocks(5)
    (walk.folder / "values.yaml").write_text(yaml.safe_dump(override))
    walk.with_hooks(walk.starting("helm upgrade"))
    walk.kubelet()
    row = until(
        lambda: next(
            (row for row in walk.remediator("list") if row["state"] == "awaiting_approval"), None
        ),
        "a question",
        120,
    )
    assert (row["rule"], row["namespace"]) == ("heal-a-crashing-workload", SHOP)
    walk.run(walk.starting("remediator pause"))
    subprocess.run(
        [str(walk.folder / "bin/remediator"), "resume", f"namespace:{SHOP}"],
        env=walk.env,
        check=True,
    )
    walk.run(walk.starting(".venv/bin/remediator approve"), {"ID": row["id"]}, "y\n")
    until(lambda: image(walk, SHOP) == "web:1", "the release before", 60)
    assert image(walk, ELSEWHERE) == "web:2"
    rule = {"RULE": "heal-a-crashing-workload"}
    for line in (
        "remediator list",
        "remediator rules",
        "remediator promote RULE",
        "remediator reset RULE",
    ):
        assert rule["RULE"] in walk.run(line, rule)
    settings = yaml.safe_load((walk.pod / "etc/remediator/remediator.yaml").read_text())
    settings["web"] = {
        **web["web"],
        "link_key_file": str(walk.pod / "etc/remediator/secrets/links"),
    }
    assert Settings.model_validate(settings).web.public_url
    walk.processes.stop()
    walk.alertmanager.stop()


def without_helm(walk: Newcomer) -> None:
    """3 again, and what is asked of a daemon that was installed so."""
    ops = walk.folder / "ops"
    walk.run("remediator init ops")
    walk.plane.namespace("ops")
    walk.plane.ask(
        "POST", "/api/v1/namespaces/ops/serviceaccounts", {"metadata": {"name": "remediator"}}
    )
    walk.run(walk.starting("remediator generate rbac"))
    account = walk.account("ops", "remediator")
    there = {
        "http://alertmanager:9093": walk.alertmanager.url,
        "http://prometheus:9090": f"http://127.0.0.1:{walk.prometheus}",
        "127.0.0.1:9099": f"127.0.0.1:{walk.port}",
        'kubeconfig: ""': f"kubeconfig: {account}",
    }
    for name in ("remediator.yaml", "alertmanager.yaml"):
        text = (ops / name).read_text()
        for word, value in there.items():
            text = text.replace(word, value)
        (ops / name).write_text(text)
    shutil.rmtree(walk.folder / "am")
    walk.alertmanager.start(yaml.safe_load((ops / "alertmanager.yaml").read_text()))
    walk.start_prometheus("none")
    walk.walked.add("remediator serve --config ops/remediator.yaml")
    walk.serve("ops", "serve", "--config", "ops/remediator.yaml")
    walk.walked.add(walk.starting("export REMEDIATOR_TOKEN_FILE"))
    walk.env["REMEDIATOR_TOKEN_FILE"] = str(ops / "secrets" / "me")
    shown = walk.run(walk.starting("remediator doctor"))
    assert "fail" not in shown
    assert "to the journal in" in shown
    assert "log" in walk.run(walk.starting("remediator notify test"))
    walk.alertmanager.fire(
        {"alertname": "KubePodCrashLooping", "namespace": "default", "deployment": "gone"}
    )
    until(lambda: walk.remediator("list"), "a history", 60)
    walk.run(walk.starting("remediator journal verify"))
    assert json.loads(walk.run(walk.starting("remediator journal export")).splitlines()[0])
    walk.run(walk.starting("remediator journal backup"))
    assert (walk.folder / "copy.db").stat().st_size > 10_000


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def image(walk: Newcomer, namespace: str) -> str:
    return str(
        walk.plane.deployment(namespace, "web")["spec"]["template"]["spec"]["containers"][0][
            "image"
        ]
    )


def plane_untouched(walk: Newcomer) -> bool:
    return all(
        walk.plane.acts(name, "web") == [] and image(walk, name) == "web:2"
        for name in (SHOP, ELSEWHERE)
    )
