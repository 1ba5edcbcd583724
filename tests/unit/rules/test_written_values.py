"""Durations, limits, shares and times of rules: what is written is what binds, or it is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from remediator.model.limit import Radius
from remediator.model.usage import Rate
from remediator.rules.loader import RuleErrors
from remediator.rules.schema import Rule
from remediator.rules.sections import IntervalEntry, Limits
from remediator.rules.stored import from_text, to_text
from tests.unit.rules.files import file, group, loaded, refused, rule

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SECONDS = st.integers(0, 10**9)


def made(**more: object) -> Rule:
    """A rule with further keys."""
    return Rule.model_validate(
        {
            "name": "r",
            "match": ['alertname="A"'],
            "steps": [{"action": "restart_workload"}],
            "escalate": {"to": ["log"]},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("written", "rates"),
    [
        ("3/6h", [(3, 6 * HOUR)]),
        (["3/6h"], [(3, 6 * HOUR)]),
        (["3/6h", "5/1d"], [(3, 6 * HOUR), (5, DAY)]),
        ("0/1h", [(0, HOUR)]),
        ("1000000/90m", [(1000000, 90 * MINUTE)]),
    ],
)
def test_a_limit_is_a_number_per_duration_or_several(
    written: object, rates: list[tuple[int, timedelta]]
) -> None:
    assert Limits.model_validate({"per_rule": written}).per_rule == tuple(Rate(*r) for r in rates)


@pytest.mark.parametrize(
    "written",
    [3, "3", "3/", "/6h", "-1/6h", "1.5/6h", "3/6", "3/6h/1d", "3 /6h", "three/6h", None, True, {}],
    ids=repr,
)
def test_what_is_no_limit_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({"per_rule": written})


def test_a_limit_within_no_time_is_no_limit_and_is_refused() -> None:
    refused(file(group(rule(more="limits: {attempts: 3/0s}"))))


@pytest.mark.parametrize(
    ("written", "pods", "down"),
    [
        ("30%", 10, 3),
        ("30%", 3, 1),
        ("30%", 1, 1),
        ("0%", 10, 1),
        ("100%", 7, 7),
        ("12.5%", 16, 2),
        ("29%", 100, 29),
        (0, 10, 0),
        (4, 10, 4),
        ([2, "30%"], 100, 2),
        (["30%", 2], 100, 2),
        ([50, "30%"], 100, 30),
        ([0, "30%"], 100, 0),
    ],
)
def test_the_smaller_of_share_and_number_may_go_down(written: object, pods: int, down: int) -> None:
    assert Limits.model_validate({"blast_radius": written}).blast_radius.of(pods) == down


@pytest.mark.parametrize(
    "written",
    [-1, "-1%", "101%", "100.1%", "%", "3", "1e2%", 0.3, True, None, [], [[]], {}],
    ids=repr,
)
def test_what_is_no_share_of_pods_is_refused(written: object) -> None:
    with pytest.raises(ValidationError, match="blast_radius"):
        Limits.model_validate({"blast_radius": written})


@pytest.mark.parametrize(
    ("written", "most"), [([2, 5], 2), ([5, 2], 2), (["10%", "50%"], 1), (["50%", 3, "10%"], 1)]
)
def test_two_numbers_never_allow_more_than_the_smaller(written: list[object], most: int) -> None:
    assert Limits.model_validate({"blast_radius": written}).blast_radius.of(10) == most


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 100))
def test_more_pods_never_let_fewer_go_down(pods: int, more: int, percent: int) -> None:
    radius = Limits.model_validate({"blast_radius": f"{percent}%"}).blast_radius
    assert radius.of(pods) <= radius.of(pods + more) <= max(1, pods + more)


@settings(deadline=None)
@given(
    st.lists(st.builds(Rate, st.integers(0, 99), SECONDS.map(lambda s: timedelta(seconds=s + 1)))),
    SECONDS,
    st.one_of(st.none(), st.integers(0, 100)),
    st.one_of(st.none(), st.integers(0, 100)),
)
def test_limits_that_are_written_out_read_the_same(
    rates: list[Rate], cooldown: int, percent: int | None, count: int | None
) -> None:
    parts = [*([f"{percent}%"] if percent is not None else []), *([] if count is None else [count])]
    given_: dict[str, object] = {"per_rule": rates, "cooldown": timedelta(seconds=cooldown)}
    limits = Limits.model_validate(given_ | ({"blast_radius": parts} if parts else {}))
    again = Limits.model_validate(limits.model_dump(mode="json"))
    assert (again.per_rule, again.cooldown) == (limits.per_rule, limits.cooldown)
    for pods in (1, 7, 100):
        assert again.blast_radius.of(pods) == limits.blast_radius.of(pods)


def test_defaults_are_those_of_the_reference() -> None:
    rule_ = made()
    assert rule_.limits.attempts == (Rate(3, 6 * HOUR),)
    assert (rule_.limits.cooldown, rule_.limits.in_flight) == (15 * MINUTE, 2)
    assert (rule_.limits.per_rule, rule_.limits.blast_radius) == ((Rate(10, HOUR),), Radius(0.3))
    assert (rule_.mode, rule_.target, rule_.continue_, rule_.priority) == (
        "observe",
        "workload",
        False,
        0,
    )
    assert (rule_.max_age, rule_.expire, rule_.deadline) == (HOUR, HOUR, HOUR)
    assert (rule_.escalate.after, rule_.approval.expires) == (10 * MINUTE, HOUR)
    assert rule_.owners.model_dump() == {
        "gitops": "refuse",
        "operator": "refuse",
        "helm": "warn",
        "hpa": "refuse",
        "keda": "refuse",
    }


def test_a_stored_rule_keeps_what_was_promised() -> None:
    step = {"action": "scale_workload", "if": "always", "verify": {"until": ["up == 1"]}}
    given_ = made(
        steps=[{"action": "restart_workload", "then": "next"}, step],
        approval={"by": ["ann"], "two_person": True, "expires": "90m"},
        escalate={"to": ["pager", "chat"], "after": "2m"},
        expire="3h",
    )
    kept = from_text(to_text(given_))
    assert (kept.escalate, kept.approval, kept.expire) == (
        given_.escalate,
        given_.approval,
        3 * HOUR,
    )
    assert [(s.action, s.then, s.verify) for s in kept.steps] == [
        (s.action, s.then, s.verify) for s in given_.steps
    ]


def test_a_stored_rule_is_read_though_its_action_and_its_keys_are_gone() -> None:
    text = (
        '{"name": "r", "match": ["a"], "was": 1, "escalate": {"to": ["log"]},'
        ' "steps": [{"action": "gone", "if": ["forgotten"], "with": {"x": 1}}]}'
    )
    kept = from_text(text)
    assert (kept.steps[0].action, kept.steps[0].then, kept.expire) == ("gone", "verify", HOUR)
    assert (kept.escalate.to, kept.approval.two_person) == (("log",), False)


OFFICE = """\
time_intervals:
  - name: office
    time_intervals:
      - {weekdays: ["monday:friday"], times: [{start_time: "09:00", end_time: "17:00"}],
         location: Europe/Berlin}
      - {weekdays: [saturday], times: [{start_time: "10:00", end_time: "12:00"}]}
  - name: year-end
    time_intervals: [{months: [december], days_of_month: ["15:-1"]}]
