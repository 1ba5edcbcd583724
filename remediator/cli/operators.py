"""Commands for a running daemon: explain, list, show, approve, deny, pause, resume, cancel, undo,
retry.
"""

import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..errors import RemediatorError
from . import show as showing


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for this server alone, and a redirected POST would become a GET."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """No other request: the redirection is an error."""


OPENER = urllib.request.build_opener(_NoRedirects)


def _token_in(path: Path) -> str:
    """The token in a file. Raises: RemediatorError."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RemediatorError(f"cannot read the token in {path}: {error}") from None
    if not token.isprintable() or not token.isascii() or " " in token:
        raise RemediatorError(f"cannot use the token in {path}: it must be one word on one line")
    return token


def _error_in(answer: urllib.error.HTTPError) -> str:
    """The daemon's message in an answer; empty if there is none."""
    try:
        data = json.load(answer)
    except (ValueError, OSError, http.client.HTTPException):
        return ""
    return str(data.get("error") or "") if isinstance(data, dict) else ""


class Api:
    """A running daemon's API, for an operator."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token_file:
            self._headers["Authorization"] = f"Bearer {_token_in(token_file)}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer. Raises: RemediatorError with the daemon's message."""
        data = json.dumps(body).encode() if body is not None else None
        if not self._url.startswith(("http://", "https://")):
            raise RemediatorError(
                f"invalid URL {self._url}; use a form such as http://127.0.0.1:9099"
            )
        try:
            request = urllib.request.Request(
                f"{self._url}/api/v1{path}", data, self._headers, method=method
            )
            with OPENER.open(request, timeout=30) as answer:
                return json.load(answer)
        except (ValueError, http.client.InvalidURL):
            raise RemediatorError(
                f"the server at {self._url} is not remediator; set --url or REMEDIATOR_URL"
            ) from None
        except urllib.error.HTTPError as error:
            raise RemediatorError(
                _error_in(error) or f"{self._url} answered {error.code} {error.reason}"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(getattr(error, "reason", error), "strerror", None) or error
            raise RemediatorError(
                f"cannot reach remediator at {self._url}: {why}; is it serving? set --url or"
                " REMEDIATOR_URL"
            ) from None


def with_api(function: Any) -> Any:
    """The options of a command that asks a running daemon."""
    function = click.option(
        "--token-file",
        envvar="REMEDIATOR_TOKEN_FILE",
        show_envvar=True,
        type=click.Path(path_type=Path, exists=True),
        help="File with your bearer token.",
    )(function)
    return click.option(
        "--url",
        envvar="REMEDIATOR_URL",
        show_envvar=True,
        default="http://127.0.0.1:9099",
        show_default=True,
        help="URL of the daemon.",
    )(function)


def printed(answer: Any, as_json: bool, shown: Callable[[Any], str]) -> None:
    """Prints an answer, as JSON or in words."""
    click.echo(json.dumps(answer, indent=2) if as_json else shown(answer))


def _first(file: str, data: Any) -> Any:
    """The alert in a file, or the first of a webhook. Raises: RemediatorError."""
    alerts = data.get("alerts") if isinstance(data, dict) else None
    if alerts is None:
        return data
    if not isinstance(alerts, list) or not alerts:
        raise RemediatorError(f"cannot read {file}: `alerts` must be a list with an alert")
    return alerts[0]


@click.command()
@click.argument("alert")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@with_api
def explain(alert: str, as_json: bool, url: str, token_file: Path | None) -> None:
    """Show why each rule matches ALERT or not, and what it would do now.

    ALERT is a fingerprint, or a file with an alert or a webhook.
    """
    question: Any = {"fingerprint": alert}
    if Path(alert).is_file():
        try:
            data = json.loads(Path(alert).read_text())
        except ValueError:
            raise RemediatorError(f"cannot read {alert}: not valid JSON") from None
        question = {"alert": _first(alert, data)}
    answer = Api(url, token_file).ask("POST", "/explain", question)
    printed(answer, as_json, showing.explanation)


@click.command("list")
@click.option("--state", help="Only remediations in this state.")
@click.option("--namespace", "-n", help="Only remediations with a target in this namespace.")
@click.option("--rule", help="Only remediations of this rule.")
@click.option(
    "--since",
    help=(
        "Only remediations created since then: a duration such as 2h, or a time such as"
        " 2026-05-01T12:00:00Z."
    ),
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="Maximum number to list.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@with_api
def list_(
    state: str | None,
    namespace: str | None,
    rule: str | None,
    since: str | None,
    *,
    limit: int,
    as_json: bool,
    url: str,
    token_file: Path | None,
) -> None:
    """List remediations, newest first."""
    asked = {"state": state, "namespace": namespace, "rule": rule, "since": since, "limit": limit}
    query = urllib.parse.urlencode({key: value for key, value in asked.items() if value})
    rows = Api(url, token_file).ask("GET", f"/remediations?{query}")
    nothing = "no remediations yet"
    if any((state, namespace, rule, since)):
        nothing = "no matching remediations; without options all are listed"
    printed(rows, as_json, lambda rows: showing.listing(rows) if rows else nothing)


@click.command()
@click.argument("remediation")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@with_api
def show(remediation: str, as_json: bool, url: str, token_file: Path | None) -> None:
    """Show one remediation: alerts, causes, verdicts, calls, history."""
    row = Api(url, token_file).ask("GET", f"/remediations/{urllib.parse.quote(remediation)}")
    printed(row, as_json, showing.remediation)


def _deciding(verb: str, text: str) -> click.Command:
    @click.command(verb, help=text)
    @click.argument("remediation")
    @click.option("--reason", default="", help="Reason, kept in the journal.")
    @with_api
    def command(
        remediation: str,
        reason: str,
        url: str,
        token_file: Path | None,
        *,
        digest: str = "",
        yes: bool = False,
    ) -> None:
        api, path = Api(url, token_file), f"/remediations/{urllib.parse.quote(remediation)}"
        if verb == "approve" and not digest:
            digest = _looked_at(api.ask("GET", path))
        if verb == "undo":
            _sure(remediation, api.ask("GET", f"{path}/undo"), yes)
        answer = api.ask("POST", f"{path}/{verb}", {"digest": digest, "reason": reason})
        click.echo(f"{answer['done']}: {answer['remediation']} (by {answer['by']})")

    if verb in ("approve", "deny"):
        about = "Digest of the plan that you reviewed; refused if the plan changed since."
        return click.option("--digest", default="", help=about)(command)
    if verb == "undo":
        return click.option(
            "--yes", is_flag=True, help="Do not ask for confirmation; the plan is still printed."
        )(command)
    return command


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _looked_at(row: Any) -> str:
    """The digest of the plan, after an operator confirmed it. Raises: RemediatorError without a
    terminal.
    """
    digest = str(row["look"].get("digest") or "")
    if row["state"] != "awaiting_approval":
        raise RemediatorError(
            f"cannot approve {row['id']}: it is {row['state']}, not waiting for approval"
        )
    if not _at_a_terminal():
        raise RemediatorError(
            f"cannot approve {row['id']}: pass --digest to confirm the plan (`remediator show"
            f" {row['id']}` prints it)"
        )
    click.echo(showing.remediation(row))
    click.confirm(f"\nApprove this plan ({digest})?", abort=True)
    return digest


def _sure(remediation: str, would: Any, yes: bool) -> None:
    """Shows what an undo would do, and asks. Raises: RemediatorError without a terminal."""
    click.echo(showing.undoing(would))
    if would.get("refused"):
        raise RemediatorError(f"cannot undo {remediation}: {would['refused']}")
    if yes:
        return
    if not _at_a_terminal():
        raise RemediatorError(
            f"cannot undo {remediation}: no terminal to ask for confirmation; review the plan"
            " above, then use --yes"
        )
    click.confirm("\nDo this?", abort=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@with_api
def pauses(as_json: bool, url: str, token_file: Path | None) -> None:
    """List what is paused, by whom, until when and why."""
    rows = Api(url, token_file).ask("GET", "/pauses")
    printed(rows, as_json, showing.pauses)


@click.command()
@click.argument("scope", default="all")
@click.option("--reason", required=True, help="Reason, shown to everyone.")
@click.option("--for", "for_", help="Duration, such as 2h; default: until resumed.")
@with_api
def pause(scope: str, reason: str, for_: str | None, url: str, *, token_file: Path | None) -> None:
    """Pause SCOPE (all, cluster:NAME, namespace:NAME, rule:NAME).

    Attempts in progress are finished.
    """
    answer = Api(url, token_file).ask(
        "POST", "/pauses", {"scope": scope, "reason": reason, "for": for_}
    )
    click.echo(
        f"paused {answer['paused']} (by {answer['by']})"
        + (f" until {answer['until']}" if answer["until"] else "")
    )


@click.command()
@click.argument("scope", default="all")
@with_api
def resume(scope: str, url: str, token_file: Path | None) -> None:
    """Resume SCOPE."""
    answer = Api(url, token_file).ask("DELETE", f"/pauses/{urllib.parse.quote(scope, safe='')}")
    click.echo(f"resumed {answer['resumed']} (by {answer['by']})")


COMMANDS = [
    explain,
    list_,
    show,
    _deciding("approve", "Approve the plan of a waiting remediation."),
    _deciding("deny", "Deny the plan of a waiting remediation, which ends it."),
    _deciding("cancel", "Cancel a remediation; calls already made stay in effect."),
    _deciding("undo", "Undo what an ended remediation did, unless it was modified since."),
    _deciding("retry", "Match the still firing alerts of an ended remediation again."),
    pause,
    pauses,
    resume,
]
