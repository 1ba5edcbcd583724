"""What a query's answer is taken for, and which rule of several is the alert's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from remediator.model.facts import Unknown
from remediator.prometheus import PrometheusApi
from tests.unit.cluster.stand_ins import Server

QUERY, RULES = "/api/v1/query", "/api/v1/rules"
SAMPLE = {"metric": {"pod": "ü"}, "value": [1, "0"]}
REJECTED = {"status": "error", "errorType": "bad_data", "error": "parse error"}


@asynccontextmanager
async def prometheus(server: Server) -> AsyncIterator[PrometheusApi]:
    async with server.serving() as url:
        api = PrometheusApi(url)
        yield api
        api.close()


def result(kind: str, value: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": value}}


async def holds(body: Any, status: int = 200) -> bool | Unknown:
    server = Server()
    server.says("GET", QUERY, body, status)
    async with prometheus(server) as api:
        return await api.holds("up == 0")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("vector", [SAMPLE], True),  # it is there, whatever its value
        ("vector", [SAMPLE, SAMPLE], True),
        ("vector", [], False),
        ("scalar", [1, "1"], None),
        ("scalar", [1, "0"], None),
        ("string", [1, "x"], None),
        ("vector", None, None),
        ("vector", {}, None),
    ],
)
async def test_only_a_vector_that_is_not_empty_holds(
    kind: str, value: Any, expected: bool | None
) -> None:
    answer = await holds(result(kind, value))
    assert isinstance(answer, Unknown) if expected is None else answer is expected


async def test_a_query_that_was_rejected_keeps_no_other_from_being_asked() -> None:
    server = Server()
    server.says("GET", QUERY, REJECTED, 400)
    server.says("GET", QUERY, result("vector", [SAMPLE]))
    async with prometheus(server) as api:
        answers = [await api.holds("up{"), await api.holds("up")]
    assert isinstance(answers[0], Unknown)
    assert answers[1] is True


def rule(name: str, query: str, kind: str = "alerting", **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "query": query, **more}


async def alerting_rule(name: str, *groups: list[Any]) -> Any:
    server = Server()
    listed = [{"name": "g", "rules": rules} for rules in groups]
    server.says("GET", RULES, {"status": "success", "data": {"groups": listed}})
    async with prometheus(server) as api:
        return await api.alerting_rule(name)


async def test_of_several_rules_of_a_name_the_first_counts_with_every_recording_rule() -> None:
    recorded = [rule("job:x", "rate(x[10m])", "recording"), rule("A", "y", "recording")]
    found = await alerting_rule(
        "A", recorded, [rule("B", "b"), rule("A", "a", duration=60, keepFiringFor=5)],
        [rule("A", "later"), rule("job:z", "z[1h]", "recording")],
    )  # fmt: skip
    assert (found["query"], found["duration"], found["keepFiringFor"]) == ("a", 60, 5)
    assert found["recorded"] == {"job:x": "rate(x[10m])", "A": "y", "job:z": "z[1h]"}


async def test_a_rule_that_prometheus_does_not_have_is_none_and_a_recording_rule_is_no_alert() -> (
    None
):
    assert await alerting_rule("A") is None
    assert await alerting_rule("A", [rule("A", "a", "recording")], []) is None


@pytest.mark.parametrize("duration", [-1, None, "60s", 1e10])
async def test_rules_with_an_impossible_time_are_unknown(duration: Any) -> None:
    wrong = rule("B", "b", duration=duration)
    assert isinstance(await alerting_rule("A", [rule("A", "a"), wrong]), Unknown)
