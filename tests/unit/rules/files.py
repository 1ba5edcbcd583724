"""Rule files as people write them, what loading says of them, and alerts to match with them."""

from datetime import UTC, datetime

import pytest

from remediator.located import Finding, load_text
from remediator.model.alert import Alert, AlertStatus
from remediator.rules.loader import RuleErrors, build
from remediator.rules.ruleset import RuleSet

SINCE = datetime(2026, 5, 1, tzinfo=UTC)
RESTART = "{action: restart_workload}"


def rule(name: str = "a", more: str = "", *, match: str = 'alertname="A"', steps: str = "") -> str:
    """One rule, in one line; `more` are further keys."""
    tail = f", {more}" if more else ""
    return f"      - {{name: {name}, match: ['{match}'], steps: [{steps or RESTART}]{tail}}}\n"


def group(
    *rules: str, name: str = "g", scope: str = "namespaces: [shop]", mode: str = "act"
) -> str:
    """One group, as an item of `groups`."""
    head = f"  - name: {name}\n    scope: {{{scope}}}\n"
    defaults = f"    defaults: {{mode: {mode}, escalate: {{to: [log]}}}}\n"
    return f"{head}{defaults}    rules:\n{''.join(rules)}"


def file(*groups: str, overrides: str = "", head: str = "") -> str:
    """A whole file; `overrides` are items, one a line."""
    listed = "".join(f"  - {{{line}}}\n" for line in overrides.splitlines())
    tail = f"overrides:\n{listed}" if listed else ""
    return f"version: 1\n{head}groups:\n{''.join(groups)}{tail}"


def loaded(*texts: str) -> RuleSet:
    """The rules of files, in order."""
    return build([load_text(text, f"{number}.yaml") for number, text in enumerate(texts)])


def refused(*texts: str) -> list[Finding]:
    """What is wrong with files, all of it."""
    with pytest.raises(RuleErrors) as error:
        loaded(*texts)
    return error.value.findings


def place_of(text: str, part: str) -> tuple[int, int]:
    """Line and column of the last place where a part of a text stands, counted from 1."""
    before = text[: text.rindex(part)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def alert(**labels: str) -> Alert:
    """A firing alert on the Deployment `web` in `shop`; an empty label is left out."""
    given = {"alertname": "A", "namespace": "shop", "deployment": "web", **labels}
    present = {name: value for name, value in given.items() if value}
    return Alert("f", AlertStatus.FIRING, present, {}, SINCE, None)


def names(found: RuleSet, given: Alert) -> list[str]:
    """The names of the rules that match."""
    return [match.rule.name for match in found.match(given, "c")[0]]
