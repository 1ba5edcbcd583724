"""What the journal's contract tests put into it."""

from remediator.rules.schema import Rule
from remediator.rules.stored import to_text


def rule(name: str = "r") -> Rule:
    """A rule that acts."""
    step = {"action": "restart_workload", "if": "always"}
    given = {
        "name": name,
        "match": ['alertname="A"'],
        "escalate": {"to": ["log"]},
        "mode": "act",
        "steps": [step],
    }
    return Rule.model_validate(given)


TEXT = to_text(rule())
