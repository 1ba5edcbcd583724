"""What was done to a target before, so that our own acts are no news and what did not help is not
repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .remediation import Outcome


@dataclass(frozen=True, slots=True)
class PastAct:
    """One attempt that wrote to the target.

    `before` and `left` are hashes of its pod template. `view` are the fields it left, `previous`
    what an undo restores, `owed` whether an undo is pending.
    """

    rule: str
    action: str
    causes: tuple[str, ...]
    outcome: Outcome | None
    begun_at: datetime
    before: str
    left: str
    view: Mapping[str, Any] = field(default_factory=dict)
    previous: Mapping[str, Any] = field(default_factory=dict)
    owed: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """Every attempt on the target, and when the rule's alerts of it fired (start, end or None) and
    someone ran retry.
    """

    acts: tuple[PastAct, ...] = ()
    firing: tuple[tuple[datetime, datetime | None], ...] = ()
    retried_at: datetime | None = None

    @property
    def chosen(self) -> frozenset[str]:
        """Templates that our attempts put there; nobody's rollout."""
        return frozenset(act.left for act in self.acts if act.left != act.before)

    @property
    def replaced(self) -> frozenset[str]:
        """Templates that our attempts replaced."""
        return frozenset(act.before for act in self.acts if act.left != act.before)

    @property
    def proved(self) -> frozenset[str]:
        """Templates on which an attempt was proved to help."""
        return frozenset(act.left for act in self.acts if act.outcome is Outcome.SUCCEEDED)

    def ineffective(
        self, rule: str, template: str, window: timedelta, now: datetime
    ) -> frozenset[tuple[str, str]]:
        """(action, cause) pairs of the rule that did not help and are not repeated.

        Forgotten once the alert has been quiet for `window`, someone changed the template, or ran
        retry.
        """
        since = self._unbroken_since(window, now)
        asked = self.retried_at
        own = {act.left for act in self.acts}
        if template not in own:
            return frozenset()
        found: set[tuple[str, str]] = set()
        for act in self.acts:
            forgotten = (since is not None and act.begun_at < since) or (
                asked is not None and act.begun_at <= asked
            )
            if act.rule == rule and act.outcome is Outcome.INEFFECTIVE and not forgotten:
                found |= {(act.action, cause) for cause in act.causes}
        return frozenset(found)

    def _unbroken_since(self, window: timedelta, now: datetime) -> datetime | None:
        """Start of the current series of firings, with no gap longer than `window`."""
        start: datetime | None = None
        quiet_since: datetime | None = None
        for began, ended in sorted(self.firing, key=lambda span: span[0]):
            if start is None or (quiet_since is not None and began - quiet_since >= window):
                start, quiet_since = began, began
            end = ended or now
            quiet_since = max(quiet_since or end, end)
        if quiet_since is not None and now - quiet_since >= window:
            return now
        return start
