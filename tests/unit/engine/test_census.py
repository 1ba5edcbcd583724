"""How many workloads there are where a group may act: counted by namespace, remembered for a
while, and unknown rather than zero.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from remediator.cluster.sandbox import SandboxCluster
from remediator.engine.census import MOMENT, REMEMBERED, Census, Trouble
from remediator.model.facts import Unknown
from remediator.model.usage import Troubled
from tests.unit.engine.made import SECOND, TICK
from tests.unit.objects import HOUR, T


class Silent(SandboxCluster):
    """A cluster whose API server does not answer while it is `down`."""

    def __init__(self, down: bool = True) -> None:
        super().__init__(lambda: T)
        self.down = down

    async def workloads(self) -> Sequence[str] | Unknown:
        return Unknown("no answer") if self.down else await super().workloads()


def cluster(*places: str) -> Silent:
    """A cluster with one workload for each `Kind/namespace`."""
    made = Silent(down=False)
    for number, place in enumerate(places):
        kind, namespace = place.split("/")
        made.create_workload(kind, namespace, f"app{number}", "app:1", replicas=1)
    return made


WORLD = ("Deployment/shop", "StatefulSet/shop", "DaemonSet/monitoring", "Deployment/shop-test")


async def counted(where: Silent, at: datetime = T, *patterns: str) -> int | None:
    return await Census({"c": where}).count("c", patterns, at)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("shop",), 2),
        (("shop.*",), 3),
        (("shop", "monitoring"), 3),
        (("shop", "shop"), 2),
        (("sho",), 0),
        ((".*",), 4),
        ((), 0),
    ],
    ids=lambda value: ",".join(value) or "none" if isinstance(value, tuple) else "",
)
async def test_workloads_of_every_kind_are_counted_where_a_pattern_matches_all_of_the_name(
    patterns: tuple[str, ...], expected: int
) -> None:
    assert await counted(cluster(*WORLD), T, *patterns) == expected


async def test_a_cluster_without_workloads_has_none_however_often_it_is_asked() -> None:
    census = Census({"c": cluster()})
    assert await census.count("c", (".*",), T) == 0
    assert await census.count("c", ("shop",), T + SECOND) == 0


async def test_what_cannot_be_counted_is_unknown_and_not_zero() -> None:
    assert await counted(Silent(), T, ".*") is None
    assert await Census({}).count("c", (".*",), T) is None


@pytest.mark.parametrize(
    ("later", "expected"),
    [(REMEMBERED - TICK, 1), (REMEMBERED, 2), (-SECOND, 2), (HOUR, 2)],
    ids=["just before", "when it is over", "the clock jumped back", "long after"],
)
async def test_a_count_is_remembered_for_a_while(later: timedelta, expected: int) -> None:
    there = cluster("Deployment/shop")
    census = Census({"c": there})
    assert await census.count("c", ("shop",), T) == 1
    there.create_workload("Deployment", "shop", "more", "more:1")
    assert await census.count("c", ("shop",), T + later) == expected


async def test_a_cluster_that_does_not_answer_is_not_asked_again_at_once() -> None:
    there = Silent()
    census = Census({"c": there})
    assert await census.count("c", (".*",), T) is None
    there.down = False
    assert await census.count("c", (".*",), T + SECOND) is None
    assert await census.count("c", (".*",), T + REMEMBERED) == 0


async def test_an_old_count_is_not_shown_for_a_cluster_that_stopped_answering() -> None:
    there = cluster("Deployment/shop")
    census = Census({"c": there})
    assert await census.count("c", ("shop",), T) == 1
    there.down = True
    assert await census.count("c", ("shop",), T + REMEMBERED) is None


async def test_two_groups_of_one_cluster_have_a_count_of_their_own() -> None:
    census = Census({"c": cluster(*WORLD)})
    assert await census.count("c", ("shop",), T) == 2
    assert await census.count("c", ("monitoring",), T) == 1
    assert await census.count("c", ("shop",), T) == 2


class Counting:
    """A journal that counts what is in trouble, and remembers how often it did."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def troubled(self, cluster: str) -> tuple[Troubled, ...]:
        self.asked.append(cluster)
        return (Troubled(f"shop/{cluster}{len(self.asked)}", "shop"),)


async def test_what_is_in_trouble_is_counted_once_a_moment_in_each_cluster() -> None:
    journal = Counting()
    trouble = Trouble(journal)  # type: ignore[arg-type]
    first = await trouble.lately("east", T)
    assert await trouble.lately("east", T + MOMENT - TICK) == first
    assert await trouble.lately("west", T) != first
    assert await trouble.lately("east", T + MOMENT) != first
    assert journal.asked == ["east", "west", "east"]


async def test_a_clock_that_jumps_back_does_not_keep_an_old_count() -> None:
    journal = Counting()
    trouble = Trouble(journal)  # type: ignore[arg-type]
    await trouble.lately("east", T + HOUR)
    await trouble.lately("east", T)
    assert len(journal.asked) == 2
