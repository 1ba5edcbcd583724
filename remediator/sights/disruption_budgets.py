"""budgets: the PodDisruptionBudgets in the target's namespace."""

from ..kinds import POD_DISRUPTION_BUDGET
from ..model.facts import Facts
from ..model.sight import Looking, Object, Read, Sight


def _budgets(facts: Facts, _obj: Object) -> Looking[tuple[Object, ...]]:
    """Every PodDisruptionBudget in the target's namespace."""
    (found,) = yield (Read(POD_DISRUPTION_BUDGET, facts.target.namespace),)
    return tuple(found)


BUDGETS = Sight("budgets", _budgets, lists=frozenset({POD_DISRUPTION_BUDGET}))
