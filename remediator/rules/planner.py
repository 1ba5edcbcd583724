"""The first step of the ladder that fits the causes, and the plan that its action makes."""

from dataclasses import dataclass
from datetime import timedelta

from .. import causes
from ..actions import ACTIONS
from ..causes.cause import Cause, CauseName
from ..model.facts import Facts, Sight
from ..model.plan import Plan, Refusal
from ..model.verdict import Reason
from .schema import Rule, Step


@dataclass(frozen=True, slots=True)
class Planned:
    """What the ladder came to: a plan of one step, or a refusal, and the causes found."""

    causes: tuple[Cause, ...]
    step: int
    plan: Plan | None
    refusal: Refusal | None


def sights(rule: Rule) -> frozenset[Sight]:
    """Everything that the rule must see."""
    return frozenset(sight for step in rule.steps for sight in ACTIONS[step.action].sights) | {
        Sight.PODS,
        Sight.REVISIONS,
    }


def plan(
    rule: Rule,
    facts: Facts,
    rung: int,
    tried: frozenset[tuple[str, str]] = frozenset(),
    skipped: frozenset[int] = frozenset(),
) -> Planned:
    """Plans the first step from `rung` on that is for a cause found.

    `tried` holds (action, cause) pairs that were ineffective before; such a step is skipped for that cause, as are the
    steps whose own `when` does not hold (`skipped`). A step
    whose action refuses is skipped where a later one plans; else the first refusal is the answer. One that cannot see what
    it must is waited for.
    """
    found = causes.find(facts, changed_within(rule))
    names = {cause.name for cause in found}
    refusal: tuple[int, Refusal] | None = None
    for index in range(rung, len(rule.steps)):
        step = rule.steps[index]
        fitting = fits(step, names)
        if fitting is None or index in skipped:
            continue
        if fitting and all((step.action, name) in tried for name in fitting):
            refused = Refusal(
                Reason.INEFFECTIVE_BEFORE,
                f"{step.label} was tried for {', '.join(sorted(fitting))} and did not help",
            )
            refusal = refusal or (index, refused)
            continue
        action = ACTIONS[step.action]
        answer = action.plan(facts, action.params.model_validate(dict(step.with_)))
        if isinstance(answer, Plan):
            return Planned(found, index, answer, None)
        if (
            answer.reason is Reason.UNKNOWN_FACT
        ):  # it may be for this step: no other is taken instead
            return Planned(found, index, None, answer)
        refusal = refusal or (index, answer)
    if refusal:
        return Planned(found, refusal[0], None, refusal[1])
    shown = ", ".join(sorted(names)) or "none"
    return Planned(
        found,
        rung,
        None,
        Refusal(Reason.NO_CAUSE, f"causes found: {shown}; no step of the rule is for them"),
    )


def fits(step: Step, names: set[CauseName]) -> set[str] | None:
    """The causes found that the step is for; empty where it needs none; None where it does not fit."""
    wanted = step.if_ if step.if_ is not None else tuple(sorted(ACTIONS[step.action].causes))
    if "always" in wanted:
        return set()
    if "any" in wanted:
        return {str(name) for name in names} or None
    return {str(name) for name in names if str(name) in wanted} or None


def changed_within(rule: Rule) -> timedelta:
    """The longest `changed_within` of the rule's steps, else an hour: how far back a rollout counts as a cause."""
    windows = []
    for step in rule.steps:
        params = ACTIONS[step.action].params.model_validate(dict(step.with_))
        window = getattr(params, "changed_within", None)
        if isinstance(window, timedelta):
            windows.append(window)
    return max(windows, default=timedelta(hours=1))
