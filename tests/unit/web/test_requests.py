"""Requests to the server: who is let in before anything is read, how often one may ask, and that
whatever is sent is answered in words.
"""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from remediator.setting_sections import Web
from tests.integration.test_http import AM, ME
from tests.unit.objects import MINUTE
from tests.unit.web.served import JSON, LIST, PAUSES, Served, raw, serving

SECOND = timedelta(seconds=1)
EMPTY = {"version": "4", "alerts": []}
PROXY = {"trusted_proxy_header": "X-User", "trusted_proxies": ["127.0.0.1"]}


@asynccontextmanager
async def behind_a_proxy(folder: Path, **web: Any) -> AsyncIterator[Served]:
    async with serving(folder, None, {**PROXY, **web}, operators=[]) as served:
        yield served


async def test_a_proxy_that_names_people_in_another_encoding_gets_an_answer(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path) as served:
        answer = await raw(
            served,
            b"POST /api/v1/pauses HTTP/1.1",
            b"X-User: Jos\xe9",
            b"Content-Type: application/json",
            body=b'{"reason": "a look"}',
        )
        assert not answer.startswith(b"HTTP/1.1 5")


async def test_a_request_that_is_too_large_is_refused_as_every_error_is(tmp_path: Path) -> None:
    async with serving(tmp_path, None, {"max_body_bytes": 1000}) as served:
        status, said = await served.answer("POST", PAUSES, data=b" " * 1001)
        assert (status, list(said)) == (413, ["error"])


async def test_a_body_of_exactly_the_largest_size_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path, None, {"max_body_bytes": 1000}) as served:
        for length, status in ((1000, 200), (1001, 413)):
            body = json.dumps(EMPTY).encode().ljust(length)
            async with served.http.post("/webhook", data=body, headers=AM) as answer:
                assert answer.status == status


async def test_who_may_not_send_is_told_so_before_anything_else(served: Served) -> None:
    served.server.serving = False
    for headers, status in (({}, 401), (ME, 401), (AM, 503)):
        async with served.http.post("/webhook", data=b"{", headers=headers) as answer:
            assert answer.status == status


async def test_a_source_that_sends_too_often_is_asked_to_send_again(tmp_path: Path) -> None:
    async with serving(tmp_path, None, {"source_rate": "2/1m"}) as served:
        seen = []
        for passed in (0 * SECOND, 0 * SECOND, 0 * SECOND, 29 * SECOND, SECOND, 0 * SECOND):
            served.world.clock.time += passed
            async with served.http.post("/webhook", json=EMPTY, headers=AM) as answer:
                seen.append(answer.status)
    assert seen == [200, 200, 503, 503, 200, 503]


def test_a_rate_per_no_time_is_refused_when_it_is_read() -> None:
    with pytest.raises(ValidationError):
        Web.model_validate({"source_rate": "600/0s"})


async def test_a_stranger_uses_up_nobody_s_rate(tmp_path: Path) -> None:
    async with serving(tmp_path, None, {"source_rate": "1/1m"}) as served:
        for _ in range(5):
            async with served.http.post("/webhook", json=EMPTY) as answer:
                assert answer.status == 401
        async with served.http.post("/webhook", json=EMPTY, headers=AM) as answer:
            assert answer.status == 200


async def test_a_wrong_login_may_be_tried_ten_times_a_minute(served: Served) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    seen = [(await served.answer("GET", LIST, headers=wrong))[0] for _ in range(12)]
    assert seen == [401] * 10 + [429] * 2
    assert (await served.answer("GET", LIST, headers=ME))[0] == 200
    served.world.clock.time += 6 * SECOND
    seen = [(await served.answer("GET", LIST, headers=wrong))[0] for _ in range(2)]
    assert seen == [401, 429]


async def test_an_operator_s_rate_is_one_for_everything_they_ask(tmp_path: Path) -> None:
    async with serving(tmp_path, None, {"operator_rate": "3/1m"}) as served:
        asked = [("GET", LIST), ("GET", PAUSES), ("DELETE", f"{PAUSES}/all"), ("GET", LIST)]
        seen = [(await served.answer(method, path))[0] for method, path in asked]
        served.world.clock.time += MINUTE
        assert (*seen, (await served.answer("GET", LIST))[0]) == (200, 200, 404, 429, 200)


