"""Rules, remediations, attempts and claims as the journal returns them, for pure tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

from remediator.model.alert import Alert, AlertStatus, Episode, Fate
from remediator.model.facts import Facts
from remediator.model.plan import Plan, Times
from remediator.model.remediation import Attempt, Outcome, Remediation, RemediationId, State
from remediator.ports.records import Claim
from remediator.rules.ruleset import LoadedRule
from remediator.rules.stored import from_text, to_text
from tests.integration.world import rules
from tests.unit.actions.test_actions import planned
from tests.unit.objects import MINUTE, WEB, T, facts

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
TIMES = Times(
    converged_within=10 * MINUTE,
    resolved_within=30 * MINUTE,
    quiet_for=5 * MINUTE,
    restore_after=None,
)
RESTART = "{action: restart_workload, if: always}"
ROLL_BACK = "{action: rollback_workload, if: always}"


@lru_cache
def loaded(*steps: str, **more: str) -> LoadedRule:
    """Rule `r` as it is loaded, with these steps and other keys."""
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    made = f"name: r, match: ['alertname=\"A\"'], steps: [{', '.join(steps or (RESTART,))}]{keys}"
    found = rules(made).find("r")
    assert found is not None
    return found


def fired(ago: timedelta = 10 * MINUTE, ended: timedelta | None = None, name: str = "A") -> Episode:
    """An alert that started so long ago; it fires until now if it has not ended so long ago."""
    status = AlertStatus.FIRING if ended is None else AlertStatus.RESOLVED
    ends = None if ended is None else T - ended
    alert = Alert(f"f-{name}", status, {"alertname": name}, {}, T - ago, ends)
    return Episode(1, "s", alert, ended is None, Fate.ATTACHED, None, T, T, 1, "")


def remediation(rule: LoadedRule | None = None, **more: Any) -> Remediation:
    """A remediation of rule `r` on Deployment web, queued ten minutes ago."""
    given: dict[str, Any] = {
        "id": RemediationId("r-1"),
        "rule": "r",
        "rule_digest": (rule or loaded()).digest,
        "target": WEB,
        "root_key": WEB.key,
        "state": State.QUEUED,
        "reason": None,
        "why": "",
        "mode": "act",
        "rung": 0,
        "created_at": T - 10 * MINUTE,
        "changed_at": T - 10 * MINUTE,
        "held_since": None,
        "ended_at": None,
        "approved_digest": "",
        "approved_by": "",
        "cancel_by": "",
        "token": 1,
    }
    return Remediation(**{**given, **more})


def tried(
    outcome: Outcome | None = None, plan: Plan | None = None, step: int = 0, **more: Any
) -> Attempt:
    """An attempt that began ten minutes ago, and whose calls were answered at once."""
    made = plan or planned(facts())
    given: dict[str, Any] = {
        "id": f"r-1.{step + 1}",
        "remediation": RemediationId("r-1"),
        "number": step + 1,
        "step": step,
        "action": made.action,
        "plan": made,
        "times": TIMES,
        "digest": made.digest,
        "causes": (),
        "begun_at": T - 10 * MINUTE,
        "sent_by": T - 10 * MINUTE,
        "applied_at": T - 10 * MINUTE,
        "outcome": outcome,
    }
    return Attempt(**{**given, **more})


def claimed(
    rule: LoadedRule | None = None,
    attempts: Sequence[Attempt] = (),
    episodes: Sequence[Episode] | None = None,
    *,
    undo: Remediation | None = None,
    **more: Any,
) -> Claim:
    """A remediation of this rule whose alert fires, with its attempts."""
    bound = rule or loaded()
    own = (fired(),) if episodes is None else tuple(episodes)
    stored = from_text(to_text(bound.rule))
    return Claim(remediation(bound, **more), stored, own, tuple(attempts), undo=undo)


def short_of_pods(ready: int = 0) -> Facts:
    """The workload, with no more pods than these."""
    seen = facts()
    return replace(seen, seen={**seen.seen, "pods": facts().seen["pods"][:ready]})
