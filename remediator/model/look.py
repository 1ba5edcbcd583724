"""What one evaluation saw and judged, as the journal stores it and `show` prints it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .cause import Cause
from .plan import Plan, redacted, to_json
from .target import Target
from .verdict import Verdict


@dataclass(frozen=True, slots=True)
class Look:
    """`target` and `root` are None if nothing was read, `plan` if none was made."""

    at: datetime
    verdicts: tuple[Verdict, ...]
    target: Target | None = None
    root: Target | None = None
    causes: tuple[Cause, ...] = ()
    plan: Plan | None = None

    def as_json(self) -> Mapping[str, Any]:
        """Plain data, without secrets."""
        plan = self.plan
        return {
            "at": self.at.isoformat(),
            "target": str(self.target or ""),
            "root": str(self.root or ""),
            "causes": [
                {"name": cause.name, "why": cause.why, "evidence": redacted(cause.evidence)}
                for cause in self.causes
            ],
            "verdicts": [verdict.as_json() for verdict in self.verdicts],
            "plan": to_json(plan) if plan else None,
            "calls": [*(call.describe() for call in plan.calls), *plan.later()] if plan else [],
            "digest": plan.digest if plan else "",
        }
