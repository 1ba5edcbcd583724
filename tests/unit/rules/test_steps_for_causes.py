"""Which step of a ladder is taken for what was found, and what is waited for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.actions import ACTIONS
from remediator.causes import CAUSES
from remediator.model.facts import Unknown
from remediator.model.verdict import Reason
from remediator.rules.planner import fits, plan, sights
from remediator.rules.schema import Rule, Step
from tests.unit.causes.test_causes import KILLED, LOOPING
from tests.unit.objects import MINUTE, facts, pod, revision, workload

SETTLED = (revision(1, "web:1", 90 * MINUTE, current=True),)
KILLED_AND_LOOPING = facts(pods=(pod("a", **KILLED), pod("b", **LOOPING)), revisions=SETTLED)
NAMES = st.sets(st.sampled_from(sorted(CAUSES)))
WORDS = st.lists(st.sampled_from([*sorted(CAUSES), "any", "always"]), min_size=1, max_size=4)


def step(action: str = "restart_workload", if_: object = None, name: str = "") -> Step:
    return Step.model_validate({"action": action, "if": if_, "name": name})


def ladder(*steps: Step) -> Rule:
    return Rule.model_validate(
        {
            "name": "r",
            "match": ['alertname="A"'],
            "escalate": {"to": ["log"]},
            "steps": [item.model_dump(by_alias=True) for item in steps],
        }
    )


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        (None, {"oom_killed"}, {"oom_killed"}),
        (None, {"image_pull"}, None),
        (None, set(), None),
        ("oom_killed", {"oom_killed", "crash_loop"}, {"oom_killed"}),
        (["oom_killed", "crash_loop"], {"crash_loop"}, {"crash_loop"}),
        ("any", {"image_pull"}, {"image_pull"}),
        ("any", set(), None),
        ("always", set(), set()),
        ("always", {"oom_killed"}, set()),
        (["oom_killed", "always"], {"image_pull"}, set()),
    ],
)
def test_a_step_is_for_the_causes_that_it_names_or_its_action_declares(
    wanted: object, found: set[str], expected: set[str] | None
) -> None:
    assert fits(step(if_=wanted), found) == expected


@settings(deadline=None)
@given(WORDS, NAMES, NAMES)
def test_finding_more_causes_never_makes_a_step_unfit(
    words: list[str], found: set[str], more: set[str]
) -> None:
    item = step(if_=words)
    before, after = fits(item, found), fits(item, found | more)
    if before is not None:
        assert after is not None
        assert before <= after
    assert not after or after <= found | more


def test_a_cause_that_was_not_helped_leaves_the_step_to_another_cause() -> None:
    one, both = (
        {("restart_workload", "oom_killed")},
        {
            ("restart_workload", "oom_killed"),
            ("restart_workload", "crash_loop"),
        },
    )
    rule = ladder(step())
    assert plan(rule, KILLED_AND_LOOPING, 0, frozenset(one)).step == 0
    assert plan(rule, KILLED_AND_LOOPING, 0, frozenset(one)).plan is not None
    refusal = plan(rule, KILLED_AND_LOOPING, 0, frozenset(both)).refusal
    assert refusal is not None
    assert refusal.reason is Reason.INEFFECTIVE_BEFORE
    assert "crash_loop, oom_killed" in refusal.why


@pytest.mark.parametrize("rung", [1, 2, 99])
def test_beyond_the_last_step_nothing_is_planned_and_the_causes_are_told(rung: int) -> None:
    planned = plan(ladder(step()), KILLED_AND_LOOPING, rung)
    assert planned.plan is None
    assert planned.refusal is not None
    assert planned.refusal.reason is Reason.NO_CAUSE
    assert "crash_loop, oom_killed" in planned.refusal.why


def test_a_step_after_a_refused_one_is_waited_for_where_it_cannot_be_judged() -> None:
    seen = facts(workload(replicas=0), revisions=Unknown("timeout"))
    rule = ladder(step(if_="always"), step("rollback_workload"))
    planned = plan(rule, seen, 0)
    assert planned.refusal is not None
    assert (planned.step, planned.refusal.reason) == (1, Reason.UNKNOWN_FACT)


def test_a_rule_sees_no_less_for_every_step_that_is_added() -> None:
    seen = frozenset(sights(ladder(step())))
    for action in sorted(ACTIONS):
        grown = sights(ladder(step(), step(action, name="more", if_="any")))
        assert seen | ACTIONS[action].sees <= grown
