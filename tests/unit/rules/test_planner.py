"""The ladder: the first step for a cause found, what is skipped, and why nothing fits."""

from datetime import timedelta
from typing import Any

import pytest

from remediator import causes
from remediator.model.facts import Facts, Unknown
from remediator.model.verdict import Reason
from remediator.rules import planner
from remediator.rules.schema import Rule
from tests.unit import objects
from tests.unit.causes.test_causes import KILLED, LOOPING
from tests.unit.objects import MINUTE, facts, pod, revision

QUIET = (revision(1, "web:1", 90 * MINUTE, current=True),)
ROLLOUT = facts()
OOM = facts(pods=(pod("a", **KILLED), pod("b")), revisions=QUIET)
LOOP_AFTER_ROLLOUT = facts(pods=(pod("a", **LOOPING), pod("b")))
NOTHING = facts(revisions=QUIET)


def all_seen(seen: Facts) -> Facts:
    """The same, where what any cause looks at was seen, and is not there."""
    for sight in causes.sights(causes.CAUSES):
        seen = seen if sight in seen else seen.saw(sight, ())
    return seen


def rule(*steps: dict[str, Any]) -> Rule:
    return Rule.model_validate(
        {"name": "r", "match": ['alertname="A"'], "escalate": {"to": ["log"]}, "steps": list(steps)}
    )


BACK, AGAIN = {"action": "rollback_workload"}, {"action": "restart_workload"}
ALWAYS = {"action": "restart_workload", "if": "always"}


@pytest.mark.parametrize(
    ("name", "ladder", "seen", "rung", "step", "reason"),
    [
        ("the declared causes choose", (BACK, AGAIN), ROLLOUT, 0, 0, None),
        ("the first that fits, not the first", (BACK, AGAIN), OOM, 0, 1, None),
        ("both fit, the first wins", (BACK, AGAIN), LOOP_AFTER_ROLLOUT, 0, 0, None),
        ("rungs only go forward", (BACK, AGAIN), LOOP_AFTER_ROLLOUT, 1, 1, None),
        ("no cause", (BACK, AGAIN), NOTHING, 0, None, Reason.NO_CAUSE),
        ("always needs none", (ALWAYS,), NOTHING, 0, 0, None),
        ("any needs one", ({**AGAIN, "if": "any"},), ROLLOUT, 0, 0, None),
        (
            "any, and there is none",
            ({**AGAIN, "if": "any"},),
            all_seen(NOTHING),
            0,
            None,
            Reason.NO_CAUSE,
        ),
        ("if narrows", ({**AGAIN, "if": ["crash_loop"]},), OOM, 0, None, Reason.NO_CAUSE),
        (
            "a refusal is the answer",
            (ALWAYS,),
            facts(objects.workload(replicas=0)),
            0,
            None,
            Reason.SCALED_TO_ZERO,
        ),
        (
            "what cannot be seen is waited for, not skipped",
            ({"action": "scale_workload", "if": "always"}, ALWAYS),
            facts(autoscaler=Unknown("timeout")),
            0,
            None,
            Reason.UNKNOWN_FACT,
        ),
        (
            "a cause that cannot be seen is waited for",
            (BACK, ALWAYS),
            facts(revisions=Unknown("timeout")),
            0,
            None,
            Reason.UNKNOWN_FACT,
        ),
        (
            "one cause that is there is enough",
            ({**AGAIN, "if": ["crash_loop", "rollout_changed"]},),
            facts(pods=(pod("a", **LOOPING),), revisions=Unknown("timeout")),
            0,
            0,
            None,
        ),
        (
            "any waits for one that cannot be seen",
            ({**AGAIN, "if": "any"},),
            facts(revisions=Unknown("timeout")),
            0,
            None,
            Reason.UNKNOWN_FACT,
        ),
        (
            "a later step takes over from one that refuses",
            ({**BACK, "with": {"changed_within": "1m"}, "if": "any"}, {**AGAIN, "if": "any"}),
            facts(pods=(pod("a", **LOOPING),)),
            0,
            1,
            None,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_ladder(
    name: str,
    ladder: tuple[dict[str, Any], ...],
    seen: Facts,
    rung: int,
    *,
    step: int | None,
    reason: Reason | None,
) -> None:
    planned = planner.plan(rule(*ladder), seen, rung)
    assert (planned.plan is not None) == (step is not None)
    if step is None:
        assert planned.refusal is not None
        assert planned.refusal.reason is reason
    else:
        assert (planned.step, planned.refusal) == (step, None)


def test_what_did_not_help_is_skipped_for_that_cause() -> None:
    tried = frozenset({("rollback_workload", "rollout_changed")})
    planned = planner.plan(rule(BACK, AGAIN), LOOP_AFTER_ROLLOUT, 0, tried)
    assert planned.step == 1
    alone = planner.plan(rule(BACK), ROLLOUT, 0, tried)
    assert alone.refusal is not None
    assert alone.refusal.reason is Reason.INEFFECTIVE_BEFORE


def test_a_step_whose_own_when_does_not_hold_is_skipped() -> None:
    assert planner.plan(rule(BACK, AGAIN), LOOP_AFTER_ROLLOUT, 0, skipped=frozenset({0})).step == 1


def test_the_window_of_a_rollout_is_the_longest_of_the_ladder() -> None:
    assert planner.changed_within(rule(AGAIN)) == timedelta(hours=1)
    assert planner.changed_within(
        rule({**BACK, "with": {"changed_within": "6h"}}, AGAIN)
    ) == timedelta(hours=6)


def test_a_rule_must_see_what_its_steps_and_causes_must() -> None:
    assert {str(sight) for sight in planner.sights(rule(AGAIN))} == {
        "pods",
        "peers",
        "revisions",
        "budgets",
        "room",
    }


def test_parameters_that_do_not_fit_are_a_refusal_in_words() -> None:
    """Several overrides together can make such a step, where nobody foresaw that they meet."""
    made = rule({"action": "restart_workload", "if": "always"})
    wrong = made.steps[0].model_copy(update={"with_": {"allow_outge": True}})
    only = made.model_copy(update={"steps": (wrong,)})
    refused = planner.plan(only, facts(), 0).refusal
    assert refused is not None
    assert "parameters of restart_workload do not fit together" in refused.why
    assert "allow_outge" in refused.why
