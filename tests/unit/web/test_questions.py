"""What is asked and sent: whatever it is, it is answered in words, and what is not understood
changes nothing.
"""

import json
from typing import Any

import pytest

from tests.integration.test_http import AM, ME
from tests.unit.objects import HOUR
from tests.unit.web.served import JSON, LIST, PAUSES, PUBLIC, Served, raw

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        ("1", 200),
        ("1000", 200),
        ("001000", 200),
        ("0", 400),
        ("1001", 400),
        ("-1", 400),
        ("+1", 400),
        ("1.0", 400),
        ("1e2", 400),
        ("", 400),
        ("10 ", 400),
        ("99999999999999999999", 400),
    ],
)
async def test_a_limit_is_a_number_from_one_to_a_thousand(
    shared: Served, limit: str, status: int
) -> None:
    answered, _ = await shared.answer("GET", LIST, params={"limit": limit})
    assert answered == status


@pytest.mark.parametrize(
    "limit",
    ["0000000011001", "000000001" + "9" * 30, "000000001" + "9" * 5000],
    ids=["a number above the limit", "one beyond 64 bits", "one of 5000 digits"],
)
async def test_zeros_before_a_limit_do_not_lift_it(shared: Served, limit: str) -> None:
    async with shared.http.get(LIST, params={"limit": limit}, headers=ME) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    "query", ["state=", "state=Held", "state=held,queued", "since=soon", "page=2", "limit=1&Rule=a"]
)
async def test_a_question_that_is_not_understood_is_not_answered_with_everything(
    shared: Served, query: str
) -> None:
    status, said = await shared.answer("GET", f"{LIST}?{query}")
    assert status == 400
    assert list(said) == ["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(PAUSES, {"reason": "\ud800"}, id="a reason"),
        pytest.param(PAUSES, {"reason": "x", "scope": "namespace:\ud800"}, id="a scope"),
        pytest.param(PAUSES, {"reason": "x", "\ud800": "y"}, id="the name of a field"),
        pytest.param("/api/v1/explain", {"fingerprint": "\ud800"}, id="a fingerprint"),
        pytest.param("/api/v1/explain", {"alert": {"labels": {"a": "\ud800"}}}, id="a label"),
    ],
)
async def test_text_that_cannot_be_stored_is_refused_in_words(
    shared: Served, path: str, body: Any
) -> None:
    async with shared.http.post(path, data=json.dumps(body), headers=JSON) as answer:
        assert answer.status in (400, 404)


async def test_an_origin_that_is_no_text_is_another_origin(shared: Served) -> None:
    answer = await raw(
        shared,
        b"DELETE /api/v1/pauses/all HTTP/1.1",
        b"Authorization: Bearer me-secret",
        b"Origin: \xff",
    )
    assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(("path", "known"), [("/webhook", AM), (PAUSES, JSON)])
async def test_what_is_not_compressed_as_it_says_is_malformed(
    shared: Served, path: str, known: dict[str, str], encoding: str
) -> None:
    headers = {**known, "Content-Encoding": encoding}
    async with shared.http.post(path, data=b"not compressed", headers=headers) as answer:
        assert (answer.status, list(await answer.json())) == (400, ["error"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": PUBLIC}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Origin": PUBLIC + ":8443"}, 403),
        ({"Origin": PUBLIC.replace("https", "http")}, 403),
        ({"Origin": PUBLIC + ".evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Content-Type": "application/jsonp"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "text/plain; application/json"}, 415),
    ],
    ids=str,
)
async def test_a_page_of_another_origin_changes_nothing(
    shared: Served, headers: dict[str, str], status: int
) -> None:
    given = {**JSON, **headers}
    answered, _ = await shared.answer("POST", PAUSES, headers=given, data=b'{"reason": "a look"}')
    assert answered == status
    assert bool(await shared.lifted()) is (status == 200)


@pytest.mark.parametrize(("length", "kept"), [(1, 1), (500, 500), (501, 500)])
async def test_a_reason_is_kept_to_500_characters(shared: Served, length: int, kept: int) -> None:
    await shared.answer("POST", PAUSES, json={"reason": "ü" * length, "for": "1h"})
    (pause,) = await shared.lifted()
    assert (pause.reason, pause.author) == ("ü" * kept, "me")
    assert pause.until == shared.world.clock.now() + HOUR


@pytest.mark.parametrize("reason", [None, "", " \n\t", "\u2003"], ids=repr)
async def test_nothing_is_paused_without_a_reason(shared: Served, reason: str | None) -> None:
    status, _ = await shared.answer("POST", PAUSES, json={"reason": reason})
    assert (status, await shared.lifted()) == (400, [])


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        (None, 200),
        ("all", 200),
        (" all ", 200),
        ("namespace:shop", 200),
        ("cluster:default", 200),
        ("rule:ask", 200),
        ("ALL", 400),
        ("all:shop", 400),
        ("shop", 400),
        ("", 400),
        ("rule:", 400),
        ("rule:Ask", 404),
        ("cluster:", 400),
        ("namespace:shop/web", 404),
        (["all"], 400),
    ],
    ids=str,
)
async def test_a_pause_is_of_something_that_there_is(
    shared: Served, scope: Any, status: int
) -> None:
    answered, said = await shared.answer("POST", PAUSES, json={"reason": "x", "scope": scope})
    assert (answered, bool(await shared.lifted())) == (status, status == 200)
    if status == 200:
        assert said["paused"] == (scope or "all").strip()