"""


@pytest.mark.parametrize(
    ("name", "moment", "expected"),
    [
        ("office", "2026-05-01T07:00", True),  # Friday, 09:00 in Berlin
        ("office", "2026-05-01T06:59:59", False),
        ("office", "2026-05-01T14:59:59", True),
        ("office", "2026-05-01T15:00", False),
        ("office", "2026-01-02T07:00", False),  # winter: 08:00 in Berlin
        ("office", "2026-05-02T10:00", True),  # the other entry, in UTC
        ("office", "2026-05-02T08:00", False),
        ("office", "2026-05-03T10:00", False),
        ("year-end", "2026-12-14T23:59:59", False),
        ("year-end", "2026-12-15T00:00", True),
        ("year-end", "2026-12-31T23:59:59", True),
        ("year-end", "2027-01-01T00:00", False),
    ],
)
def test_a_window_is_open_when_one_of_its_entries_is(
    name: str, moment: str, expected: bool
) -> None:
    (interval,) = loaded(file(group(rule()), head=OFFICE)).named([name])
    assert interval.contains(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is expected


@pytest.mark.parametrize("days", ["saturday:sunday", "monday:sunday", "friday:sunday"])
def test_days_until_sunday_are_refused_as_alertmanager_does_or_match(days: str) -> None:
    head = f"time_intervals: [{{name: x, time_intervals: [{{weekdays: ['{days}']}}]}}]\n"
    try:
        (interval,) = loaded(file(group(rule()), head=head)).named(["x"])
    except RuleErrors:
        return
    assert interval.contains(datetime(2026, 5, 3, 12, tzinfo=UTC))  # a Sunday


@pytest.mark.parametrize("days", ["-1:1", "5:-28", "31:-31"])
def test_days_of_a_month_that_are_none_are_refused_as_alertmanager_does(days: str) -> None:
    with pytest.raises(ValidationError, match="ends before it starts"):
        IntervalEntry.model_validate({"days_of_month": [days]})
