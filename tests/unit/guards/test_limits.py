"""Limits: decided from what the begin transaction read; no interleaving exceeds one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.guards import limits, pipeline, storm
from remediator.guards.situation import ProcessLimits, RuleLimits, Situation
from remediator.model.limit import BreakerLimit, StormLimit
from remediator.model.usage import Charge, Ended, Holder, Rate, Troubled, Usage
from remediator.model.verdict import Decision, Reason, Verdict, strongest
from tests.unit.guards.test_guards import situation
from tests.unit.objects import MINUTE, WEB, T

HOUR = timedelta(hours=1)
FREE = ProcessLimits(root=(), namespace=(), everything=())


def charge(
    ago: timedelta,
    remediation: str = "r-0",
    rule: str = "r",
    root: str = WEB.key,
    *,
    namespace: str = "shop",
    action: str = "restart_workload",
) -> Charge:
    return Charge(remediation, rule, action, namespace, root, root, T - ago)


Used = Callable[[Situation], Usage]


def usage(*charges: Charge, **more: Any) -> Used:
    """What the journal would answer for a situation, with these charges in it."""

    def read(seen: Situation) -> Usage:
        used_up = {}
        for limit in limits.counted(seen):
            mine = [
                c for c in charges if all(getattr(c, key) == value for key, value in limit.where)
            ]
            within = sorted(
                (c.at for c in mine if c.at > seen.now - limit.rate.window), reverse=True
            )
            if limit.rate.count == 0 or len(within) >= limit.rate.count:
                used_up[limit] = within[limit.rate.count - 1] if limit.rate.count else seen.now
        given: dict[str, Any] = {
            "locks": {},
            "used_up": used_up,
            "begun": any(c.remediation == seen.remediation for c in charges),
            "in_flight": 0,
            "ended": None,
            "ineffective_in_row": 0,
            "ends": (),
            "troubled": (),
            "storm_until": None,
        }
        return Usage(**(given | more))

    return read


def decided(seen: Situation, used: Used) -> list[Verdict]:
    return pipeline.begin(seen, used(seen))


def roots(count: int, namespace: str = "shop") -> tuple[Troubled, ...]:
    return tuple(Troubled(f"{namespace}/w{n}", namespace) for n in range(count))


def ends(word: str, ago: timedelta = timedelta()) -> tuple[Ended, ...]:
    """The newest first: g = good, b = bad, ? = nobody knows."""
    good = {"g": True, "b": False, "?": None}
    return tuple(Ended(good[letter], T - ago - n * MINUTE) for n, letter in enumerate(word))


def reasons(used: Used, **more: Any) -> set[Reason]:
    return {v.reason for v in decided(situation(**more), used) if v.reason}


@pytest.mark.parametrize(
    ("name", "used", "more", "expected"),
    [
        ("nothing used", usage(), {}, set()),
        ("a lock of another", usage(locks={WEB.key: Holder("r-9")}), {}, {Reason.TARGET_BUSY}),
        ("a lock of its own", usage(locks={WEB.key: Holder("r-1")}), {}, set()),
        (
            "one that verifies, of the same priority",
            usage(locks={WEB.key: Holder("r-9", True)}),
            {},
            {Reason.TARGET_BUSY},
        ),
        (
            "one that verifies, of lower priority",
            usage(locks={WEB.key: Holder("r-9", True)}),
            {"priority": 1},
            set(),
        ),
        (
            "one that verifies, of higher priority",
            usage(locks={WEB.key: Holder("r-9", True, 2)}),
            {"priority": 1},
            {Reason.TARGET_BUSY},
        ),
        (
            "one that executes, of lower priority",
            usage(locks={WEB.key: Holder("r-9", False)}),
            {"priority": 9},
            {Reason.TARGET_BUSY},
        ),
        (
            "cooldown has doubled",
            usage(ended=T - 29 * MINUTE, ineffective_in_row=1),
            {},
            {Reason.COOLDOWN},
        ),
        ("doubled cooldown is over", usage(ended=T - 30 * MINUTE, ineffective_in_row=1), {}, set()),
        (
            "cooldown after three in a row",
            usage(ended=T - 119 * MINUTE, ineffective_in_row=3),
            {},
            {Reason.COOLDOWN},
        ),
        ("it does not grow for ever", usage(ended=T - 16 * HOUR, ineffective_in_row=60), {}, set()),
        ("four in trouble", usage(troubled=roots(4)), {}, set()),
        ("five in trouble, of how many nobody knows", usage(troubled=roots(5)), {}, {Reason.STORM}),
        (
            "five in trouble, of sixteen",
            usage(troubled=roots(5)),
            {"workloads": 16},
            {Reason.STORM},
        ),
        ("five in trouble, of seventeen", usage(troubled=roots(5)), {"workloads": 17}, set()),
        ("five in trouble, elsewhere", usage(troubled=roots(5, "db")), {}, set()),
        ("five alerts of one workload", usage(troubled=roots(1) * 5), {}, set()),
        ("a storm of which few are left", usage(storm_until=T + MINUTE), {}, {Reason.STORM}),
        ("a storm of long ago", usage(storm_until=T), {}, set()),
        (
            "what takes nothing away",
            usage(troubled=roots(9), storm_until=T + MINUTE),
            {"storm_exempt": True},
            set(),
        ),
        (
            "storms are switched off",
            usage(troubled=roots(9)),
            {"process": ProcessLimits(storm=StormLimit(roots=0))},
            set(),
        ),
        ("two of five did not help", usage(ends=ends("bgbgg")), {}, set()),
        ("three of five did not help", usage(ends=ends("bgbgb")), {}, {Reason.BREAKER_OPEN}),
        ("three of six did not help", usage(ends=ends("bgbggb")), {}, set()),
        (
            "ends that say nothing do not count",
            usage(ends=ends("b??b??b")),
            {},
            {Reason.BREAKER_OPEN},
        ),
        ("they ended long ago", usage(ends=ends("bbb", 6 * HOUR)), {}, set()),
        (
            "the breaker is switched off",
            usage(ends=ends("bbb")),
            {"process": ProcessLimits(breaker=BreakerLimit(bad=0))},
            set(),
        ),
        ("cooldown", usage(ended=T - 5 * MINUTE), {}, {Reason.COOLDOWN}),
        ("cooldown is over", usage(ended=T - 15 * MINUTE), {}, set()),
        ("rungs do not cool down", usage(charge(MINUTE, "r-1"), ended=T - MINUTE), {}, set()),
        ("attempts left", usage(charge(HOUR), charge(2 * HOUR)), {}, set()),
        ("attempts spent", usage(*[charge(n * HOUR) for n in (1, 2, 3)]), {}, {Reason.GAVE_UP}),
        ("attempts of long ago", usage(*[charge(n * HOUR) for n in (1, 2, 7)]), {}, set()),
        (
            "another rule's attempts",
            usage(*[charge(n * HOUR, rule="x") for n in (1, 2, 3)]),
            {},
            set(),
        ),
        (
            "another root's attempts",
            usage(*[charge(n * HOUR, root="x") for n in (1, 2, 3)]),
            {},
            set(),
        ),
        (
            "the step's own attempts",
            usage(charge(HOUR)),
            {"step_attempts": (Rate(1, 2 * HOUR),)},
            {Reason.GAVE_UP},
        ),
        (
            "another step's attempts",
            usage(charge(HOUR, action="x")),
            {"step_attempts": (Rate(1, 2 * HOUR),)},
            set(),
        ),
        (
            "the root's rate",
            usage(*[charge(n * MINUTE, rule="x") for n in range(8)]),
            {"process": ProcessLimits(namespace=())},
            {Reason.RATE_LIMITED},
        ),
        (
            "the namespace's rate",
            usage(*[charge(n * MINUTE, rule="x", root="y") for n in range(5)]),
            {},
            {Reason.RATE_LIMITED},
        ),
        (
            "the global rate",
            usage(*[charge(n * MINUTE, rule="x", root="y", namespace="z") for n in range(10)]),
            {},
            {Reason.RATE_LIMITED},
        ),
        (
            "the action's rate",
            usage(charge(MINUTE, rule="x", root="y", namespace="z")),
            {"process": ProcessLimits(action=(Rate(1, HOUR),))},
            {Reason.RATE_LIMITED},
        ),
        (
            "the rule's rate",
            usage(charge(MINUTE, root="y", namespace="z")),
            {"limits": RuleLimits(per_rule=(Rate(1, HOUR),))},
            {Reason.RATE_LIMITED},
        ),
        (
            "several windows, the longer binds",
            usage(charge(50 * MINUTE, root="y", namespace="z")),
            {"limits": RuleLimits(per_rule=(Rate(2, MINUTE), Rate(1, HOUR)))},
            {Reason.RATE_LIMITED},
        ),
        ("in flight", usage(in_flight=2), {}, {Reason.TOO_MANY_IN_FLIGHT}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_limit(name: str, used: Used, more: dict[str, Any], expected: set[Reason]) -> None:
    assert reasons(used, **more) == expected


def test_gave_up_is_an_end_and_a_rate_is_a_hold_until_it_frees() -> None:
    spent = decided(situation(process=FREE), usage(*[charge(n * HOUR) for n in (1, 2, 3)]))
    assert strongest(spent).decision is Decision.DENY
    held = strongest(
        decided(
            situation(),
            usage(*[charge(n * MINUTE, rule="x", root="y") for n in (10, 20, 30, 40, 50)]),
        )
    )
    assert (held.decision, held.retry_after) == (Decision.HOLD, 10 * MINUTE)


def test_a_rate_of_zero_never_frees() -> None:
    never = strongest(
        decided(situation(process=ProcessLimits(everything=(Rate(0, HOUR),))), usage())
    )
    assert (never.decision, never.reason) == (Decision.DENY, Reason.RATE_LIMITED)


@given(
    st.lists(
        st.tuples(st.integers(0, 600), st.sampled_from("abc"), st.sampled_from(["shop", "db"])),
        max_size=60,
    )
)
def test_no_order_of_begins_exceeds_a_limit(tries: list[tuple[int, str, str]]) -> None:
    """Every begin that `decide` allows is charged.

    Afterwards no window holds more than its limit.
    """
    process = ProcessLimits(
        root=(Rate(2, HOUR),),
        namespace=(Rate(3, HOUR),),
        everything=(Rate(4, HOUR), Rate(6, 3 * HOUR)),
    )
    charges: list[Charge] = []
    for number, (minute, root, namespace) in enumerate(sorted(tries)):
        now = T + minute * MINUTE
        target = type(WEB)("c", "Deployment", namespace, root)
        seen = situation(
            now=now, remediation=f"r-{number}", target=target, root=target, process=process
        )
        if strongest(decided(seen, usage(*charges))).decision is Decision.ALLOW:
            charges.append(
                Charge(
                    f"r-{number}", "r", "restart_workload", namespace, target.key, target.key, now
                )
            )
    for rate, key in (
        (Rate(2, HOUR), "root_key"),
        (Rate(3, HOUR), "namespace"),
        (Rate(4, HOUR), ""),
        (Rate(6, 3 * HOUR), ""),
    ):
        for last in charges:
            window = [c for c in charges if last.at - rate.window < c.at <= last.at]
            same = [c for c in window if not key or getattr(c, key) == getattr(last, key)]
            assert len(same) <= rate.count


def test_the_fullest_limit_of_each_scope() -> None:
    charges = [charge(MINUTE), charge(2 * MINUTE), charge(90 * MINUTE, root="x")]
    shown = limits.fullest(ProcessLimits(), {"r": (Rate(4, HOUR),)}, charges, T)
    assert shown == {
        "target": 2 / 8,
        "rule": 2 / 4,
        "action": 0.0,
        "namespace": 2 / 5,
        "global": 2 / 10,
    }


def test_an_open_breaker_asks_a_person_and_one_approved_plan_passes() -> None:
    used = usage(ends=ends("bbb"))
    (asked,) = [verdict for verdict in decided(situation(), used) if verdict.guard == "breaker"]
    assert asked.decision is Decision.APPROVE
    assert "remediator reset r" in asked.why
    plan = situation().plan
    assert plan is not None
    assert Reason.BREAKER_OPEN not in reasons(used, approved_digest=plan.digest)
    assert Reason.BREAKER_OPEN in reasons(used, approved_digest="sha256:another")


def test_a_storm_is_on_only_while_it_is_counted() -> None:
    seen, exempt = situation(), situation(storm_exempt=True)
    assert storm.on(seen, usage(troubled=roots(5))(seen))
    assert not storm.on(seen, usage(storm_until=T + MINUTE)(seen))
    assert not storm.on(exempt, usage(troubled=roots(5))(exempt))


def test_the_page_of_guards_lists_them_in_the_order_in_which_they_are_asked() -> None:
    shown = [guard.name for guard in pipeline.GUARDS]
    asked = [verdict.guard for verdict in decided(situation(), usage())]
    rates = [name for name in asked if name.startswith("rate_")]
    assert shown[len(pipeline.SECOND) :] == [
        *(n for n in asked[:3]),
        "rates",
        *asked[3 + len(rates) :],
    ]
    assert shown[: len(pipeline.SECOND)] == [
        verdict.guard for verdict in pipeline.ask(pipeline.SECOND, situation())
    ]
    for guard in pipeline.GUARDS:
        assert guard.set_by
        assert guard.summary
        assert guard.asked
