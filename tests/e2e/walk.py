"""Commands of a page, run word by word in a folder of their own,
and the cluster of somebody who reads it.

What is put in place of a word (a service's address, a pod's folder) is in `put`. Containers do not
run here: what a pod's container would run is started with the pod's own files, arguments and
ServiceAccount.
"""

import json
import os
import pty
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from tests.real.parts import AlertmanagerServer, ControlPlane, Processes, binary, free_port, until

ROOT = Path(__file__).parents[2]
PAGES = ("tutorial.md", "how-to/notify.md", "how-to/keep-the-history.md")
IN_THE_POD = "kubectl -n remediator exec deploy/remediator -- "
FIRING = {
    "alertname": "KubePodCrashLooping",
    "namespace": "shop-staging",
    "container": "app",
    "severity": "warning",
}
COMMAND = re.compile(r"(\.venv/bin/remediator|remediator|helm|kubectl|make|export) ")


class Page:
    """The sections of a page by number.

    The commands in their order, and the blocks that are YAML.
    """

    def __init__(self, *paths: Path) -> None:
        text = "\n".join(path.read_text() for path in paths)
        self._sections = re.split(r"^#+ ", text, flags=re.M)[2:]

    def commands(self, section: int) -> list[str]:
        text = self._sections[section - 1].replace("\\\n", " ")
        found = [
            line.strip()
            for line in text.splitlines()
            if line.startswith("    ") and COMMAND.match(line.strip())
        ]
        return [
            *found,
            *re.findall(
                r"`((?:remediator|kubectl) [^`]*)`",
                re.sub(r"\n(?! {4})", " ", self._sections[section - 1]),
            ),
        ]

    def blocks(self, section: int) -> list[Any]:
        """What is indented and no command, as YAML."""
        parts = re.findall(r"(?:^ {4}.*\n)+", self._sections[section - 1], re.M)
        return [yaml.safe_load(part) for part in parts if not COMMAND.match(part.strip())]

    def all(self) -> list[str]:
        return list(chain.from_iterable(map(self.commands, range(1, len(self._sections) + 1))))


class Walk:
    """Runs commands in a folder that looks like a clone's, with
    kubectl, helm and remediator on the PATH.
    """

    def __init__(self, page: Page, folder: Path, kubeconfig: Path, url: str) -> None:
        self.page, self.folder = page, folder
        self.walked: set[str] = set()
        self.put: dict[str, str] = {}
        for name in ("helm", "rules"):
            (folder / name).symlink_to(ROOT / name)
        for name in ("bin", ".venv"):
            (folder / name).mkdir()
        tools = {"helm": binary("helm", "helm"), "kubectl": binary("kubernetes", "kubectl")}
        for name, target in {
            **tools,
            "remediator": str(Path(sys.executable).with_name("remediator")),
        }.items():
            (folder / "bin" / name).symlink_to(target)
        (folder / ".venv" / "bin").symlink_to(folder / "bin")
        self.env = {
            **os.environ,
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
            "REMEDIATOR_URL": url,
        }

    def words(self, line: str, more: Mapping[str, str] | None = None) -> list[str]:
        """The command for a shell, with the reader's own values in their places."""
        for word, value in {**self.put, **(more or {})}.items():
            line = line.replace(word, value)
        return ["bash", "-euo", "pipefail", "-c", line]

    def run(self, line: str, more: Mapping[str, str] | None = None, answer: str = "") -> str:
        """One command of the page, at a terminal whose reader answers.

        Its output, once it ended well.
        """
        self.walked.add(line)
        ours, terminal = pty.openpty()
        os.write(ours, answer.encode())
        try:
            done = subprocess.run(
                self.words(line, more),
                cwd=self.folder,
                env=self.env,
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=180,
            )
        finally:
            os.close(ours)
            os.close(terminal)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def starting(self, start: str) -> str:
        """The page's only command that starts so."""
        (found,) = {line for line in self.page.all() if line.startswith(start)}
        return found


