"""replay."""

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import click

FAILED = 1


@click.command()
@click.argument("fixtures", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--rules",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Rule files; default: the shipped ones.",
)
@click.option(
    "--facts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Output of `kubectl get … -o json`.",
)
@click.option(
    "--cluster", is_flag=True, help="Read the facts from the live cluster; nothing is changed."
)
@click.option(
    "--kubeconfig",
    default="",
    help=(
        "Kubeconfig for --cluster; default: KUBECONFIG, ~/.kube/config, or the pod's"
        " ServiceAccount."
    ),
)
@click.option("--context", default="", help="Context for --cluster; default: the current one.")
@click.option(
    "--assume",
    type=click.Choice(["healthy"]),
    help="Assume that every object exists and is healthy, and that every query holds.",
)
@click.option(
    "--mode",
    type=click.Choice(["observe", "approve", "act"]),
    help="Override the mode of every rule.",
)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--fail-on",
    default="",
    help="Comma-separated states (or `unmatched`); exit code 1 if any occurs.",
)
def replay(
    fixtures: tuple[Path, ...],
    paths: tuple[Path, ...],
    facts: Path | None,
    cluster: bool,
    *,
    kubeconfig: str,
    context: str,
    assume: str | None,
    mode: str | None,
    output: str,
    fail_on: str,
) -> None:
    """Show what the rules would have done about recorded webhooks.

    FIXTURES are files (JSON, JSON lines) or folders.

    The same engine runs on virtual time without side effects: nothing is sent, changes are assumed
    to converge, and alerts resolve as recorded. Without facts it goes as far as labels allow, and
    says so.
    """
    if sum(map(bool, (facts, cluster, assume))) > 1:
        raise click.UsageError("use only one of --facts, --cluster and --assume")
    from .. import telemetry
    from ..model.remediation import LIVE, State
    from . import show

    ends = {"unmatched", *(state for state in State if state not in LIVE)}
    wanted = {word.strip() for word in fail_on.split(",") if word.strip()}
    if wanted - ends:
        raise click.UsageError(
            f"unknown in --fail-on: {', '.join(sorted(wanted - ends))}; known:"
            f" {', '.join(sorted(ends))}"
        )
    telemetry.configure_log("error")
    report = asyncio.run(
        _replay(
            fixtures,
            paths,
            facts,
            (kubeconfig, context) if cluster else None,
            assume=assume,
            mode=mode,
        )
    )
    click.echo(
        json.dumps(report.as_json(), indent=2, default=str)
        if output == "json"
        else show.replay(report.as_json())
    )
    came = {row["state"] for row in report.remediations} | (
        {"unmatched"} if report.summary["unmatched"] else set()
    )
    if wanted & came:
        raise SystemExit(FAILED)


async def _replay(
    fixtures: tuple[Path, ...],
    paths: tuple[Path, ...],
    facts: Path | None,
    cluster: tuple[str, str] | None,
    *,
    assume: str | None,
    mode: str | None,
) -> Any:
    from .. import shipped
    from ..guards.situation import ProcessLimits
    from ..replay import in_mode, run
    from ..replay.assumed import Healthy
    from ..replay.closed import SnapshotFile
    from ..replay.recorded import read
    from ..rules.loader import load

    recorded, rules = read(fixtures), load(paths or (shipped.rules(),))
    async with contextlib.AsyncExitStack() as stack:
        seen: Any = None
        if facts:
            seen = SnapshotFile(facts)
        elif assume:
            seen = Healthy()
        elif cluster:
            from ..cluster.client import connect

            named, context = cluster
            seen = await connect(named or _kubeconfig(), context, qps=20)
            stack.push_async_callback(seen.close)
        return await run(recorded, in_mode(rules, mode) if mode else rules, seen, ProcessLimits())


def _kubeconfig() -> str:
    """kubectl's choice; empty if there is none: the pod's ServiceAccount."""
    home = Path.home() / ".kube" / "config"
    return os.environ.get("KUBECONFIG") or (str(home) if home.exists() else "")


COMMANDS = [replay]
