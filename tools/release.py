"""Releases the version that the code names: wheel, chart package and SBOM in dist/, and a tag. Nothing is pushed.

Usage: make release
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"


def run(*command: str) -> str:
    """What it prints; its failure ends the release."""
    print("$", " ".join(command), flush=True)
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def version() -> str:
    """The version in the code."""
    text = (ROOT / "remediator" / "__init__.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    assert found is not None
    return found.group(1)


def mistakes(name: str) -> list[str]:
    """What keeps this version from being released."""
    chart = (ROOT / "helm" / "remediator" / "Chart.yaml").read_text()
    out = []
    if f"version: {name}\n" not in chart or f'appVersion: "{name}"' not in chart:
        out.append(f"helm/remediator/Chart.yaml does not say {name}")
    if not re.search(rf"^## {re.escape(name)} \(\d{{4}}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.M):
        out.append(f"CHANGELOG.md has no `## {name} (YYYY-MM-DD)`")
    if run("git", "status", "--porcelain").strip():
        out.append("the work tree has changes that are not committed")
    if f"v{name}" in run("git", "tag", "--list").split():
        out.append(f"tag v{name} exists; raise the version in remediator/__init__.py and the chart")
    return out


def helm() -> str:
    """The Helm that `make tools` built."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    installer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installer)
    return str(installer.part_folder("helm") / "helm")


def main() -> None:
    """From the command line."""
    name = version()
    wrong = mistakes(name)
    if wrong:
        sys.exit(f"cannot release {name}:\n" + "\n".join(f"  {text}" for text in wrong))
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(DIST), ".")
    run(helm(), "package", "helm/remediator", "--destination", str(DIST))
    with_groups = ("--group", "release", "--constraint", "constraints.txt")
    run(sys.executable, "-m", "pip", "install", "--quiet", *with_groups)
    run(
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--pyproject",
        "pyproject.toml",
        "--output-file",
        str(DIST / f"remediator-{name}.cdx.json"),
    )
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    run("git", "tag", "--annotate", f"v{name}", "--message", f"remediator {name}")
    for path in sorted(DIST.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size} bytes")
    print(f"tagged v{name}; nothing was pushed: `git push origin v{name}` and upload dist/ where you publish")


if __name__ == "__main__":
    main()
