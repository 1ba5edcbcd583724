"""The page behind a link: whatever labels hold is text on it, it is shown to a valid link only, and
no form that was sent decides anything unless an operator meant it.
"""

import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.world import rules
from tests.unit.web.served import ASKS, LINKS, PUBLIC, Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSTILE = {
    "note": "</dd><script>alert(1)</script>",
    "quoted": "\"' onmouseover='x'",
    "form": '<form action="https://evil.example"><input name="token">',
    "lines": "one\ntwo\r\x1b[2J",
    "twice": "&lt;b&gt;",
    "empty": "",
}
OURS = {"main", "h1", "p", "dl", "dt", "dd", "span", "code", "form", "label", "input", "button"}
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="token"%s\r\n\r\nme-secret\r\n--x--\r\n'
APPROVE = {"verdict": "approve", "token": "me-secret"}
TWO = ASKS.replace("match:", "approval: {two_person: true}, match:")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def waiting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A plan waits for the alert with hostile labels; no test decides it."""
    async with serving(tmp_path_factory.mktemp("waiting")) as made:
        await made.asked(**HOSTILE)
        yield made
        assert (await made.world.only())["state"] == "awaiting_approval"


def texts(page: str) -> str:
    """What a reader sees of it."""
    return html.unescape(re.sub(r"<[^>]*>", " ", page.split("<body>")[1]))


def tags(page: str) -> set[str]:
    return set(re.findall(r"<(\w+)", page.split("<body>")[1]))


@pytest.mark.parametrize("label", sorted(HOSTILE))
async def test_a_label_is_shown_as_it_is_and_is_no_markup(waiting: Served, label: str) -> None:
    _, page = await waiting.page("GET", await waiting.link())
    assert f"{label}={html.escape(HOSTILE[label])}" in page
    assert tags(page) == OURS


async def test_the_page_says_what_is_needed_to_decide(waiting: Served) -> None:
    shown = await waiting.shown()
    seen = texts((await waiting.page("GET", await waiting.link()))[1])
    for part in (
        "ask on Deployment/shop/web",
        shown["look"]["digest"],
        shown["look"]["plan"]["summary"],
        shown["id"],
        "alertname=Leak",
        *shown["look"]["calls"],
    ):
        assert part in seen


async def test_only_the_page_s_own_form_may_be_sent_and_nothing_is_loaded(waiting: Served) -> None:
    async with waiting.http.get(await waiting.link()) as answer:
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["Content-Security-Policy"].split(";")
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert '<form method="post">' in await answer.text()  # to where it came from
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refusal_has_the_same_headers_and_says_nothing_of_the_plan(
    waiting: Served, method: str
) -> None:
    link = (await waiting.link()).replace("signature=", "signature=0")
    async with waiting.http.request(method, link, data=APPROVE) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (403, "no-store")
        assert "restart" not in await answer.text()


@pytest.mark.parametrize(
    ("hours", "status"), [(1, 200), (1 / 3600, 200), (0, 403), (-1, 403)], ids=str
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_is_of_use_until_its_end(
    waiting: Served, hours: float, status: int, method: str
) -> None:
    form = {"verdict": "perhaps", "token": "me-secret"}
    answered, page = await waiting.page(method, await waiting.link(hours), data=form)
    assert answered == (400 if (method, status) == ("POST", 200) else status)
    assert ("This link has expired" in page) is (status == 403)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 401),
        ({"token": ""}, 401),
        ({"token": " "}, 401),
        ({"token": "me"}, 401),
        ({"token": "Bearer me-secret"}, 401),
        ({"token": "am-secret"}, 401),
        ({"token": "me-secret"}, 400),
        ({"token": " me-secret\n"}, 400),
        ({"token": "me-secret", "verdict": ""}, 400),
        ({"token": "me-secret", "verdict": "Approve"}, 400),
        ({"token": "me-secret", "verdict": "approve,deny"}, 400),
    ],
    ids=str,
)
async def test_a_form_that_says_too_little_decides_nothing(
    waiting: Served, form: dict[str, str], status: int
) -> None:
    waiting.world.clock.time += timedelta(seconds=12)  # wrong tokens are counted per minute
    answered, page = await waiting.page("POST", await waiting.link(), data=form)
    assert (answered, "Nothing was decided" in page) == (status, True)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param(FORM + "; charset=nonsense", b"token=x", id="an unknown charset"),
        pytest.param(FORM + "; charset=ascii", b"token=\xff", id="not in its charset"),
        pytest.param("multipart/form-data", b"--x", id="no boundary"),
        pytest.param(MULTIPART, (PART % b"")[:60], id="cut off"),
        pytest.param(MULTIPART, PART.replace(b'; name="token"', b"") % b"", id="no name"),
    ],
)
async def test_a_form_that_cannot_be_read_decides_nothing(
    waiting: Served, kind: str, body: bytes
) -> None:
    headers = {"Content-Type": kind}
    status, page = await waiting.page("POST", await waiting.link(), data=body, headers=headers)
    assert (status, "The form is not valid. Nothing was decided." in page) == (400, True)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param(
            {"Content-Type": MULTIPART},
            PART % b"\r\nContent-Transfer-Encoding: morse",
            id="a part in an unknown encoding",
        ),
        pytest.param(
            {"Content-Type": FORM + "; charset=utf-7"},
            b"verdict=approve&token=+2AA-",
            id="half of a surrogate pair",
        ),
        pytest.param(
            {"Content-Type": FORM, "Content-Encoding": "gzip"}, b"token=x", id="not compressed"
        ),
    ],
)
async def test_a_form_that_is_broken_in_another_way_is_refused_too(
    waiting: Served, headers: dict[str, str], body: bytes
) -> None:
    status, _ = await waiting.page("POST", await waiting.link(), data=body, headers=headers)
    assert status in (400, 401)


async def test_a_token_that_was_uploaded_as_a_file_is_none(waiting: Served) -> None:
    body, headers = PART % b'; filename="me-secret"', {"Content-Type": MULTIPART}
    status, _ = await waiting.page("POST", await waiting.link(), data=body, headers=headers)
    assert status == 401


async def test_a_token_in_the_link_is_not_looked_at(waiting: Served) -> None:
    link = f"{await waiting.link()}&token=me-secret&verdict=approve"
    assert (await waiting.page("GET", link))[0] == 200
    assert (await waiting.page("POST", link))[0] == 401


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (PUBLIC, 400),
        (PUBLIC + "/", 403),
        (PUBLIC + ":8443", 403),
        (PUBLIC.replace("https", "http"), 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_a_form_is_taken_from_our_own_page_only(
    waiting: Served, origin: str, status: int
) -> None:
    form, headers = {"token": "me-secret"}, {"Origin": origin}
    answered, _ = await waiting.page("POST", await waiting.link(), data=form, headers=headers)
    assert answered == status


async def test_who_is_known_already_is_not_asked_for_a_token(waiting: Served) -> None:
    link, known = await waiting.link(), {"Authorization": "Bearer me-secret"}
    assert 'name="token"' in (await waiting.page("GET", link))[1]
    assert 'name="token"' not in (await waiting.page("GET", link, headers=known))[1]


async def test_a_plan_that_changed_since_cannot_be_approved_by_the_old_link(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as served:
        old = await served.asked()
        served.world.cluster.set_image("Deployment", "shop", "web", "web:9")
        await served.world.run(timedelta(minutes=5))
        assert (await served.link()).split("&")[0] != old.split("&")[0]
        status, page = await served.page("GET", old)
        assert (status, "The plan changed since" in page, "<form" in page) == (200, True, False)
        status, page = await served.page("POST", old, data=APPROVE)
        assert (status, "Nothing was decided" in page) == (409, True)
        assert (await served.shown())["approved_by"] == ""


async def test_a_reason_is_kept_as_text_and_to_500_characters(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        link, why = await served.asked(), "<b>" + "ü" * 600
        form = {"verdict": "deny", "token": "me-secret", "reason": why}
        status, page = await served.page("POST", link, data=form)
        assert (status, "me denied r-" in page) == (200, True)
        assert f"me denied it: {why[:500]}" in await served.history()
        await served.world.run()
        status, page = await served.page("GET", link)
        assert (status, "there is nothing to decide" in page, "<b>" in page) == (200, True, False)
        assert (await served.page("POST", link, data=APPROVE))[0] == 409


async def test_a_link_to_what_is_no_longer_kept_says_so(waiting: Served) -> None:
    until = waiting.world.clock.now() + timedelta(hours=1)
    gone = LINKS.make("r-2222222222", "sha256:x", until).removeprefix(PUBLIC)
    for method, form in (("GET", None), ("POST", APPROVE)):
        status, page = await waiting.page(method, gone, data=form)
        assert (status, "no longer exists" in page) == (404, True), method


async def test_the_name_of_an_operator_is_no_markup_either(tmp_path: Path) -> None:
    proxy = {"trusted_proxy_header": "X-User", "trusted_proxies": ["127.0.0.1"]}
    async with serving(tmp_path, rules(TWO), proxy) as served:
        link, headers = await served.asked(), {"X-User": "<i>ann</i>", "Origin": PUBLIC}
        for status in (200, 409):  # the second time it is said who approved it already
            form = {"verdict": "approve"}
            answered, page = await served.page("POST", link, data=form, headers=headers)
            assert (answered, "<i>ann</i>" in texts(page), "i" in tags(page)) == (
                status,
                True,
                False,
            )


async def test_the_first_of_two_is_shown_for_the_plan_that_they_approved_only(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, rules(TWO)) as served:
        assert (await served.page("POST", await served.asked(), data=APPROVE))[0] == 200
        seen = texts((await served.page("GET", await served.link()))[1])
        assert "me; a second operator must approve too" in seen
        served.world.cluster.set_image("Deployment", "shop", "web", "web:9")
        await served.world.run(timedelta(minutes=5))
        seen = texts((await served.page("GET", await served.link()))[1])
        assert "a second operator must approve too" not in seen
