"""budgets: a PodDisruptionBudget allows the disruptions that the plan makes.

Deleting a pod, or restarting a workload, bypasses disruption budgets; this guard does not. Calls to
the eviction API are exempt, since the API server checks budgets itself for each of them.

Verdicts: hold `budget_exhausted`, or `unknown_fact` if the budgets cannot be read or their
controller has not processed them.
"""

from ..model.budget import covers
from ..model.facts import Unknown
from ..model.raw import meta, status_of
from ..model.verdict import Reason, Verdict, allow, hold
from ..sights.disruption_budgets import BUDGETS
from ..sights.pods import PEERS
from .guard import Guard
from .situation import Situation, Touched


def check(situation: Situation) -> Verdict:
    """Holds where a budget of the pods permits fewer disruptions now than the plan makes.

    Calls that wait for budgets themselves are not held: the API server answers each of them.
    """
    for item in situation.touched if situation.plan is not None else ():
        verdict = _check(item) if item.touch.takes and not item.touch.waits else None
        if verdict is not None:
            return verdict
    return allow("budgets")


def _check(item: Touched) -> Verdict | None:
    found, peers = item.facts[BUDGETS], item.facts[PEERS]
    if isinstance(found, Unknown):
        why = f"cannot read the disruption budgets: {found.why}"
        return hold("budgets", Reason.UNKNOWN_FACT, why)
    pods = peers if isinstance(peers, tuple) else ()
    for budget in found:
        if not any(covers(budget, pod) for pod in pods):
            continue
        status = status_of(budget)
        name = meta(budget).get("name")
        if status.get("observedGeneration", 0) < meta(budget).get("generation", 0):
            why = f"disruption budget {name} has not been processed by its controller yet"
            return hold("budgets", Reason.UNKNOWN_FACT, why)
        left = int(status.get("disruptionsAllowed") or 0)
        if item.touch.takes > left:
            why = f"disruption budget {name} allows {left} disruptions now"
            why = f"{why}; the plan needs {item.touch.takes}"
            return hold("budgets", Reason.BUDGET_EXHAUSTED, why)
    return None


GUARD = Guard(
    name="budgets",
    manual=__doc__,
    set_by="PodDisruptionBudgets",
    order=120,
    planned=check,
    sees_pods=frozenset({BUDGETS, PEERS}),
)
