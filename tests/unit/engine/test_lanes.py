"""Lanes: what only waits gives way, and is not forgotten for it."""

import asyncio

import pytest

from remediator.engine import lanes
from remediator.engine.lanes import Lanes, leave


async def test_of_what_only_waits_one_is_looked_at_a_time() -> None:
    both = Lanes()
    with both.slice() as first:
        assert first.may_wait
        with both.slice() as second:
            assert not second.may_wait
    with both.slice() as third:
        assert third.may_wait


async def test_what_only_waits_gives_way_to_what_is_urgent() -> None:
    both = Lanes()
    with both.slice() as first:
        first.urgent()
        with both.slice() as second:
            assert not second.may_wait
    with both.slice() as third:
        assert third.may_wait


async def test_it_does_not_give_way_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "PATIENCE", 0.01)
    both = Lanes()
    with both.slice() as first:
        first.urgent()
        await asyncio.sleep(0.02)
        with both.slice() as second:
            assert second.may_wait
        with both.slice() as third:
            assert not third.may_wait


async def test_one_that_turns_out_to_be_urgent_leaves_room() -> None:
    both = Lanes()
    with both.slice() as first:
        first.urgent()
        assert (both.urgent, both.waiting, first.may_wait) == (1, 0, False)
    assert (both.urgent, both.waiting) == (0, 0)


@pytest.mark.parametrize("urgent", [False, True])
async def test_one_that_fails_leaves_room(urgent: bool) -> None:
    both = Lanes()

    def fail() -> None:
        with both.slice() as first:
            if urgent:
                first.urgent()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (both.urgent, both.waiting) == (0, 0)


async def test_one_that_goes_on_to_wait_for_others_makes_room() -> None:
    both = Lanes()
    with both.slice() as first:
        assert first.may_wait
        leave()
        assert (both.urgent, both.waiting) == (0, 0)
        with both.slice() as second:
            assert second.may_wait
    assert (both.urgent, both.waiting) == (0, 0)


async def test_one_that_is_urgent_has_no_place_to_leave() -> None:
    both = Lanes()
    leave()
    with both.slice() as first:
        first.urgent()
        leave()
        assert (both.urgent, both.waiting) == (1, 0)
