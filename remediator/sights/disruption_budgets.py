"""budgets: the PodDisruptionBudgets in the target's namespace."""

from ..kinds import POD_DISRUPTION_BUDGET
from ..model.facts import Facts
from ..model.raw import labels, selected, spec_of
from ..model.sight import Looking, Object, Read, Sight


def _budgets(facts: Facts, _obj: Object) -> Looking[tuple[Object, ...]]:
    """Every PodDisruptionBudget in the target's namespace."""
    (found,) = yield (Read(POD_DISRUPTION_BUDGET, facts.target.namespace),)
    return tuple(found)


def covers(budget: Object, pod: Object) -> bool:
    """Whether a budget selects a pod of its namespace: an empty selector selects every one, a
    missing one none (policy/v1).
    """
    selector = spec_of(budget).get("selector")
    return selector is not None and selected(selector, labels(pod))


BUDGETS = Sight("budgets", _budgets, lists=frozenset({POD_DISRUPTION_BUDGET}))
