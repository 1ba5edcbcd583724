"""Who is woken by what is told of objects."""

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.engine import news
from remediator.engine.news import BREATH, News
from remediator.model.remediation import Remediation, RemediationId
from remediator.model.target import Target
from tests.unit.engine.made import T, claimed

WEB = Target("c", "Deployment", "shop", "web")
POD = Target("c", "Pod", "shop", "web-1")


def waiting(name: str, target: Target = WEB, root: Target | None = None) -> Remediation:
    made = claimed().remediation
    key = (root or target).key
    return replace(made, id=RemediationId(name), target=target, root_key=key)


def named(target: Target) -> tuple[str, str, str]:
    return target.kind, target.namespace, target.name


def test_news_of_the_target_and_of_its_root_wake() -> None:
    found = News()
    found.expect(waiting("r-1", POD, WEB), T - BREATH)
    assert found.tell([named(WEB)])
    assert found.take(T) == ["r-1"]
    found.expect(waiting("r-1", POD, WEB), T)
    assert found.tell([("Node", "", "n"), named(POD)])
    assert found.take(T + BREATH) == ["r-1"]


def test_a_root_that_is_not_known_yet_is_the_target() -> None:
    found = News()
    found.expect(replace(waiting("r-1"), root_key=""), T - BREATH)
    assert found.tell([named(WEB)])


def test_news_of_others_wake_nobody() -> None:
    found = News()
    found.expect(waiting("r-1"), T - BREATH)
    assert not found.tell([named(POD), ("StatefulSet", "shop", "web"), ("Deployment", "x", "web")])
    assert found.take(T) == []


def test_one_is_woken_once_for_many_news_and_again_after_a_breath() -> None:
    found = News()
    found.expect(waiting("r-1"), T - BREATH)
    for _ in range(100):
        found.tell([named(WEB)])
    assert found.take(T) == ["r-1"]
    found.expect(waiting("r-1"), T)
    found.tell([named(WEB)])
    assert found.take(T + BREATH / 2) == []
    assert found.take(T + BREATH) == ["r-1"]
    assert found.take(T + 9 * BREATH) == []


def test_who_ended_or_waits_for_another_object_is_not_woken() -> None:
    found = News()
    found.expect(waiting("r-1"), T - BREATH)
    found.expect(waiting("r-2"), T - BREATH)
    found.tell([named(WEB)])
    found.forget(RemediationId("r-1"))
    found.forget(RemediationId("r-1"))
    assert found.take(T) == ["r-2"]
    found.expect(waiting("r-2", POD), T - BREATH)
    assert not found.tell([named(WEB)])
    assert found.tell([named(POD)])


def test_those_that_were_looked_at_longest_ago_are_left_to_their_timers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(news, "MOST", 3)
    found = News()
    for number in range(5):
        found.expect(waiting(f"r-{number}"), T - BREATH)
    found.tell([named(WEB)])
    assert sorted(found.take(T)) == ["r-2", "r-3", "r-4"]


def test_what_is_told_while_it_is_looked_at_wakes_it_a_breath_later() -> None:
    found = News()
    found.expect(waiting("r-1"), T)
    found.tell([named(WEB)])
    assert found.take(T + BREATH / 2) == []
    assert found.take(T + BREATH) == ["r-1"]


def test_whom_nobody_looked_at_since_is_left_to_its_timer() -> None:
    """It has ended by another daemon's hand, or there is too much to do already."""
    found = News()
    found.expect(waiting("r-1"), T - BREATH)
    found.tell([named(WEB)])
    assert found.take(T) == ["r-1"]
    found.tell([named(WEB)])
    assert found.take(T + BREATH) == []
    assert not found.tell([named(WEB)])
    found.expect(waiting("r-1"), T + BREATH)
    assert found.tell([named(WEB)])
    assert found.take(T + 2 * BREATH) == ["r-1"]


def test_a_clock_that_jumps_back_silences_nobody() -> None:
    found = News()
    found.expect(waiting("r-1"), T)
    found.tell([named(WEB)])
    assert found.take(T - timedelta(hours=1)) == ["r-1"]