class Newcomer(Walk):
    """A cluster with kube-prometheus-stack's parts, and the page's reader."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self.port, self.prometheus = plane, free_port(), free_port()
        self.namespace = self.release = "remediator"
        super().__init__(
            Page(*(ROOT / "docs" / page for page in PAGES)),
            folder,
            plane.kubeconfig,
            f"http://127.0.0.1:{self.port}",
        )
        self.processes = Processes(folder)
        self.alertmanager = AlertmanagerServer(folder)
        self.pod = folder / "pod"
        self.put = {
            "http://alertmanager-operated.monitoring:9093": self.alertmanager.url,
            "http://prometheus-operated.monitoring:9090": f"http://127.0.0.1:{self.prometheus}",
            "http://remediator.remediator:9099": f"http://127.0.0.1:{self.port}",
            "/etc/alertmanager/": f"{folder}/etc/alertmanager/",
            IN_THE_POD: "",
            "/etc/remediator": f"{self.pod}/etc/remediator",
        }

    def remediator(self, *arguments: str) -> Any:
        """A command's JSON."""
        done = subprocess.run(
            [str(self.folder / "bin" / "remediator"), *arguments, "--json"],
            env=self.env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def serve(self, name: str, *arguments: str) -> None:
        """A daemon, until it is ready."""
        self.processes.start(name, [str(self.folder / "bin" / "remediator"), *arguments])
        self.processes.until(lambda: self.ready(), f"{name}", 60)

    def ready(self) -> bool:
        return (
            subprocess.run(
                ["curl", "-fs", f"{self.env['REMEDIATOR_URL']}/readyz"], capture_output=True
            ).returncode
            == 0
        )

    def account(self, namespace: str, name: str) -> Path:
        """A kubeconfig of a ServiceAccount, as a pod has it mounted."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.plane.ask(
            "POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request
        )["status"]["token"]
        self.plane.write_kubeconfig(self.folder / f"{name}.kubeconfig", self.plane.url, token)
        return self.folder / f"{name}.kubeconfig"

    def with_hooks(self, line: str) -> str:
        """A Helm command; meanwhile the pod of its Job does what its container would."""
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(self.run, line)
            self._job(told)
            return told.result()

    def _job(self, helm: Future[str]) -> None:
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        chosen = "labelSelector=app.kubernetes.io%2Fname%3Dremediator-credentials"

        def running() -> Any:
            if helm.done():
                helm.result()  # its error is what somebody wants to read
            items = self.plane.ask("GET", f"{pods}?{chosen}")["items"]
            return next((item for item in items if item["status"].get("phase") == "Running"), None)

        pod = until(running, "the pod that makes the credentials", 60)
        spec = pod["spec"]
        kubeconfig = self.account(self.namespace, spec["serviceAccountName"])
        command = [
            str(self.folder / "bin" / "remediator"),
            *spec["containers"][0]["args"],
            "--kubeconfig",
            str(kubeconfig),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        name = pod["metadata"]["name"]
        self.plane.ask(
            "PATCH",
            f"{pods}/{name}/status",
            {"status": {"phase": "Succeeded"}},
            kind="application/merge-patch+json",
        )

    def kubelet(self) -> list[str]:
        """Puts the files of the Deployment's pod where it mounts them.

        Its container's arguments.
        """
        spec = self.plane.deployment(self.namespace, self.release)["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        container = spec["containers"][0]
        kubeconfig = self.account(self.namespace, spec["serviceAccountName"])
        for mount in container["volumeMounts"]:
            target, volume = Path(f"{self.pod}{mount['mountPath']}"), volumes[mount["name"]]
            for name, data in self._content(volume).items():
                path = target if mount.get("subPath") == name else target / name
                if mount.get("subPath") in (None, name):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
            if not target.exists():
                target.mkdir(parents=True)
        settings = self.pod / "etc/remediator/remediator.yaml"
        text = settings.read_text().replace("/etc/remediator", f"{self.pod}/etc/remediator")
        given = yaml.safe_load(
            text.replace("/var/lib/remediator", f"{self.pod}/var/lib/remediator")
        )
        given["web"]["listen"] = f"127.0.0.1:{self.port}"
        given["cluster"] = {**given.get("cluster", {}), "kubeconfig": str(kubeconfig)}
        settings.write_text(yaml.safe_dump(given))
        return [
            argument.replace("/etc/remediator", f"{self.pod}/etc/remediator")
            for argument in container["args"]
        ]

    def _content(self, volume: Any) -> dict[str, bytes]:
        if "configMap" in volume:
            found = self.plane.ask(
                "GET",
                f"/api/v1/namespaces/{self.namespace}/configmaps/{volume['configMap']['name']}",
            )
            return {name: text.encode() for name, text in found["data"].items()}
        if "secret" in volume:
            return self.secret(self.namespace, volume["secret"]["secretName"])
        return {}

    def secret(self, namespace: str, name: str) -> dict[str, bytes]:
        found = self.plane.ask("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        return {key: b64decode(text) for key, text in found["data"].items()}

    def operator(self) -> None:
        """kube-prometheus-stack's definitions, and the operator that makes
        Alertmanager's configuration and mounts.
        """
        self.plane.define()
        self.processes.start(
            "operator",
            [
                binary("operator", "operator"),
                f"--web.listen-address=127.0.0.1:{free_port()}",
                "--namespaces=monitoring",
            ],
            {"KUBECONFIG": str(self.plane.kubeconfig)},
        )

    def start_prometheus(self, pod: str) -> None:
        """The alert that always fires, and one that a person would be paged for."""
        rules = [
            {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}},
            {
                "alert": "KubePodCrashLooping",
                "expr": "vector(1)",
                "labels": {**{k: v for k, v in FIRING.items() if k != "alertname"}, "pod": pod},
            },
        ]
        (self.folder / "alerts.yaml").write_text(
            yaml.safe_dump({"groups": [{"name": "walk", "interval": "1s", "rules": rules}]})
        )
        config = {
            "global": {"evaluation_interval": "1s"},
            "rule_files": [f"{self.folder}/alerts.yaml"],
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
                binary("prometheus", "prometheus"),
                f"--config.file={self.folder}/prom.yaml",
                f"--storage.tsdb.path={self.folder}/prom",
                f"--web.listen-address=127.0.0.1:{self.prometheus}",
                "--rules.alert.resend-delay=1s",
            ],
        )

    def stop(self) -> None:
        self.processes.stop()
        self.alertmanager.stop()
