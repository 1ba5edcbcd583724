"""Amounts: Kubernetes quantities, shares of pods, rates and durations.

An amount is never read as less than it is, and no bound is ever rounded into something wider.
"""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.duration import format_duration, parse_duration
from remediator.model.limit import Radius
from remediator.model.quantity import asked, format_bytes, parse_quantity
from remediator.model.usage import Rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("1.5", "1.5"),
        ("1.", "1"),
        (".5", "0.5"),
        ("-1", "-1"),
        ("+1", "1"),
        ("500m", "0.5"),
        ("250u", "0.00025"),
        ("100n", "0.0000001"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("1M", "1000000"),
        ("1Mi", "1048576"),
        ("1.5Gi", "1610612736"),
        ("1T", "1000000000000"),
        ("1Pi", "1125899906842624"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12E-1", "1.2"),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text: str, expected: str) -> None:
    assert parse_quantity(text) == Decimal(expected)


@pytest.mark.parametrize(
    "text",
    ["", "Gi", "1K", "1ki", "1gi", "1G i", "1,5", "1e", "1Ki5", "1e3Ki", "0x1", "NaN", "1_0", "١"],
)
def test_what_kubernetes_takes_for_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid quantity"):
        parse_quantity(text)


def test_a_quantity_that_no_number_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="quantity"):
        parse_quantity("1e99999999999999999999")


UNITS = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (1, "1Ki"),
        (1024, "1Ki"),
        (1025, "2Ki"),
        (1024**2 - 1, "1Mi"),
        (1024**2, "1Mi"),
        (1024**2 + 1, "2Mi"),
        (1536 * 1024**2, "1536Mi"),
        (2048 * 1024**2, "2Gi"),
        (2 * 1024**3 + 1, "2049Mi"),
        (1024**4, "1Ti"),
        (1024**6, "1Ei"),
        (2048 * 1024**6, "2048Ei"),
    ],
)
def test_bytes_are_written_as_an_api_server_writes_them(amount: int, expected: str) -> None:
    assert format_bytes(Decimal(amount)) == expected


@given(st.integers(1, 2**62))
def test_written_bytes_are_enough_and_less_than_one_unit_too_many(amount: int) -> None:
    unit = 1024**2 if amount >= 1024**2 else 1024
    written = parse_quantity(format_bytes(Decimal(amount)))
    assert 0 <= written - amount < unit


@given(st.integers(1, 2**62), st.integers(1, 2**62))
def test_more_bytes_are_never_written_as_fewer(one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert parse_quantity(format_bytes(Decimal(less))) <= parse_quantity(
        format_bytes(Decimal(more))
    )


def test_a_fraction_of_a_byte_is_rounded_up_too() -> None:
    assert format_bytes(Decimal("1024.5")) == "2Ki"


def container(requests: Any = None, limits: Any = None) -> dict[str, Any]:
    return {"name": "app", "resources": {"requests": requests, "limits": limits}}


def template(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **more}}


ONE = {"pods": 1, "count/pods": 1}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param({}, ONE, id="no spec"),
        pytest.param({"spec": {"containers": None}}, ONE, id="null containers"),
        pytest.param(template({"name": "app"}), ONE, id="no resources"),
        pytest.param(template({"name": "app", "resources": None}), ONE, id="null resources"),
        pytest.param(template(container({}, {})), ONE, id="empty resources"),
        pytest.param(
            template(container({"cpu": "250m"}), container({"cpu": "1"})),
            ONE | {"requests.cpu": Decimal("1.25"), "cpu": Decimal("1.25")},
            id="two containers add up",
        ),
        pytest.param(
            template(container({"memory": "1Gi"}, {"memory": "2Gi"})),
            ONE | {"requests.memory": 2**30, "memory": 2**30, "limits.memory": 2**31},
            id="requests and limits",
        ),
        pytest.param(
            template(container(None, {"cpu": 2})),
            ONE | {"requests.cpu": 2, "cpu": 2, "limits.cpu": 2},
            id="a limit alone is the request too",
        ),
        pytest.param(
            template(container({"cpu": "0"}, {"cpu": "2"})),
            ONE | {"requests.cpu": 0, "cpu": 0, "limits.cpu": 2},
            id="a request of nothing is no limit",
        ),
    ],
)
def test_a_pod_counts_for_what_its_containers_ask(made: Any, expected: dict[str, Any]) -> None:
    assert asked(made) == expected


