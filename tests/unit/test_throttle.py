"""How often one caller may ask, and what is forgotten."""

from datetime import timedelta

from remediator.model.usage import Rate
from remediator.web.throttle import MOST_CALLERS, Throttle
from tests.unit.objects import T

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def test_each_caller_has_its_own_rate_which_refills_evenly() -> None:
    throttle = Throttle(Rate(3, MINUTE))
    assert [throttle.allows("a", T) for _ in range(4)] == [True, True, True, False]
    assert throttle.allows("b", T)
    assert not throttle.allows("a", T + 19 * SECOND)
    assert throttle.allows("a", T + 20 * SECOND)
    assert not throttle.allows("a", T + 20 * SECOND)
    assert [throttle.allows("a", T + 10 * MINUTE) for _ in range(4)] == [True, True, True, False]


def test_a_look_takes_nothing_and_part_of_a_token_is_none() -> None:
    throttle = Throttle(Rate(1, MINUTE))
    assert throttle.allows("a", T, 0.0)
    assert throttle.allows("a", T)
    assert not throttle.allows("a", T + 30 * SECOND, 0.0)
    assert not throttle.allows("a", T - 30 * SECOND, 0.0)  # the clock went back
    assert throttle.allows("a", T + 90 * SECOND, 0.0)


def test_no_rate_allows_everything_and_very_many_callers_are_forgotten() -> None:
    assert all(Throttle(None).allows("a", T) for _ in range(100))
    throttle = Throttle(Rate(1, MINUTE))
    assert throttle.allows("first", T)
    for number in range(MOST_CALLERS):
        throttle.allows(str(number), T)
    assert throttle.allows("first", T)
