"""A rule as the journal keeps it with a remediation.

What was promised when it was created, whatever is loaded since.
"""

from functools import lru_cache

from .schema import Rule


def to_text(rule: Rule) -> str:
    """The rule as JSON."""
    return rule.model_dump_json(by_alias=True)


@lru_cache(maxsize=1000)
def from_text(text: str) -> Rule:
    """The rule again; keys that this version does not know are ignored. Raises: ValueError."""
    return Rule.model_validate_json(text, extra="ignore")