def test_a_pod_counts_for_the_extended_resources_that_it_asks_for() -> None:
    gpu = {"nvidia.com/gpu": "2"}
    assert asked(template(container(gpu, gpu)))["requests.nvidia.com/gpu"] == 2


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ([container({"memory": "4Gi"})], 4),
        ([container({"memory": "2Gi"}), container({"memory": "3Gi"})], 3),
        ([{**container({"memory": "2Gi"}), "restartPolicy": "Always"}], 3),
    ],
    ids=["the largest, if larger than the rest", "one after the other", "a sidecar adds up"],
)
def test_a_pod_counts_for_its_init_containers(init: list[Any], expected: int) -> None:
    made = template(container({"memory": "1Gi"}), initContainers=init)
    assert asked(made)["requests.memory"] == expected * 2**30


@pytest.mark.parametrize("name", ["ephemeral-storage", "hugepages-2Mi"])
def test_a_pod_counts_by_every_key_that_a_quota_may_have(name: str) -> None:
    assert asked(template(container({name: "1Gi"})))[name] == 2**30


@pytest.mark.parametrize(
    ("radius", "pods", "expected"),
    [
        pytest.param(Radius(), 3, 1, id="less than one is one"),
        pytest.param(Radius(), 10, 3, id="a share"),
        pytest.param(Radius(), 0, 1, id="of none"),
        pytest.param(Radius(0.29), 100, 29, id="29 of 100"),
        pytest.param(Radius(1.0), 7, 7, id="all"),
        pytest.param(Radius(0.0), 50, 1, id="0% is one"),
        pytest.param(Radius(0.5, 2), 10, 2, id="both, the count is smaller"),
        pytest.param(Radius(0.1, 5), 10, 1, id="both, the share is smaller"),
        pytest.param(Radius(None, 4), 2, 4, id="a count alone"),
        pytest.param(Radius(None, 0), 10, 0, id="a count of 0 forbids"),
        pytest.param(Radius(0.5, 0), 10, 0, id="a count of 0 beats the share"),
        pytest.param(Radius(None, None), 6, 6, id="no bound"),
    ],
)
def test_a_blast_radius_of_so_many_pods(radius: Radius, pods: int, expected: int) -> None:
    assert radius.of(pods) == expected


@given(st.integers(0, 100), st.integers(0, 10_000))
def test_a_percentage_is_rounded_down_exactly_and_never_below_one(percent: int, pods: int) -> None:
    assert Radius(percent / 100).of(pods) == max(1, int(Fraction(percent * pods, 100)))


@given(st.floats(0, 1), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 50))
def test_more_pods_never_allow_fewer_and_a_count_never_allows_more(
    share: float, pods: int, more: int, count: int
) -> None:
    assert Radius(share).of(pods) <= Radius(share).of(pods + more)
    assert Radius(share, count).of(pods) == min(Radius(share).of(pods), count)


@pytest.mark.parametrize(
    ("radius", "expected"),
    [
        (Radius(), "30%"),
        (Radius(0.07), "7%"),
        (Radius(0.125, 2), "12.5% and 2"),
        (Radius(None, 0), "0"),
    ],
)
def test_a_blast_radius_reads_as_it_is_written(radius: Radius, expected: str) -> None:
    assert str(radius) == expected


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Rate(3, timedelta(hours=6)), "3/6h"),
        (Rate(0, timedelta(minutes=90)), "0/1h30m"),
        (Rate(10, timedelta(days=8)), "10/8d"),
    ],
)
def test_a_rate_reads_as_it_is_written(rate: Rate, expected: str) -> None:
    assert str(rate) == expected


@given(st.integers(0, 10**9))
def test_whole_seconds_are_read_back_from_what_is_written(seconds: int) -> None:
    value = timedelta(seconds=seconds)
    assert parse_duration(format_duration(value)) == value


@given(st.timedeltas())
def test_any_span_is_written_to_the_second_and_none_as_negative(value: timedelta) -> None:
    whole = timedelta(seconds=max(0, int(value.total_seconds())))
    assert parse_duration(format_duration(value)) == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta()),
        ("1w2d3h4m5s6ms", timedelta(9, 3 * 3600 + 4 * 60 + 5, 6000)),
        ("90m", timedelta(hours=1.5)),
        ("007s", timedelta(seconds=7)),
    ],
)
def test_units_of_a_duration_add_up(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["5m\n", "٥m", "5M", "5m,3s", "m5", "5mh", "1e3s", "+5m"])
def test_what_only_looks_like_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)
