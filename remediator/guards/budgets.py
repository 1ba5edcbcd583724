"""budgets: no pod is taken away that a disruption budget would keep, whether or not the act's own controller asks it."""

from collections.abc import Mapping
from typing import Any

from ..model.facts import Unknown
from ..model.raw import labels, meta, selected
from ..model.verdict import Reason, Verdict, allow, hold
from ..sights.budgets import BUDGETS
from ..sights.pods import PEERS
from .situation import Situation

SEES = frozenset({BUDGETS, PEERS})


def check(situation: Situation) -> Verdict:
    """Holds where a budget of the pods permits fewer disruptions now than the plan makes."""
    plan, facts = situation.plan, situation.facts
    if plan is None or plan.takes == 0:
        return allow("budgets")
    found, peers = facts[BUDGETS], facts[PEERS]
    if isinstance(found, Unknown):
        return hold(
            "budgets",
            Reason.UNKNOWN_FACT,
            f"cannot see the disruption budgets: {found.why}",
        )
    pods = peers if isinstance(peers, tuple) else ()
    for budget in found:
        spec, status = budget.get("spec") or {}, budget.get("status") or {}
        if not any(_covers(spec.get("selector"), pod) for pod in pods):
            continue
        name = meta(budget).get("name")
        if status.get("observedGeneration", 0) < meta(budget).get("generation", 0):
            return hold(
                "budgets",
                Reason.UNKNOWN_FACT,
                f"disruption budget {name} was not yet observed by its controller",
            )
        left = int(status.get("disruptionsAllowed") or 0)
        if plan.takes > left:
            why = f"disruption budget {name} permits {left} pods to go now, and the plan takes {plan.takes}"
            return hold("budgets", Reason.BUDGET_EXHAUSTED, why)
    return allow("budgets")


def _covers(selector: Mapping[str, Any] | None, pod: Mapping[str, Any]) -> bool:
    """An empty selector covers every pod of the namespace, a missing one none (policy/v1)."""
    return selector is not None and selected(selector, labels(pod))
