"""A rule as the journal keeps it with a remediation: what was promised when it was created.

Read back is only what is asked for once a remediation exists, and it is not judged again: a cause
or an action that is no longer installed, or a matcher that an older version wrote, is no reason to
lose sight of what was done.
"""

from datetime import timedelta
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel

from .scalars import Duration
from .schema import Rule, Verify
from .sections import Approval, Escalate


class StoredStep(BaseModel):
    """What verification needs of a step."""

    action: str
    then: Literal["verify", "next"] = "verify"
    verify: Verify = Verify()


class StoredRule(BaseModel):
    """What is needed of a rule, whatever is loaded since."""

    escalate: Escalate
    approval: Approval = Approval()
    expire: Duration = timedelta(hours=1)
    steps: tuple[StoredStep, ...] = ()


def to_text(rule: Rule) -> str:
    """The whole rule as JSON."""
    return rule.model_dump_json(by_alias=True)


@lru_cache(maxsize=1000)
def from_text(text: str) -> StoredRule:
    """What is needed of it again; other keys are ignored. Raises: ValueError."""
    return StoredRule.model_validate_json(text, extra="ignore")
