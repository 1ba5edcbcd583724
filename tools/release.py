"""Releases the version that the code names: wheel, chart package and SBOM in dist/, and a tag.

Nothing is pushed.

Usage: make release
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"


def run(*command: str) -> str:
    """What it prints. Its failure ends the release; its errors are seen."""
    print("$", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(
            f"nothing was tagged: the command above ended with {done.returncode}\n{done.stdout}"
        )
    return done.stdout


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
    if not re.search(
        rf"^## {re.escape(name)} \(\d{{4}}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.M
    ):
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
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--group",
        "release",
        "--constraint",
        "constraints.txt",
    )
    # what a user installs, and nothing of what we test with
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        python = f"{folder}/bin/python"
        run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--constraint",
            "constraints.txt",
            *map(str, DIST.glob("*.whl")),
        )
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
        bill = DIST / f"remediator-{name}.cdx.json"
        cyclonedx = (
            sys.executable,
            "-m",
            "cyclonedx_py",
            "environment",
            python,
            "--pyproject",
            "pyproject.toml",
        )
        run(*cyclonedx, "--output-file", str(bill))
    content = json.loads(bill.read_text())
    content["metadata"]["component"]["version"] = name  # which pyproject.toml takes from the code
    bill.write_text(json.dumps(content, indent=2) + "\n")
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    run("git", "tag", "--annotate", f"v{name}", "--message", f"remediator {name}")
    for path in sorted(DIST.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size} bytes")
    print(
        f"tagged v{name}; nothing was pushed: `git push origin v{name}` and upload dist/ where you"
        " publish"
    )


if __name__ == "__main__":
    main()
