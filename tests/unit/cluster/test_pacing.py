"""The bucket: how many requests are sent in which time, on a clock of its own."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.cluster.pacing import Bucket
from tests.simulation.loop import VirtualLoop

RATES = st.sampled_from([0.5, 1.0, 3.0, 20.0])
A_LITTLE = 1e-6


def sent(rate: float, *waits: float) -> list[float]:
    """When each of several requests is sent, of which each comes so long after the one before."""
    times: list[float] = []

    async def send(bucket: Bucket) -> None:
        await bucket.take()
        times.append(loop.time())

    async def all_of_them() -> None:
        bucket = Bucket(rate)
        async with asyncio.TaskGroup() as group:
            for wait in waits:
                await asyncio.sleep(wait)
                group.create_task(send(bucket))

    loop = VirtualLoop()
    try:
        loop.run_until_complete(all_of_them())
    finally:
        loop.close()
    return times


def test_twice_the_rate_goes_at_once_and_then_one_each_time() -> None:
    assert sent(5, *[0.0] * 13) == pytest.approx([0.0] * 10 + [0.2, 0.4, 0.6])


def test_what_was_not_used_is_kept_up_to_twice_the_rate() -> None:
    assert sent(1, *[0.0] * 3, 3600.0, *[0.0] * 3)[-4:] == pytest.approx(
        [3600.0, 3600.0, 3601.0, 3602.0]
    )


@given(RATES, st.lists(st.floats(0, 3), min_size=1, max_size=20))
def test_no_span_of_time_has_more_than_twice_the_rate_and_what_came_in_meanwhile(
    rate: float, waits: list[float]
) -> None:
    times = sent(rate, *waits)
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            span = times[last] - start
            assert last - first + 1 <= 2 * rate + rate * span + A_LITTLE


@given(RATES, st.lists(st.floats(0, 3), min_size=1, max_size=20))
def test_who_came_first_is_sent_first_and_nobody_before_it_came(
    rate: float, waits: list[float]
) -> None:
    times, came = sent(rate, *waits), 0.0
    assert times == sorted(times)
    for wait, time in zip(waits, times, strict=True):
        came += wait
        assert time >= came - A_LITTLE


@given(RATES, st.integers(1, 60))
def test_nobody_waits_longer_than_the_queue_before_it_takes(rate: float, count: int) -> None:
    *_, last = sent(rate, *[0.0] * count)
    assert last <= max(0.0, (count - 2 * rate) / rate) + A_LITTLE


def test_who_gave_up_waiting_keeps_nobody_waiting_for_ever() -> None:
    async def one_after_another() -> float:
        bucket = Bucket(1)
        for _ in range(6):  # two go at once, the others give up at once
            try:
                async with asyncio.timeout(0.1):
                    await bucket.take()
            except TimeoutError:
                continue
        await bucket.take()
        return loop.time()

    loop = VirtualLoop()
    try:
        assert loop.run_until_complete(one_after_another()) <= 5.0
    finally:
        loop.close()


def test_one_that_does_not_wait_for_its_turn_leaves_it_to_others() -> None:
    async def gives_up() -> float:
        bucket = Bucket(1)
        for _ in range(2):
            await bucket.take()
        for _ in range(5):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await bucket.take()
        await bucket.take()
        return loop.time()

    loop = VirtualLoop()
    try:
        assert loop.run_until_complete(gives_up()) == pytest.approx(1.0)
    finally:
        loop.close()
