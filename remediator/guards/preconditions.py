"""preconditions: every PromQL query in the rule's `when` returns something.

Verdicts: hold `precondition` if a query returns nothing, `unknown_fact` if Prometheus cannot be
queried.
"""

from ..model.facts import Unknown
from ..model.verdict import Reason, Verdict, allow, hold
from .guard import Guard
from .situation import Situation


def check(situation: Situation) -> Verdict:
    """Holds while a query returns nothing, or cannot be asked."""
    for query, unknown in situation.unmet:
        if isinstance(unknown, Unknown):
            return hold(
                "preconditions", Reason.UNKNOWN_FACT, f"cannot run query `{query}`: {unknown.why}"
            )
        return hold("preconditions", Reason.PRECONDITION, f"query `{query}` returned nothing")
    return allow("preconditions")


GUARD = Guard(
    name="preconditions",
    manual=__doc__,
    set_by="`when`",
    order=150,
    planned=check,
)
