"""The first step of the ladder that fits the causes, and the plan that its action makes."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from .. import causes
from ..actions import ACTIONS
from ..actions.action_spec import Parameters
from ..guards import pipeline
from ..model.cause import Cause
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Refusal
from ..model.sight import Sight
from ..model.verdict import Reason
from ..sights.pods import PODS
from ..sights.revisions import REVISIONS
from .schema import Rule, Step


@dataclass(frozen=True, slots=True)
class Planned:
    """What the ladder came to: a plan of one step, or a refusal, and the causes found."""

    causes: tuple[Cause, ...]
    step: int
    plan: Plan | None
    refusal: Refusal | None


# before and after any act, for people too
ALWAYS: frozenset[Sight[Any]] = frozenset({PODS, REVISIONS})


def sights(rule: Rule) -> frozenset[Sight[Any]]:
    """Everything that the rule must see.

    For its actions, for their guards, for the causes of its steps.
    """
    seen: set[Sight[Any]] = set(ALWAYS)
    for step in rule.steps:
        action, wanted = ACTIONS[step.action], causes_of(step)
        named = causes.CAUSES.keys() if "any" in wanted else wanted & causes.CAUSES.keys()
        seen |= action.sees | causes.sights(named)
        if action.disruptive:
            seen |= pipeline.DISRUPTION
    return frozenset(seen)


def causes_of(step: Step) -> frozenset[str]:
    """The causes that the step is for, or `any`, or `always`."""
    return frozenset(ACTIONS[step.action].causes if step.if_ is None else step.if_)


def plan(
    rule: Rule,
    facts: Facts,
    rung: int,
    tried: frozenset[tuple[str, str]] = frozenset(),
    *,
    skipped: frozenset[int] = frozenset(),
) -> Planned:
    """Plans the first step from `rung` on that is for a cause found.

    `tried` holds (action, cause) pairs that were ineffective before; such a step is skipped for
    that cause, as are the steps whose own `when` does not hold (`skipped`). A step whose action
    refuses is skipped where a later one plans; else the first refusal is the answer. A step of
    which nobody can see whether it is needed, or what to do, is waited for: no later one is taken
    instead.
    """
    looked = causes.look(facts, changed_within(rule))
    found = tuple(cause for cause in looked.values() if isinstance(cause, Cause))
    first: tuple[int, Refusal] | None = None
    for index in sorted(set(range(rung, len(rule.steps))) - skipped):
        answer = _step(rule.steps[index], facts, looked, found, tried=tried)
        if isinstance(answer, Plan):
            return Planned(found, index, answer, None)
        if answer is None:
            continue
        if answer.reason is Reason.UNKNOWN_FACT:
            return Planned(found, index, None, answer)
        first = first or (index, answer)
    at, refusal = first or (rung, _for_no_step(found))
    return Planned(found, at, None, refusal)


def _for_no_step(found: tuple[Cause, ...]) -> Refusal:
    shown = ", ".join(sorted(cause.name for cause in found)) or "none"
    return Refusal(Reason.NO_CAUSE, f"causes found: {shown}; no step of the rule handles them")


def _undetermined(step: Step, looked: Mapping[str, Cause | Unknown]) -> Refusal | None:
    """The refusal where a cause that the step is for cannot be determined."""
    wanted = [looked[name] for name in sorted(looked) if fits(step, {name}) is not None]
    unknown = next((cause for cause in wanted if isinstance(cause, Unknown)), None)
    if unknown is None:
        return None
    why = f"cannot tell whether {step.label} is needed: {unknown.why}"
    return Refusal(Reason.UNKNOWN_FACT, why)


def _step(
    step: Step,
    facts: Facts,
    looked: Mapping[str, Cause | Unknown],
    found: tuple[Cause, ...],
    *,
    tried: frozenset[tuple[str, str]],
) -> Plan | Refusal | None:
    """What one step comes to; None where it is for none of the causes found."""
    fitting = fits(step, {cause.name for cause in found})
    if fitting is None:
        return _undetermined(step, looked)
    if fitting and all((step.action, name) in tried for name in fitting):
        why = f"{step.label} was already tried for {', '.join(sorted(fitting))} and did not help"
        return Refusal(Reason.INEFFECTIVE_BEFORE, why)
    params = _parameters(step)
    return (
        params if isinstance(params, Refusal) else ACTIONS[step.action].plan(facts, params, found)
    )


def _parameters(step: Step) -> Parameters | Refusal:
    """Those of a step, which overrides that nobody looked at together may have made unfit."""
    try:
        return ACTIONS[step.action].params.model_validate(dict(step.with_))
    except ValidationError as error:
        found = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        wrong = "; ".join(f"{place}: {message}" for place, message in found)
        why = f"the parameters of {step.label} do not fit together under the overrides: {wrong}"
        return Refusal(Reason.UNSUPPORTED_TARGET, why)


def fits(step: Step, names: Set[str]) -> frozenset[str] | None:
    """The causes found that the step is for; empty where it needs none.

    None where it does not fit.
    """
    wanted = causes_of(step)
    if "always" in wanted:
        return frozenset()
    fitting = frozenset(names) if "any" in wanted else wanted & names
    return fitting or None


def changed_within(rule: Rule) -> timedelta:
    """The longest `changed_within` of the rule's steps, else an hour.

    How far back a rollout counts as a cause.
    """
    windows = []
    for step in rule.steps:
        window = getattr(_parameters(step), "changed_within", None)
        if isinstance(window, timedelta):
            windows.append(window)
    return max(windows, default=timedelta(hours=1))