async def test_whom_a_proxy_names_has_a_rate_too(tmp_path: Path) -> None:
    async with behind_a_proxy(tmp_path, operator_rate="2/1m") as served:
        ann = {"X-User": "ann"}
        seen = [(await served.answer("GET", LIST, headers=ann))[0] for _ in range(3)]
    assert seen == [200, 200, 429]


@pytest.mark.parametrize(
    "public", ["https://remediator.example:443", "https://Remediator.Example"], ids=str
)
async def test_the_public_url_is_compared_as_browsers_write_it(tmp_path: Path, public: str) -> None:
    async with serving(tmp_path, None, {"public_url": public}) as served:
        headers = {**JSON, "Origin": "https://remediator.example"}
        status, _ = await served.answer("POST", PAUSES, headers=headers, json={"reason": "a look"})
    assert status == 200


async def test_without_a_public_url_no_page_is_our_own(tmp_path: Path) -> None:
    async with serving(tmp_path, None, {"public_url": ""}) as served:
        for origin in ("http://127.0.0.1:9099", "null", ""):
            headers = {**JSON, "Origin": origin}
            status, _ = await served.answer("POST", PAUSES, headers=headers, json={"reason": "x"})
            assert status == 403


async def test_a_second_pause_of_a_scope_replaces_the_first(served: Served) -> None:
    for reason, length in (("one", "1h"), ("two", None)):
        await served.answer("POST", PAUSES, json={"reason": reason, "for": length})
    _, rows = await served.answer("GET", PAUSES)
    assert [(row["scope"], row["reason"], row["until"]) for row in rows] == [("all", "two", None)]
    assert (await served.answer("DELETE", f"{PAUSES}/all"))[0] == 200
    assert (await served.answer("DELETE", f"{PAUSES}/all"))[0] == 404


@pytest.mark.parametrize(
    ("verbs", "bodies"),
    [
        (("approve", "deny"), ({"digest": 1}, {"digest": "sha256:other"}, {"digest": " "})),
        (("approve", "deny", "cancel", "retry", "undo"), ({"reason": 3}, {"reason": ["x"]}, [])),
        (("retry", "undo"), ({},)),
    ],
    ids=["a digest that is not the plan's", "a reason that is no text", "while it waits"],
)
async def test_what_cannot_be_decided_changes_nothing(
    served: Served, verbs: tuple[str, ...], bodies: tuple[Any, ...]
) -> None:
    await served.asked()
    before = await served.shown()
    for verb, body in product(verbs, bodies):
        if (verb, body) != ("deny", {"digest": " "}):  # a denial need not name a plan
            status, said = await served.answer("POST", f"{LIST}/{before['id']}/{verb}", json=body)
            assert (status in (400, 409), list(said)) == (True, ["error"]), (verb, body)
    after = await served.shown()
    assert (after["state"], after["history"]) == (before["state"], before["history"])


async def test_basic_credentials_of_an_operator_open_the_api(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("a:b:ü\n")
    ann = {"name": "ann", "username": "ann@example.com", "password_file": str(tmp_path / "pw")}
    async with serving(tmp_path, None, operators=[ann]) as served:
        for text, status in (("ann@example.com:a:b:ü", 200), ("ann:a:b:ü", 401)):
            coded = base64.b64encode(text.encode()).decode()
            headers = {"Authorization": f"Basic {coded}"}
            assert (await served.answer("GET", LIST, headers=headers))[0] == status


async def test_while_it_starts_it_is_alive_and_not_ready(served: Served) -> None:
    assert await served.page("GET", "/readyz") == (200, "ok\n")
    served.server.serving = False
    assert await served.page("GET", "/healthz") == (200, "ok\n")
    assert await served.page("GET", "/readyz") == (503, "starting or draining\n")
