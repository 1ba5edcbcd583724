"""What was done before: own templates, and what is not repeated."""

from datetime import UTC, datetime, timedelta

import pytest

from remediator.model.past import Past, PastAct
from remediator.model.remediation import Outcome

T = datetime(2026, 5, 1, 12, tzinfo=UTC)
H = timedelta(hours=1)
WINDOW = 6 * H


def act(
    at: datetime = T,
    outcome: Outcome | None = Outcome.INEFFECTIVE,
    rule: str = "r",
    left: str = "a",
) -> PastAct:
    return PastAct(rule, "restart_workload", ("oom_killed",), outcome, at, "a", left)


def test_a_restart_chooses_no_template_and_a_rollback_chooses_and_replaces() -> None:
    past = Past((act(), act(left="b")))
    assert (past.chosen, past.replaced) == (frozenset({"b"}), frozenset({"a"}))


@pytest.mark.parametrize(
    ("name", "past", "template", "now", "counts"),
    [
        ("just now", Past((act(),), ((T - H, None),)), "a", T + H, True),
        ("it helped", Past((act(outcome=Outcome.SUCCEEDED),), ((T - H, None),)), "a", T + H, False),
        ("another rule's", Past((act(rule="x"),), ((T - H, None),)), "a", T + H, False),
        ("others changed the template", Past((act(),), ((T - H, None),)), "z", T + H, False),
        (
            "our own later act changed it",
            Past((act(), act(T + H, None, left="b")), ((T - H, None),)),
            "b",
            T + 2 * H,
            True,
        ),
        ("it fires on for a day", Past((act(),), ((T - H, None),)), "a", T + 24 * H, True),
        (
            "quiet for less than the window",
            Past((act(),), ((T - H, T + H), (T + 6 * H, None))),
            "a",
            T + 7 * H,
            True,
        ),
        (
            "quiet for the window",
            Past((act(),), ((T - H, T + H), (T + 7 * H, None))),
            "a",
            T + 8 * H,
            False,
        ),
        ("quiet until now", Past((act(),), ((T - H, T + H),)), "a", T + 8 * H, False),
        ("a retry", Past((act(),), ((T - H, None),), T + H), "a", T + 2 * H, False),
        ("a retry before it", Past((act(),), ((T - H, None),), T - H), "a", T + 2 * H, True),
        (
            "overlapping alerts are one run",
            Past((act(),), ((T - H, T), (T - H, T + 5 * H), (T + 6 * H, None))),
            "a",
            T + 7 * H,
            True,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 1 else "",
)
def test_what_is_not_repeated(
    name: str, past: Past, template: str, now: datetime, *, counts: bool
) -> None:
    expected = frozenset({("restart_workload", "oom_killed")}) if counts else frozenset()
    assert past.ineffective("r", template, WINDOW, now) == expected
