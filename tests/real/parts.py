"""Starts the real parts: a control plane, Prometheus, Alertmanager,
PostgreSQL, each on free loopback ports.

A part that is missing skips its tests and says how to get it; in CI it is a failure.
"""

import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "test-admin-token"


def _installer() -> Any:
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def missing(what: str) -> None:
    """Skips, or fails in CI."""
    message = f"needs {what}; `make tools` provides it"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def binary(part: str, name: str) -> str:
    """The path of a built part's binary."""
    path: Path = _installer().part_folder(part) / name
    if not path.exists():
        missing(name)
    return str(path)


# below those that the kernel lends to connections, which could take one before its server does
LOW, PORTS = (10_000, 20_000)
STRIDE = (
    1009  # processes of a run have pids near each other, and look for ports far from each other
)
_given = itertools.count(os.getpid() * STRIDE)


def free_port() -> int:
    """A loopback port that nobody listens on and that this process did not give away before."""
    for number in itertools.islice(_given, PORTS):
        port = LOW + number % PORTS
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port from {LOW} to {LOW + PORTS}")


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Waits for a truthy answer; what it raises counts as no."""
    ends, last = time.monotonic() + seconds, None
    while time.monotonic() < ends:
        try:
            answer = condition()
            if answer:
                return answer
        except (OSError, ValueError, KeyError, IndexError, AssertionError) as error:
            last = error
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s (last: {last!r})")


class Ended(Exception):
    """A process ended that was to serve."""


class Processes:
    """Processes that are ours: started with a log file each, stopped in reverse order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(
        self,
        name: str,
        command: list[str],
        env: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> subprocess.Popen[bytes]:
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115 - the process keeps it
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            user=user,
            group=user,
        )
        log.close()
        self._running.append((name, process))
        return process

    def until(self, condition: Callable[[], Any], what: str, seconds: float) -> Any:
        """Waits for a truthy answer as long as all of them live. Raises: Ended."""

        def there() -> Any:
            for name, process in self._running:
                if process.poll() is not None:
                    raise Ended(
                        f"{name} ended ({process.returncode}) before {what} was"
                        f" there:\n{self.log(name)[-2000:]}"
                    )
            return condition()

        return until(there, what, seconds)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self, *names: str) -> None:
        """Stops those of these names, or all."""
        for name, process in reversed(self._running):
            if process.poll() is None and (name in names or not names):
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._running = [item for item in self._running if names and item[0] not in names]


