"""Signed links: one is valid for its remediation and its plan until its time, and no other is."""

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remediator.web.links import Links
from tests.unit.objects import HOUR, T

LINKS = Links("https://remediator.example/ops/", b"k" * 32)
DIGEST = "sha256:9080555ca53d657c7f6e747c"
SECOND = timedelta(seconds=1)
INVALID = "This link is not valid: it was changed, or made by another server."
EXPIRED = "This link has expired."
Parts = tuple[str, str, str, str]


def parts(link: str) -> Parts:
    """Remediation, digest, end and signature, as a server reads them."""
    split = urlsplit(link)
    query = {key: values[0] for key, values in parse_qs(split.query).items()}
    ident = unquote(split.path.rsplit("/", 1)[1])
    return ident, query["digest"], query["until"], query["signature"]


def made(ident: str = "r-1", digest: str = DIGEST, until: datetime = T + HOUR) -> Parts:
    return parts(LINKS.make(ident, digest, until))


def refused(given: Parts, now: datetime = T, links: Links = LINKS) -> str | None:
    remediation, digest, until, signature = given
    return links.refused(remediation, digest, until, signature, now=now)


def test_a_link_leads_below_the_public_url() -> None:
    link = LINKS.make("r-1", DIGEST, T)
    assert link.startswith("https://remediator.example/ops/approvals/r-1?digest=sha256%3A")


@given(
    st.from_regex(r"[ru]-[a-z0-9]{10}", fullmatch=True),
    st.text(st.characters(codec="utf-8"), min_size=1),
    st.datetimes(datetime(2001, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_a_link_is_valid_for_what_it_was_made_for(ident: str, digest: str, until: datetime) -> None:
    given = made(ident, digest, until)
    assert given[:2] == (ident, digest)
    assert refused(given, until - SECOND) is None
    assert refused(given, until) == EXPIRED


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (T, None),
        (T + HOUR - SECOND, None),
        (T + HOUR, EXPIRED),
        (T + 24 * HOUR, EXPIRED),
        (T - 24 * HOUR, None),
    ],
    ids=["at once", "in the last second", "at its end", "a day later", "by a clock that is behind"],
)
def test_a_link_expires_at_its_end(now: datetime, expected: str | None) -> None:
    assert refused(made(), now) == expected


def test_the_end_is_one_moment_in_every_time_zone() -> None:
    tokyo = (T + HOUR).astimezone(timezone(9 * HOUR))
    assert made(until=tokyo) == made()


def test_an_end_within_a_second_never_lasts_longer() -> None:
    given = made(until=T + timedelta(milliseconds=900))
    assert refused(given, T + timedelta(milliseconds=900)) == EXPIRED


@given(st.integers(0, 3), st.text(st.characters(codec="utf-8"), max_size=80))
def test_no_part_can_be_exchanged(which: int, other: str) -> None:
    given = list(made())
    assume(other != given[which])
    given[which] = other
    ident, digest, until, signature = given
    assert refused((ident, digest, until, signature)) == INVALID


@pytest.mark.parametrize(
    "signature",
    ["", "0" * 64, "é" * 64, "\N{FULLWIDTH DIGIT ZERO}" * 64, made()[3].upper(), made()[3][:-1]],
    ids=["none", "zeros", "not ASCII", "digits of another script", "capitals", "one digit less"],
)
def test_a_signature_that_only_resembles_one_is_refused_in_words(signature: str) -> None:
    assert refused((*made()[:3], signature)) == INVALID


def test_what_belongs_to_one_part_cannot_be_moved_to_the_next() -> None:
    _, digest, until, signature = made("r-1")
    for moved in (
        ("r-1" + digest[0], digest[1:], until),
        ("r-", "1" + digest, until),
        ("r-1", digest + until[0], until[1:]),
        ("r-1\n" + digest, until, ""),
        ("", "r-1\n" + digest, until),
    ):
        assert refused((*moved, signature)) == INVALID


def test_the_signature_of_another_plan_or_another_remediation_is_of_no_use() -> None:
    ident, digest, until, _ = made()
    for other in (made("r-2"), made(digest="sha256:0"), made(until=T + 2 * HOUR)):
        assert refused((ident, digest, until, other[3])) == INVALID


def test_another_key_makes_and_takes_other_links() -> None:
    other = Links(LINKS.url, b"K" * 32)
    assert refused(made(), links=other) == INVALID
    assert refused(parts(other.make("r-1", DIGEST, T + HOUR))) == INVALID


def test_a_server_that_moved_takes_the_links_it_made_before() -> None:
    moved = Links("https://elsewhere.example", LINKS.key)
    assert refused(made(), links=moved) is None
