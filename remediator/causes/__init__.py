"""Why an alert fires: one file per cause, each a pure function of facts, exporting CAUSE."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import chain
from typing import Any

from ..model.cause import Cause
from ..model.facts import Facts, Unknown
from ..model.sight import Sight
from ..plugins import Registry
from .cause_spec import CauseSpec

CAUSES: Registry[CauseSpec] = Registry(__name__, CauseSpec)


def sights(names: Iterable[str]) -> frozenset[Sight[Any]]:
    """What must be seen to find these causes."""
    return frozenset(chain.from_iterable(CAUSES[name].sees for name in names))


def look(facts: Facts, changed_within: timedelta) -> dict[str, Cause | Unknown]:
    """Every cause that is there, and every one of which that cannot be known, by name."""
    out: dict[str, Cause | Unknown] = {}
    for name, spec in CAUSES.items():
        if not spec.fits(facts.target.kind):
            continue
        seen = (facts[sight] for sight in sorted(spec.sees, key=str))
        blind = next((fact for fact in seen if isinstance(fact, Unknown)), None)
        answer = blind or spec.find(facts, changed_within)
        if isinstance(answer, Unknown):
            out[name] = answer
        elif answer is not None:
            out[name] = Cause(name, answer.why, answer.evidence)
    return out


def find(facts: Facts, changed_within: timedelta = timedelta(hours=1)) -> tuple[Cause, ...]:
    """The causes that are there."""
    looked = look(facts, changed_within).values()
    return tuple(cause for cause in looked if isinstance(cause, Cause))