class ControlPlane:
    """etcd, API server with its audit log on, controller manager,
    scheduler and KWOK with one fake node.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes = Processes(folder)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "kubeconfig"
        self.audit = folder / "audit.log"

    def start(self) -> None:
        folder, client, peer = self.folder, free_port(), free_port()
        tls = ["openssl", "genrsa", "-out", str(folder / "sa.key"), "2048"]
        subprocess.run(tls, check=True, capture_output=True)
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
        (folder / "audit.yaml").write_text(yaml.safe_dump(policy))
        self.write_kubeconfig(self.kubeconfig, self.url)
        etcd = f"http://127.0.0.1:{client}"
        self.processes.start(
            "etcd",
            [
                binary("etcd", "etcd"),
                "--data-dir",
                str(folder / "etcd"),
                "--unsafe-no-fsync",
                "--listen-client-urls",
                etcd,
                "--advertise-client-urls",
                etcd,
                "--listen-peer-urls",
                f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls",
                f"http://127.0.0.1:{peer}",
                "--initial-cluster",
                f"default=http://127.0.0.1:{peer}",
            ],
        )
        self.processes.until(
            lambda: urllib.request.urlopen(f"{etcd}/health", timeout=5).status == 200, "etcd", 90
        )
        self.processes.start(
            "apiserver",
            [
                binary("kubernetes", "kube-apiserver"),
                "--etcd-servers",
                etcd,
                "--secure-port",
                str(self.port),
                "--bind-address",
                "127.0.0.1",
                "--cert-dir",
                str(folder / "certs"),
                "--token-auth-file",
                str(folder / "tokens.csv"),
                "--authorization-mode",
                "RBAC",
                "--service-account-key-file",
                str(folder / "sa.key"),
                "--service-account-signing-key-file",
                str(folder / "sa.key"),
                "--service-account-issuer",
                "https://kubernetes.default.svc",
                "--service-cluster-ip-range",
                "10.96.0.0/16",
                "--audit-log-path",
                str(self.audit),
                "--audit-policy-file",
                str(folder / "audit.yaml"),
                "--allow-privileged",
                "--kubelet-preferred-address-types",
                "InternalIP",
                "--disable-admission-plugins",
                "ServiceAccount",
            ],
        )
        self.processes.until(
            lambda: self.ask("GET", "/readyz", raw=True) == b"ok", "the API server", 180
        )
        self.processes.start(
            "controller-manager",
            [
                binary("kubernetes", "kube-controller-manager"),
                "--kubeconfig",
                str(self.kubeconfig),
                "--leader-elect=false",
                "--node-monitor-grace-period=1h",
                "--service-account-private-key-file",
                str(folder / "sa.key"),
                "--secure-port",
                str(free_port()),
                "--bind-address",
                "127.0.0.1",
                "--cert-dir",
                str(folder / "kcm"),
                "--horizontal-pod-autoscaler-sync-period=5s",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            ],
        )
        self.processes.start(
            "scheduler",
            [
                binary("kubernetes", "kube-scheduler"),
                "--kubeconfig",
                str(self.kubeconfig),
                "--leader-elect=false",
                "--secure-port",
                str(free_port()),
                "--bind-address",
                "127.0.0.1",
                "--cert-dir",
                str(folder / "sched"),
            ],
        )
        self.processes.start(
            "kwok",
            [
                binary("kwok", "kwok"),
                "--kubeconfig",
                str(self.kubeconfig),
                "--manage-all-nodes=false",
                "--manage-nodes-with-annotation-selector",
                "kwok.x-k8s.io/node=fake",
                "--server-address",
                f"127.0.0.1:{free_port()}",
                "--config",
                str(Path(__file__).parent / "stages.yaml"),
            ],
        )
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "fake", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        }
        self.ask("POST", "/api/v1/nodes", node)
        self.processes.until(self._node_ready, "the fake node", 60)

    def freeze(self) -> None:
        """From here on objects change by requests only: no controller reacts to them."""
        self.processes.stop("kwok", "scheduler", "controller-manager")

    def _node_ready(self) -> bool:
        node = self.ask("GET", "/api/v1/nodes/fake")
        ready = any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in node["status"].get("conditions", [])
        )
        return ready and not node["spec"].get("taints")

    def write_kubeconfig(self, path: Path, url: str, token: str = TOKEN) -> None:
        """A kubeconfig for the bearer of a token."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": url, "insecure-skip-tls-verify": True}}
            ],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }
        path.write_text(yaml.safe_dump(config))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        raw: bool = False,
        *,
        kind: str = "application/json",
        token: str = TOKEN,
    ) -> Any:
        """One request as the administrator. Raises: urllib.error.HTTPError."""
        context = ssl._create_unverified_context()
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self.url + path,
            data,
            {"Authorization": f"Bearer {token}", "Content-Type": kind},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            raise
        return text if raw else json.loads(text)

    def namespace(self, name: str) -> None:
        try:
            self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise

    def deploy(
        self,
        namespace: str,
        name: str,
        image: str,
        replicas: int = 3,
        *,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """A Deployment whose pods become ready; `change` makes something of its pod template."""
        self.create("Deployment", namespace, name, image, replicas=replicas, change=change)

    def create(
        self,
        kind: str,
        namespace: str,
        name: str,
        image: str,
        *,
        replicas: int = 3,
        labels: Mapping[str, str] | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """A workload whose pods become ready."""
        mine = {"app": name}
        template = {
            "metadata": {"labels": mine | dict(labels or {})},
            "spec": {
                "containers": [{"name": "app", "image": image}],
                "automountServiceAccountToken": False,
            },
        }
        if change is not None:
            change(template)
        spec: dict[str, Any] = {"selector": {"matchLabels": mine}, "template": template}
        if kind != "DaemonSet":
            spec["replicas"] = replicas
        if kind == "StatefulSet":
            spec["serviceName"] = name
        self.namespace(namespace)
        path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s"
        metadata = {"name": name, "labels": mine | dict(labels or {})}
        self.ask(
            "POST",
            path,
            {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec},
        )

        def ready() -> bool:
            status = self.ask("GET", f"{path}/{name}")["status"]
            wanted = status.get("desiredNumberScheduled", 0) if kind == "DaemonSet" else replicas
            there = status.get("numberAvailable" if kind == "DaemonSet" else "availableReplicas", 0)
            return bool(wanted and there == wanted)

        until(ready, f"{kind} {namespace}/{name}", 60)

    def service_account(self, namespace: str, name: str, role: Any, *local: Any) -> str:
        """A ServiceAccount with a ClusterRole, and Roles in the namespaces that they name.

        Its token.
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.ask("POST", path, {"metadata": {"name": name}})
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        unique = f"{namespace}-{name}"
        self.ask("POST", f"{rbac}/clusterroles", {**role, "metadata": {"name": unique}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": unique}
        self.ask(
            "POST",
            f"{rbac}/clusterrolebindings",
            {"metadata": {"name": unique}, "subjects": [subject], "roleRef": reference},
        )
        for one in local:
            there = f"{rbac}/namespaces/{one['metadata']['namespace']}"
            self.ask("POST", f"{there}/roles", one)
            named = {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": one["metadata"]["name"],
            }
            bound = {
                "metadata": {"name": one["metadata"]["name"]},
                "subjects": [subject],
                "roleRef": named,
            }
            self.ask("POST", f"{there}/rolebindings", bound)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(self.ask("POST", f"{path}/{name}/token", request)["status"]["token"])

    def deployment(self, namespace: str, name: str) -> Any:
        return self.ask("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def define(self) -> None:
        """The custom resource definitions that
        kube-prometheus-stack installs, until they are served.
        """
        folder = Path(binary("crds", "alertmanagers.yaml")).parent
        kubectl = [
            binary("kubernetes", "kubectl"),
            "--kubeconfig",
            str(self.kubeconfig),
            "apply",
            "--server-side",
            "-f",
            str(folder),
        ]
        subprocess.run(kubectl, check=True, capture_output=True)
        names = [f"{path.stem}.monitoring.coreos.com" for path in folder.glob("*.yaml")]
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for name in names:
            until(
                lambda: any(
                    c["type"] == "Established" and c["status"] == "True"
                    for c in self.ask("GET", f"{path}/{name}")["status"]["conditions"] or ()
                ),
                name,
                30,
            )

    def autoscaler(self, namespace: str, name: str, kind: str, least: int, *, most: int) -> None:
        """An HPA of the workload of that name."""
        scaled = {"apiVersion": "apps/v1", "kind": kind, "name": name}
        metric = {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 70},
            },
        }
        spec = {
            "scaleTargetRef": scaled,
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [metric],
        }
        path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        self.ask("POST", path, {"metadata": {"name": name}, "spec": spec})

    def release(
        self, namespace: str, name: str, image: str, crashes: bool, *, kind: str = "Deployment"
    ) -> None:
        """A person's new release."""
        annotations = {"remediator.test/crash": "yes"} if crashes else {}
        template = {
            "metadata": {"annotations": annotations},
            "spec": {"containers": [{"name": "app", "image": image}]},
        }
        path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
        self.ask(
            "PATCH",
            path,
            {"spec": {"template": template}},
            kind="application/strategic-merge-patch+json",
        )
        if crashes:
            until(lambda: self._crashing(namespace, name), "the crash loop", 60)

    def forget_revision(self, namespace: str, image: str) -> None:
        """Forgets a revision, as revisionHistoryLimit does."""
        path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
        for item in self.ask("GET", path)["items"]:
            if item["spec"]["template"]["spec"]["containers"][0]["image"] == image:
                self.ask("DELETE", f"{path}/{item['metadata']['name']}")

    def _crashing(self, namespace: str, name: str) -> bool:
        pods = self.ask("GET", f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{name}")[
            "items"
        ]
        statuses = chain.from_iterable(
            pod.get("status", {}).get("containerStatuses", []) for pod in pods
        )
        return any(status.get("state", {}).get("waiting") for status in statuses)

    def acts(self, namespace: str, name: str) -> list[Any]:
        """The successful writes by remediator on a Deployment,
        counted in the API server's audit log.
        """
        lines = [
            json.loads(line) for line in self.audit.read_text().splitlines() if '"patch"' in line
        ]
        return [
            line
            for line in lines
            if line.get("userAgent", "").startswith("remediator/")
            and line["objectRef"].get("namespace") == namespace
            and line["objectRef"].get("name") == name
            and line["responseStatus"]["code"] == 200
        ]

    def writes(self, namespace: str) -> list[tuple[str, str, int]]:
        """(verb, resource, status) of every write by remediator in a
        namespace but its Events, from the audit log.
        """
        lines = [
            json.loads(line)
            for line in self.audit.read_text().splitlines()
            if '"remediator/' in line and '"objectRef"' in line
        ]
        return [
            (
                line["verb"],
                "/".join(
                    filter(
                        None, (line["objectRef"]["resource"], line["objectRef"].get("subresource"))
                    )
                ),
                line["responseStatus"]["code"],
            )
            for line in lines
            if line["objectRef"].get("namespace") == namespace
            and line["verb"] not in ("get", "list", "watch")
            and line["objectRef"]["resource"] != "events"
        ]

    def stop(self) -> None:
        self.processes.stop()


class AlertmanagerServer:
    """An Alertmanager of its own."""

    def __init__(self, folder: Path, part: str = "alertmanager") -> None:
        self.folder, self.port, self.part = folder, free_port(), part
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes = Processes(folder)

    def start(self, config: Any) -> None:
        (self.folder / "am.yaml").write_text(yaml.safe_dump(config))
        self.processes.start(
            "alertmanager",
            [
                binary(self.part, "alertmanager"),
                f"--config.file={self.folder}/am.yaml",
                f"--storage.path={self.folder}/am",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
        )
        self.processes.until(lambda: self.ask("GET", "/api/v2/status"), "Alertmanager", 30)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def fire(
        self, labels: Mapping[str, str], ended: bool = False, starts: datetime | None = None
    ) -> None:
        """An alert that fires for five minutes, or the same, ended now."""
        now = datetime.now(UTC)
        starts = starts or (now - timedelta(minutes=1) if ended else now)
        ends = now if ended else now + timedelta(minutes=5)
        self.ask(
            "POST",
            "/api/v2/alerts",
            [{"labels": labels, "startsAt": starts.isoformat(), "endsAt": ends.isoformat()}],
        )

    def silence(self, labels: Mapping[str, str]) -> None:
        """Silences what has these labels, for an hour."""
        now = datetime.now(UTC)
        matchers = [
            {"name": k, "value": v, "isRegex": False, "isEqual": True} for k, v in labels.items()
        ]
        times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        self.ask(
            "POST",
            "/api/v2/silences",
            {"matchers": matchers, **times, "createdBy": "t", "comment": "t"},
        )

    def stop(self) -> None:
        self.processes.stop()


class PostgreSQL:
    """A server of its own on a Unix socket folder and a free port.

    Its data is not in pytest's folder: another pytest that starts closes that to all but its owner,
    who is not PostgreSQL's.
    """

    def __init__(self, folder: Path) -> None:
        self.port, self.own = free_port(), Path(tempfile.mkdtemp(prefix="remediator-postgresql-"))
        self.processes = Processes(folder)

    def start(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
            Path(p) for p in [shutil.which("initdb")] if p
        ]
        if not found:
            missing("PostgreSQL")
        bin_ = found[-1].resolve().parent
        data = self.own / "data"
        user = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            import pwd

            user = pwd.getpwnam("nobody").pw_uid
            self.own.chmod(0o755)
            data.mkdir()
            os.chown(data, user, user)
        subprocess.run(
            [str(bin_ / "initdb"), "-D", str(data), "-U", "test", "-A", "trust"],
            check=True,
            capture_output=True,
            user=user,
            group=user,
            cwd=data.parent,
        )
        self.processes.start(
            "postgres",
            [
                str(bin_ / "postgres"),
                "-D",
                str(data),
                "-p",
                str(self.port),
                "-h",
                "127.0.0.1",
                "-k",
                str(data),
                "-F",
            ],
            user=user,
        )
        self.processes.until(self._answers, "PostgreSQL", 60)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(f"host=127.0.0.1 port={self.port} user=test dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def database(self, name: str) -> str:
        """A new database's URL."""
        import psycopg

        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=test dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://test@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        self.processes.stop()
        shutil.rmtree(self.own, ignore_errors=True)
