"""Prometheus, Alertmanager and the daemon as shipped, around a real control plane."""

import contextlib
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.real.parts import AlertmanagerServer, ControlPlane, Processes, binary, free_port, until
from tests.real.proxy import Proxy

RULES = {
    "version": 1,
    "groups": [
        {
            "name": "e2e",
            "scope": {"namespaces": ["e2e-.+"]},
            "defaults": {"mode": "act", "escalate": {"to": ["log"]}},
            "rules": [
                {
                    "name": "roll-back",
                    "match": ['alertname="KubePodCrashLooping"'],
                    "limits": {"cooldown": "0s"},
                    "steps": [{"action": "rollback_workload", "verify": {"quiet_for": "2s"}}],
                },
                {
                    "name": "roll-back-when-asked",
                    "match": ['alertname="AskFirst"'],
                    "mode": "approve",
                    "limits": {"cooldown": "0s"},
                    "steps": [{"action": "rollback_workload", "verify": {"quiet_for": "2s"}}],
                },
                {
                    "name": "roll-back-anything",
                    "match": ['alertname="RolloutIsBad"'],
                    "limits": {"cooldown": "0s"},
                    "steps": [{"action": "rollback_workload", "if": "always"}],
                },
                {
                    "name": "scale",
                    "match": ['alertname="TooSlow"'],
                    "limits": {"cooldown": "0s"},
                    "steps": [
                        {
                            "action": "scale_workload",
                            "if": "always",
                            "with": {"by": 2},
                            "verify": {"quiet_for": "2s"},
                        }
                    ],
                },
                {
                    "name": "isolate",
                    "match": ['alertname="Suspected"'],
                    "target": "object",
                    "limits": {"cooldown": "0s"},
                    "steps": [
                        {"action": "quarantine_pod", "if": "always", "verify": {"quiet_for": "2s"}}
                    ],
                },
                {
                    "name": "restart",
                    "match": ['alertname="PodLeaks"'],
                    "limits": {"cooldown": "0s"},
                    "steps": [
                        {
                            "action": "restart_workload",
                            "if": "always",
                            "verify": {"quiet_for": "2s"},
                        }
                    ],
                },
            ],
        }
    ],
}


