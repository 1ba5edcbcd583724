"""A real node: kubelet and containerd with real containers, on a bridge of its own.

Needs root and cgroups.

Images are made here: one layer with busybox, under several names; what a container does is its
command.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.real.parts import ControlPlane, Processes, binary, missing, until

NAME, BRIDGE, ADDRESS = "real", "remediator0", "10.244.77"
SERVES = (
    "echo serving {0}; mkdir -p /tmp/w; echo {0} > /tmp/w/index.html; exec httpd -f -p 8080 -h"
    " /tmp/w"
)
IMAGES = {
    "remediator.test/pause:1": ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 1; done"],
    "remediator.test/app:1": ["sh", "-c", SERVES.format("app 1")],
    "remediator.test/app:2": ["sh", "-c", "echo app 2 cannot start >&2; exit 3"],
    "remediator.test/leak:1": ["sh", "-c", "echo leaking; sleep 3; exec tail /dev/zero"],
}


class RealNode:
    """One node, `real`, tainted so that only pods that want it come."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self.folder = plane, folder
        self.processes = Processes(folder)
        self.socket = folder / "containerd.sock"

    def start(self) -> None:
        if os.geteuid() != 0 or not Path("/sys/fs/cgroup").exists() or not shutil.which("ip"):
            missing("root, cgroups and `ip`, for a real node")
        self._bridge()
        self._containerd()
        archive = self.folder / "images.tar"
        write_images(archive)
        self._ctr("images", "import", str(archive))
        self._kubelet()
        until(self._ready, "the real node", 60)

    def _bridge(self) -> None:
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True)
        for command in (
            ["link", "add", BRIDGE, "type", "bridge"],
            ["addr", "add", f"{ADDRESS}.1/24", "dev", BRIDGE],
            ["link", "set", BRIDGE, "up"],
        ):
            done = subprocess.run(["ip", *command], capture_output=True, text=True)
            if done.returncode:
                missing(f"the right to make a bridge ({done.stderr.strip()})")

    def _containerd(self) -> None:
        cni = self.folder / "cni"
        cni.mkdir()
        network = {
            "cniVersion": "1.0.0",
            "name": "remediator",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": BRIDGE,
                    "isGateway": True,
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self.folder / "ipam"),
                        "ranges": [
                            [
                                {
                                    "subnet": f"{ADDRESS}.0/24",
                                    "rangeStart": f"{ADDRESS}.10",
                                    "gateway": f"{ADDRESS}.1",
                                }
                            ]
                        ],
                    },
                }
            ],
        }
        (cni / "10-remediator.conflist").write_text(json.dumps(network))
        bin_dir = str(Path(binary("cni", "bridge")).parent)
        config = f"""
version = 3
root = "{self.folder}/containerd"
state = "{self.folder}/containerd-state"
[grpc]
address = "{self.socket}"
[ttrpc]
address = "{self.socket}.ttrpc"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "native"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "remediator.test/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{bin_dir}"]
conf_dir = "{cni}"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{binary("node", "runc")}"
SystemdCgroup = false
"""
        (self.folder / "containerd.toml").write_text(config)
        shims = str(Path(binary("containerd", "containerd")).parent)
        path = {"PATH": f"{shims}:{os.environ['PATH']}"}
        self.processes.start(
            "containerd",
            [f"{shims}/containerd", "--config", str(self.folder / "containerd.toml")],
            path,
        )
        until(lambda: self._ctr("version"), "containerd", 30)

    def _ctr(self, *arguments: str) -> bool:
        command = [
            binary("containerd", "ctr"),
            "--address",
            str(self.socket),
            "-n",
            "k8s.io",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)
        return True

    def _kubelet(self) -> None:
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": f"{ADDRESS}.1",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": "/",
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "healthzPort": 0,
            "readOnlyPort": 0,
            "clusterDNS": [],
            "resolvConf": "",
            "registerWithTaints": [{"key": "real", "value": "yes", "effect": "NoSchedule"}],
            "podLogsDir": str(self.folder / "pod-logs"),
            "evictionHard": {"memory.available": "1Mi"},
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "2s",
        }
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(config))
        self.processes.start(
            "kubelet",
            [
                binary("kubelet", "kubelet"),
                "--config",
                str(self.folder / "kubelet.yaml"),
                "--kubeconfig",
                str(self.plane.kubeconfig),
                "--root-dir",
                str(self.folder / "kubelet"),
                "--hostname-override",
                NAME,
                "--node-ip",
                f"{ADDRESS}.1",
                "--cert-dir",
                str(self.folder / "kubelet-certs"),
                "--node-labels",
                "remediator.test/node=real",
            ],
        )

    def _ready(self) -> bool:
        conditions = self.plane.ask("GET", f"/api/v1/nodes/{NAME}")["status"].get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def create(
        self,
        namespace: str,
        name: str,
        image: str,
        replicas: int = 2,
        *,
        memory: str = "64Mi",
        wait: bool = True,
    ) -> None:
        """A Deployment with a Service, whose pods run on this node."""
        self.plane.namespace(namespace)
        container = {
            "name": "app",
            "image": image,
            "imagePullPolicy": "Never",
            "resources": {"limits": {"memory": memory}},
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        }
        pod = {
            "nodeSelector": {"remediator.test/node": "real"},
            "tolerations": [{"key": "real", "operator": "Exists"}],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        }
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
            "progressDeadlineSeconds": 60,
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.plane.ask("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
        service = {
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        self.plane.ask("POST", f"/api/v1/namespaces/{namespace}/services", service)
        if wait:
            until(
                lambda: (
                    self.plane.deployment(namespace, name)["status"].get("availableReplicas")
                    == replicas
                ),
                f"{namespace}/{name}",
                90,
            )

    def pods(self, namespace: str) -> list[Any]:
        items: list[Any] = self.plane.ask("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        return items

    def stop(self) -> None:
        """Pods first, then the kubelet, then what containerd still runs, then the mounts."""
        for item in self.plane.ask("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NAME}")[
            "items"
        ]:
            meta = item["metadata"]
            where = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
            self.plane.ask("DELETE", where, {"gracePeriodSeconds": 0})
        self.plane.ask("DELETE", f"/api/v1/nodes/{NAME}")
        time.sleep(1)
        self.processes.stop()
        self._end_shims()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(str(self.folder)):
                subprocess.run(["umount", "-l", line.split()[1]], capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True)

    def _end_shims(self) -> None:
        """The shims that this node's containerd started: their command names its socket or folder.

        And what they run.
        """
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
                if "containerd-shim-runc-v2" in command and str(self.socket) in command:
                    children = subprocess.run(
                        ["pgrep", "-P", folder.name], capture_output=True, text=True
                    ).stdout.split()
                    for pid in [*children, folder.name]:
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                continue


def write_images(path: Path) -> None:
    """A docker archive of one busybox layer, and one image on it for each command."""
    busybox = Path(binary("node", "busybox"))
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name in ("bin", "tmp", "etc"):
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(made)
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, busybox.stat().st_size
        with busybox.open("rb") as file:
            tar.addfile(program, file)
        for applet in ("sh", "sleep", "tail", "echo", "mkdir", "httpd", "cat", "wget"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    data = layer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    manifest = []
    with tarfile.open(path, "w") as tar:
        _add(tar, f"{digest}/layer.tar", data)
        for tag, command in IMAGES.items():
            config = {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": command, "Env": ["PATH=/bin"], "WorkingDir": "/"},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
            text = json.dumps(config).encode()
            name = f"{hashlib.sha256(text).hexdigest()}.json"
            _add(tar, name, text)
            manifest.append({"Config": name, "RepoTags": [tag], "Layers": [f"{digest}/layer.tar"]})
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    item = tarfile.TarInfo(name)
    item.size = len(data)
    tar.addfile(item, io.BytesIO(data))
