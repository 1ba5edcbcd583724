"""rules, promote, reset: the record of rules."""

import urllib.parse
from pathlib import Path

import click

from ..errors import RemediatorError
from . import show as showing
from .operators import Api, printed, with_api


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@with_api
def rules(as_json: bool, url: str, token_file: Path | None) -> None:
    """List the loaded rules: what each would have done, how often it was approved, how often it
    helped.
    """
    answer = Api(url, token_file).ask("GET", "/rules")
    printed(answer, as_json, lambda answer: showing.rules(answer["rules"]))


@click.command()
@click.argument("rule")
@with_api
def promote(rule: str, url: str, token_file: Path | None) -> None:
    """Print the evidence for giving RULE more freedom, and the edit to make. Nothing is changed."""
    found = [
        row for row in Api(url, token_file).ask("GET", "/rules")["rules"] if row["name"] == rule
    ]
    if not found:
        raise RemediatorError(f"cannot promote {rule}: no such rule; `remediator rules` lists them")
    click.echo(showing.promotion(found[0]))


@click.command()
@click.argument("rule")
@with_api
def reset(rule: str, url: str, token_file: Path | None) -> None:
    """Close RULE's breaker: how its remediations ended until now is forgotten."""
    answer = Api(url, token_file).ask(
        "POST", f"/rules/{urllib.parse.quote(rule, safe='')}/reset", {}
    )
    click.echo(f"reset: {answer['rule']} (by {answer['by']})")


COMMANDS = [rules, promote, reset]