class Exporter:
    """What kube-state-metrics would say of crash loops, and a leak that
    the test switches on until pods are younger.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.leaking: dict[tuple[str, str], set[str]] = {}
        self.slow: set[tuple[str, str]] = set()
        self.suspected: set[tuple[str, str]] = set()
        self.namespaces: set[str] = set()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.render().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def render(self) -> str:
        lines = []
        for namespace in sorted(self.namespaces):
            pods = self.plane.ask("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
            for pod in pods:
                name, app = pod["metadata"]["name"], pod["metadata"]["labels"].get("app", "")
                suspected = (namespace, name) in self.suspected
                lines.append(
                    f'test_suspected{{namespace="{namespace}",pod="{name}"}} {int(suspected)}'
                )
                uid = pod["metadata"]["uid"]
                labels = f'namespace="{namespace}",pod="{name}",container="app",uid="{uid}"'
                states = [
                    s.get("state", {}).get("waiting") or {}
                    for s in pod.get("status", {}).get("containerStatuses", [])
                ]
                waiting = any(state.get("reason") == "CrashLoopBackOff" for state in states)
                lines.append(f"test_crash_looping{{{labels}}} {int(waiting)}")
                leaks = pod["metadata"]["uid"] in self.leaking.get((namespace, app), set())
                lines.append(
                    f'test_leaking{{namespace="{namespace}",deployment="{app}",pod="{name}"}}'
                    f" {int(leaks)}"
                )
            for app in sorted(app for where, app in self.slow if where == namespace):
                few = sum(pod["metadata"]["labels"].get("app") == app for pod in pods) < 5
                lines.append(f'test_slow{{namespace="{namespace}",deployment="{app}"}} {int(few)}')
        return "\n".join(lines) + "\n"

    def leak(self, namespace: str, app: str) -> None:
        """All present pods leak; their successors do not."""
        pods = self.plane.ask("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        self.leaking[namespace, app] = {pod["metadata"]["uid"] for pod in pods}


class Stack:
    """Everything around one control plane, in a folder of its own."""

    def __init__(
        self, plane: ControlPlane, folder: Path, journal: str = "", oldest: bool = False
    ) -> None:
        self.plane, self.folder = plane, folder
        self.prometheus = binary("oldest" if oldest else "prometheus", "prometheus")
        self.processes = Processes(folder)
        self.exporter = Exporter(plane)
        self.proxy = Proxy(plane, folder)
        self.alertmanager = AlertmanagerServer(folder, "oldest" if oldest else "alertmanager")
        self.port, self.prom_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "rules").mkdir()
        (folder / "rules" / "e2e.yaml").write_text(yaml.safe_dump(RULES))
        (folder / "am-token").write_text("am-secret\n")
        (folder / "me-token").write_text("me-secret\n")
        settings = {
            "rules": [str(folder / "rules")],
            "journal": journal or f"sqlite:///{folder}/journal.db",
            "web": {"listen": f"127.0.0.1:{self.port}"},
            "sources": [
                {
                    "name": "am",
                    "token_file": str(folder / "am-token"),
                    "alertmanager": self.alertmanager.url,
                }
            ],
            "operators": [{"name": "me", "token_file": str(folder / "me-token")}],
            "cluster": {"kubeconfig": str(self.proxy.kubeconfig)},
            "prometheus": f"http://127.0.0.1:{self.prom_port}",
            "settle": "1s",
            "startup_grace": "0s",
            "limits": {"namespace": "100/1h", "all": "100/1h"},
            "storm": {"roots": 0},  # on a cluster of a dozen workloads everything would be one
        }
        self.settings: dict[str, Any] = settings
        self.configure()
        self.daemon: subprocess.Popen[bytes] | None = None

    def configure(self, **more: Any) -> None:
        """Writes the settings file, with changes."""
        (self.folder / "remediator.yaml").write_text(yaml.safe_dump({**self.settings, **more}))

    def start_alertmanager(self) -> None:
        webhook = {
            "url": f"{self.url}/webhook",
            "send_resolved": True,
            "http_config": {"authorization": {"credentials": "am-secret"}},
        }
        route = {
            "receiver": "r",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        }
        self.alertmanager.start(
            {"route": route, "receivers": [{"name": "r", "webhook_configs": [webhook]}]}
        )

    def start_prometheus(self) -> None:
        alerts = [
            {
                "alert": "KubePodCrashLooping",
                "expr": "test_crash_looping == 1",
                "labels": {"severity": "critical"},
            },
            {
                "alert": "PodLeaks",
                "expr": "max by (namespace, deployment) (test_leaking) == 1",
                "labels": {"severity": "warning"},
            },
            {"alert": "TooSlow", "expr": "test_slow == 1", "labels": {"severity": "critical"}},
            {
                "alert": "Suspected",
                "expr": "test_suspected == 1",
                "labels": {"severity": "critical"},
            },
        ]
        (self.folder / "alerts.yaml").write_text(
            yaml.safe_dump({"groups": [{"name": "e2e", "interval": "1s", "rules": alerts}]})
        )
        port = self.exporter.server.server_address[1]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [f"{self.folder}/alerts.yaml"],
            "scrape_configs": [
                {
                    "job_name": "state",
                    "honor_labels": True,
                    "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                },
                {
                    "job_name": "remediator",
                    "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}],
                },
            ],
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [f"127.0.0.1:{self.alertmanager.port}"]}]}
                ]
            },
        }
        (self.folder / "prom.yaml").write_text(yaml.safe_dump(config))
        self.processes.start(
            "prometheus",
            [
                self.prometheus,
                f"--config.file={self.folder}/prom.yaml",
                f"--storage.tsdb.path={self.folder}/prom",
                f"--web.listen-address=127.0.0.1:{self.prom_port}",
                "--rules.alert.resend-delay=1s",
            ],
        )
        until(
            lambda: self.get(f"http://127.0.0.1:{self.prom_port}/-/ready", raw=True),
            "Prometheus",
            30,
        )

    def start_daemon(self) -> None:
        command = [
            sys.executable,
            "-m",
            "remediator",
            "serve",
            "--config",
            str(self.folder / "remediator.yaml"),
        ]
        self.daemon = self.processes.start("remediator", command)
        until(lambda: self.get(f"{self.url}/readyz", raw=True) == b"ok\n", "the daemon", 30)

    def kill_daemon(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def stop_daemon(self) -> int:
        """SIGTERM; the exit code."""
        assert self.daemon is not None
        self.daemon.terminate()
        return self.daemon.wait(30)

    def delete(self, url: str) -> None:
        request = urllib.request.Request(
            url, headers={"Authorization": "Bearer me-secret"}, method="DELETE"
        )
        urllib.request.urlopen(request, timeout=10).close()

    def pause(self, namespace: str) -> None:
        self.post(
            f"{self.url}/api/v1/pauses",
            {"scope": f"namespace:{namespace}", "reason": "a person looks"},
        )

    def resume(self, namespace: str) -> None:
        self.delete(f"{self.url}/api/v1/pauses/namespace:{namespace}")

    def fire(self, namespace: str, name: str = "KubePodCrashLooping", ended: bool = False) -> None:
        """An alert that is active in the real Alertmanager for the test's time.

        Or the same, ended.
        """
        self.alertmanager.fire(
            {
                "alertname": name,
                "namespace": namespace,
                "deployment": "web",
                "severity": "critical",
            },
            ended,
        )

    def silence(self, namespace: str) -> None:
        self.alertmanager.silence({"namespace": namespace})

    def image(self, namespace: str) -> str:
        return str(
            self.plane.deployment(namespace, "web")["spec"]["template"]["spec"]["containers"][0][
                "image"
            ]
        )

    def get(self, url: str, raw: bool = False) -> Any:
        request = urllib.request.Request(url, headers={"Authorization": "Bearer me-secret"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            raise
        return text if raw else json.loads(text)

    def status(self, url: str, body: Any = None, token: str = "me-secret") -> int:
        """The status that a POST, or a GET without a body, is answered with."""
        try:
            if body is None:
                self.get(url, raw=True)
            else:
                self.post(url, body, token)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        return 200

    def post(self, url: str, body: Any, token: str = "me-secret") -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def remediations(self, namespace: str) -> list[Any]:
        return [
            row
            for row in self.get(f"{self.url}/api/v1/remediations?limit=1000")
            if row["namespace"] == namespace
        ]

    def wait(self, namespace: str, *states: str, seconds: float = 60) -> Any:
        """The namespace's remediation once one is in one of the states."""

        def there() -> Any:
            return next(
                (row for row in self.remediations(namespace) if row["state"] in states), None
            )

        try:
            return until(
                there, f"a remediation in {namespace} that is {' or '.join(states)}", seconds
            )
        except AssertionError as error:
            raise AssertionError(
                f"{error}; there is"
                f" {self.remediations(namespace)}\n{self.processes.log('remediator')[-4000:]}"
            ) from None

    @contextlib.contextmanager
    def running(self) -> "Iterator[Stack]":
        """With Alertmanager and the daemon, until the block ends."""
        try:
            self.start_alertmanager()
            self.start_daemon()
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        self.proxy.stop()
        self.processes.stop()
        self.alertmanager.stop()
        self.exporter.server.shutdown()
        self.exporter.server.server_close()
